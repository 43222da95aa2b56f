#!/usr/bin/env python3
"""TCP through the overlay over small outer links, and over one that shrinks in silence."""
import sys
import time

import lab
import load
import node
import topo

GATE_MS = 5000  # issue 2: a silent drop to 1300 in mid-transfer resumes within 5 s


def silent(router):
    """The router says nothing about packets that are too big: what a path MTU black hole is."""
    router.nft("""
        table inet mute {
            chain out { type filter hook output priority 0
                icmp type destination-unreachable icmp code 4 drop
                icmpv6 type packet-too-big drop
            }
        }""")


def shrink(world, mtu):
    """The Internet's line to the cafe now carries mtu bytes at most, in both directions."""
    world.internet.ip(f"link set dev cafe mtu {mtu}")
    world.cafe.router.ip(f"link set dev wan mtu {mtu}")


def works_over(mtu, v6):
    """The narrow link is in the middle and mute, so only probing finds its size."""
    def run():
        world = topo.World(delay_ms=5)
        for router in (world.internet, world.cafe.router):
            silent(router)
        shrink(world, mtu)
        world.cafe.join(v4=not v6, v6=v6)
        laptop, home = node.Node(world.laptop).start(), node.Node(world.home).start()
        node.pair(laptop, home, node.endpoint(topo.HOME6 if v6 else topo.HOME4))
        lab.check(load.ping_once(world.laptop, home.address), "no first contact")
        up = load.Transfer(world.laptop, world.home, home.address, 4).finish(10)
        down = load.Transfer(world.home, world.laptop, laptop.address, 4).finish(10)
        return {"up_mbit": up.mbit(), "down_mbit": down.mbit()}
    return run


def silent_drop(v6):
    def run():
        world = topo.World(delay_ms=5)
        for router in (world.internet, world.cafe.router):
            silent(router)
        world.cafe.join(v4=not v6, v6=v6)
        laptop, home = node.Node(world.laptop).start(), node.Node(world.home).start()
        node.pair(laptop, home, node.endpoint(topo.HOME6 if v6 else topo.HOME4))
        lab.check(load.ping_once(world.laptop, home.address), "no first contact")
        time.sleep(1)  # the path MTU is found: packets of full size are on the way
        transfer = load.Transfer(world.laptop, world.home, home.address, 12, rate_mbit=20)
        time.sleep(1)
        shrink(world, 1300)
        event = time.monotonic_ns()
        transfer.finish(25)
        stall = transfer.stall_ms(event)
        lab.check(stall <= GATE_MS, f"TCP stood still for {stall:.0f} ms > {GATE_MS} ms")
        return {"resume_ms": stall}
    return run


if __name__ == "__main__":
    cases = {f"mtu_{mtu}_v{6 if v6 else 4}": works_over(mtu, v6)
        for v6 in (False, True) for mtu in (1500, 1492, 1300, 1280)}
    cases.update(silent_drop_v4=silent_drop(False), silent_drop_v6=silent_drop(True))
    sys.exit(lab.main(cases, node.logs))
