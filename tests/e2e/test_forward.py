#!/usr/bin/env python3
"""`overlay serve`, `forward` and `pipe` between two daemons on loopback: TCP and Unix sockets at both
ends, ssh through a pipe, every error with its words and exit code, programs and daemons that die in
mid-stream, many at once. What the socket's ops say beside that is in test_streams.py.
"""
import contextlib
import hashlib
import json
import os
import pathlib
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))

import lab  # noqa: E402
import node  # noqa: E402
import streams  # noqa: E402
from streams import Running, Target, connect, echo, forward, all_of  # noqa: E402

MIB = 1 << 20
ARGS = ["--no-tun", "--no-lan", "--no-portmap"]


def says(text, *words):
    for word in words:
        lab.check(re.search(word, text), f"it does not say {word!r} but:\n{text.strip() or '(nothing)'}")


def reverse(s):
    """Answers when the other direction has ended: only half-close makes this work."""
    s.sendall(all_of(s)[::-1])


def world(service=None, handler=echo, grant=True):
    """a forwards, b serves."""
    here = lab.Ns("here")
    a = node.Node(here, "a", 27182, ARGS).start()
    b = node.Node(here, "b", 27183, ARGS).start()
    node.pair(a, b, node.endpoint("127.0.0.1", 27183), allow="icmp")
    a.cli("ping", "b", "-c", 1)
    if service and grant:
        b.cli("peer", "allow", "a", f"service:{service}")
    if service:
        target = Target(here, handler)
        serve = Running(b, "serve", service, target.name, ready="serving")
        return a, b, target, serve
    return a, b


def exchange(s, data):
    """Sends all, ends, and gives what comes back."""
    def send():
        with contextlib.suppress(OSError):
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send)
    sender.start()
    back = all_of(s)
    sender.join()
    s.close()
    return back


def pipe(daemon, *words, data=b"", timeout=20):
    return subprocess.run([str(node.program("overlay")), "--socket", str(daemon.socket), "pipe", *map(str, words)],
        input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, check=False,
        **daemon.ns._prepare({}))


def pipe_fails(daemon, *words, code, text, **kw):
    done = pipe(daemon, *words, **kw)
    lab.check(done.returncode == code, f"pipe {words}: exit {done.returncode}, expected {code}: {done.stderr}")
    lab.check(done.stdout == b"", f"pipe {words}: {done.stdout[:80]!r} on stdout")
    says(done.stderr.decode(), *text)
    return done.stderr.decode()


def is_cut(daemon, to, after=b""):
    """A connection there ends with an error, after these bytes, and not as if all were well."""
    try:
        with connect(daemon, to) as s:
            lab.check(s.recv(len(after) or 1) == after and after, "a connection that failed ends as if all were well")
            return s.recv(1) is None
    except ConnectionResetError:
        return True


# --- what works --------------------------------------------------------------------------------

def both_ways():
    """64 MiB each way, exact, over TCP; half-close; Unix sockets at either end; by name and by PeerId."""
    a, b, target, _ = world("echo")
    tcp = forward(a, 0, "b:echo")
    data = os.urandom(MIB) * 64
    start = time.monotonic()
    back = exchange(connect(a, tcp.port), data)
    seconds = time.monotonic() - start
    lab.check(hashlib.sha256(back).digest() == hashlib.sha256(data).digest(), f"{len(back)} bytes came back, or others")
    with a.ns.socket(socket.AF_INET6, socket.SOCK_STREAM) as six:
        six.connect(("::1", tcp.port))
        lab.check(exchange(six, b"six") == b"six", "no answer on ::1")
    path, listening = b.dir / "target.sock", a.dir / "local.sock"
    Target(b.ns, reverse, path)
    b.cli("peer", "allow", "a", "service:reverse")
    Running(b, "serve", "reverse", path, ready=f"serving reverse \\(unix:{path}\\) to a;")
    unix = forward(a, listening, f"{b.peer}:reverse")
    says(unix.text(), f"forwarding unix:{listening} to reverse of b;")
    lab.check(stat.S_IMODE(listening.stat().st_mode) == 0o600, "others may connect to the socket")
    lab.check(exchange(connect(a, listening), b"abc" * 99999) == b"cba" * 99999, "reverse")
    done = pipe(a, "b", "reverse", data=b"abc" * 99999)
    lab.check((done.returncode, done.stdout, done.stderr) == (0, b"cba" * 99999, b""), f"pipe: {done.returncode} {done.stderr}")
    for running in (tcp, unix):
        running.end()
    lab.check(not listening.exists(), "the socket is left behind")
    return {"mib_per_s": 128 / seconds, "connections": target.taken}


