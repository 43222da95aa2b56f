#!/usr/bin/env python3
"""What happens to networks, with gates of issue 3, section 7: moves between two homes, reboots that deal
other ports, UDP blocked all at once, a facilitator that is killed. 20 ms each way, a ping every 10 ms
and a TCP transfer through all of it.

A move: gap 500 ms, direct again within 3 s; a router's reboot and blocked UDP: gap 3 s; a relayed pair
after its facilitator died: 5 s. Direct is what the core sees: pings of one size pass between the sites
both ways, and for a second none by the hub."""
import sys
import time

import lab
import load
import matrix
import nat

MOVE_MS, REBOOT_MS, RELAYED_MS, DIRECT_MS = 500, 3000, 5000, 3000


class Running:
    """Traffic of a pair that is connected. The pings are those that the core counts."""

    def __init__(self, kind_a, kind_b, direct=True, megabytes=30, two=False):
        self.meeting = matrix.Meeting(kind_a, kind_b, two=two)
        first = self.meeting.pings(interval_ms=matrix.INTERVAL_MS)
        lab.check(matrix.wait(matrix.CONNECT_S, first.so_far), "no first contact")
        first.stop()
        if direct:
            lab.check(self.meeting.direct_ns(matrix.patience_s(kind_a, kind_b)), "not direct at first")
        a, b = self.meeting.hosts
        self.address = self.meeting.nodes[1].address
        self.pings = self.meeting.pings(interval_ms=10, payload=matrix.PAYLOAD)
        self.transfer = load.Transfer(a.ns, b.ns, self.address, megabytes, rate_mbit=20)
        time.sleep(0.5)

    def counted(self):
        """(from A to B, from B to A, by the hub) at the core."""
        a, b = self.meeting.hosts
        by_hub = sum(sum(self.meeting.world.carried(x, self.meeting.hub)) for x in (a, b))
        return (*self.meeting.world.carried(a, b), by_hub)

    def direct_ms(self, event, within_s):
        """From the event to the last moment at which a ping went by the hub, or not yet both ways
        directly: what comes after is direct for a second at least."""
        last, before = event, self.counted()
        until = event + int(within_s * 1e9)
        seen = [False, False]
        while time.monotonic_ns() < until:
            time.sleep(0.02)
            now, at = self.counted(), time.monotonic_ns()
            for way in (0, 1):
                seen[way] = seen[way] or now[way] > before[way]
            if now[2] > before[2] or not all(seen):
                last = at
            elif at - last > 1e9:
                return (last - event) / 1e6
            before = now
        raise lab.Failed(f"not direct again within {within_s} s")

    def so_far_gap_ms(self, event):
        """The gap since the event, with the pings going on."""
        self.pings.answers = self.pings.so_far()
        return self.pings.gap_ms(event, (self.pings.answers[-1][1] - event) / 1e9)

    def gap(self, event, window_s, gate_ms):
        """What the traffic noticed; TCP must have survived."""
        left = event + int(window_s * 1e9) - time.monotonic_ns()
        time.sleep(max(0.0, left / 1e9))
        self.transfer.finish()
        figures = {"gap_ms": self.pings.stop().gap_ms(event, window_s), "tcp_stall_ms": self.transfer.stall_ms(event)}
        lab.check(figures["gap_ms"] <= gate_ms, f"{figures}, the gate is {gate_ms} ms")
        return figures


def roam(kind_from, kind_to, kind_b):
    """A leaves one home for another, and back."""
    def case():
        run = Running(kind_from, kind_b, megabytes=40)
        a = run.meeting.hosts[0]
        first, second = a.router, run.meeting.world.router(kind_to)
        a.prepare(second)
        figures = {"gap_ms": 0.0, "again_ms": 0.0}
        for target in (second, first):
            event = nat.move(a, target, away_s=0.2)
            again = run.direct_ms(event, 6)
            gap = run.so_far_gap_ms(event)
            lab.check(gap <= MOVE_MS, f"a gap of {gap:.0f} ms on the way to {target.name}")
            lab.check(again <= DIRECT_MS, f"direct again after {again:.0f} ms only")
            figures = {"gap_ms": max(figures["gap_ms"], gap), "again_ms": max(figures["again_ms"], again)}
        run.transfer.finish()
        return figures
    return case


def reboots(side, kind_a, kind_b):
    """The router of one side deals another port and remembers nothing."""
    def case():
        run = Running(kind_a, kind_b, megabytes=12)
        event = nat.reboot(run.meeting.hosts[side].router)
        again = run.direct_ms(event, 8)
        return {**run.gap(event, 3.2, REBOOT_MS), "again_ms": again}
    return case


def udp_blocked(side, kind_a, kind_b):
    """From one moment to the next UDP passes no more: by TCP to the facilitator."""
    def case():
        run = Running(kind_a, kind_b, megabytes=14)
        event = nat.stop_udp(run.meeting.hosts[side].router)
        return run.gap(event, 4.0, REBOOT_MS)
    return case


def relayed_facilitator_dies():
    """Counted from the kill; it is back half a second later."""
    run = Running("symmetric", "symmetric", direct=False, megabytes=18)
    event = time.monotonic_ns()
    nat.kill_and_restart(run.meeting.facilitator)
    return run.gap(event, 6.0, RELAYED_MS)


def one_of_two_facilitators_dies():
    """The one that relays, for good: the other one goes on at once."""
    run = Running("symmetric", "symmetric", direct=False, megabytes=14, two=True)
    first = run.meeting.facilitator
    path = run.meeting.nodes[0].cli("status")["peers"][0]["path"]
    lab.check(path and path["carrier"] == "relay", f"the path is {path}")
    used = first if path["remote"] == f"relay:{first.peer}" else first.second
    event = time.monotonic_ns()
    used.process.kill()
    used.process.wait(5)
    return run.gap(event, 4.0, MOVE_MS * 2)


def cases():
    return {
        "roam": roam("port-restricted", "port-restricted", "port-restricted"),
        "roam_cone_to_cgnat": roam("full-cone", "cgnat", "port-restricted"),
        "roam_to_symmetric": roam("port-restricted", "symmetric", "full-cone"),
        "own_router_reboots": reboots(0, "port-restricted+random", "port-restricted"),
        "peers_router_reboots": reboots(1, "port-restricted", "port-restricted+random"),
        "udp_blocked_here": udp_blocked(0, "port-restricted", "full-cone"),
        "udp_blocked_there": udp_blocked(1, "full-cone", "port-restricted"),
        "relayed_facilitator_dies": relayed_facilitator_dies,
        "one_of_two_facilitators_dies": one_of_two_facilitators_dies,
    }


if __name__ == "__main__":
    sys.exit(lab.main(cases(), matrix.node.logs))
