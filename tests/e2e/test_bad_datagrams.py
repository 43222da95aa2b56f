#!/usr/bin/env python3
"""Bad datagrams at the real overlayd: silence, the right counter rises, no state. Issue 2, section 6.

Between the victim and its peer stands a router that hears every datagram and can send under any name.
What is inside a sealed packet is the business of tests/lab/test_inner.py, what is no datagram that of
test_bad_input.py.
"""
import collections
import pathlib
import random
import re
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))

import lab  # noqa: E402
import load  # noqa: E402
import node  # noqa: E402

PORT = 27182
A, B, HOSTILE = "10.9.1.2", "10.9.2.2", "10.9.1.66"
HS1, HS2, CONTROL, IP = 4, 5, 7, 8
ETH_P_ALL, ETH_P_IP = 3, 0x800  # only the former shows both directions
Datagram = collections.namedtuple("Datagram", "src sport dst dport data")


# --- a wire that can be listened to and lied on ------------------------------------------------

class Wire:
    """a (the victim) and b (its peer) behind a router that hears all and may send under any name."""

    def __init__(self):
        self.a, self.b, self.router = lab.Ns("a"), lab.Ns("b"), lab.Ns("router", forward=True)
        lab.veth(self.a, "eth0", self.router, "to-a", whole=False)
        lab.veth(self.b, "eth0", self.router, "to-b", whole=False)
        self.a.address("eth0", f"{A}/24")
        self.b.address("eth0", f"{B}/24")
        self.router.address("to-a", "10.9.1.1/24", f"{HOSTILE}/24")
        self.router.address("to-b", "10.9.2.1/24")
        self.a.ip("route add default via 10.9.1.1")
        self.b.ip("route add default via 10.9.2.1")
        self._ear = self.router.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._ear.bind(("to-a", ETH_P_ALL))
        self._ear.setblocking(False)
        self._mouth = self.router.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._plain = self.router.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._plain.bind((HOSTILE, 4000))

    def heard(self):
        """The datagrams on a's cable since the last call."""
        found = []
        while True:
            try:
                frame = self._ear.recv(65536)
            except BlockingIOError:
                return found
            ip = frame[14:]
            if frame[12:14] != ETH_P_IP.to_bytes(2, "big") or ip[9] != socket.IPPROTO_UDP:
                continue
            udp = ip[(ip[0] & 15) * 4:]
            sport, dport, length = struct.unpack_from(">HHH", udp)
            found.append(Datagram(socket.inet_ntoa(ip[12:16]), sport, socket.inet_ntoa(ip[16:20]), dport,
                udp[8:length]))

    def say(self, data, src=HOSTILE, sport=4000):
        """One datagram to a, whoever src is. Above the cable's MTU only under our own name."""
        if len(data) > 1400:
            self._plain.sendto(data, (A, PORT))
            return
        udp = struct.pack(">HHHH", sport, PORT, 8 + len(data), 0) + data
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, socket.inet_aton(src),
            socket.inet_aton(A))
        self._mouth.sendto(ip + udp, (A, 0))


def first(datagrams, kind, src):
    for d in datagrams:
        if d.src == src and d.data and d.data[0] == kind:
            return d.data
    raise lab.Failed(f"no datagram of type {kind} from {src} was heard")