def early():
    """What stdin says goes out before the other side has accepted, and an end before that is no loss."""
    a, b, _, serve = world("echo")
    done = pipe(a, "b", "echo", data=b"x" * 300000)
    lab.check(done.stdout == b"x" * 300000, f"{len(done.stdout)} bytes")
    done = pipe(a, "b", "echo", data=b"")
    lab.check((done.returncode, done.stdout) == (0, b""), f"an empty stream: {done}")
    # Who sends and goes at once is heard to the end.
    heard = []
    Target(b.ns, lambda s: heard.append(all_of(s)), b.dir / "take")
    Running(b, "serve", "take", b.dir / "take", ready="serving take")
    b.cli("peer", "allow", "a", "service:take")
    for local in (0, a.dir / "give"):
        fw = forward(a, local, "b:take")
        with connect(a, fw.port or local) as s:
            s.sendall(b"l" * 100000)
        lab.wait_for("what was sent before the close", 3, lambda: b"l" * 100000 in heard)
        heard.clear()
    # Served without a session: our own name.
    target = Target(a.ns, echo)
    own = Running(a, "serve", "own", target.name, ready="serving own .* to nobody yet")
    says(own.text(), "overlay peer allow PEER service:own")
    done = pipe(a, a.peer, "own", data=b"me")
    lab.check((done.returncode, done.stdout) == (0, b"me"), f"own PeerId: {done}")
    says(forward(a, "[::1]:0", "b:echo").text(), r"forwarding \[::1\]:\d+ to echo of b;[^\n]*\n$")
    says(forward(a, "0.0.0.0:0", "b:echo").text(), r"every machine that reaches 0\.0\.0\.0:\d+ acts as this one")
    fw = forward(a, "tcp:127.0.0.1:0", f"{a.peer}:own")
    says(fw.text(), r"forwarding 127.0.0.1:\d+ to own of self;")
    lab.check(exchange(connect(a, fw.port), b"me") == b"me", "own PeerId by forward")


def ssh():
    """A real sshd behind a service, ssh with ProxyCommand='overlay pipe': a command, and 8 MiB through it."""
    a, b = world()
    sshd = streams.Sshd(b, 2022)
    Running(b, "serve", "ssh", 2022, ready="serving ssh")
    b.cli("peer", "allow", "a", "service:ssh")
    base = sshd.command(a, "b")
    start = time.monotonic()
    done = a.ns.run(*base, "echo from $SSH_CONNECTION; exit 7", ok=False, timeout=20)
    login_ms = (time.monotonic() - start) * 1e3
    lab.check(done.returncode == 7 and done.stdout.startswith("from 127.0.0.1") and not done.stderr,
        f"ssh: exit {done.returncode}: {done.stdout}{done.stderr}{sshd.log.read_text()}")
    data = os.urandom(8 * MIB)
    done = subprocess.run([*base, "cat"], input=data, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=20, check=False, **a.ns._prepare({}))
    lab.check(done.returncode == 0 and done.stdout == data, f"ssh cat: {done.returncode}, {len(done.stdout)} bytes, {done.stderr}")
    done = a.ns.run(*sshd.command(a, "nobody"), "true", ok=False, timeout=20)
    says(done.stderr, "nobody")
    lab.check(done.returncode == 255, f"ssh to nobody: exit {done.returncode}")
    return {"login_ms": login_ms}


def many():
    """200 connections at once through one forward, each with its own bytes; then nothing is left of them."""
    a, b, target, serve = world("echo")
    fw = forward(a, 0, "b:echo")

    def descriptors():
        return [len(os.listdir(f"/proc/{p.process.pid}/fd")) for p in (a, b, fw, serve)]
    before = descriptors()
    start = time.monotonic()
    sockets = [connect(a, fw.port) for _ in range(200)]
    for i, s in enumerate(sockets):
        s.sendall(b"%d!" % i * 1000)
        s.shutdown(socket.SHUT_WR)
    wrong = [i for i, s in enumerate(sockets) if all_of(s) != b"%d!" % i * 1000]
    seconds = time.monotonic() - start
    for s in sockets:
        s.close()
    lab.check(not wrong, f"{len(wrong)} of 200 were wrong: {wrong[:5]}\n{fw.text()}")
    lab.check(target.taken == 200, f"the target saw {target.taken}")
    lab.check(fw.err.read_text() == "", f"forward: {fw.err.read_text()}")
    lab.wait_for(f"only {before} descriptors", 3, lambda: descriptors() == before)
    return {"connections": 200, "seconds": seconds}


