#!/usr/bin/env python3
"""One stream through everything that happens to networks, byte by byte (issue 4, section 3): 1 GB while the keys change,
20 moves in a row between two NATs, a router that reboots and deals other ports, direct paths that are blocked so that a
facilitator relays, and 10 minutes without any network. 40 ms round trip, 30 Mbit/s.

Without STREAM_FULL=1: 120 MB, 5 moves, 20 s without network; too short for a rekey."""
import os
import sys
import time

import lab
import matrix
import nat

sys.path.append(str(lab.ROOT / "tools/bench"))
import stream_lab as bench  # noqa: E402

FULL = os.environ.get("STREAM_FULL") == "1"
MEGABYTES, MOVES, AWAY_S, REKEYS = (1000, 20, 600, 2) if FULL else (120, 5, 20, 0)
MBIT = 30
STILL_S = 10  # no byte for so long while there is a network: it does not come back


class Running:
    """A stream of noise between two sites that speak directly."""

    def __init__(self):
        self.meeting = matrix.Meeting("port-restricted+random", "port-restricted+random")
        self.a, self.b = self.meeting.nodes
        lab.wait_for("no first contact", 10, lambda: self.a.cli("ping", "-c", 1, self.b.name, ok=False).returncode == 0)
        lab.wait_for("not direct at first", 20, lambda: self.carrier() == "udp")
        self.b.cli("peer", "allow", self.a.name, "service:noise")
        self.handshakes = self.of_peer("handshakes")
        self.sink = bench.App(self.b.ns, "check", where=(self.b, "noise")).ready()
        self.writer = bench.App(self.a.ns, "put", "-e", "-b", MEGABYTES * 1_000_000, "-r", MBIT,
            where=(self.a, self.b, "noise"))
        self.stalls_ms = {}
        self.flows("begin")

    def of_peer(self, what):
        return self.a.cli("status")["peers"][0][what]

    def carrier(self):
        path = self.of_peer("path")
        return path and path["carrier"]

    def received(self):
        return sum(self.sink.stat()[1])

    def flows(self, what):
        """Waits until new bytes arrive; notes how long that took."""
        start, before = time.monotonic(), self.received()
        lab.wait_for(f"{what}: no byte arrives", STILL_S, lambda: self.received() > before, 0.005)
        took = (time.monotonic() - start) * 1e3
        self.stalls_ms[what] = max(took, self.stalls_ms.get(what, 0.0))

    def moves(self):
        a, first = self.meeting.hosts[0], self.meeting.hosts[0].router
        second = self.meeting.world.router("full-cone+random")
        for i in range(MOVES):
            nat.move(a, first if i % 2 else second, away_s=0.2)
            self.flows("move")
            time.sleep(0.5)

    def reboot(self):
        nat.reboot(self.meeting.hosts[0].router)
        self.flows("reboot")

    def relay(self):
        core, (a, b) = self.meeting.world.core, self.meeting.hosts
        core.nft(f"""table inet gate {{
            chain through {{ type filter hook forward priority 0
                iifname {a.edge.core_dev} oifname {b.edge.core_dev} drop
                iifname {b.edge.core_dev} oifname {a.edge.core_dev} drop
            }}
        }}""")
        lab.wait_for("the relay is not used", 20, lambda: self.carrier() == "relay")
        self.flows("relay")
        time.sleep(2)
        core.nft("delete table inet gate")
        lab.wait_for("direct paths do not come back", 60, lambda: self.carrier() == "udp")
        self.flows("direct")

    def rekey(self):
        """Goes on undisturbed until two thirds have arrived: the keys are as old by then as they may get."""
        two_thirds = MEGABYTES * 1_000_000 * 2 // 3
        lab.wait_for("two thirds", MEGABYTES * 8 / MBIT + 60, lambda: self.received() > two_thirds, 0.5)

    def away(self):
        a = self.meeting.hosts[0]
        router = a.router
        a.leave()
        time.sleep(AWAY_S)
        before = self.received()
        a.join(router)
        start = time.monotonic()
        lab.wait_for("no byte after the pause", 3 * STILL_S, lambda: self.received() > before, 0.005)
        self.stalls_ms["away"] = (time.monotonic() - start) * 1e3

    def finish(self):
        sent, _ = self.writer.done(600)
        end = self.sink.line()
        lab.check(end == ["end", "0", str(MEGABYTES * 1_000_000), "exact"], f"{sent} bytes sent, the sink says {end}")
        rekeys = self.of_peer("handshakes") - self.handshakes
        lab.check(rekeys >= REKEYS, f"only {rekeys} rekeys")
        return {"megabytes": MEGABYTES, "handshakes": rekeys, **{f"{k}_ms": v for k, v in self.stalls_ms.items()}}


def byte_exact():
    lab.allow(AWAY_S + 900)
    run = Running()
    for part in (run.moves, run.reboot, run.relay, run.rekey, run.away):
        part()
        time.sleep(1)
    return run.finish()


if __name__ == "__main__":
    sys.exit(lab.main({"byte_exact": byte_exact}, matrix.node.logs))
