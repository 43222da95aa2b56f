#!/usr/bin/env python3
"""scale.py [--quick] [--peers N] [memory|warm|cold|clients ...] - what 10,000 contacts cost.

memory  bytes per cold contact and per warm association (tools/bench/scale.c)
warm    CPU of an overlayd with 10,000 sessions, keepalive 25 s (the peers are behind a NAT, as
        their nodes see it), rekeys at 120 s included: starts spread over 120 s, then 150 s measured
clients what 10,000 idle clients from 256 addresses, registered at it as facilitator, cost: memory,
        CPU over 150 s (keepalives behind a NAT), clients lost
cold    datagrams that an overlayd with 10,000 contacts sends while nobody wants any: 10 minutes

--quick: 1,000 peers, 20 s of starts, 30 s measured (no rekeys in it); cold 60 s.
--perf FILE: perf record of the daemon while warm is measured.
"""
import argparse
import json
import time

import bench_lab as bench
from bench_lab import lab

COUNTERS = """
    table ip count {
        counter in { }
        counter out { }
        chain input { type filter hook input priority -10; udp dport 27182 counter name in; }
        chain output { type filter hook output priority 10; udp sport 27182 counter name out; }
    }"""


def counted(hub):
    found = json.loads(hub.run("nft", "-j", "list", "counters"))["nftables"]
    counters = {c["counter"]["name"]: c["counter"] for c in found if "counter" in c}
    return {k: v["packets"] for k, v in counters.items()}


def memory(out, args):
    text = lab.run(bench.BENCH / "scale", "memory", args.peers)
    figures = dict(w.split("=") for w in text.split())
    print(" ".join(text.split()))
    out.add("cold_contact", int(figures["cold_bytes"]), 2048, "B")
    out.add("warm_association", int(figures["warm_bytes"]), 8192, "B")


def handshakes(target):
    return target.cli("status")["counters"]["handshakes"]


def profile(args, target, seconds):
    if args.perf:
        return target.ns.popen("perf", "record", "-q", "-F", "997", "-g", "-p", target.process.pid, "-o",
            args.perf, "--", "sleep", seconds)
    return None


def warm(out, args):
    spread, seconds = (20, 30) if args.quick else (120, 150)
    hub, net = bench.network()
    hub.nft(COUNTERS)
    target = bench.daemon(hub, "target", 0, args.peers, ["--no-tun"])
    peers = bench.Peers(net, target, 0, args.peers, "--natted", "--spread", spread)
    lab.check(peers.wait_up(args.peers, spread + 30) is not None, "not all sessions come up")
    time.sleep(5)
    wire, shakes = counted(hub), handshakes(target)
    cpu, start = bench.schedstat(target)[0], time.monotonic()
    recorder = profile(args, target, seconds - 2)
    time.sleep(seconds)
    took = time.monotonic() - start
    percent = 100 * (bench.schedstat(target)[0] - cpu) / took
    now, shakes, up = counted(hub), handshakes(target) - shakes, peers.stat()
    if recorder:
        recorder.wait(30)
    print(f"warm peers={args.peers} up={up['up']} downs={up['downs']} in_pps="
        f"{(now['in'] - wire['in']) / took:.0f} out_pps={(now['out'] - wire['out']) / took:.0f} "
        f"handshakes_per_s={shakes / took:.1f} rss_mib={target.rss_kb() / 1024:.1f}")
    peers.stop()
    target.stop()
    out.add("warm_cpu", round(percent, 2), 3, f"% of a core, {args.peers} peers")
    out.add("warm_lost_sessions", up["downs"] + args.peers - up["up"], 0, "sessions")


def cold(out, args):
    seconds = 60 if args.quick else 600
    hub, net = bench.network()
    hub.nft(COUNTERS)
    target = bench.daemon(hub, "cold", 0, args.peers, endpoint=[f"{bench.NET}:27182"])
    contacts = target.cli("status")["peer_count"]
    time.sleep(seconds)
    sent = counted(hub)["out"]
    # The counter works, and so do the contacts: wanting one sends.
    ping = hub.popen(bench.node.program("overlay"), "--socket", target.socket, "ping", "peer1")
    lab.wait_for("a wanted contact is called", 5, lambda: counted(hub)["out"] > sent)
    ping.kill()
    print(f"cold peers={args.peers} seconds={seconds} rss_mib={target.rss_kb() / 1024:.1f} "
        f"contacts={contacts}")
    target.stop()
    out.add("cold_packets", sent, 0, f"packets in {seconds} s")


def clients(out, args):
    spread, seconds = (20, 30) if args.quick else (120, 150)
    hub, net = bench.network()
    target = bench.daemon(hub, "facilitator", 0, 0, ["--no-tun", "--facilitator-policy", "open"])

    def serving():
        return target.cli("facilitator", "status")["serving"]["clients"]
    empty_mb = target.rss_kb() / 1024
    peers = bench.Peers(net, target, 0, args.peers, "--natted", "--register", "--over", 256, "--spread", spread,
        bind="10.77.1.0")
    lab.check(peers.wait_up(args.peers, spread + 60) is not None, f"only {peers.stat()['up']} sessions come up")
    lab.wait_for("all are registered", 30, lambda: serving() == args.peers, 0.5)
    time.sleep(5)
    cpu, start = bench.schedstat(target)[0], time.monotonic()
    recorder = profile(args, target, seconds - 2)
    time.sleep(seconds)
    percent = 100 * (bench.schedstat(target)[0] - cpu) / (time.monotonic() - start)
    left, rss_mb = serving(), target.rss_kb() / 1024
    if recorder:
        recorder.wait(30)
    print(f"clients peers={args.peers} registered={left} empty_mib={empty_mb:.1f} rss_mib={rss_mb:.1f}")
    peers.stop()
    target.stop()
    out.add("clients_memory", round(rss_mb, 1), 128, f"MiB, {args.peers} clients")
    out.add("clients_cpu", round(percent, 2), 5, "% of a core")
    out.add("clients_lost", args.peers - left, 0, "clients")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peers", type=int)
    parser.add_argument("--perf", metavar="FILE")
    parser.add_argument("parts", nargs="*", choices=[[], "memory", "warm", "cold", "clients"])
    args = parser.parse_args()
    args.peers = args.peers or (1000 if args.quick else 10000)
    parts = {"memory": memory, "warm": warm, "cold": cold, "clients": clients}

    def body():
        out = bench.Report("scale")
        for name in args.parts or parts:
            parts[name](out, args)
            for ns in ("hub", "net"):
                lab.run("ip", "netns", "delete", ns, ok=False)
        if not args.quick and {"memory", "warm", "cold"} <= set(args.parts or parts):
            out.write()
        return 1 if out.missed else 0

    bench.sandbox(body)


if __name__ == "__main__":
    main()