class Victim:
    """Two daemons with a session, at rest, and all that was on the wire while it came up."""

    def __init__(self, wire=None):
        self.wire = wire or Wire()
        self.a, self.b = (node.Node(ns, args=["--no-lan", "--no-portmap"]).start() for ns in (self.wire.a, self.wire.b))
        node.pair(self.b, self.a, node.endpoint(A))
        lab.check(load.ping_once(self.wire.b, self.a.address), "no first contact")
        self.wait_rest()
        self.b.cli("ping", "a", "-c", 1)
        time.sleep(0.2)
        self.tape = self.wire.heard() + self.rest

    def wait_rest(self):
        """Path and path MTU are found; an idle session says nothing."""
        self.rest = []
        quiet = time.monotonic()
        deadline = quiet + 20
        while time.monotonic() - quiet < 0.7:
            lab.check(time.monotonic() < deadline, "an idle session does not come to rest")
            new = self.wire.heard()
            self.rest += new
            quiet = time.monotonic() if new else quiet
            time.sleep(0.05)

    def state(self):
        """All that a stranger must not be able to change."""
        status = self.a.cli("status")
        counters = status["counters"]
        peers = [(p["name"], p["peer"], p["state"], (p["path"] or {}).get("remote"), p["candidate_count"])
            for p in status["peers"]]
        requests = self.a.cli("peer", "requests")["requests"]
        return (peers, counters["handshakes"], counters["pending_handshakes"], requests), counters

    def suffers(self, what, reasons, send):
        """send() -> number of datagrams. All of them are dropped for one of the reasons (each of which
        is seen), nobody gets an answer, and nothing but counters changes."""
        self.b.cli("ping", "a", "-c", 1)  # heard within the last 15 s: no COOKIE for what is stale
        time.sleep(0.1)
        before, old = self.state()
        self.wire.heard()
        sent = send()
        lab.wait_for(f"{what}: all {sent} are counted", 5,
            lambda: self.state()[1]["datagrams_in"] - old["datagrams_in"] >= sent)
        time.sleep(0.3)
        after, new = self.state()
        answers = [d for d in self.wire.heard() if d.src == A]
        lab.check(not answers, f"{what}: answered by " +
            ", ".join(f"type {d.data[0]} ({len(d.data)} B) to {d.dst}:{d.dport}" for d in answers[:5]))
        rose = {k: new["drops"][k] - old["drops"][k] for k in new["drops"] if new["drops"][k] != old["drops"][k]}
        lab.check(set(rose) == set(reasons) and sum(rose.values()) == sent,
            f"{what}: {sent} datagrams, counters {rose}, expected {reasons}")
        lab.check(before == after, f"{what}: state changed from {before} to {after}")
        return sent

    def well(self):
        lab.check(load.ping_once(self.wire.b, self.a.address, 2), "the session died")
        self.a.stop()
        self.b.stop()


def suffer_packets(v, what, reasons, packets):
    """packets: [(data, source address, source port)]"""
    def send():
        for i, packet in enumerate(packets):
            v.wire.say(*packet)
            if i % 50 == 49:
                time.sleep(0.01)  # the socket's buffer is not what is tested
        return len(packets)
    return v.suffers(what, reasons, send)


def suffer_forged(v, profile, reasons):
    """The profiles of tools/bench/flood.c at a rate that is no flood: made-up sources that know what a
    stranger may know."""
    program = lab.BUILD / "bench/flood"
    lab.check(program.exists(), f"{program} is missing: run make everything first")

    def send():
        out = v.wire.router.run(program, "--target", v.a.peer, "--to", A, "--port", PORT, "--profile",
            profile, "--rate", 150, "--seconds", 1)
        return int(re.search(r"sent=(\d+)", out).group(1))
    return v.suffers(f"profile {profile}", reasons, send)


def case(*steps, forged=()):
    """A victim that meets all steps (what, reasons of the drops, function that makes the packets)."""
    def run():
        v = Victim()
        rss, sent = v.a.rss_kb(), 0
        for what, reasons, make in steps:
            sent += suffer_packets(v, what, reasons, make(v))
        for profile, reasons in forged:
            sent += suffer_forged(v, profile, reasons)
        grown = v.a.rss_kb() - rss
        lab.check(grown < 1024, f"{sent} datagrams cost {grown} KiB")
        v.well()
        return {"datagrams": sent, "grown_kb": grown}
    return run


def with_counter(sealed, counter):
    return sealed[:8] + struct.pack("<Q", counter) + sealed[16:]


def garbage(_):
    rng = random.Random(2)
    packets = [rng.randbytes(rng.randrange(1, 1400)) for _ in range(400)]
    packets += [bytes([rng.randrange(4, 10), 0, 0, 0]) + rng.randbytes(rng.randrange(0, 1200)) for _ in range(400)]
    packets += [bytes([kind, 0, 0, 0]) + rng.randbytes(60) for kind in (0, 3, 10, 13, 14, 255)]
    packets += [bytes([HS1, 0, 0, 0]) + bytes(12) + rng.randbytes(n) for n in (280, 1000, 1300)]
    return [(p, HOSTILE, 1024 + i) for i, p in enumerate(packets)]


def truncated(v):
    hs1, hs2 = first(v.tape, HS1, B), first(v.tape, HS2, A)
    packets = [hs1[:n] for n in range(1, len(hs1))] + [hs2[:n] for n in range(1, len(hs2))]
    for kind in (CONTROL, IP):
        sealed = with_counter(first(v.tape, kind, B), 1 << 20)  # a seen one would count as replayed
        packets += [sealed[:n] for n in range(1, len(sealed))]
    return [(p, B, PORT) for p in packets]


