#!/usr/bin/env python3
"""The laptop changes its network under a 100 Hz ping and a TCP transfer: gap, and no byte lost.

Gate of issue 2: worst 300 ms. The RTT is 20 ms. `make bench` repeats each kind 20 times.
"""
import sys

import lab
import node
import roam

GATE_MS = 300


def case(kind):
    def run():
        figures = roam.once(kind)
        lab.check(figures["gap_ms"] <= GATE_MS, f"gap {figures['gap_ms']:.0f} ms > {GATE_MS} ms")
        return figures
    return run


def there_and_back():
    """Four moves in one life of the daemons, each with a new transfer."""
    roamer = roam.Roamer()
    gaps = [roamer.move(new, after_s=1.0)["gap_ms"]
        for new in ((True, False), (False, True), (True, True), (True, False))]
    lab.check(max(gaps) <= GATE_MS, f"gaps {[round(g) for g in gaps]} ms > {GATE_MS} ms")
    return {"worst_gap_ms": max(gaps)}


def quick_succession():
    """Two moves within 100 ms: what counts is where it ends."""
    roamer = roam.Roamer()
    pings = roam.load.Pings(roamer.world.laptop, roamer.home.address)
    roamer.change((True, False), "old_first", away_s=0.02)
    event = roamer.change((True, False), "old_first", away_s=0.02)
    roam.time.sleep(1.5)
    gap = pings.stop().gap_ms(event, 1.5)
    lab.check(gap <= GATE_MS, f"gap {gap:.0f} ms > {GATE_MS} ms")
    return {"gap_ms": gap}


if __name__ == "__main__":
    cases = {kind: case(kind) for kind in roam.KINDS}
    cases.update(there_and_back=there_and_back, quick_succession=quick_succession)
    sys.exit(lab.main(cases, node.logs))
