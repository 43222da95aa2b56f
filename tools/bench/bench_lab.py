"""bench_lab - what flood.py and scale.py share: one overlayd and its peers on a cable, in the lab's
sandbox (tests/lab/lab.py), and the reports.

        hub 10.77.0.1 ------------- net 10.77.0.2, 10.77.1.0/24
        overlayd, core 0            peers and flood, core 1
"""
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lab"))
import lab  # noqa: E402
import node  # noqa: E402

HUB, NET, PORT = "10.77.0.1", "10.77.0.2", 27182
BENCH = lab.BUILD / "bench"
RESULTS = ROOT / "docs/bench"


def pin(core, *argv):
    return ["taskset", "-c", str(core % (os.cpu_count() or 1)), *map(str, argv)]


def network(whole=False):
    hub, net = lab.Ns("hub"), lab.Ns("net")
    lab.veth(hub, "eth0", net, "eth0", whole)
    hub.address("eth0", f"{HUB}/16")
    net.address("eth0", f"{NET}/16")
    net.ip("route add local 10.77.1.0/24 dev lo")
    # A veth delivers in the sender's time. Each end shall pay for its own receiving, as with a real
    # card: what net receives is delivered on the peers' core, what hub receives on theirs as well,
    # since they are the generator.
    for ns in (hub, net):
        lab.run("ip", "netns", "exec", ns.name, "sh", "-c",
            f"echo {1 << (1 % (os.cpu_count() or 1))} >/sys/class/net/eth0/queues/rx-0/rps_cpus")
    return hub, net


def daemon(hub, name, first, count, args=(), endpoint=()):
    """overlayd on core 0 whose store holds these contacts."""
    target = node.Node(hub, name, PORT, args, user=pin(0))
    lab.run(BENCH / "scale", "populate", target.state, first, count, *endpoint)
    return target.start(30.0)


def schedstat(target):
    """Seconds that the daemon's threads ran, and that they were ready but had no core, exactly:
    the 10 ms ticks of /proc/PID/stat are too coarse for work of some 20 us at a time."""
    threads = pathlib.Path(f"/proc/{target.process.pid}/task").glob("*/schedstat")
    ran, waited = zip(*(map(int, t.read_text().split()[:2]) for t in threads))
    return sum(ran) / 1e9, sum(waited) / 1e9


class Peers:
    """peers_sim: real peers of the daemon."""

    def __init__(self, net, target, first, count, *options, bind=NET):
        argv = pin(1, BENCH / "peers_sim", "--target", target.peer, "--to", f"{HUB}:{PORT}",
            "--bind", bind, "--first", first, "--count", count, *options)
        self.process = net.popen(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=None, text=True)
        lab.check(self.process.stdout.readline() == "ready\n", "peers_sim does not start")

    def stat(self):
        self.process.stdin.write("stat\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        return {k: int(v) for k, v in (w.split("=") for w in line.split())}

    def wait_up(self, count, timeout_s):
        """The time until `count` sessions are up, in seconds; None: not in time."""
        start = time.monotonic()
        while time.monotonic() - start < timeout_s:
            if self.stat()["up"] >= count:
                return time.monotonic() - start
            time.sleep(0.05)
        return None

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)


class Report:
    """A table of figures with their bounds, for eyes, for accept (docs/bench/NAME.tsv), and as
    lines figure=... pass|miss."""

    def __init__(self, name):
        self.name, self.lines, self.missed = name, [], 0

    def add(self, key, figure, gate, unit):
        good = figure <= gate
        self.missed += not good
        self.lines.append((key, figure))
        print(f"figure={key} {figure:g} {unit} bound={gate:g} {'pass' if good else 'miss'}",
            flush=True)

    def write(self):
        RESULTS.mkdir(parents=True, exist_ok=True)
        with open(RESULTS / f"{self.name}.tsv", "w", encoding="utf-8") as out:
            out.writelines(f"{key}\t{figure:g}\n" for key, figure in self.lines)


def sandbox(body):
    """Runs body in the lab's sandbox and exits with its status."""
    try:
        lab.enter()
    except lab.Skip as skip:
        sys.exit(lab.skipped(str(skip)))
    try:
        sys.exit(body())
    except lab.Failed as failed:
        print(f"{failed}\n{node.logs()}", flush=True)
        sys.exit(1)
