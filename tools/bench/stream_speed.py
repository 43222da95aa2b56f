"""stream_speed - how many bytes a second: on a cable beside ngtcp2, on a lossy line beside TCP of the kernel (CUBIC), and
how many streams share a line. Each part gives {figure: [one value of each run]}."""
import itertools
import json
import os
import time

import stream_lab as bench
from stream_lab import lab, node

PRIORITY = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:"
NGTCP2 = {"aes": "+AES-256-GCM", "chacha": "+CHACHA20-POLY1305"}  # the ciphers of ours
BYTES = 2_000_000_000  # 600 MB (limits.md 5) take less than a second: start and page faults of a cold daemon are a tenth of that
FLOW_MBIT, FLOW_RTT_MS = 100, 40


# --- on a cable --------------------------------------------------------------------------------

def packets_out(ns):
    """Of the kernel: a GSO run that the veth takes whole is one."""
    return json.loads(ns.run("ip", "-j", "-s", "link", "show", "dev", "eth0"))[0]["stats64"]["tx"]["packets"]


def datagrams_out(daemon):
    return daemon.cli("status")["counters"]["datagrams_out"]


def overlay_run(veth, cipher):
    """From the request for a stream to the last byte read by the app at the other end: Gbit/s, CPU s/GB of both daemons and
    of all four programs."""
    left, right = bench.cable(veth == "whole")
    ends = bench.daemons(left, right, *bench.CIPHERS[cipher])
    before, packets, datagrams = sum(d.cpu_s() for d in ends), packets_out(left), datagrams_out(ends[0])
    sink, writer = bench.flow(left, right, ends, "-b", BYTES)
    sent, took_ns = writer.done()
    cpu = sum(d.cpu_s() for d in ends) - before
    runs = (datagrams_out(ends[0]) - datagrams) / (packets_out(left) - packets)
    apps = sum(node.cpu_s(app.process.pid) for app in (sink, writer))
    return {f"stream_{cipher}_{veth}": [sent * 8 / took_ns], f"stream_cpu_{cipher}_{veth}": [cpu / (sent / 1e9)],
        f"stream_all_cpu_{cipher}_{veth}": [(cpu + apps) / (sent / 1e9)], f"stream_gso_{cipher}_{veth}": [runs],
        f"rss_{cipher}_{veth}": [max(d.rss_kb() for d in ends) / 1024]}


def ngtcp2_run(veth, cipher):
    """Debian's example programs as they are; like limits.md 5 the time is that of the whole client."""
    left, right = bench.cable(veth == "whole")
    key, cert = lab.WORK / "key", lab.WORK / "cert"
    lab.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
        "-out", cert, "-subj", "/CN=bench", "-days", "2")
    quiet = ["-q", "--no-quic-dump", "--no-http-dump", f"--ciphers={PRIORITY}{NGTCP2[cipher]}"]
    server = right.popen("/usr/sbin/gtlsserver", bench.RIGHT, 4433, key, cert, "--max-dyn-length=3G", *quiet)
    lab.wait_for("gtlsserver", 5, lambda: ":4433 " in right.run("ss", "-Hlun"))
    start, before = time.monotonic(), os.times()
    left.run("gtlsclient", bench.RIGHT, 4433, f"https://{bench.RIGHT}:4433/{BYTES}", "--exit-on-all-streams-close", *quiet)
    took, after = time.monotonic() - start, os.times()
    cpu = node.cpu_s(server.pid) + sum(after[2:4]) - sum(before[2:4])
    server.kill()
    return {f"ngtcp2_{cipher}_{veth}": [BYTES * 8e-9 / took], f"ngtcp2_all_cpu_{cipher}_{veth}": [cpu / (BYTES / 1e9)]}


def cable(run, args):
    """Interleaved: each round runs each system once, in a sandbox of its own."""
    for _, veth, cipher, system in itertools.product(range(args.rounds or 5), ("whole", "cut"), bench.CIPHERS,
            (ngtcp2_run, overlay_run)):
        run(system, veth, cipher)