def as_json():
    """One object per line: ready, opened, closed with figures, refused, failed."""
    a, b, target, _ = world()[:2] + (None, None)
    b.cli("peer", "allow", "a", "service:echo")
    target = Target(b.ns, echo)
    watch = Running(b, "watch", "service.opened", "service.closed", ready="")
    serve = Running(b, "serve", "echo", target.name, "--json", ready="serve.ready")
    fw = Running(a, "forward", 0, "b:echo", "--json", ready="forward.ready")
    ready = fw.objects()[0]
    lab.check(ready["peer"] == b.peer and ready["name"] == "b" and ready["service"] == "echo" and
        ready["listen"][0].startswith("127.0.0.1:"), f"{ready}")
    lab.check(serve.objects()[0]["allowed"] == ["a"] and serve.objects()[0]["service"] == "echo", f"{serve.objects()}")
    port = int(ready["listen"][0].rpartition(":")[2])
    lab.check(exchange(connect(a, port), b"x" * 1000) == b"x" * 1000, "echo")
    for running, name in ((serve, "a"), (fw, "b")):
        running.await_text("service.closed")
        opened, closed = [o for o in running.objects() if o["event"].startswith("service.")]
        lab.check((opened["event"], opened["name"], opened["service"]) == ("service.opened", name, "echo"), f"{opened}")
        lab.check((closed["stream"], closed["sent_bytes"], closed["received_bytes"]) == (opened["stream"], 1000, 1000), f"{closed}")
    watch.await_text(r"service.opened +a in echo, stream \d+\n")
    watch.await_text(r"service.closed +a in echo, stream \d+, sent 1.0 kB, received 1.0 kB\n")
    target.close()
    is_cut(a, port)
    serve.await_text("serve.refused")
    fw.await_text("forward.failed")
    refused, failed = serve.objects()[-1], fw.objects()[-1]
    lab.check(refused["name"] == "a" and "refused" in refused["text"], f"{refused}")
    lab.check(failed["code"] == "io" and failed["from"].startswith("127.0.0.1:"), f"{failed}")
    lab.check(serve.err.read_text() + fw.err.read_text() == "", "words on stderr beside JSON")
    for running in (serve, fw):
        running.end(signal.SIGTERM)


# --- what does not ------------------------------------------------------------------------------

def refusals():
    """Each error in words, on the side that can do something about it, and its exit code."""
    a, b, target, serve = world("echo", grant=False)
    pipe_fails(a, "b", "echo", code=4, text=["not allow|not-allowed"])
    fw = forward(a, 0, "b:echo")
    is_cut(a, fw.port)
    fw.await_text(r"overlay forward: connection from 127\.0\.0\.1:\d+: ")
    lab.check(target.taken == 0, "the target was reached without a grant")
    b.cli("peer", "allow", "a", "service:echo,service:none")
    lab.check(exchange(connect(a, fw.port), b"now") == b"now", "the grant does not work at once")
    pipe_fails(a, "b", "none", code=1, text=["nobody listens", "overlay serve"])
    pipe_fails(a, "nobody", "echo", code=1, text=["nobody"])
    c = node.Node(a.ns, "c", 27184, ARGS).start()
    c.stop()
    a.cli("peer", "add", "c", c.peer, node.endpoint("127.0.0.1", 27184))
    pipe_fails(a, "c", "echo", "-W", "0.3", code=5, text=["c was not reached in time"])
    target.close()
    pipe_fails(a, "b", "echo", code=1, text=["refuse"])
    serve.await_text(r"overlay serve: localhost:\d+ refuses: Connection refused \(for a\)")
    is_cut(a, fw.port)
    for _ in range(40):
        is_cut(a, fw.port)
    time.sleep(0.3)
    lines = serve.err.read_text().count("\n")
    lab.check(lines <= 16, f"{lines} lines about 42 refused streams")
    done = b.cli("serve", "echo", 1, ok=False)
    lab.check(done.returncode == 1 and json.loads(done.stderr)["code"] == "busy", f"{done}")
    b.cli("peer", "allow", "a", "--remove", "service:echo")
    pipe_fails(a, "b", "echo", code=4, text=["not allow|not-allowed"])
    b.stop()
    start = time.monotonic()
    pipe_fails(a, "b", "echo", "--timeout", "0.5", code=5, text=["in time"])
    lab.check(time.monotonic() - start < 3, "a peer that is away: no end in time")


