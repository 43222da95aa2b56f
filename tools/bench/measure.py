"""measure - one figure each, of one running system between machines a and b.

All give plain dictionaries; a figure that could not be had raises lab.Failed, it is never guessed.
"""
import json
import statistics
import time

import lab
import load
import node

PAYLOAD = 64
LOSS = 0.01


def cpu_s(system):
    return sum(node.cpu_s(pid) for pid in system.pids())


def rss_mb(system):
    return max((node.rss_kb(pid) for pid in system.pids()), default=0) / 1024


class Iperf:
    """One iperf3 run from a to b."""

    def __init__(self, a, b, address, seconds, streams=1):
        self._server = b.popen("iperf3", "-s", "-1", "-B", address)
        lab.wait_for("iperf3 server", 3, lambda: listening(b, 5201), 0.01)
        self._client = a.popen("iperf3", "-c", address, "-t", seconds, "-P", streams, "-J", "-O", 0,
            stdout=lab.subprocess.PIPE, text=True)
        self._seconds = seconds

    def finish(self):
        """Gbit/s at the receiver and bytes received."""
        out, _ = self._client.communicate(timeout=self._seconds + 20)
        self._server.wait(10)
        try:
            received = json.loads(out)["end"]["sum_received"]
        except (ValueError, KeyError) as error:
            raise lab.Failed(f"iperf3: {out[-300:]}") from error
        return received["bits_per_second"] / 1e9, received["bytes"]


def listening(ns, port):
    return f":{port} " in ns.run("ss", "-Hltn")


def tcp(system, a, b, seconds, streams=1):
    """Throughput, and CPU seconds per GB of the programs of both ends (user and system)."""
    iperf = Iperf(a, b, system.inner[1], seconds, streams)
    before = cpu_s(system)
    gbit, size = iperf.finish()
    suffix = "" if streams == 1 else str(streams)
    figures = {f"tcp{suffix}_gbit": gbit}
    if system.pids() and streams == 1:
        figures["cpu_s_per_gb"] = (cpu_s(system) - before) / (size / 1e9)
        figures["rss_load_mb"] = rss_mb(system)
    return figures


def _pings(ns, address, interval_us, count):
    out = ns.run(lab.tool("tests/lab/pinger.c"), "-i", interval_us, "-c", count, "-w", 300, address)
    rtts = sorted(int(line.split()[2]) / 1e3 for line in out.splitlines() if line[0].isdigit())
    lab.check(len(rtts) > count / 2, f"only {len(rtts)} of {count} pings answered")
    return rtts


def ping_idle(system, a, _b, seconds):
    """2 ms apart, as prototypes/ and limits.md measured."""
    load.ping_once(a, system.inner[1])
    rtts = _pings(a, system.inner[1], 2000, int(seconds * 500))
    return {"ping_us": statistics.median(rtts), "ping_p99_us": load.quantile(rtts, 0.99)}


def ping_loaded(system, a, b, seconds):
    """While one TCP stream saturates the tunnel."""
    iperf = Iperf(a, b, system.inner[1], seconds + 1)
    time.sleep(0.5)
    rtts = _pings(a, system.inner[1], 5000, int(seconds * 180))
    iperf.finish()
    return {"loaded_ping_ms": statistics.median(rtts) / 1e3,
        "loaded_ping_p99_ms": load.quantile(rtts, 0.99) / 1e3}


def _offer(system, a, b, rate, seconds):
    """Offers a rate; gives packets sent, received, CPU seconds, and real seconds."""
    blast = lab.tool("tools/bench/blast.c")
    sink = b.popen(blast, "sink", system.inner[1], 9000, stdout=lab.subprocess.PIPE, text=True)
    sink.stdout.readline()
    before = cpu_s(system)
    words = a.run(blast, "send", system.inner[1], 9000, rate, seconds, PAYLOAD).split()
    time.sleep(0.15)  # what is still in queues
    used = cpu_s(system) - before
    sink.terminate()
    received = int(sink.communicate(timeout=5)[0].split()[1])
    return int(words[1]), received, used, float(words[3])


def udp_small(system, a, b, seconds):
    """The highest rate of 64-byte payloads with less than 1 % loss, by bisection of the offered
    rate. The figure is what arrived, so a sender that cannot keep its pace only understates it. CPU
    per packet is that of the best trial."""
    load.ping_once(a, system.inner[1])
    seconds = min(seconds, 1.0)  # a queue that overflows does so within milliseconds
    _, flood, _, real = _offer(system, a, b, 0, min(seconds, 0.6))
    low, high = 0.0, max(2.5 * flood / real, 20000.0)
    best = None
    for _ in range(8):
        rate = (low + high) / 2
        sent, received, used, real = _offer(system, a, b, int(rate), seconds)
        if received >= (1 - LOSS) * sent and received:
            low = rate
            best = max(best or (0, 0), (received / real / 1e3, used / received * 1e6))
        else:
            high = rate
        if high - low < 0.04 * high:
            break
    lab.check(best, "no rate with less than 1 % loss found")
    figures = {"udp64_kpps": best[0]}
    if system.pids():
        figures["udp64_cpu_us"] = best[1]
    return figures


def memory(system, _a, _b, _seconds):
    return {"rss_idle_mb": rss_mb(system)} if system.pids() else {}


# In this order: idle memory before any load.
PARTS = {
    "memory": memory,
    "ping": ping_idle,
    "tcp": tcp,
    "tcp4": lambda s, a, b, t: tcp(s, a, b, t, 4),
    "loaded": ping_loaded,
    "udp": udp_small,
}