# --- on a lossy line ---------------------------------------------------------------------------

def lossy_run(loss, seconds, seed, lanes=4):
    """Some lines at once, each with its own loss: at such rates they do not disturb each other. TCP and streams take turns
    on the same lines."""
    worlds = [bench.line(50, 200, loss, bench.bdp_kb(200, 50), seed * 100 + i, i) for i in range(lanes)]
    ends = [bench.daemons(left, right) for left, right, _ in worlds]
    found = {}
    for kind in ("tcp", "stream"):
        flows = [bench.flow(w[0], w[1], e if kind == "stream" else None) for w, e in zip(worlds, ends)]
        time.sleep(2)  # slow start is another matter
        starts = [sink.stat() for sink, _ in flows]
        time.sleep(seconds)
        rates = []
        for (sink, writer), (start, first) in zip(flows, starts):
            end, last = sink.stat()
            rates.append((sum(last) - sum(first)) * 8e3 / (end - start))
            writer.stop()
            sink.stop()
        found[f"{kind}_loss_{loss}"] = rates
    return found


def loss(run, args):
    seconds = 20 if args.quick else 60
    for number in range(args.rounds or 3):
        for percent in (1, 5):
            run(lossy_run, percent, seconds, number + 1)


# --- many at once ------------------------------------------------------------------------------

def streams_run(count, seconds, mbit=FLOW_MBIT):
    """Streams of one association on one line."""
    left, right, _ = bench.line(FLOW_RTT_MS, mbit, 0, bench.bdp_kb(mbit, FLOW_RTT_MS))
    sink, writer = bench.flow(left, right, bench.daemons(left, right), "-n", count)
    lab.wait_for("all streams", 60, lambda: len(sink.stat()[1]) == count)
    time.sleep(2)
    shares, _ = bench.between(sink, seconds)
    writer.stop()
    mean = sum(shares) / count
    return {f"jain_streams_{count}": [bench.jain(shares)], f"least_streams_{count}": [100 * min(shares) / mean],
        f"mbit_streams_{count}": [sum(shares) * 8e-6 / seconds]}


def associations_run(side, seconds, mbit=FLOW_MBIT):
    """side x side associations over one line, a stream in each: every daemon of the left speaks with every one of the
    right. Two flows: two on one side."""
    left, right, _ = bench.line(FLOW_RTT_MS, mbit, 0, bench.bdp_kb(mbit, FLOW_RTT_MS))
    lefts, rights = bench.daemons(left, right, count=max(side, 2))
    pairs = list(itertools.product(lefts, rights)) if side > 1 else list(zip(lefts, rights))
    sinks = {b: bench.App(right, "sink", where=(b, "bench")).ready() for b in rights}
    writers = [bench.App(left, "put", where=(a, b, "bench")) for a, b in pairs]
    for b, sink in sinks.items():
        here = sum(p[1] is b for p in pairs)
        lab.wait_for("all streams", 60, lambda s=sink, h=here: len(s.stat()[1]) == h)
    time.sleep(2)
    firsts = {b: sink.stat()[1] for b, sink in sinks.items()}
    time.sleep(seconds)
    shares = [y - x for b, sink in sinks.items() for x, y in zip(firsts[b], sink.stat()[1])]
    for writer in writers:
        writer.stop()
    count = len(pairs)
    return {f"jain_associations_{count}": [bench.jain(shares)], f"mbit_associations_{count}": [sum(shares) * 8e-6 / seconds]}


def fair(run, args):
    seconds = 15 if args.quick else 60
    for _ in range(args.rounds or 1):
        run(associations_run, 1, seconds)
        run(associations_run, 10, seconds)
        run(streams_run, 2, seconds)
        run(streams_run, 100, seconds)
        run(streams_run, 1000, seconds)
