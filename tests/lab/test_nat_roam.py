#!/usr/bin/env python3
"""Daemons behind routers of every kind, and what happens to their networks: gap of a 100 Hz ping and a
TCP transfer, 20 ms each way, from the moment the network can be used again.

Gates of issue 3: 500 ms for a move; 3 s when a router reboots or both sides move; nothing at all on a
direct path when the facilitator dies. TCP survives all of it."""
import sys
import time

import lab
import matrix
import nat

MOVE_MS, REBOOT_MS, UNTOUCHED_MS = 500, 3000, 150
MOVE_S, REBOOT_S = 1.0, 3.2  # how long a gap is looked for: longer than its gate


def connected(kind_a, kind_b, static):
    """Two sites that speak directly."""
    meeting = matrix.Meeting(kind_a, kind_b, static)
    pings = meeting.pings(interval_ms=matrix.INTERVAL_MS)
    lab.check(matrix.wait(matrix.CONNECT_S, pings.so_far), "no first contact")
    pings.stop()
    lab.check(meeting.direct_ns(matrix.patience_s(kind_a, kind_b)), "not direct")
    return meeting


def within(gate_ms, figures):
    lab.check(figures["gap_ms"] <= gate_ms, f"{figures} > {gate_ms} ms")
    return figures


def moves():
    """A visits one kind of router after the other; B is open and known by its endpoint."""
    meeting, worst = connected("port-restricted", "open", True), {"gap_ms": 0.0}
    for kind in ("symmetric", "cgnat", "firewall"):
        router = meeting.world.router(kind)
        meeting.hosts[0].prepare(router)
        figures = meeting.gap(lambda r=router: nat.move(meeting.hosts[0], r, away_s=0.2), MOVE_S)
        worst = max(worst, within(MOVE_MS, figures), key=lambda f: f["gap_ms"])
    return worst


def carrier_reboots():
    """The outer one of two NATs comes back with another address; nothing at home changes."""
    meeting = connected("cgnat", "open", True)
    carrier = meeting.hosts[0].router.carrier
    return within(REBOOT_MS, meeting.gap(lambda: nat.reboot(carrier, new_address=True), REBOOT_S))


def peers_router_reboots():
    """The far side has another address all at once, and whoever talks is not told."""
    meeting = connected("full-cone", "full-cone", False)
    router = meeting.hosts[1].router
    return within(REBOOT_MS, meeting.gap(lambda: nat.reboot(router, new_address=True), REBOOT_S))


def both_move():
    """Neither side is where the other believes; only the facilitator knows both."""
    meeting = connected("full-cone", "full-cone", False)
    a, b = meeting.hosts
    where = [meeting.world.router("full-cone") for _ in range(2)]
    return within(REBOOT_MS,
        meeting.gap(lambda: nat.move_both(a, where[0], b, where[1], away_s=0.2), REBOOT_S))


def facilitator_dies():
    """A direct path does not notice; counted from the kill, the restart included."""
    meeting = connected("full-cone", "full-cone", False)

    def event():
        before = time.monotonic_ns()
        nat.kill_and_restart(meeting.facilitator)
        return before
    return within(UNTOUCHED_MS, meeting.gap(event, MOVE_S))


if __name__ == "__main__":
    sys.exit(lab.main({"moves": moves, "carrier_reboots": carrier_reboots,
        "peers_router_reboots": peers_router_reboots, "both_move": both_move,
        "facilitator_dies": facilitator_dies}, matrix.node.logs))