def typed_wrong():
    """Words that say what was wrong and what to do."""
    a, b = world()
    taken = Target(a.ns, echo)
    full = a.dir / "file"
    full.write_text("precious")
    table = [  # words; exit code; what stderr says
        (["serve", "ssh"], 2, ["too few", "usage: overlay serve NAME TARGET"]),
        (["serve", "a b", "22"], 2, ['"a b" cannot be the name of a service']),
        (["serve", "x", "ssh"], 2, ['"ssh" is neither a port', "TARGET is PORT"]),
        (["serve", "x", "0"], 2, ["port 0"]),
        (["serve", "x", "::1:22"], 2, [r"brackets.*\[v6\]:PORT"]),
        (["serve", "x", "no.such.host.invalid:1"], 1, ["no.such.host.invalid"]),
        (["forward", "2222", "b"], 2, ['"b" names no service', "overlay forward 2222 laptop:ssh"]),
        (["forward", "2222", "b:"], 2, ["names no service"]),
        (["forward", "99999", "b:x"], 2, ["0 to 65535", "LOCAL is PORT"]),
        (["forward", "0", "bb:x"], 1, ["bb", "did you mean b"]),
        (["forward", "0", "b:x", "-W", "soon"], 2, ["--timeout: soon is not a number"]),
        (["forward", str(taken.name), "b:x"], 1, ["127.0.0.1", "another program has the port"]),
        (["forward", str(full), "b:x"], 1, ["is no socket"]),
        (["forward", str(a.dir / "none/x"), "b:x"], 1, ["cannot listen on", "No such file"]),
        (["forward", str(a.socket), "b:x"], 1, ["in use by another program"]),
        (["forwrad", "1", "b:x"], 2, ["did you mean: overlay forward"]),
        (["pipe", "b"], 2, ["usage: overlay pipe PEER SERVICE"]),
        (["pipe", "b", "a b"], 2, ["cannot be the name of a service"]),
    ]
    for words, code, seen in table:
        done = a.ns.run(node.program("overlay"), "--socket", a.socket, *words, ok=False, timeout=10)
        lab.check(done.returncode == code and not done.stdout, f"overlay {words}: exit {done.returncode}: {done.stdout}{done.stderr}")
        says(done.stderr, *seen)
    lab.check(full.read_text() == "precious", "a file was replaced by a socket")
    done = a.ns.run(node.program("overlay"), "--socket", a.dir / "none", "pipe", "b", "x", ok=False)
    lab.check(done.returncode == 3, f"no daemon: exit {done.returncode}")
    for name in ("serve", "forward", "pipe"):
        says(a.ns.run(node.program("overlay"), name, "--help"), f"usage: overlay {name} ", "--json")
    return {"commands": len(table)}


# --- what dies meanwhile ------------------------------------------------------------------------

def killed():
    """Streams outlive the programs that made them; a pipe that is killed ends its stream on the other side;
    an old socket is replaced, a living one is not."""
    seen = []

    def keep(s):
        seen.append(s)
        echo(s)
        seen.remove(s)
    a, b, _, serve = world("echo", keep)
    local = a.dir / "local.sock"
    fw = forward(a, local, "b:echo")
    s = connect(a, local)
    s.sendall(b"1")
    lab.check(s.recv(1) == b"1", "no answer")
    for running in (fw, serve):
        running.process.kill()
        running.process.wait()
    s.sendall(b"2")
    lab.check(s.recv(1) == b"2", "the stream died with the programs that made it")
    lab.check(local.exists(), "killed, and yet the socket is gone?")
    fw = forward(a, local, "b:echo")
    done = a.cli("forward", local, "b:echo", ok=False)
    lab.check(done.returncode == 1 and "in use" in done.stderr, f"{done}")
    lab.check(all_of(connect(a, local)) == b"", "nobody serves, and yet something comes")
    fw.await_text("connection from process")
    Running(b, "serve", "echo", serve.words[2], ready="serving echo")
    lab.check(exchange(connect(a, local), b"again") == b"again", "not served again")
    s.close()
    lab.wait_for("all have ended", 3, lambda: not seen)
    p = a.ns.popen(node.program("overlay"), "--socket", a.socket, "pipe", "b", "echo", stdin=subprocess.PIPE,
        stdout=subprocess.PIPE)
    p.stdin.write(b"x")
    p.stdin.flush()
    lab.check(select.select([p.stdout], [], [], 5)[0] and p.stdout.read1(1) == b"x" and len(seen) == 1, "pipe")
    p.kill()
    p.wait()
    lab.wait_for("the target sees the end of a killed pipe", 3, lambda: not seen)


