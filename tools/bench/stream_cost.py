"""stream_cost - what streams cost: time to the first byte, dials a second, memory, and what others on the line notice.
Each part gives {figure: [one value of each run]}."""
import json
import signal
import statistics
import time

import measure
import stream_lab as bench
from stream_lab import lab

SETTLE_S = 3
TURNS = 5


# --- time to the first byte --------------------------------------------------------------------

def dial_run(where, count):
    """From the request to the first byte of an answer, in turns with pings of the same association (`overlay ping`: its
    RTT as the daemons measure it) and of the bare line. Microseconds; added: above the RTT of the association. On the
    cable a dial follows the last after 1 ms: after longer pauses every step begins with cold caches (`cold`)."""
    left, right = bench.cable() if where == "cable" else bench.line(40)[:2]
    ends = bench.daemons(left, right)
    for name in ("echo", "greet"):
        bench.App(right, name, "-w", 16, where=(ends[1], name)).ready()
    dial_words = [bench.APP, "dial", "-c", count // TURNS, "-p"]
    times = {"echo": [], "greet": [], "cold": [], "ping": [], "rtt": []}
    for _ in range(TURNS):
        for name, service, words in (("echo", "echo", [1]), ("greet", "greet", [1, "-g"]), ("cold", "echo", [50])):
            text = left.run(*dial_words, *words, f"overlay:{ends[0].socket}:{ends[1].name}:{service}")
            times[name] += [int(w) / 1e3 for w in text.split()]
        times["ping"] += [ends[0].cli("ping", "-c", 1, ends[1].name)[0]["rtt_us"] for _ in range(count // TURNS)]
        times["rtt"] += measure._pings(left, bench.RIGHT, 20000, count // TURNS)
    middle = {k: statistics.median(v) for k, v in times.items()}
    return {**{f"dial_{k}_{where}_us": [v] for k, v in middle.items()},
        **{f"dial_{k}_{where}_added_us": [middle[k] - middle["ping"]] for k in ("echo", "greet")}}


def dial(run, args):
    for _ in range(args.rounds or 3):
        run(dial_run, "line", 20 if args.quick else 60)
        run(dial_run, "cable", 50 if args.quick else 200)


# --- dial and close ----------------------------------------------------------------------------

def churn_run(seconds, cycles):
    left, right = bench.cable()
    ends = bench.daemons(left, right)
    bench.App(right, "close", "-w", 16, where=(ends[1], "bench")).ready()
    where = (ends[0], ends[1], "bench")
    count, took_ns = bench.App(left, "churn", "-s", seconds, "-t", 4, "-w", 12, where=where).done(seconds + 60)
    time.sleep(SETTLE_S)
    before = [(bench.descriptors(d), d.rss_kb()) for d in ends]
    bench.App(left, "churn", "-c", cycles, "-t", 4, "-w", 12, where=where).done()
    time.sleep(SETTLE_S)
    after = [(bench.descriptors(d), d.rss_kb()) for d in ends]
    return {"churn_per_s": [count * 1e9 / took_ns],
        "churn_descriptors": [max(b[0] - a[0] for a, b in zip(before, after))],
        "churn_kib": [max(b[1] - a[1] for a, b in zip(before, after))], "churn_rss_mib": [max(a[1] for a in after) / 1024]}


def churn(run, args):
    for _ in range(args.rounds or 1):
        run(churn_run, 10 if args.quick else 60, 20_000 if args.quick else 100_000)


# --- memory ------------------------------------------------------------------------------------

def idle_run(count, used_bytes):
    """Streams that were used once and are left alone: what the fatter of both daemons grows by."""
    left, right = bench.cable()
    ends = bench.daemons(left, right)
    bench.App(right, "echo", "-w", 16, where=(ends[1], "echo")).ready()
    before = [d.rss_kb() for d in ends]
    bench.App(left, "open", "-n", count, "-b", used_bytes, where=(ends[0], ends[1], "echo")).ready()
    time.sleep(SETTLE_S)
    grown = [(d.rss_kb() - b) * 1024 / count for d, b in zip(ends, before)]
    return {f"idle_stream_{used_bytes}_bytes": [max(grown)]}


def flight_run(seconds):
    """400 ms there and back without a limit of rate: windows grow as far as they may. Then the reader stops."""
    left, right, _ = bench.line(400)
    ends = bench.daemons(left, right)
    before = [d.rss_kb() for d in ends]
    sink, writer = bench.flow(left, right, ends, "-n", 4)
    most = [0, 0]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.2)
        most = [max(m, d.rss_kb()) for m, d in zip(most, ends)]
    read = sum(sink.stat()[1])
    sink.signal(signal.SIGSTOP)
    time.sleep(4)
    written = sum(writer.stat()[1])
    time.sleep(3)
    stopped = [d.rss_kb() for d in ends]
    still = sum(writer.stat()[1])
    sink.signal(signal.SIGCONT)
    lab.check(still - written < 1 << 20, "the writer goes on though nobody reads")
    ahead = sum(writer.stat()[1]) - read
    writer.stop()
    return {"flight_sender_mib": [(max(most[0], stopped[0]) - before[0]) / 1024],
        "flight_receiver_mib": [(max(most[1], stopped[1]) - before[1]) / 1024], "flight_mb": [ahead / 1e6]}


def memory(run, args):
    count = 500 if args.quick else 2000
    run(idle_run, count, 0)
    run(idle_run, count, 1000)
    run(flight_run, 10 if args.quick else 30)


# --- what others notice ------------------------------------------------------------------------

def overlay_pings(a, b, seconds):
    found, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        done = a.ns.run(bench.node.program("overlay"), "--socket", a.socket, "ping", "-c", 1, b.name, "--json", ok=False)
        if done.returncode == 0:
            found.append(json.loads(done.stdout.splitlines()[0])["rtt_us"] / 1e3)
        time.sleep(0.1)
    return found


def bloat_run(name, queue, seconds, kind="stream"):
    """A ping beside one stream that wants all of 20 Mbit/s, 40 ms. queue: of the line, in products of both."""
    left, right, _ = bench.line(40, 20, 0, queue * bench.bdp_kb(20, 40))
    ends = bench.daemons(left, right, tun=True)
    idle = statistics.median(measure._pings(left, ends[1].address, 20000, 50)) / 1e3
    sink, writer = bench.flow(left, right, ends if kind == "stream" else None)
    time.sleep(5)
    start, first = sink.stat()
    inner = [r / 1e3 for r in measure._pings(left, ends[1].address, 20000, int(seconds * 50))]
    own = sorted(overlay_pings(*ends, seconds / 2))
    end, last = sink.stat()
    writer.stop()
    sink.stop()
    return {f"bloat_{name}_icmp": [statistics.median(inner) / idle],
        f"bloat_{name}_icmp_p95": [inner[int(0.95 * len(inner))] / idle],
        f"bloat_{name}_ping": [statistics.median(own) / idle], f"bloat_{name}_rtt_ms": [idle],
        f"bloat_{name}_mbit": [(sum(last) - sum(first)) * 8e3 / (end - start)]}


def bloat(run, args):
    seconds = 8 if args.quick else 20
    for _ in range(args.rounds or 3):
        run(bloat_run, "bdp", 1, seconds)
        run(bloat_run, "deep", 5, seconds)
        run(bloat_run, "deep_tcp", 5, seconds, "tcp")
