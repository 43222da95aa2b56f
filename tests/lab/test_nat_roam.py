#!/usr/bin/env python3
"""One site moves between kinds of routers, or its router reboots, while it talks with an open one whose
endpoint it knows: gap of a 100 Hz ping and a TCP transfer, 20 ms each way.

Gates of issue 3: 500 ms for a move, 3 s for a reboot; TCP survives all."""
import sys

import lab
import matrix
import nat

MOVE_MS, REBOOT_MS = 500, 3000
AFTER_S = {"move": 1.0, "reboot": 3.2}  # longer than the gates: a gap of all of it fails


def started(kind):
    meeting = matrix.Meeting(kind, "open", static=True)
    pings = meeting.pings(interval_ms=100)
    lab.check(matrix.wait(3, pings.so_far), "no first contact")
    pings.stop()
    return meeting


def move(kinds):
    def run():
        meeting, gaps = started(kinds[0]), {}
        for kind in kinds[1:]:
            router = meeting.world.router(kind)
            meeting.hosts[0].prepare(router)
            gaps[kind] = meeting.gap(lambda r=router: nat.move(meeting.hosts[0], r, away_s=0.2),
                AFTER_S["move"])["gap_ms"]
        lab.check(max(gaps.values()) <= MOVE_MS, f"gaps {gaps} ms > {MOVE_MS} ms")
        return {"worst_gap_ms": max(gaps.values())}
    return run


def reboot(kind):
    """The router's, then its carrier's if it has one; each comes back with another outside address."""
    def run():
        meeting = started(kind)
        router = meeting.hosts[0].router
        gaps = [meeting.gap(lambda w=which: nat.reboot(w, new_address=True), AFTER_S["reboot"])["gap_ms"]
            for which in filter(None, (router, router.carrier))]
        lab.check(max(gaps) <= REBOOT_MS, f"gaps {gaps} ms > {REBOOT_MS} ms")
        return {"worst_gap_ms": max(gaps)}
    return run


if __name__ == "__main__":
    sys.exit(lab.main({
        "moves": move(("port-restricted", "symmetric", "cgnat", "firewall")),
        "reboot_cgnat": reboot("cgnat"), "reboot_symmetric": reboot("symmetric")}, matrix.node.logs))
