"""stream_lab - what the benches of streams share: daemons at both ends of a cable or of a delay line, the app at either
end of the streams (stream_app.c), ngtcp2 and TCP of the kernel for comparison.

        left 10.77.0.1 ------ [line] ------ right 10.77.0.2
        overlayd, dials                     overlayd, listens
"""
import math
import os
import pathlib
import select
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lab"))
import lab  # noqa: E402
import node  # noqa: E402
import topo  # noqa: E402

LEFT, RIGHT, PORT = "10.77.0.1", "10.77.0.2", 27182
APP = lab.BUILD / "bench/stream_app"
ALLOWED = "all," + ",".join(f"service:{name}" for name in ("bench", "echo", "greet", "noise"))
CIPHERS = {"aes": [], "chacha": ["--aead", "chacha20-poly1305"]}
ALONE = ["--no-lan", "--no-portmap"]


# --- two machines ------------------------------------------------------------------------------

def cable(whole=True):
    left, right = lab.Ns("left"), lab.Ns("right")
    lab.veth(left, "eth0", right, "eth0", whole)
    _addresses(left, right)
    return left, right


def line(rtt_ms, mbit=None, loss_percent=0, queue_kb=None, seed=1, number=0):
    """Two machines on a delay line of their own. Every frame is one packet: with segmentation offload the kernel's TCP
    would lose up to 64 KB at once, and wait in the queue as one."""
    left, right = lab.Ns(f"left{number}"), lab.Ns(f"right{number}")
    options = ["-d", int(rtt_ms * 500), "-s", seed, "-l", round(loss_percent * 100)]
    options += ["-r", mbit] if mbit else []
    options += ["-q", int(queue_kb)] if queue_kb else []
    joined = topo.Line(left, "eth0", right, "eth0", *options, name=f"line{number}")
    for ns in (left, right):
        ns.run("ethtool", "-K", "eth0", "tso", "off", "gso", "off", "gro", "off")
    _addresses(left, right)
    return left, right, joined


def bdp_kb(mbit, rtt_ms):
    return mbit * rtt_ms / 8 * 1000 / 1024


def _addresses(left, right):
    left.address("eth0", f"{LEFT}/24")
    right.address("eth0", f"{RIGHT}/24")
    for ns in (left, right):
        lab.wait_for("the link", 5, lambda n=ns: n.operstate("eth0") == "up")


def daemons(left, right, *args, tun=False, count=1):
    """`count` daemons on each machine; each of the left knows each of the right, and their sessions are up."""
    words = [*ALONE, *([] if tun else ["--no-tun"]), *args]
    sides = [[node.Node(ns, f"{ns.name}-{i}", PORT + i, words).start() for i in range(count)] for ns in (left, right)]
    for a in sides[0]:
        for i, b in enumerate(sides[1]):
            node.pair(a, b, node.endpoint(RIGHT, PORT + i), allow=ALLOWED)
    for a in sides[0]:
        for b in sides[1]:
            a.cli("ping", "-c", 1, b.name)
    return sides if count > 1 else (sides[0][0], sides[1][0])


# --- apps --------------------------------------------------------------------------------------

class App:
    """One stream_app. `where`: (daemon, service) or (daemon, peer, service), or the address of TCP."""

    def __init__(self, ns, mode, *words, where):
        target = f"tcp:{where}" if isinstance(where, str) else ":".join(
            ["overlay", str(where[0].socket), *(getattr(w, "name", w) for w in where[1:])])
        self.name = f"stream_app {mode}"
        self.errors = lab.WORK / f"app-{ns.name}-{mode}-{time.monotonic_ns()}"
        self.process = ns.popen(APP, mode, *words, target, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=open(self.errors, "w"), text=True)

    def line(self):
        text = self.process.stdout.readline()
        lab.check(text, f"{self.name} ended: {self.errors.read_text().strip()}")
        return text.split()

    def ready(self):
        lab.check(self.line() == ["ready"], f"{self.name} does not start")
        return self

    def stat(self):
        """(nanoseconds, [bytes of each stream])."""
        self.process.stdin.write("stat\n")
        self.process.stdin.flush()
        words = self.line()
        while words[0] != "stat":
            words = self.line()
        return int(words[1]), [int(w) for w in words[2:]]

    def done(self, timeout_s=600):
        """Waits for `done N NANOSECONDS`; gives both. Its stdin stays open: at its end it would stop."""
        lab.check(select.select([self.process.stdout], [], [], timeout_s)[0], f"{self.name} goes on after {timeout_s} s")
        words = self.line()
        lab.check(words[0] == "done", f"{self.name} says {words}")
        return int(words[1]), int(words[2])

    def signal(self, number):
        os.kill(self.process.pid, number)

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(5)


def flow(left, right, ends, *words, service="bench"):
    """A sink on the right and a writer on the left: by daemons (left one, right one), or by TCP (ends None)."""
    if ends is None:
        where = f"{RIGHT}:5201"
        return App(right, "sink", where=where).ready(), App(left, "put", *words, where=where)
    sink = App(right, "sink", where=(ends[1], service)).ready()
    return sink, App(left, "put", *words, where=(ends[0], ends[1], service))


# --- figures -----------------------------------------------------------------------------------

def spread(values):
    """{median, least, greatest, runs}: how a figure is written down."""
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values), "runs": len(values)}


def told(name, values, digits=2):
    s = spread(values)
    return f"{name} {s['median']:.{digits}f} ({s['least']:.{digits}f}-{s['greatest']:.{digits}f}, {s['runs']} runs)"


def jain(values):
    """1: all the same; 1/n: one has it all."""
    total = sum(values)
    return total * total / (len(values) * sum(v * v for v in values)) if total else math.nan


def between(sink, seconds, step_s=None):
    """Bytes of each stream while `seconds` pass, and the curve: [(seconds, Mbit/s)]."""
    start, first = sink.stat()
    curve, before, at = [], sum(first), start
    while at < start + seconds * 1e9:
        time.sleep(min(step_s or seconds, max(0.001, start / 1e9 + seconds - time.monotonic())))
        now, last = sink.stat()
        curve.append(((now - start) / 1e9, (sum(last) - before) * 8e3 / max(1, now - at)))
        before, at = sum(last), now
    first += [0] * (len(last) - len(first))
    return [b - a for a, b in zip(first, last)], curve


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


def commit():
    return lab.run("git", "-C", ROOT, "rev-parse", "--short", "HEAD", ok=False).stdout.strip() or "unknown"
