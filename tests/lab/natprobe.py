"""natprobe - what is this router really? Asked with plain UDP sockets before a test counts on it.

Nothing here knows how the router was built. The probe has a socket inside and sockets at two
addresses with two ports each outside, sends, and looks at what arrives from where:

  mapping     one inside socket, four outside endpoints: is it always the same port (eim), one per
              address (adm), one per endpoint (apdm), the inside endpoint itself (none), or does
              nothing arrive (blocked)? `strict`: is it still so when a second inside host uses the
              same port number, and do the two never share one?
  filtering   who may answer a socket that has spoken to one endpoint: anybody (eif), that address
              (adf), that endpoint (apdf)? `unsolicited`: what about a socket that never spoke?
  ports       the same number (preserve), one more for each new mapping (sequential), or random
  hairpin     does a neighbour's packet to the outside endpoint arrive, coming from the neighbour's own
              outside endpoint, and does the answer?
  survivors   after which silences are answers still let in?

Silence proves nothing by itself, so whatever should not arrive is followed by a packet that must:
the way is a queue, and when the second is there the first is lost.
"""
import dataclasses
import socket
import time

import lab

ARRIVE_S = 2.0
GRACE_S = 0.02
STREAM_S = 2.1
PORTS = (5001, 5002)


@dataclasses.dataclass
class Verdict:
    mapping: str
    strict: bool = None
    filtering: str = None
    unsolicited: bool = None
    ports: str = None
    hairpin: bool = None


def udp(ns, address="0.0.0.0", port=0):
    s = ns.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, port))
    s.settimeout(ARRIVE_S)
    return s


def drain(s):
    """Everything that is there: [(data, from)]."""
    found = []
    s.settimeout(GRACE_S)
    try:
        while True:
            found.append(s.recvfrom(64))
    except TimeoutError:
        pass
    s.settimeout(ARRIVE_S)
    return found


