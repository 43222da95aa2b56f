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


def send_fds(sock, line, *files):
    socket.send_fds(sock, [line], [f.fileno() for f in files])


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
            send_fds(self.sock, line, *(fd if isinstance(fd, list) else [fd]))

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


def case_inline_both_sides(a, b):
    serving = listener(b, "echo")
    other = b.client()  # of the same user: it accepts what the listener listens for
    other.send("accept", service="echo", inline=True)
    dialing = a.client()
    request = json.dumps({"id": 9, "op": "dial", "args": {"peer": "b", "service": "echo", "inline": True}})
    dialing.sock.sendall(request.encode() + b"\nearly bytes")  # behind the request: already the stream's
    assert dialing.line()["ok"] and other.line()["ok"]
    here, there = dialing.inline(), other.inline()
    assert read_exactly(there, 11) == b"early bytes"
    there.sendall(b"answer")
    there.shutdown(socket.SHUT_WR)
    assert read_all(here) == b"answer"
    here.sendall(b" and more")
    here.shutdown(socket.SHUT_WR)
    assert read_all(there) == b" and more"
    serving.close()


def case_early_bytes_need_no_answer(a, b):
    """They are at the service before it has accepted."""
    serving = listener(b, "echo")
    dialing = a.client()
    dialing.send("dial", peer="b", service="echo", inline=True)
    dialing.sock.sendall(b"x" * 5000)
    dialing.sock.shutdown(socket.SHUT_WR)
    time.sleep(0.2)
    answer = serving.ask("accept", service="echo")
    assert answer["ok"], answer
    end = serving.end()
    assert read_all(end) == b"x" * 5000
    end.sendall(b"yes")
    end.close()
    assert dialing.line()["ok"]
    assert read_all(dialing.inline()) == b"yes"
    serving.close()


def case_inline_error_ends_the_connection(a, b):
    for args, code in (({"peer": "b", "service": "none"}, "not-allowed"), ({"peer": "b"}, "bad-argument"),
                       ({"peer": "nobody", "service": "echo"}, "unknown-peer"),
                       ({"peer": "b", "service": "other"}, "no-such-service")):
        client = a.client()
        client.send("dial", inline=True, **args)
        with contextlib.suppress(BrokenPipeError):
            client.sock.sendall(b"not a line\n{}\n")
        answer = client.line()
        assert answer["error"]["code"] == code, answer
        with contextlib.suppress(ConnectionResetError):
            assert client.sock.recv(1) == b""
        client.close()
    client = b.client()
    answer = client.ask("accept", service="nobody-listens", inline=True)
    assert answer["error"]["code"] == "no-such-service", answer
    assert client.sock.recv(1) == b""
    client.close()


def case_hold_attach_refuse(a, b):
    serving = listener(b, "echo")
    serving.send("accept", service="echo", hold=True)
    dialing = a.client()
    dialing.send("dial", peer="b", service="echo")
    held = serving.line()["result"]
    assert not serving.came and held["name"] == "a"
    dialing.sock.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        raise AssertionError(f"answered while held: {dialing.line()}")
    dialing.sock.settimeout(15)
    assert serving.ask("attach", stream=held["stream"])["error"]["code"] == "bad-argument"
    assert b.ask("attach", stream=held["stream"])["error"]["code"] == "expired"  # another connection
    ours, theirs = socket.socketpair()
    answer = serving.ask("attach", theirs, stream=held["stream"])
    assert answer["ok"] and answer["result"] == held, answer
    theirs.close()
    assert dialing.line()["ok"]
    here = dialing.end()
    here.sendall(b"hi")
    assert read_exactly(ours, 2) == b"hi"
    ours.close()
    assert here.recv(1) == b""
    assert serving.ask("attach", stream=held["stream"])["error"]["code"] == "expired"
    serving.send("accept", service="echo", hold=True)
    dialing.send("dial", peer="b", service="echo")
    held = serving.line()["result"]
    assert serving.ask("refuse", stream=held["stream"])["ok"]
    assert dialing.line()["error"]["code"] == "io"
    serving.send("accept", service="echo", hold=True)
    dialing.send("dial", peer="b", service="echo")
    assert serving.line()["ok"]
    serving.close()  # what it held is refused
    assert dialing.line()["error"]["code"] == "io"
    dialing.close()


def tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    one.settimeout(15)
    other.settimeout(15)
    return one, other


