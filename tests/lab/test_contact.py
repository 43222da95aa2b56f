#!/usr/bin/env python3
"""First contact: a laptop that knows key and endpoint of the home reaches it, NAT or not."""
import sys
import time

import lab
import load
import node
import topo


def contact(nat, endpoints, v4=True, v6=False):
    """RTT is 20 ms. The first ping needs the handshake and its own round trip; 500 ms is the first
    repetition of the handshake, so staying below it means that nothing had to be repeated."""
    world = topo.World(nat=(nat, False))
    world.cafe.join(v4=v4, v6=v6)
    if nat:
        topo.prove_nat(world.cafe, topo.HOME4, world.home)
    laptop, home = node.Node(world.laptop).start(), node.Node(world.home).start()
    node.pair(laptop, home, *endpoints)
    start = time.monotonic()
    lab.check(load.ping_once(world.laptop, home.address), "the overlay address does not answer")
    first_ms = (time.monotonic() - start) * 1e3
    pong = laptop.cli("ping", "home", "-c", 1)
    lab.check(load.ping_once(world.home, laptop.address), "the way back does not work")
    size = 20
    load.Transfer(world.home, world.laptop, laptop.address, size).finish()
    shown = {p["name"] for p in laptop.cli("status")["peers"]}
    lab.check(shown == {"home"}, f"status shows {shown}")
    for daemon in (laptop, home):
        daemon.stop()
    lab.check(first_ms < 500, f"the first answer took {first_ms:.0f} ms")
    return {"first_ms": first_ms, "ping_rtt_ms": pong[0]["rtt_us"] / 1e3}


def home4():
    return contact(False, [node.endpoint(topo.HOME4)])


def home6():
    return contact(False, [node.endpoint(topo.HOME6)], v4=False, v6=True)


def behind_nat():
    return contact(True, [node.endpoint(topo.HOME4)])


def one_dead_endpoint():
    """The first endpoint answers nobody: the second is tried at the same time."""
    return contact(False, [node.endpoint("45.9.0.77"), node.endpoint(topo.HOME4)])


def restart_of_the_home():
    """A daemon that starts again under its key is found again by data alone."""
    world = topo.World()
    world.cafe.join()
    laptop, home = node.Node(world.laptop).start(), node.Node(world.home).start()
    node.pair(laptop, home, node.endpoint(topo.HOME4))
    lab.check(load.ping_once(world.laptop, home.address), "no first contact")
    peer, address = home.peer, home.address
    home.stop()
    home.start()
    lab.check((home.peer, home.address) == (peer, address), "the key or the address changed")
    start = time.monotonic()
    lab.check(load.ping_once(world.laptop, address, 10), "not found again within 10 s")
    return {"again_ms": (time.monotonic() - start) * 1e3}


if __name__ == "__main__":
    sys.exit(lab.main({"home4": home4, "home6": home6, "behind_nat": behind_nat,
        "one_dead_endpoint": one_dead_endpoint, "restart_of_the_home": restart_of_the_home},
        node.logs))
