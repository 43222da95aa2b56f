#!/usr/bin/env python3
"""A network with IPv6 only, and a router that translates: its host finds the prefix, registers with a
facilitator that has IPv4 alone, and meets peers there directly. Then it comes into a network with IPv4."""
import socket
import sys
import time

import lab
import load
import nat
import nat64
import node


def prove(host, server):
    """The translator by itself: a datagram and its answer."""
    with host.ns.socket(socket.AF_INET6, socket.SOCK_DGRAM) as near, \
            server.ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind((server.address, 5000))
        for s in (near, far):
            s.settimeout(2)
        near.sendto(b"there", (f"64:ff9b::{server.address}", 5000))
        data, source = far.recvfrom(64)
        far.sendto(b"back", source)
        lab.check((data, near.recv(64)) == (b"there", b"back"), "the translator does not work")


def ipv6_only():
    world = nat.World(None, v6=True)
    home, cafe = world.router("firewall"), world.router("port-restricted")
    server = world.server("server")
    alice_host, bob_host = nat.Host("alice").join(home, v4=False), nat.Host("bob").join(world.router("open"), v6=False)
    nat64.Nat64(home)
    prove(alice_host, server)
    facilitator = node.Node(server.ns, args=["--facilitator", "--facilitator-policy", "open", "--no-tun"]).start()
    use = ["--no-portmap", "--facilitators", f"{facilitator.peer}@{server.address}:27182"]
    start = time.monotonic()
    alice, bob = (node.Node(h.ns, args=use).start() for h in (alice_host, bob_host))
    lab.wait_for("registration", 5,
        lambda: alice.cli("facilitator", "status")["facilitators"][0]["registered"])
    registered_ms = (time.monotonic() - start) * 1e3
    found = alice.cli("netcheck")
    lab.check((found["nat64"], found["udp"]) == ("64:ff9b::/96", "works"), f"netcheck says {found}")
    node.pair(alice, bob)
    lab.check(load.ping_once(alice.ns, bob.address, 3), "no answer")
    lab.wait_for("a direct path", 10, lambda: (alice.cli("status")["peers"][0]["path"] or {}).get("carrier") == "udp")
    remote = alice.cli("status")["peers"][0]["path"]["remote"]
    lab.check(remote.startswith("[64:ff9b::"), f"the path goes to {remote}")
    lab.check(load.ping_once(bob.ns, alice.address, 3), "no answer the other way")
    load.Transfer(bob.ns, alice.ns, alice.address, 1).finish()
    nat.move(alice_host, cafe)
    lab.check(load.ping_once(alice.ns, bob.address, 5), "no answer where IPv4 is")
    lab.check(alice.cli("netcheck")["nat64"] is None, "NAT64 beside IPv4")
    for daemon in (alice, bob, facilitator):
        daemon.stop()
    return {"registered_ms": registered_ms}


if __name__ == "__main__":
    sys.exit(lab.main({"ipv6_only": ipv6_only}, node.logs))
