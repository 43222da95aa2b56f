#!/usr/bin/env python3
"""Two machines that know each other's key and nothing else, and a facilitator: first by relay, direct as
soon as the network lets them, by relay again when it does not; the facilitator dies and comes back.

    alice 45.1.0.10 --- 45.1.0.1 | hub: facilitator, router | 45.2.0.1 --- 45.2.0.10 bob
"""
import sys
import time

import lab
import load
import node

FORWARD = """
    table ip gate {
        chain through { type filter hook forward priority 0
            drop
        }
    }"""


class World:
    """The facilitator is the router between the two; the gate decides whether it forwards."""

    def __init__(self, policy="open"):
        self.hub, self.alice_ns, self.bob_ns = lab.Ns("hub", forward=True), lab.Ns("alice"), lab.Ns("bob")
        for number, ns in ((1, self.alice_ns), (2, self.bob_ns)):
            lab.veth(ns, "eth0", self.hub, ns.name, False)
            ns.address("eth0", f"45.{number}.0.10/24")
            self.hub.address(ns.name, f"45.{number}.0.1/24")
            ns.ip(f"route add default via 45.{number}.0.1")
        self.gate(False)
        self.facilitator = node.Node(self.hub, args=["--facilitator-policy", policy, "--no-tun"]).start()
        self.alice, self.bob = (self._client(ns, n) for n, ns in ((1, self.alice_ns), (2, self.bob_ns)))

    def _client(self, ns, number):
        use = f"{self.facilitator.peer}@45.{number}.0.1:27182"
        return node.Node(ns, args=["--facilitators", use]).start()

    def gate(self, open_):
        self.hub.run("nft", "delete", "table", "ip", "gate", ok=False)
        if not open_:
            self.hub.nft(FORWARD)

    def registered(self):
        def both():
            return all(n.cli("facilitator", "status")["facilitators"][0]["registered"]
                for n in (self.alice, self.bob))
        lab.wait_for("registration", 3, both)

    def carrier(self):
        """Of both ends: one of them nominates, the other follows a moment later."""
        paths = [n.cli("status")["peers"][0]["path"] for n in (self.alice, self.bob)]
        carriers = {p and p["carrier"] for p in paths}
        return carriers.pop() if len(carriers) == 1 else None

    def stop(self):
        for daemon in (self.alice, self.bob, self.facilitator):
            daemon.stop()


def relayed_then_direct():
    world = World()
    world.registered()
    node.pair(world.alice, world.bob)
    start = time.monotonic()
    lab.check(load.ping_once(world.alice_ns, world.bob.address, 3), "no answer through the relay")
    first_ms = (time.monotonic() - start) * 1e3
    path = world.alice.cli("status")["peers"][0]["path"]
    lab.check(path["carrier"] == "relay" and path["remote"] == f"relay:{world.facilitator.peer}",
        f"the path is {path}")
    serving = world.facilitator.cli("facilitator", "status")["serving"]
    lab.check(serving["clients"] == 2 and serving["channels"] == 1 and serving["relayed_bytes"] > 0,
        f"the facilitator says {serving}")
    size = 8
    load.Transfer(world.bob_ns, world.alice_ns, world.alice.address, size).finish()
    why = world.alice.cli("why", "bob")
    lab.check(why["code"] == "peer-silent" and "by relay" in why["text"], f"why says {why}")
    world.gate(True)
    start = time.monotonic()
    lab.wait_for("direct", 20, lambda: world.carrier() == "udp")
    direct_s = time.monotonic() - start
    lab.check(world.alice.cli("why", "bob")["code"] == "direct", "why does not say direct")
    found = world.alice.cli("peer", "show", "bob")["candidates"]
    lab.check(any(c["source"] in ("facilitator", "peer") and c["state"] == "answers" for c in found), f"candidates {found}")
    before = world.facilitator.cli("facilitator", "status")["serving"]["relayed_bytes"]
    load.Transfer(world.bob_ns, world.alice_ns, world.alice.address, size).finish()
    after = world.facilitator.cli("facilitator", "status")["serving"]["relayed_bytes"]
    lab.check(after - before < 1e6, f"{after - before} bytes went by the relay beside a direct path")
    world.stop()
    return {"first_ms": first_ms, "direct_s": direct_s}


def back_to_the_relay():
    """UDP between the two is suddenly blocked, in the middle of a TCP transfer."""
    world = World()
    world.gate(True)
    node.pair(world.alice, world.bob)
    world.registered()
    lab.check(load.ping_once(world.alice_ns, world.bob.address, 3), "no first answer")
    lab.wait_for("direct", 10, lambda: world.carrier() == "udp")
    start = time.monotonic()
    world.gate(False)
    lab.check(load.ping_once(world.alice_ns, world.bob.address, 5), "no answer after the block")
    lab.wait_for("the relay", 5, lambda: world.carrier() == "relay")
    gap_ms = (time.monotonic() - start) * 1e3
    world.stop()
    return {"gap_ms": gap_ms}


