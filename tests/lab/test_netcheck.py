#!/usr/bin/env python3
"""What overlay netcheck says of NATs of each kind, with and without a hairpin, and that it says so to people too."""
import sys

import lab
import nat
import node


class Home:
    """A daemon behind a router of the kind, registered with the facilitator."""

    def __init__(self, world, server, facilitator, name, kind):
        host = world.host(name, world.router(kind))
        use = f"{facilitator.peer}@{server.address}:27182"
        self.daemon = node.Node(host.ns, args=["--no-portmap", "--facilitators", use]).start()

    def found(self):
        return self.daemon.cli("netcheck")["ipv4"] or {}


def homes(*kinds, addresses=2):
    world = nat.World(None)
    server = world.server("server", addresses)
    facilitator = node.Node(server.ns, args=["--facilitator", "--facilitator-policy", "open", "--no-tun"]).start()
    return [Home(world, server, facilitator, f"h{i}", kind) for i, kind in enumerate(kinds)]


EIM, ADF, APDF = "endpoint-independent", "address-dependent", "address-and-port-dependent"  # RFC 4787
KINDS = {"full-cone": (EIM, EIM, "open"), "address-restricted": (EIM, ADF, "easy"),
    "port-restricted": (EIM, APDF, "easy"), "symmetric": (APDF, APDF, "hard"), "open": ("none", EIM, "open"),
    "firewall": ("none", APDF, "easy")}


def classes(kinds, addresses):
    """All three words of each kind. Nothing may be said too early: a wrong word for a moment would fail, too."""
    sites = homes(*kinds, addresses=addresses)

    def said():
        return {kind: tuple(s.found().get(k, "unknown") for k in ("mapping", "filtering", "side"))
            for kind, s in zip(kinds, sites)}
    lab.wait_for("a class of each", 8, lambda: all("unknown" not in words[:2] for words in said().values()))
    lab.check(said() == kinds, f"netcheck says {said()}")
    return sites


def two_addresses():
    """The facilitator's second address tells by address from by port."""
    sites = classes(KINDS, 2)
    text = sites[1].daemon.ns.run(node.program("overlay"), "--socket", sites[1].daemon.socket, "netcheck")
    lab.check(f"mapping {EIM}, filtering {ADF}" in text, text)
    lab.check(all(s.found()["two_addresses"] for s in sites), "two addresses")
    return {}


def one_address():
    """Without one, who lets in all ports of an address cannot be told from who lets in everybody."""
    sites = classes({"address-restricted": KINDS["full-cone"], "port-restricted": KINDS["port-restricted"]}, 1)
    lab.check(not sites[0].found()["two_addresses"], f"netcheck says {sites[0].found()}")
    text = sites[0].daemon.ns.run(node.program("overlay"), "--socket", sites[0].daemon.socket, "netcheck")
    lab.check("filtering may be address-dependent" in text, text)
    return {}


def hairpin():
    """Where the filter is by address and port, too: both ports open it for each other."""
    kinds = {"full-cone+hairpin": "yes", "port-restricted+hairpin": "yes", "port-restricted": "no",
        "symmetric": "no"}
    sites = homes(*kinds)
    lab.wait_for("an answer", 12, lambda: all(s.found().get("hairpin", "unknown") != "unknown" for s in sites))
    said = {kind: site.found()["hairpin"] for kind, site in zip(kinds, sites)}
    lab.check(said == kinds, f"netcheck says {said}")
    lifetime = sites[0].found()["lifetime"]
    lab.check(lifetime == {"measuring": True, "survived_s": None, "lost_s": None, "keepalive_ms": 25000},
        f"lifetime {lifetime}")
    text = sites[0].daemon.ns.run(node.program("overlay"), "--socket", sites[0].daemon.socket, "netcheck")
    lab.check("hairpin yes" in text and "being measured; keepalive every 25 s" in text, text)
    return {}


if __name__ == "__main__":
    sys.exit(lab.main({"two_addresses": two_addresses, "one_address": one_address, "hairpin": hairpin}, node.logs))
