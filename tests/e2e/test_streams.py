#!/usr/bin/env python3
"""Streams between programs by the overlay sockets of two real overlayds on loopback: dial and accept with
descriptors and inline, hold, ends of every kind, and clients that do it wrong.

No root, no interface. Each case is a function `case_*`; the last line counts them.
OVERLAY_BUILD names the folder of the programs (build/release)."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("OVERLAY_BUILD", "build/release"))
HELLO = {"id": 0, "op": "hello", "args": {"api": 1}}


class Client:
    """One connection; lines as objects, descriptors as sockets."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(15)
        self.sock.connect(path)
        self.rest = b""
        self.came = []
        assert self.ask("hello", api=1)["ok"]

    def send(self, op, fd=None, **args):
        line = json.dumps({"id": 1, "op": op, "args": args}).encode() + b"\n"
        if fd is None:
            self.sock.sendall(line)
        else:
            socket.send_fds(self.sock, [line], fd if isinstance(fd, list) else [fd])

    def line(self):
        """The next line, or None when the daemon has closed."""
        while b"\n" not in self.rest:
            part, fds, _, _ = socket.recv_fds(self.sock, 65536, 4)
            self.came += fds
            if not part:
                return None
            self.rest += part
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def ask(self, op, fd=None, **args):
        self.send(op, fd, **args)
        return self.line()

    def end(self):
        """The descriptor that came with the last answer."""
        fd, = self.came
        self.came = []
        end = socket.socket(fileno=fd)
        end.settimeout(15)
        return end

    def inline(self):
        """The connection, now that it is a stream; what came behind the line is put first."""
        return Inline(self.sock, self.rest)

    def close(self):
        self.sock.close()


class Inline:
    def __init__(self, sock, rest):
        self.sock, self.rest = sock, rest

    def recv(self, size):
        if self.rest:
            part, self.rest = self.rest[:size], self.rest[size:]
            return part
        return self.sock.recv(size)

    def __getattr__(self, name):
        return getattr(self.sock, name)


class Daemon:
    def __init__(self, folder, name, *flags):
        self.path = os.path.join(folder, name + ".d", "sock")
        self.log = open(os.path.join(folder, name + ".log"), "w+")
        self.flags = [os.path.join(BUILD, "overlayd"), "--state", os.path.join(folder, name), "--socket",
                      self.path, "--listen-udp", "0", "--no-tun", "--no-lan", "--no-portmap", *flags]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.flags, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("ready "), line
        ready = dict(word.split("=", 1) for word in line.split()[1:])
        self.peer, self.port = ready["peer"], ready["udp"]

    def client(self):
        return Client(self.path)

    def ask(self, op, **args):
        client = self.client()
        answer = client.ask(op, **args)
        client.close()
        return answer

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=5)
        assert code == 0, code


def introduce(a, b, allow=()):
    answer = a.ask("peer.add", name="b", peer=b.peer, endpoints=[f"127.0.0.1:{b.port}"])
    assert answer["ok"], answer
    answer = b.ask("peer.add", name="a", peer=a.peer, endpoints=[f"127.0.0.1:{a.port}"], allow=list(allow))
    assert answer["ok"], answer


def eventually(what, condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def read_all(end):
    parts = []
    while part := end.recv(1 << 18):
        parts.append(part)
    return b"".join(parts)


def read_exactly(end, size):
    data = b""
    while len(data) < size:
        part = end.recv(size - len(data))
        assert part, data
        data += part
    return data


def listener(daemon, service):
    client = daemon.client()
    answer = client.ask("listen", service=service)
    assert answer["ok"] and answer["result"] == {"service": service}, answer
    return client


def pair(a, b, service="echo"):
    """A stream from a to b: both ends."""
    serving = listener(b, service)
    serving.send("accept", service=service)
    dialing = a.client()
    answer = dialing.ask("dial", peer="b", service=service)
    assert answer["ok"], answer
    assert answer["result"]["peer"] == b.peer and answer["result"]["name"] == "b", answer
    came = serving.line()
    assert came["ok"] and came["result"]["name"] == "a" and came["result"]["service"] == service, came
    ends = dialing.end(), serving.end()
    dialing.close()
    serving.close()  # the stream outlives both
    return ends


# ---- ways to open ----

def case_descriptors_both_ways(a, b):
    here, there = pair(a, b)
    here.sendall(b"hello")
    assert read_exactly(there, 5) == b"hello"
    there.sendall(b"world!")
    assert read_exactly(here, 6) == b"world!"
    here.close()
    assert there.recv(1) == b""
    there.close()


def case_half_close(a, b):
    here, there = pair(a, b)
    here.sendall(b"question")
    here.shutdown(socket.SHUT_WR)
    assert read_all(there) == b"question"
    there.sendall(b"answer")
    there.shutdown(socket.SHUT_WR)
    assert read_all(here) == b"answer"


def case_megabytes_both_ways(a, b):
    here, there = pair(a, b)
    size = 64 << 20
    block = os.urandom(1 << 20)
    sums = {}

    def send(end):
        for i in range(size >> 20):
            end.sendall(block[i:] + block[:i])
        end.shutdown(socket.SHUT_WR)

    def receive(end, name):
        sums[name] = hashlib.sha256()
        while part := end.recv(1 << 18):
            sums[name].update(part)

    wanted = hashlib.sha256()
    for i in range(size >> 20):
        wanted.update(block[i:] + block[:i])
    work = [threading.Thread(target=f, args=x) for f, x in
            ((send, (here,)), (send, (there,)), (receive, (here, "here")), (receive, (there, "there")))]
    start = time.monotonic()
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    seconds = time.monotonic() - start
    assert sums["here"].digest() == sums["there"].digest() == wanted.digest()
    print(f"    64 MiB each way in {seconds:.2f} s", flush=True)


def main():
    folder = tempfile.mkdtemp(prefix="ov-streams-")
    a, b = Daemon(folder, "a"), Daemon(folder, "b")
    failed = 0
    wanted = sys.argv[1:]
    cases = [(k, v) for k, v in globals().items() if k.startswith("case_") and (not wanted or k[5:] in wanted)]
    try:
        introduce(a, b, ["service:echo", "service:other"])
        for name, case in cases:
            start = time.monotonic()
            case(a, b)
            print(f"  {name[5:]} {time.monotonic() - start:.2f} s", flush=True)
        a.stop()
        b.stop()
    except BaseException:
        for d in (a, b):
            d.process.kill()
            d.log.seek(0)
            sys.stdout.write(d.log.read())
        raise
    shutil.rmtree(folder)
    print(f"cases={len(cases)} failed={failed}")


if __name__ == "__main__":
    main()
