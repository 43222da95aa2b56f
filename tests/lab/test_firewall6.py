#!/usr/bin/env python3
"""Two homes with IPv6 only, each behind a firewall that drops what comes unasked: relayed at first, then direct."""
import sys
import time

import lab
import load
import nat
import node


def prove(world, a, b):
    """The firewalls let nothing in from each other: echo requests both ways die at the far router."""
    for near, far in ((a, b), (b, a)):
        done = near.ns.run("ping", "-n", "-q", "-c", "2", "-i", "0.1", "-W", "1", far.address6, ok=False)
        lab.check(done.returncode != 0, f"{far.name} answers {near.name} through its firewall")
    lab.check(world.direct_packets(a, b, "ipv6-icmp") > 0, "the questions did not even cross the core")


def two_firewalls():
    world = nat.World(v6=True)
    server = world.server("server")
    a, b = (nat.Host(name).join(world.router("port-restricted"), v4=False) for name in ("alice", "bob"))
    prove(world, a, b)
    facilitator = node.Node(server.ns, args=["--facilitator", "--facilitator-policy", "open", "--no-tun"]).start()
    use = ["--no-portmap", "--facilitators", f"{facilitator.peer}@[{server.address6}]:27182"]
    alice, bob = (node.Node(host.ns, args=use).start() for host in (a, b))
    for one in (alice, bob):
        lab.wait_for("registration", 5, lambda: one.cli("facilitator", "status")["facilitators"][0]["registered"])
    alice.cli("peer", "add", "bob", bob.peer, "--allow", "all")
    bob.cli("peer", "add", "alice", alice.peer, "--allow", "all")
    start = time.monotonic()
    lab.check(load.ping_once(alice.ns, bob.address, 3), "no answer")
    answered_ms = (time.monotonic() - start) * 1e3
    lab.wait_for("a direct path", 5, lambda: (alice.cli("status")["peers"][0]["path"] or {}).get("carrier") == "udp")
    direct_ms = (time.monotonic() - start) * 1e3
    before = world.direct_packets(a, b, "udp")
    load.Transfer(bob.ns, alice.ns, alice.address, 1).finish()
    lab.check(world.direct_packets(a, b, "udp") > before + 500, "the bytes did not cross the core between the two")
    for daemon in (alice, bob, facilitator):
        daemon.stop()
    return {"answered_ms": answered_ms, "direct_ms": direct_ms}


if __name__ == "__main__":
    sys.exit(lab.main({"two_firewalls": two_firewalls}, node.logs))