def case_descriptor_of_the_client(a, b):
    serving = listener(b, "echo")
    dialing = a.client()
    for make in (socket.socketpair, tcp_pair):
        app, theirs = make()
        app.sendall(b"early")
        serving.send("accept", service="echo")
        answer = dialing.ask("dial", theirs, peer="b", service="echo")
        assert answer["ok"] and not dialing.came, answer
        theirs.close()
        assert serving.line()["ok"]
        there = serving.end()
        assert read_exactly(there, 5) == b"early"
        there.sendall(b"late")
        assert read_exactly(app, 4) == b"late"
        app.shutdown(socket.SHUT_WR)
        assert there.recv(1) == b""
        there.close()
        assert app.recv(1) == b""
        app.close()
    for wrong in (socket.socket(socket.AF_INET, socket.SOCK_DGRAM), open("/dev/null", "rb"),
                  socket.create_server(("127.0.0.1", 0))):
        answer = dialing.ask("dial", wrong, peer="b", service="echo")
        assert answer["error"]["code"] == "bad-argument", answer
        wrong.close()
    dialing.close()
    serving.close()


def case_own_peer_id(a, b):
    serving = listener(a, "self")
    serving.send("accept", service="self")
    dialing = a.client()
    answer = dialing.ask("dial", peer=a.peer, service="self")  # no grant is needed
    assert answer["ok"] and answer["result"]["name"] == "self", answer
    assert serving.line()["ok"]
    here, there = dialing.end(), serving.end()
    here.sendall(b"1" * 100000)
    here.shutdown(socket.SHUT_WR)
    assert read_all(there) == b"1" * 100000
    there.sendall(b"2" * 100000)
    there.close()
    assert read_all(here) == b"2" * 100000
    serving.close()
    dialing.close()


# ---- ways to end ----

def case_app_killed_in_mid_stream(a, b):
    for killed in (0, 1):
        ends = list(pair(a, b))
        writer = ends[killed]
        child = os.fork()
        if child == 0:
            while True:
                writer.send(b"k" * 65536)
        ends[killed].close()
        other = ends[1 - killed]
        read_exactly(other, 1 << 20)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        read_all(other)  # it ends
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while True:
                other.send(b"x" * 65536)  # and takes nothing more
        other.close()


def case_reader_killed_while_others_write(a, b):
    here, there = pair(a, b)
    here.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            here.send(b"w" * 65536)
    there.close()  # with bytes that it has not read
    here.settimeout(15)
    try:
        while True:
            here.send(b"w" * 65536)
    except (BrokenPipeError, ConnectionResetError):
        pass
    here.close()


def case_reset_is_a_reset_of_tcp(a, b):
    """The program at one end dies with bytes unread; TCP at the other end is reset."""
    serving = listener(b, "echo")
    app, theirs = tcp_pair()
    dialing = a.client()
    serving.send("accept", service="echo")
    assert dialing.ask("dial", theirs, peer="b", service="echo")["ok"]
    theirs.close()
    assert serving.line()["ok"]
    there = serving.end()
    app.sendall(b"never read")
    time.sleep(0.1)
    there.close()
    try:
        assert app.recv(1) != b"", "an end in place of a reset"
    except ConnectionResetError:
        pass
    app.close()
    serving.close()
    dialing.close()


def case_a_byte_at_a_time(a, b):
    here, there = pair(a, b)
    data = bytes(range(256)) * 8
    for i in range(len(data)):
        here.send(data[i:i + 1])
    here.shutdown(socket.SHUT_WR)
    got = b""
    while part := there.recv(1):
        got += part
        there.send(part)
    there.close()
    assert got == data and read_all(here) == data


# ---- refusals ----

def case_refusals(a, b):
    client = a.client()
    for service, code in (("echo", "no-such-service"), ("forbidden", "not-allowed")):
        answer = client.ask("dial", peer="b", service=service)
        assert answer["error"]["code"] == code, answer
    # b has no grant at a, whatever a listens on
    serving = listener(a, "echo")
    answer = b.ask("dial", peer="a", service="echo")
    assert answer["error"]["code"] == "not-allowed", answer
    serving.close()
    for args, code in (({"peer": "b"}, "bad-argument"), ({"peer": "b", "service": ""}, "bad-argument"),
                       ({"peer": "b", "service": "two words"}, "bad-argument"),
                       ({"peer": "b", "service": "x" * 64}, "bad-argument"),
                       ({"peer": "b", "service": 7}, "bad-argument"),
                       ({"peer": "b", "service": "echo", "inline": "yes"}, "bad-argument"),
                       ({"peer": "b", "service": "echo", "timeout_ms": 0}, "bad-argument"),
                       ({"peer": "nobody", "service": "echo"}, "unknown-peer")):
        answer = client.ask("dial", **args)
        assert answer["error"]["code"] == code, (args, answer)
    for op, args, code in (("attach", {"stream": 99}, "expired"), ("refuse", {"stream": 99}, "expired"),
                           ("attach", {}, "bad-argument"), ("refuse", {"stream": "1"}, "bad-argument"),
                           ("accept", {"service": "echo"}, "no-such-service"),
                           ("accept", {"service": "echo", "hold": True, "inline": 1}, "bad-argument")):
        answer = client.ask(op, **args)
        assert answer["error"]["code"] == code, (op, args, answer)
    client.close()


