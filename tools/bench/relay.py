#!/usr/bin/env python3
"""relay.py [--quick] [throughput|rtt ...] - what a facilitator carries for others.

throughput  one overlayd on core 0 forwards for two clients (tools/bench/relay_blast.c, core 1) over a
            veth that passes GSO packets whole: Gbit/s of UDP payload that arrived, relayed datagrams
            per CPU second of the relay, CPU
rtt         two overlayds and a relay, each on a cable of its own to one router: what the relay adds to
            the RTT of the direct path, against two more raw links and 60 us

Prints gate=NAME figure=... bound=... pass|miss, and writes docs/bench/relay.tsv.
"""
import argparse
import statistics
import sys

import bench_lab as bench
import measure
import report
from bench_lab import lab, node

BLOCKED = """
    table ip gate {
        chain through { type filter hook forward priority 0
            ip saddr 45.1.0.10 ip daddr 45.2.0.10 udp dport 27182 drop
            ip saddr 45.2.0.10 ip daddr 45.1.0.10 udp dport 27182 drop
        }
    }"""


def throughput(args):
    hub, net = bench.network(whole=True)
    relay = node.Node(hub, "relay", bench.PORT, ["--no-tun", "--no-lan", "--no-portmap", "--facilitator-policy", "open",
        "--facilitator-limits-bytes-per-second", "2500000000",
        "--facilitator-limits-total-bytes-per-second", "4000000000"], user=bench.pin(0)).start()
    rounds = []
    for _ in range(1 if args.quick else 5):
        cpu, before = bench.schedstat(relay)[0], relayed(relay)
        text = net.run(*bench.pin(1, bench.BENCH / "relay_blast", "--target", relay.peer, "--to",
            f"{bench.HUB}:{bench.PORT}", "--from", "10.77.1.1", "--at", "10.77.1.2", "--seconds",
            2 if args.quick else 5))
        cpu = bench.schedstat(relay)[0] - cpu
        row = {k: float(v) for k, v in (w.split("=") for w in text.split())}
        row["per_core"] = (relayed(relay) - before) * 8e-9 / cpu
        print(f"{text.strip()} relay_cpu_s={cpu:.2f} gbit_per_cpu_s={row['per_core']:.2f}")
        rounds.append(row)
    print(f"relay rss_mib={relay.rss_kb() / 1024:.1f}")
    relay.stop()
    return {"relay_gbit": statistics.median(r["gbit"] for r in rounds),
        "relay_gbit_per_core": statistics.median(r["per_core"] for r in rounds)}


def relayed(relay):
    return relay.cli("facilitator", "status")["serving"]["relayed_bytes"]


def star():
    """Three machines, each on a cable to one router."""
    core, ends = lab.Ns("core", forward=True), []
    for number, name in ((1, "alice"), (2, "bob"), (3, "relay")):
        ns = lab.Ns(name)
        lab.veth(ns, "eth0", core, name)
        ns.address("eth0", f"45.{number}.0.10/24")
        core.address(name, f"45.{number}.0.1/24")
        ns.ip(f"route add default via 45.{number}.0.1")
        ends.append(ns)
    return core, ends


def carrier(daemon):
    path = daemon.cli("status")["peers"][0]["path"]
    return path and path["carrier"]


def gate(core, closed):
    core.run("nft", "delete", "table", "ip", "gate", ok=False)
    if closed:
        core.nft(BLOCKED)


def rtt(args):
    core, (alice_ns, bob_ns, relay_ns) = star()
    relay = node.Node(relay_ns, "third", args=["--no-tun", "--facilitator-policy", "open"]).start()
    use = ["--facilitators", f"{relay.peer}@45.3.0.10:27182", "--no-portmap"]
    alice, bob = node.Node(alice_ns, args=use).start(), node.Node(bob_ns, args=use).start()
    node.pair(alice, bob)
    seconds, rounds = (1, 2) if args.quick else (2, 5)
    found = {"raw": [], "direct": [], "relay": []}
    for _ in range(rounds):
        for way, wanted in (("direct", "udp"), ("relay", "relay")):
            gate(core, way == "relay")
            lab.check(measure.load.ping_once(alice_ns, bob.address, 5), f"no answer {way}")
            pings = measure.load.Pings(alice_ns, bob.address, interval_ms=20)
            lab.wait_for(way, 20, lambda w=wanted: carrier(alice) == carrier(bob) == w)
            pings.stop()
            found[way].append(measure._pings(alice_ns, bob.address, 2000, seconds * 500))
        found["raw"].append(measure._pings(alice_ns, "45.2.0.10", 2000, seconds * 500))
    middle = {k: statistics.median(statistics.median(r) for r in v) for k, v in found.items()}
    for daemon in (alice, bob, relay):
        daemon.stop()
    print(" ".join(f"{k}_us={v:.0f}" for k, v in middle.items()))
    return {"relay_rtt_added_us": middle["relay"] - middle["direct"], "relay_rtt_bound_us": middle["raw"] + 60}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("parts", nargs="*", choices=[[], "throughput", "rtt"])
    args = parser.parse_args()

    def body():
        gates, figures = report.Gates(), {}
        if not args.parts or "throughput" in args.parts:
            figures.update(throughput(args))
            gates.line("relay_gbit", figures["relay_gbit"], "Gbit/s", 3, goal=6)
        if not args.parts or "rtt" in args.parts:
            figures.update(rtt(args))
            gates.line("relay_rtt_added", figures["relay_rtt_added_us"], "us", figures["relay_rtt_bound_us"],
                most=True)
        if not args.quick:
            bench.RESULTS.mkdir(parents=True, exist_ok=True)
            (bench.RESULTS / "relay.tsv").write_text("".join(f"{k}\t{v:.4g}\n" for k, v in figures.items()))
        return 1 if gates.missed else 0

    bench.sandbox(body)


if __name__ == "__main__":
    sys.exit(main())