def replayed_handshake(v):
    hs1 = first(v.tape, HS1, B)
    return [(hs1, src, PORT) for src in (B, HOSTILE, "10.9.7.7") for _ in range(3)]


def replayed_data(v):
    packets = [d.data for d in v.tape if d.src == B and d.data[0] in (CONTROL, IP)]
    return [(p, src, PORT) for p in packets for src in (B, HOSTILE)]


def reflected(v):
    """What a itself said comes back, under the name of b and of a stranger."""
    mine = [d.data for d in v.tape if d.src == A]
    lab.check({HS2, CONTROL, IP} <= {p[0] for p in mine}, "a did not say enough to reflect")
    return [(p, src, PORT) for p in mine for src in (B, HOSTILE)]


def reflected_call(v):
    """a calls somebody who does not answer; what it sent comes back."""
    silent = node.Node(v.wire.b, "silent", port=0, args=["--no-tun", "--no-lan"]).start()
    v.wire.heard()
    v.a.cli("peer", "add", "silent", silent.peer, node.endpoint(HOSTILE, 4000))
    said = []
    lab.wait_for("a calls", 3, lambda: said.extend(v.wire.heard()) or
        any((d.src, d.dst) == (A, HOSTILE) for d in said))
    hs1 = next(d.data for d in said if (d.src, d.dst) == (A, HOSTILE))
    lab.check(hs1[0] == HS1, f"a calls with type {hs1[0]}")
    v.a.cli("peer", "remove", "silent")
    silent.stop()
    return [(hs1, HOSTILE, 4000)] * 5


def spoofed(v):
    """Bits of genuine datagrams changed one after the other, under b's name."""
    packets = []
    for kind in (CONTROL, IP):
        sealed = first(v.tape, kind, B)
        for at in range(16, len(sealed)):  # behind the header: index and counter stay
            packets.append(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1:])
    return [(with_counter(p, 1 << 20 | i), B, PORT) for i, p in enumerate(packets)]


def spoofed_handshake(v):
    hs1 = first(v.tape, HS1, B)
    return [(hs1[:at] + bytes([hs1[at] ^ 1]) + hs1[at + 1:], B, PORT) for at in range(16, len(hs1) - 16)]


def oversized(v):
    rng = random.Random(3)
    packets = [bytes([HS1, 0, 0, 0]) + rng.randbytes(n - 4) for n in (1201, 1300, 9000, 65507)]
    return [(p, HOSTILE, 4000) for p in packets]


def oversized_data(v):
    header = with_counter(first(v.tape, CONTROL, B), 1 << 21)[:16]
    return [(header + bytes(n), HOSTILE, 4000) for n in (1500, 9000, 65000)]


def stranger():
    """A real overlayd that knows a's key and is not known to a: silence, counted, no trace."""
    v = Victim()
    other = node.Node(v.wire.b, "stranger", port=4242, args=["--no-tun", "--no-lan"]).start()
    before, old = v.state()
    v.wire.heard()
    other.add(v.a, node.endpoint(A))

    def calls():
        return v.state()[1]["drops"]["stranger"] - old["drops"]["stranger"]
    lab.wait_for("the stranger calls twice", 4, lambda: calls() >= 2)
    answers = [d for d in v.wire.heard() if d.src == A and d.dport == 4242]
    lab.check(not answers, f"a stranger gets {len(answers)} answers")
    lab.check(v.state()[0] == before, f"a stranger leaves a trace: {before} became {v.state()[0]}")
    other.stop()
    counted = calls()
    v.well()
    return {"calls": counted}


CASES = {
    "garbage": case(("garbage", {"short", "header", "type", "index", "mac1", "oversized", "channel"}, garbage)),
    "truncated": case(("truncated", {"short", "auth", "index"}, truncated)),
    "replayed": case(("replayed HS1", {"stale"}, replayed_handshake),
        ("replayed packets", {"replay"}, replayed_data)),
    "reflected": case(("reflected", {"index"}, reflected), ("reflected HS1", {"mac1"}, reflected_call)),
    "spoofed": case(("changed packets", {"auth"}, spoofed), ("changed HS1", {"mac1"}, spoofed_handshake),
        forged=(("a", {"short", "header"}), ("b", {"mac1"}), ("c", {"auth"}), ("f", {"index"}))),
    "oversized": case(("oversized HS1", {"oversized"}, oversized),
        ("oversized packets", {"auth"}, oversized_data)),
    "stranger": stranger,
}

if __name__ == "__main__":
    sys.exit(lab.main(CASES, node.logs))
