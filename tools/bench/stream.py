#!/usr/bin/env python3
"""stream.py [--quick] [--rounds N] [PART...] - the figures of streams (docs/transport.md), both ends on this computer.

cable   one stream between two apps over a veth, AES-256-GCM and ChaCha20-Poly1305, beside ngtcp2's example client and
        server with the same cipher; `whole` passes GSO packets uncut, `cut` does not
loss    1 % and 5 %, 50 ms, 200 Mbit/s, beside CUBIC of the kernel on the same lines
fair    Jain's index of 2 and 100 flows: associations over one line, streams in one; 1,000 streams
dial    from the request to the first byte of the answer, above the RTT of `overlay ping`: 40 ms line, cable
churn   dial and close: a second, and what 100,000 leave behind
memory  idle streams, an association with as much under way as its windows allow
bloat   pings beside a stream on 20 Mbit/s
curves  throughput over time: loss, another network, no network for 10 s

Runs of what is compared take turns, each in a sandbox of its own. Prints the median, least and greatest of each figure,
gate=NAME figure=... bound=... pass|miss, and without --quick writes them to docs/bench/stream.tsv (those of parts that
were not run stay)."""
import argparse
import platform
import statistics
import sys

import bench as sandboxes
import report
import stream_cost
import stream_curves
import stream_lab as bench
import stream_speed
import systems

PARTS = {"cable": stream_speed.cable, "loss": stream_speed.loss, "fair": stream_speed.fair, "dial": stream_cost.dial,
    "churn": stream_cost.churn, "memory": stream_cost.memory, "bloat": stream_cost.bloat,
    "curves": stream_curves.measure}


class Runs:
    """Figures of all runs so far, by name."""

    def __init__(self):
        self.values, self.failed = {}, 0

    def __call__(self, function, *args, keep=True):
        result = sandboxes.in_sandbox(function, *args)
        words = f"{function.__name__}({', '.join(map(str, args))})"
        if "ok" not in result:
            self.failed += 1
            print(f"note {words}: {result.get('skip') or result.get('error')}", flush=True)
            return None
        if not keep:
            return result["ok"]
        for name, values in result["ok"].items():
            self.values.setdefault(name, []).extend(values)
        print(f"run {words}: " + " ".join(f"{k}={statistics.median(v):.4g}" for k, v in result["ok"].items()), flush=True)
        return result["ok"]

    def median(self, name):
        return statistics.median(self.values[name]) if name in self.values else None

    def worst(self, *names, least=False):
        found = [v for n in names for v in self.values.get(n, [])]
        return (min if least else max)(found) if found else None


def ratio(runs, a, b):
    """The median of the ratios of runs that followed each other: what disturbs the machine for longer meets both."""
    pairs = list(zip(runs.values.get(a, []), runs.values.get(b, [])))
    return statistics.median(x / y for x, y in pairs) if pairs else None


def cable_gates(g, runs):
    g.line("stream_aes_whole", ratio(runs, "stream_aes_whole", "ngtcp2_aes_whole"), "x_ngtcp2", 3)
    g.line("stream_gso", runs.median("stream_gso_aes_whole"), "datagrams_a_packet", 10)
    for veth in ("whole", "cut"):
        g.line(f"stream_chacha_{veth}", ratio(runs, f"stream_chacha_{veth}", f"ngtcp2_chacha_{veth}"), "x_ngtcp2", 1.2)
    print(f"goal=stream_aes_whole figure={runs.median('stream_aes_whole') or 0:.3g} unit=Gbit/s bound=>=13")
    print(f"goal=stream_chacha_whole figure={runs.median('stream_chacha_whole') or 0:.3g} unit=Gbit/s bound=>=4")


def curve_gates(g, runs):
    for name in ("move", "sleep"):
        g.line(f"silent_after_{name}", runs.median(f"{name}_silent_s"), "s", 1, most=True, goal=0.3)


def loss_gates(g, runs):
    for percent in (1, 5):
        names = [f"{kind}_loss_{percent}" for kind in ("stream", "tcp")]
        means = [statistics.mean(runs.values[n]) if n in runs.values else None for n in names]
        g.line(f"loss_{percent}", report.ratio(*means), "x_cubic", 0.9, goal=1.2)


def fair_gates(g, runs):
    for count in (2, 100):
        worst = runs.worst(f"jain_associations_{count}", f"jain_streams_{count}", least=True)
        g.line(f"jain_{count}", worst, "index", 0.9, goal=0.97)
    g.line("least_of_1000", runs.worst("least_streams_1000", least=True), "%_of_the_mean", 50)


def dial_gates(g, runs):
    for name in ("echo", "greet"):
        g.line(f"dial_{name}_line", runs.median(f"dial_{name}_line_added_us"), "us_above_ping", 200, most=True)
        g.line(f"dial_{name}_cable", runs.median(f"dial_{name}_cable_added_us"), "us_above_ping", 200, most=True)


def churn_gates(g, runs):
    g.line("churn_per_s", runs.median("churn_per_s"), "per_s", 5000, goal=20000)
    g.line("churn_descriptors", runs.worst("churn_descriptors"), "more", 0, most=True)
    g.line("churn_memory", runs.worst("churn_kib"), "KiB_more", 256, most=True)


def memory_gates(g, runs):
    g.line("idle_stream", runs.worst("idle_stream_0_bytes", "idle_stream_1000_bytes"), "B", 4096, most=True, goal=1024)
    # The window of an association is 64 MiB at most (docs/protocol.md 15.4), and each packet under way costs 120 bytes.
    g.line("flight_memory", runs.worst("flight_sender_mib", "flight_receiver_mib"), "MiB", 80, most=True)


def bloat_gates(g, runs):
    for queue in ("bdp", "deep"):
        g.line(f"bloat_{queue}", runs.worst(f"bloat_{queue}_icmp", f"bloat_{queue}_ping"), "x_RTT", 3, most=True, goal=1.5)


GATES = {"cable": cable_gates, "loss": loss_gates, "fair": fair_gates, "dial": dial_gates, "churn": churn_gates,
    "memory": memory_gates, "bloat": bloat_gates, "curves": curve_gates}


def write(runs):
    path = bench.ROOT / "docs/bench/stream.tsv"
    kept = {}
    if path.exists():
        kept = {l.split("\t")[0]: l for l in path.read_text().splitlines() if l and not l.startswith("#")}
    for name, values in runs.values.items():
        s = bench.spread(values)
        kept[name] = f"{name}\t{s['median']:.4g}\t{s['least']:.4g}\t{s['greatest']:.4g}\t{s['runs']}\t{bench.commit()}"
    head = f"# figure, median, least, greatest, runs, commit; kernel {platform.release()}, ngtcp2 " \
        f"{systems.own('ngtcp2-server', 'gtlsserver')[1].split()[0]}; tools/bench/stream.py\n"
    path.write_text(head + "".join(kept[k] + "\n" for k in sorted(kept)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round; writes nothing")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("parts", nargs="*", metavar="PART")
    args = parser.parse_args()
    unknown = [p for p in args.parts if p not in PARTS]
    if unknown:
        parser.error(f"{unknown[0]} is none of {' '.join(PARTS)}")
    if args.quick:
        args.rounds = args.rounds or 1
    runs, gates = Runs(), report.Gates()
    for part in args.parts or PARTS:
        PARTS[part](runs, args)
    for name, values in runs.values.items():
        print("figure " + bench.told(name, values))
    for part in args.parts or PARTS:
        GATES[part](gates, runs)
    if not args.quick:
        write(runs)
    return 1 if gates.missed or runs.failed else 0


if __name__ == "__main__":
    sys.exit(main())