def case_peer_away(a, b):
    start = time.monotonic()
    away = "zzz" + a.peer  # not a PeerId
    answer = a.ask("dial", peer=away, service="echo")
    assert answer["error"]["code"] == "unknown-peer", answer
    client = a.client()
    key = b.ask("id")["result"]["peer"]
    assert key == b.peer
    b.process.send_signal(signal.SIGSTOP)
    try:
        answer = client.ask("dial", peer="b", service="echo", timeout_ms=300)
        assert answer["error"]["code"] in ("timeout", "peer-away"), answer
    finally:
        b.process.send_signal(signal.SIGCONT)
    assert time.monotonic() - start < 5
    client.close()
    eventually("the peer is back", lambda: a.ask("ping", peer="b")["ok"])


def case_a_name_has_one_listener(a, b):
    first = listener(b, "echo")
    assert first.ask("listen", service="echo")["ok"]  # again is no error
    second = b.client()
    assert second.ask("listen", service="echo")["error"]["code"] == "busy"
    for i in range(15):
        assert first.ask("listen", service=f"s{i}")["ok"]
    assert first.ask("listen", service="s15")["error"]["code"] == "quota"
    second.send("accept", service="echo")
    first.close()
    assert second.line()["error"]["code"] == "no-such-service"  # who waits is told
    eventually("the name is free", lambda: second.ask("listen", service="echo")["ok"])
    second.close()


def case_many_wait(a, b):
    serving = listener(b, "echo")
    clients = [a.client(), a.client()]
    for i in range(128):
        clients[0].send("dial", peer="b", service="echo")
    time.sleep(0.2)
    answer = clients[1].ask("dial", peer="b", service="echo")  # one more than a service lets wait
    assert answer["error"]["code"] == "busy", answer
    answer = clients[0].ask("dial", peer="b", service="echo")
    assert answer["error"]["code"] == "busy" and "wait" in answer["error"]["text"], answer
    for i in range(128):
        assert serving.ask("accept", service="echo")["ok"]
        os.close(serving.came.pop())
    for i in range(127):
        assert clients[0].line()["ok"]
    for client in [*clients, serving]:
        client.close()


# ---- facts ----

def case_events(a, b):
    watching = {}
    for d in (a, b):
        watching[d] = d.client()
        assert watching[d].ask("subscribe", events=["service.opened", "service.closed"])["ok"]
    here, there = pair(a, b)
    here.sendall(b"12345")
    assert read_exactly(there, 5) == b"12345"
    here.shutdown(socket.SHUT_WR)
    there.recv(1)
    there.close()
    assert here.recv(1) == b""
    here.close()
    for d, direction, sent, received in ((a, "out", 5, 0), (b, "in", 0, 5)):
        opened, closed = watching[d].line(), watching[d].line()
        assert opened["event"] == "service.opened" and opened["direction"] == direction, opened
        assert opened["service"] == "echo" and opened["stream"] > 0 and opened["peer"] in (a.peer, b.peer)
        assert closed["event"] == "service.closed" and closed["stream"] == opened["stream"], closed
        assert (closed["sent_bytes"], closed["received_bytes"], closed["code"]) == (sent, received, None), closed
        answer = watching[d].ask("stream", stream=opened["stream"])["result"]
        assert (answer["open"], answer["code"], answer["sent_bytes"]) == (False, None, sent), answer
        assert answer["direction"] == direction and answer["service"] == "echo", answer
        assert watching[d].ask("stream", stream=10**9)["error"]["code"] == "expired"
        watching[d].close()
    facts = a.ask("peer.show", peer="b")["result"]["streams"]
    assert facts["sent_packets"] > 0 and facts["rtt_us"] > 0 and facts["window_bytes"] > 0, facts


# ---- clients that do it wrong ----