class Probe:
    """inside: a Host behind the router; server: a nat.Server with two addresses; neighbour: a second
    host inside, for strictness and hairpin."""

    def __init__(self, inside, server, neighbour=None):
        self.inside, self.server, self.neighbour = inside, server, neighbour
        self.far = {(a, p): udp(server.ns, a, p) for a in server.addresses[:2] for p in PORTS}
        self.first = next(iter(self.far))
        self._sent = 0

    def close(self):
        for s in self.far.values():
            s.close()

    def seen(self, s, to, wait_s=ARRIVE_S):
        """From which endpoint a packet of s arrives at an outside endpoint; None: not at all."""
        self._sent += 1
        word = b"%d" % self._sent
        far = self.far[to]
        far.settimeout(wait_s)
        s.sendto(word, to)
        try:
            while True:
                data, source = far.recvfrom(64)
                if data == word:
                    return source
        except TimeoutError:
            return None

    def open(self, s):
        """The outside endpoint of s towards the first far one; it must have one."""
        mapped = self.seen(s, self.first)
        lab.check(mapped, f"nothing of {s.getsockname()} goes out")
        return mapped

    def answers(self, s, mapped, sources):
        """Which of the far endpoints get through to s at its outside endpoint. The last word is
        that of the first far endpoint, which s has spoken to: that one must arrive."""
        drain(s)
        for source in sources:
            self.far[source].sendto(repr(source).encode(), mapped)
        self.far[self.first].sendto(b"end", mapped)
        got = []
        while not got or got[-1] != b"end":
            got.append(s.recv(64))
        got += [data for data, _ in drain(s)]
        return {source for source in sources if repr(source).encode() in got}

    # --- the questions ---

    def mapping(self, port=27182):
        """port: of the inside socket; 0: any, which leaves 27182 without a mapping."""
        with udp(self.inside.ns, self.inside.address, port) as s:
            if self.seen(s, self.first, 0.3) is None:
                return "blocked"
            own = s.getsockname()
            seen = {to: self.seen(s, to) for to in self.far}
        if None in seen.values():
            raise lab.Failed(f"some far endpoints are not reached: {seen}")
        if set(seen.values()) == {own}:
            return "none"
        if len(set(seen.values())) == 1:
            return "eim"
        by_address = {a: {seen[a, p] for p in PORTS} for a in self.server.addresses[:2]}
        return "adm" if all(len(v) == 1 for v in by_address.values()) else "apdm"

    def strict(self, port=27182):
        """Two inside hosts use one port number and speak to the same far endpoints in opposite order:
        so each is first at some of them, where nothing is in the way of keeping the number."""
        far = list(self.far)
        with udp(self.inside.ns, self.inside.address, port) as a, \
                udp(self.neighbour.ns, self.neighbour.address, port) as b:
            seen = [(self.seen(a, x), self.seen(b, y)) for x, y in zip(far, reversed(far))]
        of_a, of_b = {x for x, _ in seen}, {y for _, y in seen}
        return len(of_a) == 1 and len(of_b) == 1 and of_a != of_b

    def filtering(self):
        address = self.first[0]
        beside = {"port": (address, PORTS[1]), "address": (self.server.addresses[1], PORTS[0])}
        with udp(self.inside.ns, self.inside.address) as s:
            got = self.answers(s, self.open(s), list(beside.values()))
        if beside["address"] in got:
            lab.check(beside["port"] in got, "another address gets in, another port does not")
            return "eif"
        return "adf" if beside["port"] in got else "apdf"

    def unsolicited(self):
        """Does a packet reach a socket that has not sent one? The outside endpoint is guessed: the
        outside address with the socket's own port."""
        with udp(self.inside.ns, self.inside.address) as s, \
                udp(self.inside.ns, self.inside.address) as silent:
            mapped = self.open(s)
            self.far[self.first].sendto(b"hello", (mapped[0], silent.getsockname()[1]))
            self.answers(s, mapped, [])
            return bool(drain(silent))

    def ports(self, count=8):
        """How new mappings get their port: fresh sockets, one after the other, all to one place."""
        pairs = []
        for _ in range(count):
            with udp(self.inside.ns, self.inside.address) as s:
                pairs.append((s.getsockname()[1], self.open(s)[1]))
        if all(own == mapped for own, mapped in pairs):
            return "preserve"
        lab.check(all(own != mapped for own, mapped in pairs), f"the port is kept now and then: {pairs}")
        steps = {b - a for (_, a), (_, b) in zip(pairs, pairs[1:])}
        if steps == {1}:
            return "sequential"
        # Eight draws from 64,000 ports lie within 1,000 of each other once in 10^12 runs.
        numbers = [mapped for _, mapped in pairs]
        lab.check(max(numbers) - min(numbers) > 1000, f"neither sequential nor random: {numbers}")
        return "random"

    def hairpin(self):
        with udp(self.inside.ns, self.inside.address) as a, \
                udp(self.neighbour.ns, self.neighbour.address) as b:
            mapped_a, mapped_b = self.open(a), self.open(b)
            drain(a)
            b.sendto(b"hairpin", mapped_a)
            self.answers(b, mapped_b, [])
            got = drain(a)
            if not got:
                return False
            lab.check(got == [(b"hairpin", mapped_b)],
                f"a hairpinned packet comes from {got}, not from {mapped_b}")
            a.sendto(b"back", mapped_b)
            lab.check(b.recvfrom(64) == (b"back", mapped_a), "the answer to a hairpinned packet is lost")
            return True

    def survivors(self, silences_s, answered):
        """After which of these silences do answers still come in? One socket each, all at once.
        answered: the flow has gone both ways for more than 2 s; before, Linux calls it no stream."""
        sockets = [udp(self.inside.ns, self.inside.address) for _ in silences_s]
        mapped = [self.open(s) for s in sockets]
        for _ in range(6 if answered else 0):
            self._both_ways(sockets, mapped)
            time.sleep(STREAM_S / 5)
        start, alive = time.monotonic(), []
        for silence, s, endpoint in sorted(zip(silences_s, sockets, mapped), key=lambda x: x[0]):
            time.sleep(max(0.0, start + silence - time.monotonic()))
            self.far[self.first].sendto(b"late", endpoint)
            with udp(self.inside.ns, self.inside.address) as fresh:
                self.answers(fresh, self.open(fresh), [])
            alive += [silence] * bool(drain(s))
            s.close()
        return alive

    def _both_ways(self, sockets, mapped):
        for s, endpoint in zip(sockets, mapped):
            self.answers(s, endpoint, [])
            self.open(s)

    def verdict(self):
        """All of it. With blocked UDP there is nothing more to ask."""
        found = Verdict(self.mapping())
        if found.mapping == "blocked":
            return found
        found.filtering, found.unsolicited = self.filtering(), self.unsolicited()
        found.ports = self.ports()
        if self.neighbour:
            found.strict, found.hairpin = self.strict(), self.hairpin()
        return found


def tcp_reaches(inside, server, port):
    """Can inside open a TCP connection to the server's port?"""
    with server.ns.socket(socket.AF_INET, socket.SOCK_STREAM) as listener, \
            inside.ns.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((server.address, port))
        listener.listen(1)
        s.settimeout(0.3)
        try:
            s.connect((server.address, port))
        except TimeoutError:
            return False
        return True
