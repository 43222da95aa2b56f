#!/usr/bin/env python3
"""flood.py [--quick] [--seconds T] [PROFILE...] - floods an overlayd on one core (security.md 4.5, a to
g) while 20 sessions ping once a second and one passes 10 Mbit/s, and judges what that costs them.

loss       of pings and of the stream's datagrams in the tunnel, beyond what the socket's own
           counter (/proc/net/udp) says was lost because its buffer was full; and in all
handshake  until a contact that calls in the middle of the flood has a session, the slowest of
           ten (a to e)
memory     growth of the resident set
answers    bytes to the flood's addresses per byte from them (unauthenticated: all but none of it)
idle       from the end of the flood until CPU is back to what the sessions need

Each profile meets a fresh daemon. Traffic stays in two network namespaces of a sandbox.
"""
import argparse
import json
import re
import socket
import threading
import time

import bench_lab as bench
from bench_lab import lab, node

SESSIONS, RECORDED = 20, 40  # numbers of keys: 0 to 19, then one, then ten
NEWCOMER, NEWCOMERS = 50, 10
CONTACTS = NEWCOMER + NEWCOMERS
RATES = {"a": 100000, "b": 100000, "c": 30000, "d": 30000, "e": 30000, "f": 100000, "g": 100000}
WORDS = {"a": "random bytes", "b": "HS1, wrong mac1", "c": "HS1, right mac1, spoofed",
    "d": "HS1, right mac1, 1,000 answering", "e": "1,000 recorded HS1", "f": "DATA, unknown index",
    "g": "DATA, known index, wrong tag"}
COUNTERS = """
    table ip count {
        counter in { }
        counter out { }
        chain input { type filter hook input priority -10; ip saddr 10.78.0.0/15 counter name in; }
        chain output { type filter hook output priority 10; ip daddr 10.78.0.0/15 counter name out; }
    }"""


class Sink:
    """Counts the stream's datagrams behind the daemon's interface."""

    def __init__(self, hub):
        self.count, self.socket = 0, hub.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("::", 9))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        buffer = bytearray(2048)
        while True:
            self.socket.recv_into(buffer)
            self.count += 1


def overflowed(hub):
    """Datagrams that the daemon's sockets lost because a buffer was full."""
    with hub.inside():
        text = open("/proc/thread-self/net/udp", encoding="ascii").read()
    port = f":{bench.PORT:04X}"
    return sum(int(l.split()[-1]) for l in text.splitlines() if port in l.split()[1])


def counted(hub):
    found = json.loads(hub.run("nft", "-j", "list", "counters"))["nftables"]
    counters = {c["counter"]["name"]: c["counter"] for c in found if "counter" in c}
    return {k: (v["packets"], v["bytes"]) for k, v in counters.items()}


def cpu_share(target, seconds):
    before, start = bench.schedstat(target)[0], time.monotonic()
    time.sleep(seconds)
    return (bench.schedstat(target)[0] - before) / (time.monotonic() - start)