def facilitator_restarts():
    world = World()
    node.pair(world.alice, world.bob)
    world.registered()
    lab.check(load.ping_once(world.alice_ns, world.bob.address, 3), "no answer through the relay")
    world.facilitator.stop()
    world.facilitator.start()
    start = time.monotonic()
    lab.check(load.ping_once(world.alice_ns, world.bob.address, 10), "not relayed again")
    again_ms = (time.monotonic() - start) * 1e3
    lab.check(again_ms < 5000, f"relayed again after {again_ms:.0f} ms")
    world.stop()
    return {"again_ms": again_ms}


def denied():
    """Policy contacts: a stranger is not served, and is told nothing."""
    world = World("contacts")
    node.pair(world.alice, world.bob)
    lab.check(not load.ping_once(world.alice_ns, world.bob.address, 2), "a stranger was relayed")
    ours = world.alice.cli("facilitator", "status")["facilitators"][0]
    lab.check(not ours["registered"] and ours["state"] == "calling", f"alice says {ours}")
    for client in (world.alice, world.bob):
        world.facilitator.add(client, allow="icmp")
    world.registered()
    lab.check(load.ping_once(world.alice_ns, world.bob.address, 5), "a contact was not relayed")
    world.stop()
    return {}


def netcheck_without_nat():
    world = World()
    world.registered()

    def known():
        found = world.alice.cli("netcheck")["ipv4"]
        return found and found["mapping"] != "unknown" and found["filtering"] != "unknown" and found
    lab.wait_for("netcheck", 4, known)
    found = world.alice.cli("netcheck")
    lab.check(found["udp"] == "works" and found["ipv4"]["mapping"] == "none" and found["ipv4"]["side"] == "open" and
        found["ipv4"]["external"] == "45.1.0.10:27182" and found["ipv6"] is None, f"netcheck says {found}")
    world.stop()
    return {}


def invite_and_join(policy="open", expires="1d"):
    """Bob knows nothing but the line: no facilitator, no address that he can reach but in it."""
    world = World(policy)
    if policy == "contacts":
        world.facilitator.add(world.alice, allow="icmp")
    lab.wait_for("alice's registration", 3,
        lambda: world.alice.cli("facilitator", "status")["facilitators"][0]["registered"])
    world.bob.stop()
    world.bob.args = []
    world.bob.start()
    line = world.alice.cli("invite", "--name", "bob", "--as", "alice", "--expires", expires)["line"]
    start = time.monotonic()
    joined = world.bob.cli("join", line)
    joined_ms = (time.monotonic() - start) * 1e3
    lab.check(joined["name"] == "alice", f"join says {joined}")
    lab.check(load.ping_once(world.bob_ns, world.alice.address, 5), "the inviter does not answer")
    lab.check(load.ping_once(world.alice_ns, world.bob.address, 5), "the guest does not answer")
    shown = world.alice.cli("status")["peers"]
    lab.check([p["name"] for p in shown] == ["bob"] and shown[0]["path"]["carrier"] == "relay", f"alice shows {shown}")
    again = world.bob.cli("join", line, ok=False)
    lab.check(world.alice.cli("invite", "list")["invites"] == [], "the invite is still open")
    serving = world.facilitator.cli("facilitator", "status")["serving"]
    lab.check(serving["guests"] == (policy == "contacts") and serving["vouchers_refused"] == 0, f"serving {serving}")
    world.gate(True)
    lab.wait_for("direct", 20, lambda: world.carrier() == "udp")
    return world, {"joined_ms": joined_ms, "again": again.returncode}


def join_an_open_facilitator():
    world, figures = invite_and_join()
    world.stop()
    return figures


def join_by_a_voucher():
    """The facilitator knows alice alone, as `--facilitator` has it. Facilitator and guest restart; the voucher is still good."""
    world, figures = invite_and_join("contacts")
    world.gate(False)
    for daemon in (world.facilitator, world.bob):
        daemon.stop()
        daemon.start()
    start = time.monotonic()
    lab.check(load.ping_once(world.bob_ns, world.alice.address, 10), "the guest does not come in again")
    figures["again_ms"] = (time.monotonic() - start) * 1e3
    peers = world.facilitator.cli("peer", "list")["peers"]
    lab.check([p["peer"] for p in peers] == [world.alice.peer], f"the facilitator knows {peers}")
    world.stop()
    return figures


def together_after_the_invite():
    """The invite, its voucher with it, ends after 4 s. The contacts have told each other by then where they can be reached."""
    world, figures = invite_and_join("contacts", expires="4s")
    world.gate(False)
    time.sleep(5)
    for daemon in (world.facilitator, world.bob, world.alice):
        daemon.stop()
        daemon.start()
    start = time.monotonic()
    lab.check(load.ping_once(world.bob_ns, world.alice.address, 15), "the guest does not find its inviter any more")
    figures["again_ms"] = (time.monotonic() - start) * 1e3
    world.stop()
    return figures


if __name__ == "__main__":
    sys.exit(lab.main({"relayed_then_direct": relayed_then_direct, "back_to_the_relay": back_to_the_relay,
        "facilitator_restarts": facilitator_restarts, "denied": denied,
        "netcheck_without_nat": netcheck_without_nat,
        "join_an_open_facilitator": join_an_open_facilitator, "join_by_a_voucher": join_by_a_voucher,
        "together_after_the_invite": together_after_the_invite}, node.logs))
