#!/usr/bin/env python3
"""Which pairs of routers can be punched, shown with plain sockets: what the matrix calls possible is
possible in this lab, and what it calls impossible needs more than that. No daemon here: when a cell of
the matrix fails and this file passes, it is the daemon.
"""
import random
import select
import sys

import lab
import nat
import natprobe

CONES = ("open", "firewall", "full-cone", "address-restricted", "port-restricted", "cgnat")


class Meeting:
    """Any number of sites of any kind in one world, and a server where endpoints are observed."""

    def __init__(self, *kinds):
        self.world = nat.World(None)
        self.hosts = [self.world.host(f"h{i}", self.world.router(kind)) for i, kind in enumerate(kinds)]
        self.probe = natprobe.Probe(self.hosts[0], self.world.server("server"))

    def socket(self, i):
        """A socket at site i and its outside endpoint towards the server."""
        s = natprobe.udp(self.hosts[i].ns, self.hosts[i].address)
        return s, self.probe.open(s)

    def settled(self, s, mapped):
        """What has arrived at s, with its sources, when all that was sent before is there or lost."""
        self.probe.far[self.probe.first].sendto(b"end", mapped)
        got = [s.recvfrom(64)]
        while got[-1][0] != b"end":
            got.append(s.recvfrom(64))
        return [(data, source) for data, source in got + natprobe.drain(s) if data != b"end"]


def punched(meeting, i, j):
    """Both send twice, i first: its first packet is at j's router before j has said anything, which
    must do no harm. Does the second one of each arrive, from the endpoint that the server saw?"""
    (x, of_x), (y, of_y) = meeting.socket(i), meeting.socket(j)
    for word in (b"first", b"second"):
        x.sendto(word, of_y)
        y.sendto(word, of_x)
    at_x, at_y = meeting.settled(x, of_x), meeting.settled(y, of_y)
    for s in (x, y):
        s.close()
    return (b"second", of_y) in at_x and (b"second", of_x) in at_y


def cones():
    """All 36 ordered pairs of what has one outside endpoint per socket."""
    meeting, missed = Meeting(*CONES, *CONES), []
    for i, a in enumerate(CONES):
        missed += [f"{a}/{b}" for j, b in enumerate(CONES) if not punched(meeting, i, len(CONES) + j)]
    lab.check(not missed, f"not punched: {' '.join(missed)}")
    return {"pairs": len(CONES) ** 2}


def symmetric():
    """Only where the other side lets any port of an address in does the plain punch work."""
    meeting = Meeting("symmetric", "symmetric", *CONES)
    reached = set()
    for j, kind in enumerate(CONES, start=2):
        (x, _), (y, of_y) = meeting.socket(0), meeting.socket(j)
        y.sendto(b"opener", (meeting.hosts[0].router.wan, 9))  # a wrong port: the address is what counts
        x.sendto(b"x", of_y)
        for _, source in meeting.settled(y, of_y):
            y.sendto(b"y", source)
            reached |= {kind} if x.recvfrom(64) == (b"y", of_y) else set()
    lab.check(reached == {"open", "full-cone", "address-restricted"}, f"reached: {sorted(reached)}")
    lab.check(not punched(meeting, 0, 1), "two symmetric NATs were punched")


def sequential():
    """The next port of a sequential NAT is the one that follows: aimed at, port-restricted is reached."""
    meeting = Meeting("sequential", "port-restricted", "cgnat")
    for j in (1, 2):
        (x, of_x), (y, of_y) = meeting.socket(0), meeting.socket(j)
        aimed = (of_x[0], of_x[1] + 1)
        y.sendto(b"opener", aimed)
        x.sendto(b"x", of_y)
        lab.check(meeting.settled(y, of_y) == [(b"x", aimed)], f"port {aimed[1]} was not the next one")
        y.sendto(b"y", aimed)
        lab.check(x.recvfrom(64) == (b"y", of_y), "the answer is lost")


def ready(sockets):
    return select.select(sockets, [], [], natprobe.GRACE_S)[0]


def birthday():
    """256 sockets behind the symmetric NAT against guesses at its ports: half of the runs hit within 174,
    one of 10,000 needs more than 2,300 (nat.md part 2)."""
    meeting = Meeting("symmetric", "port-restricted", "cgnat")
    guesses, dice = [], random.Random()
    for j in (1, 2):
        y, of_y = meeting.socket(j)
        many = [natprobe.udp(meeting.hosts[0].ns, meeting.hosts[0].address) for _ in range(256)]
        wan = meeting.hosts[0].router.wan
        tried = dice.sample(range(1024, 65536), 4000)
        for s in many:
            s.sendto(b"x", of_y)
        for count, port in enumerate(tried, start=1):
            y.sendto(b"guess", (wan, port))
            if count % 100 == 0 and ready(many):
                break
        hit = ready(many)
        lab.check(hit, f"{len(tried)} guesses against 256 sockets hit nothing")
        guesses.append(count)
        lab.check(hit[0].recvfrom(64) == (b"guess", of_y), "the guess comes from elsewhere")
        hit[0].sendto(b"hit", of_y)
        got = [data for data, _ in meeting.settled(y, of_y)]
        lab.check(b"hit" in got, "the way back is closed")
        for s in many:
            s.close()
    return {"guesses": ",".join(map(str, guesses))}


if __name__ == "__main__":
    sys.exit(lab.main({"cones": cones, "symmetric": symmetric, "sequential": sequential,
        "birthday": birthday}))