class Case:
    def __init__(self, hub, net, profile, seconds):
        self.hub, self.net, self.profile, self.seconds = hub, net, profile, seconds
        self.target = bench.daemon(hub, f"target-{profile}", 0, CONTACTS)
        self.peers = bench.Peers(net, self.target, 0, SESSIONS, "--echo", "--stream", 10)
        lab.check(self.peers.wait_up(SESSIONS, 10) is not None, "20 sessions do not come up")
        self.sink = Sink(hub)
        time.sleep(2)  # path validation and PMTU search are over

    def snapshot(self):
        s, (ran, waited) = self.peers.stat(), bench.schedstat(self.target)
        return {"echo_sent": s["echo_sent"], "echo": s["echo_received"], "sent": s["stream_sent"],
            "got": self.sink.count, "full": overflowed(self.hub), "rtt": s["rtt_us"],
            "p99": s["rtt_p99_us"], "rss": self.target.rss_kb(), "index": s["index"],
            "cpu": ran, "waited": waited}

    def flood(self, index):
        argv = bench.pin(1, bench.BENCH / "flood", "--target", self.target.peer, "--to", bench.HUB,
            "--port", bench.PORT, "--profile", self.profile, "--rate", RATES[self.profile],
            "--seconds", self.seconds, "--contact", RECORDED, "--index", index)
        process = self.net.popen(*argv, stdout=lab.subprocess.PIPE, stderr=None, text=True)
        lab.check(process.stdout.readline() == "ready\n", "the flood does not start")
        return process

    def newcomers(self):
        """Ten contacts with addresses of their own call, spread over the middle of the flood; the slowest counts."""
        time.sleep(self.seconds / 4)
        some = bench.Peers(self.net, self.target, NEWCOMER, NEWCOMERS, "--spread",
            max(1, self.seconds // 3), "--apart", bind="10.77.1.1")
        found = some.wait_up(NEWCOMERS, max(1, self.seconds // 3) + 10)
        slowest = some.stat()["slowest_call_ms"] / 1000
        some.stop()
        return 10.0 if found is None else slowest

    def until_idle(self, share):
        start = time.monotonic()
        while cpu_share(self.target, 0.25) > share + 0.02:
            if time.monotonic() - start > 10:
                return 10.0
        return time.monotonic() - start - 0.25

    def run(self):
        share = cpu_share(self.target, 1.0)
        quiet = self.snapshot()
        process = self.flood(quiet["index"])
        before = self.snapshot()
        handshake = self.newcomers()
        sent = dict(re.findall(r"(\w+)=(\d+)", process.communicate(timeout=60)[0]))
        busy = (bench.schedstat(self.target)[0] - before["cpu"]) / self.seconds
        idle = self.until_idle(share)
        time.sleep(0.5)
        after = self.snapshot()
        wire = counted(self.hub)
        self.peers.stop()
        drops = self.target.cli("status")["counters"]["drops"]
        self.target.stop()
        return self.judge(before, after, wire, quiet) | {"handshake_s": handshake, "idle_s": idle,
            "cpu_percent": 100 * busy, "flood_pps": int(sent["sent"]) / self.seconds, "drops": drops}

    def judge(self, before, after, wire, quiet):
        d = {k: after[k] - before[k] for k in after}
        sent, lost = d["echo_sent"] + d["sent"], d["echo_sent"] - d["echo"] + d["sent"] - d["got"]
        arrived = wire["in"][0] + d["sent"] + d["echo_sent"] * 2
        full = 100 * d["full"] / max(1, arrived)
        return {"loss": 100 * max(0, lost) / max(1, sent), "full": full,
            "loss_ping": 100 * max(0, d["echo_sent"] - d["echo"]) / max(1, d["echo_sent"]),
            "memory_mib": max(0, d["rss"]) / 1024, "rtt_ms": after["rtt"] / 1000,
            "p99_ms": after["p99"] / 1000, "quiet_p99_ms": quiet["p99"] / 1000,
            "waited_percent": 100 * d["waited"] / self.seconds,
            "answers": wire["out"][1] / max(1, wire["in"][1]), "in": wire["in"][0]}


def measure(profile, seconds):
    hub, net = bench.network()
    hub.ip(f"route add 10.78.0.0/15 via {bench.NET}")
    net.ip("route add local 10.79.0.0/16 dev lo")
    hub.nft(COUNTERS)
    result = Case(hub, net, profile, seconds).run()
    for ns in (hub, net):
        lab.run("ip", "netns", "delete", ns.name)
    return result


def print_table(results):
    print("\n| flood | kpps | loss % | of it buffer full % | ping loss % | p99 quiet / flood ms | "
        "new handshake s | memory MiB | bytes out / in | idle again s | CPU % | waited for CPU % |")
    print("|---" * 12 + "|")
    for profile, r in results.items():
        print(f"| {profile} {WORDS[profile]} | {r['flood_pps'] / 1000:.0f} | {r['loss']:.2f} | "
            f"{r['full']:.2f} | {r['loss_ping']:.2f} | {r['quiet_p99_ms']:.1f} / {r['p99_ms']:.1f} | "
            f"{r['handshake_s']:.3f} | {r['memory_mib']:.1f} | {r['answers']:.2f} | "
            f"{r['idle_s']:.1f} | {r['cpu_percent']:.0f} | {r['waited_percent']:.0f} |")
    print()


def report(results):
    out = bench.Report("flood")
    for p, r in results.items():
        out.add(f"{p}_loss", round(max(0.0, r["loss"] - r["full"]), 2), 1, "%")
        short = 100 * max(0, 1 - r["flood_pps"] / RATES[p])  # a weaker flood proves nothing
        out.add(f"{p}_unsent", round(short, 1), 20, "% of the flood")
        out.add(f"{p}_memory", round(r["memory_mib"], 1), 32, "MiB")
        out.add(f"{p}_answers", round(r["answers"], 3), 0.5, "of its bytes")
        out.add(f"{p}_idle", round(r["idle_s"], 2), 2, "s")
        if p in "abcde":
            out.add(f"{p}_handshake", round(r["handshake_s"], 3), 5, "s")
    worst = {}
    for key, figure in out.lines:
        kind = key[2:]
        worst[kind] = max(worst.get(kind, 0), figure)
    out.lines += [(f"worst_{kind}", figure) for kind, figure in worst.items()]
    out.write()
    return 1 if out.missed else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="6 s per profile instead of 20")
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--verbose", action="store_true", help="the daemon's counters of drops")
    parser.add_argument("profiles", nargs="*", default=[])
    args = parser.parse_args()
    seconds = args.seconds or (6 if args.quick else 20)

    def body():
        results = {}
        for profile in args.profiles or RATES:
            results[profile] = measure(profile, seconds)
            if args.verbose:
                print(profile, results[profile], flush=True)
        print_table(results)
        return report(results)

    bench.sandbox(body)


if __name__ == "__main__":
    main()