def case_hostile_clients(a, b):
    before = a.descriptors()
    one, other = socket.socketpair()
    client = a.client()
    assert client.ask("id", one)["ok"]  # an op that wants none
    assert client.ask("id", [one, other, one])["ok"]  # and more than one
    client.sock.sendall(b"\n")
    send_fds(client.sock, b"\n", one)  # an empty line
    send_fds(client.sock, b"nonsense\n", one)
    assert client.line()["error"]["code"] == "bad-argument"
    for part in (b'{"op":"i', b'd"', b',"id":3}', b"\n"):  # one with each piece of a line
        send_fds(client.sock, part, one)
        time.sleep(0.01)
    assert client.line()["id"] == 3
    for i in range(100):
        send_fds(client.sock, b'{"op":"id","id":%d}\n' % i, one)
    for i in range(100):
        assert client.line()["id"] == i
    assert other.send(b"x") == 1  # the daemon keeps none of them
    one.close()
    eventually("its copies are closed", lambda: a.descriptors() <= before + 1)
    try:
        other.send(b"x")
        raise AssertionError("somebody still has the descriptor")
    except (BrokenPipeError, ConnectionResetError):
        pass
    send_fds(client.sock, b'{"op":"dial"', other)
    client.close()  # in the middle of a line with a descriptor
    eventually("all is closed", lambda: a.descriptors() <= before)


def case_gone_at_each_point(a, b):
    before = a.descriptors(), b.descriptors()
    ours, theirs = socket.socketpair()
    def dial(client):
        client.send("dial", theirs, peer="b", service="echo")
    def dial_inline(client):
        client.send("dial", peer="b", service="echo", inline=True)
    for ask in (dial, dial_inline):
        for wait in (0, 0.05):
            serving = listener(b, "echo")
            client = a.client()
            ask(client)
            time.sleep(wait)
            client.close()
            time.sleep(0.05)
            serving.close()
    for hold, inline in ((False, False), (True, False), (False, True)):
        for wait in (0, 0.05):
            serving = listener(b, "echo")
            other = b.client()
            other.send("accept", service="echo", hold=hold, inline=inline)
            time.sleep(wait)
            client = a.client()
            client.send("dial", peer="b", service="echo")
            time.sleep(wait)
            other.close()
            serving.close()
            client.line()
            client.close()
    ours.close()
    theirs.close()
    eventually("all is closed", lambda: (a.descriptors(), b.descriptors()) <= before)
    here, there = pair(a, b)  # and it still works
    here.close()
    there.close()


def case_half_closed_clients(a, b):
    """Who ends its side still gets answers; who closes is forgotten at once."""
    before = b.descriptors()
    serving = listener(b, "echo")
    other = b.client()
    other.send("accept", service="echo")
    other.sock.shutdown(socket.SHUT_WR)
    time.sleep(0.05)
    client = a.client()
    assert client.ask("dial", peer="b", service="echo")["ok"]
    assert other.line()["ok"]
    other.end().close()
    other = b.client()
    other.send("accept", service="echo")
    other.sock.shutdown(socket.SHUT_WR)
    time.sleep(0.05)
    other.close()
    eventually("it is forgotten", lambda: b.descriptors() <= before + 1)
    serving.close()
    client.close()


def case_descriptors_do_not_grow(a, b):
    before = a.descriptors(), b.descriptors()
    serving = listener(b, "echo")
    client = a.client()
    start = time.monotonic()
    for i in range(500):
        serving.send("accept", service="echo")
        assert client.ask("dial", peer="b", service="echo")["ok"]
        assert serving.line()["ok"]
        client.end().close()
        serving.end().close()
    print(f"    {500 / (time.monotonic() - start):.0f} dials a second, one after the other", flush=True)
    client.close()
    serving.close()
    eventually("all is closed", lambda: (a.descriptors(), b.descriptors()) <= before)


def case_limit_of_streams(a, b):
    folder = tempfile.mkdtemp(prefix="ov-streams-")
    c = Daemon(folder, "c", "--limits-streams", "4")
    serving = listener(c, "self")
    client = c.client()
    for i in range(2):  # a stream to oneself has two ends
        serving.send("accept", service="self")
        assert client.ask("dial", peer=c.peer, service="self")["ok"]
        assert serving.line()["ok"]
    answer = client.ask("dial", peer=c.peer, service="self")
    assert answer["error"]["code"] == "quota" and "limits.streams" in answer["error"]["hint"], answer
    for fd in (*client.came, *serving.came):
        os.close(fd)
    client.came, serving.came = [], []
    serving.send("accept", service="self")
    eventually("there is room", lambda: client.ask("dial", peer=c.peer, service="self")["ok"])
    c.stop()
    shutil.rmtree(folder)


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
