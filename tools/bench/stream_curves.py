"""stream_curves - throughput over time: loss, a change of network, a sleep. Writes docs/bench/stream_curves.tsv and draws
docs/bench/stream.svg."""
import shutil
import subprocess
import time

import stream_lab as bench
from stream_lab import lab, node, topo

PAUSE_S, AT_S, RTT_MS, MBIT = 10, 5, 40, 50
TITLES = {"loss_stream": "stream, 1 % lost", "loss_tcp": "TCP (CUBIC), the same line", "move": "stream",
    "sleep": "stream"}
PANELS = [("1 % lost, 50 ms, 200 Mbit/s", ["loss_stream", "loss_tcp"]),
    (f"another network after {AT_S} s, {RTT_MS} ms, {MBIT} Mbit/s", ["move"]),
    (f"no network for {PAUSE_S} s from {AT_S} s on", ["sleep"])]


def lossy_curves(seconds):
    left, right, _ = bench.line(50, 200, 1, bench.bdp_kb(200, 50), 7)
    ends, found = bench.daemons(left, right), {}
    for kind in ("stream", "tcp"):
        sink, writer = bench.flow(left, right, ends if kind == "stream" else None)
        lab.wait_for("the stream", 5, lambda s=sink: s.stat()[1])
        found[f"loss_{kind}"] = bench.between(sink, seconds, 0.5)[1]
        writer.stop()
        sink.stop()
    return found


def roaming():
    """A laptop behind a NAT that writes as fast as a line of 50 Mbit/s takes it."""
    world = topo.World(nat=(True, True), delay_ms=RTT_MS / 2,
        line_options=("-r", MBIT, "-q", int(bench.bdp_kb(MBIT, RTT_MS))))
    world.cafe.join(v6=False)
    laptop, home = (node.Node(ns, args=["--no-tun", *bench.ALONE]).start() for ns in (world.laptop, world.home))
    node.pair(laptop, home, node.endpoint(topo.HOME4), allow=bench.ALLOWED)
    laptop.cli("ping", "-c", 1, "home")
    sink = bench.App(world.home, "sink", where=(home, "bench")).ready()
    bench.App(world.laptop, "put", where=(laptop, home, "bench"))
    lab.wait_for("the stream", 5, lambda: sink.stat()[1])
    return world, sink


def moving(name, away_s, after_s):
    world, sink = roaming()
    target = world.cell if name == "move" else world.cafe
    events = [(AT_S, world.cafe.leave), (AT_S + away_s, lambda: target.join(v6=False))]
    start, first = sink.stat()
    at, before, curve = start, sum(first), []
    while at < start + (AT_S + away_s + after_s) * 1e9:
        time.sleep(0.1)
        if events and time.monotonic_ns() >= start + events[0][0] * 1e9:
            events.pop(0)[1]()
        now, bytes_now = sink.stat()
        curve.append(((now - start) / 1e9, (sum(bytes_now) - before) * 8e3 / (now - at)))
        at, before = now, sum(bytes_now)
    return {name: curve}


def measure(run, args):
    """run: keeps what a function gives, and its curves here."""
    curves = {}
    for function, words in ((lossy_curves, (10 if args.quick else 30,)), (moving, ("move", 0.3, 5)),
            (moving, ("sleep", PAUSE_S, 6))):
        curves.update(run(function, *words, keep=False) or {})
    if not args.quick and all(c in curves for c in TITLES):
        write(curves, bench.ROOT / "docs/bench")
    for name in ("move", "sleep"):
        if name in curves:
            run.values[f"{name}_silent_s"] = [silence(curves[name], AT_S + (0.3 if name == "move" else PAUSE_S))]


def silence(curve, event):
    """From the moment the network is back until bytes arrive: as finely as the curve was taken."""
    return min((t for t, mbit in curve if t > event and mbit > 0.1), default=float("inf")) - event


def write(curves, folder):
    with open(folder / "stream_curves.tsv", "w", encoding="utf-8") as out:
        out.write("# curve, seconds, Mbit/s at the reading app; tools/bench/stream.py curves\n")
        for name, curve in curves.items():
            out.writelines(f"{name}\t{t:.2f}\t{mbit:.3f}\n" for t, mbit in curve)
    if shutil.which("gnuplot"):
        subprocess.run(["gnuplot"], input=script(curves, folder), text=True, check=True)


def script(curves, folder):
    lines = ['set terminal svg size 900,750 font "sans,12" background "white"', f'set output "{folder / "stream.svg"}"',
        "set multiplot layout 3,1", "set grid ytics", "set key top right", "set yrange [0:*]", 'set ylabel "Mbit/s"']
    for name, curve in curves.items():
        lines += [f"${name} << EOD", *(f"{t:.2f} {mbit:.3f}" for t, mbit in curve), "EOD"]
    for title, names in PANELS:
        lines.append(f'set title "{title}"')
        lines.append("plot " + ", ".join(f'${n} using 1:2 with lines title "{TITLES[n]}"' for n in names))
    return "\n".join(lines) + "\n"