def cut():
    """A target that cuts its connection: an error on the other side, too, not an end of file."""
    def half(s):
        s.sendall(b"half")
        time.sleep(0.2)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    a, _, _, _ = world("half", half)
    fw = forward(a, 0, "b:half")
    is_cut(a, fw.port, b"half")
    done = pipe(a, "b", "half", data=b"go")
    lab.check(done.stdout == b"half" and done.returncode == 1, f"pipe: exit {done.returncode}, {done.stdout} {done.stderr}")
    says(done.stderr.decode(), "cut")
    # One that reads no more, but says something before it goes.
    def full(s):
        s.recv(1)
        s.sendall(b"disk full")
        s.shutdown(socket.SHUT_WR)
        time.sleep(0.2)
    Target(a.ns, full, a.dir / "full")
    Running(a, "serve", "full", a.dir / "full", ready="serving")
    done = pipe(a, a.peer, "full", data=b"x" * 4 * MIB)
    lab.check((done.returncode, done.stdout) == (1, b"disk full"), f"pipe: exit {done.returncode}, {done.stdout} {done.stderr}")
    # The reader of a pipe's output goes away: the pipe ends, and says so.
    def flood(s):
        while True:
            s.sendall(b"y" * 65536)
    Target(a.ns, flood, a.dir / "flood")
    Running(a, "serve", "flood", a.dir / "flood", ready="serving")
    out, into = os.pipe()
    p = a.ns.popen(node.program("overlay"), "--socket", a.socket, "pipe", a.peer, "flood", stdout=into,
        stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(into)
    lab.check(os.read(out, 100), "nothing comes")
    os.close(out)
    lab.check(p.wait(5) == 1, f"exit {p.returncode}")
    says(p.stderr.read().decode(), "standard output")


def restart():
    """overlayd on either side is killed and started: serve and forward say so, refuse meanwhile, and go on."""
    a, b, _, serve = world("echo")
    fw = forward(a, 0, "b:echo")
    s = connect(a, fw.port)
    s.sendall(b"1")
    lab.check(s.recv(1) == b"1", "no answer")
    p = a.ns.popen(node.program("overlay"), "--socket", a.socket, "pipe", "b", "echo", stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdin.write(b"x")
    p.stdin.flush()
    lab.check(p.stdout.read1(1) == b"x", "no answer by pipe")
    for daemon in (a, b):
        daemon.process.kill()
        daemon.process.wait()
    lab.check(p.wait(3) == 3, f"pipe: exit {p.returncode}, and overlayd was killed")
    says(p.stderr.read().decode(), "overlayd ended during the stream")
    with contextlib.suppress(ConnectionResetError):
        lab.check(s.recv(1) == b"", "the stream of a daemon that was killed goes on")
    for running in (fw, serve):
        running.await_text("overlayd closed the connection; trying again until it is there")
    is_cut(a, fw.port)
    fw.await_text("connection from .*: overlayd is not there")
    for daemon in (b, a):
        daemon.start()
    for running in (fw, serve):
        running.await_text("overlayd is there again", 6)
    lab.check(exchange(connect(a, fw.port), b"again") == b"again", "not served again")
    lab.check(fw.process.poll() is None and serve.process.poll() is None, "one of them has ended")
    fw.end()
    serve.end()


CASES = {f.__name__: f for f in (both_ways, early, ssh, many, as_json, refusals, typed_wrong, killed, cut, restart)}


def logs():
    return node.logs() + streams.logs()


if __name__ == "__main__":
    sys.exit(lab.main(CASES, logs))
