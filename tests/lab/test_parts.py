#!/usr/bin/env python3
"""The lab's own parts must be what the other tests take them for."""
import statistics
import sys
import time

import lab
import load
import topo


def delay_line():
    """Its delay, its loss, and the rate it can state."""
    a, b = lab.Ns("a"), lab.Ns("b")
    line = topo.Line(a, "eth0", b, "eth0", "-d", 20000, "-l", 1000, "-s", 7)
    a.address("eth0", "45.1.0.1/24")
    b.address("eth0", "45.1.0.2/24")
    pings = load.Pings(a, "45.1.0.2", interval_ms=2)
    time.sleep(2.5)
    pings.stop()
    rtt = statistics.median(pings.rtts_us()) / 1e3
    answered = len(pings.answers) / pings.sent
    counters = line.stop()
    lab.check(40.0 <= rtt < 44.0, f"2 x 20 ms became {rtt:.2f} ms")
    lab.check(0.70 < answered < 0.92, f"10 % loss each way left {answered:.0%} of the pings")
    lab.check(counters["forth"]["lost"] > 0 and counters["back"]["lost"] > 0, str(counters))
    return {"rtt_ms": rtt, "answered_percent": answered * 100}


def delay_line_rate():
    a, b = lab.Ns("a"), lab.Ns("b")
    line = topo.Line(a, "eth0", b, "eth0", "-d", 1000)
    a.address("eth0", "45.1.0.1/24")
    b.address("eth0", "45.1.0.2/24")
    fast = load.Transfer(a, b, "45.1.0.2", 400).finish()
    line.stop()
    lab.check(fast.mbit() > 300, f"the delay line carries only {fast.mbit():.0f} Mbit/s")
    return {"max_mbit": fast.mbit()}


def rate_limit():
    a, b = lab.Ns("a"), lab.Ns("b")
    topo.Line(a, "eth0", b, "eth0", "-r", 20, "-q", 64)
    a.address("eth0", "45.1.0.1/24")
    b.address("eth0", "45.1.0.2/24")
    slow = load.Transfer(a, b, "45.1.0.2", 3).finish()
    lab.check(14 < slow.mbit() < 20.5, f"a line of 20 Mbit/s carried {slow.mbit():.1f}")
    return {"mbit": slow.mbit()}


def nat_is_random():
    world = topo.World(nat=(True, True), delay_ms=None)
    world.cafe.join(v6=False)
    first = topo.prove_nat(world.cafe, topo.HOME4, world.home)
    world.cafe.forget()
    second = topo.prove_nat(world.cafe, topo.HOME4, world.home)
    lab.check(first != second, f"the NAT still knows its mappings: {first}")
    return {"ports": ",".join(map(str, first + second))}


def moves():
    """Every join and leave gives a working network of just the families asked for."""
    world = topo.World(delay_ms=1)
    watch = topo.RouteWatch(world.laptop)
    for network, v4, v6 in ((world.cafe, True, False), (world.cell, False, True),
            (world.cafe, True, True)):
        event = watch.after(lambda n=network, a=v4, b=v6: n.join(v4=a, v6=b), (watch.NEWROUTE,))
        lab.check(time.monotonic_ns() - event < 1e9, "no netlink event")
        lab.check(load.ping_once(world.laptop, topo.HOME4, 1) == v4, f"{network.name}: IPv4 {not v4}")
        lab.check(load.ping_once(world.laptop, topo.HOME6, 1) == v6, f"{network.name}: IPv6 {not v6}")
        network.leave()
    return {"events": len(watch.events)}


if __name__ == "__main__":
    sys.exit(lab.main({"delay_line": delay_line, "delay_line_rate": delay_line_rate,
        "rate_limit": rate_limit, "nat_is_random": nat_is_random, "moves": moves}))
