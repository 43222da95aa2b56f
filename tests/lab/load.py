"""load - what runs through the tunnel while something happens: pings and TCP transfers.

All times are CLOCK_MONOTONIC nanoseconds, those of pinger.c included, so that a figure can join an
answer of a ping with an event of netlink.
"""
import hashlib
import random
import socket
import statistics
import threading
import time

import lab


class Pings:
    """A steady ping from ns to an address (100 Hz unless told). live: so_far() works meanwhile."""

    def __init__(self, ns, address, interval_ms=10.0, payload=56, live=False):
        self.path = lab.WORK / f"ping-{ns.name}-{time.monotonic_ns()}"
        self._out = open(self.path, "wb")
        self._process = ns.popen(lab.tool("tests/lab/pinger.c"), "-i", int(interval_ms * 1000),
            "-s", payload, *(["-l"] if live else []), address, stdout=self._out)
        self.interval_ns = int(interval_ms * 1e6)
        self.answers = []

    def so_far(self):
        """What has been answered yet: [(sent, received)]."""
        lines = self.path.read_text().rpartition("\n")[0].splitlines()
        words = [line.split() for line in lines if not line.startswith("sent")]
        return [(int(sent), int(sent) + int(rtt)) for _, sent, rtt in words]

    def stop(self):
        """Ends the pings; answers = [(sent, received)] in the order of arrival."""
        self._process.terminate()
        lab.check(self._process.wait(5) == 0, "pinger failed")
        self._out.close()
        self.answers = self.so_far()
        self.sent = int(self.path.read_text().splitlines()[-1].split()[1])
        return self

    def gap_ms(self, event, window_s=5.0):
        """The longest time without an answer from the event on: the first interval begins with the
        event itself, and only requests sent after it count (one on its way says nothing). Later
        silences count too, up to the window's end, so a path that comes back and fails again is not taken
        for a good one."""
        end = event + int(window_s * 1e9)
        times = sorted(r for s, r in self.answers if event <= s and r <= end)
        if not times:
            return window_s * 1e3
        return max(b - a for a, b in zip([event] + times, times + [end])) / 1e6

    def rtts_us(self):
        return sorted((r - s) / 1e3 for s, r in self.answers)


def quantile(ordered, q):
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def ping_once(ns, address, timeout_s=5.0):
    """True as soon as one ping is answered."""
    done = ns.run("ping", "-n", "-q", "-c", "1", "-i", "0.02", "-w", max(1, int(timeout_s)), address, ok=False)
    return done.returncode == 0


class Transfer:
    """A TCP transfer of known bytes from one machine to another, hashed at both ends.

    rate_mbit paces it, so that it is under way for as long as the test needs; None: as fast as it
    goes. via: (host, port) that leads there, for a transfer by `overlay forward`. finish() waits for the end and fails unless every byte arrived, in order, unchanged, over
    the one connection."""
    CHUNK = 16384

    def __init__(self, source, target, address, megabytes, rate_mbit=None, port=5201, via=None):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.total = int(megabytes * 1e6)
        self.rate = rate_mbit * 125000 if rate_mbit else None
        self.received, self.arrivals, self.errors = 0, [], []
        self._sums = {}
        with target.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(1)
            self._out = source.socket(family, socket.SOCK_STREAM)
            self._out.settimeout(10)
            self._out.connect(via or (address, port))
            listener.settimeout(10)
            self._in, _ = listener.accept()
        for end in (self._in, self._out):
            end.settimeout(60)
        self.start = time.monotonic_ns()
        self._threads = [threading.Thread(target=self._guard, args=(f,), daemon=True)
            for f in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _guard(self, function):
        try:
            function()
        except OSError as error:
            self.errors.append(f"{function.__name__[1:]}: {error}")

    def _send(self):
        digest, sent = hashlib.blake2b(), 0
        # Noise from which each chunk is another cut: no two chunks are equal, none costs a generator.
        noise = random.Random(self.total).randbytes(1 << 20)
        start = time.monotonic()
        while sent < self.total:
            at = (sent * 31) % (len(noise) - self.CHUNK)
            chunk = noise[at:at + min(self.CHUNK, self.total - sent)]
            self._out.sendall(chunk)
            digest.update(chunk)
            sent += len(chunk)
            if self.rate:
                time.sleep(max(0.0, start + sent / self.rate - time.monotonic()))
        self._sums["sent"] = digest.digest()
        self._out.shutdown(socket.SHUT_WR)

    def _receive(self):
        digest = hashlib.blake2b()
        while True:
            data = self._in.recv(1 << 18)
            if not data:
                break
            digest.update(data)
            self.received += len(data)
            self.arrivals.append(time.monotonic_ns())
        self._sums["received"] = digest.digest()

    def finish(self, timeout_s=30.0):
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        lab.check(not self.errors, f"TCP broke: {', '.join(self.errors)}")
        lab.check(not any(t.is_alive() for t in self._threads),
            f"TCP stands still: {self.received} of {self.total} bytes after {timeout_s} s")
        lab.check(self._sums["sent"] == self._sums["received"], "the bytes differ")
        self._in.close()
        self._out.close()
        return self

    def stall_ms(self, event, window_s=20.0):
        """The longest time without a byte from the event on."""
        times = [t for t in self.arrivals if event <= t <= event + window_s * 1e9]
        if not times:
            return window_s * 1e3
        return max(b - a for a, b in zip([event] + times, times)) / 1e6

    def mbit(self):
        return self.received * 8e3 / max(1, self.arrivals[-1] - self.start)


def spread(values):
    """median, least and greatest, rounded for people."""
    ordered = sorted(values)
    return statistics.median(ordered), ordered[0], ordered[-1]
