#!/usr/bin/env python3
"""The overlay socket of a real overlayd against hostile and clumsy clients, and the CLI on top.

Two daemons without TUN on loopback. Each case is a function `case_*`; the last line counts them.
OVERLAY_BUILD names the folder of the programs (build/release)."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("OVERLAY_BUILD", "build/release"))
HELLO = {"id": 0, "op": "hello", "args": {"api": 1}}


class Client:
    """One connection; lines as objects."""

    def __init__(self, path, hello=True):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(15)
        self.sock.connect(path)
        self.rest = b""
        if hello:
            assert self.ask(HELLO)["ok"]

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else json.dumps(data).encode() + b"\n")

    def line(self):
        """The next line, or None when the daemon has closed."""
        while b"\n" not in self.rest:
            try:
                part = self.sock.recv(65536)
            except ConnectionResetError:
                part = b""
            if not part:
                return None
            self.rest += part
        line, self.rest = self.rest.split(b"\n", 1)
        assert len(line) < 65536
        return json.loads(line)

    def ask(self, request):
        self.send(request)
        return self.line()

    def close(self):
        self.sock.close()


class Daemon:
    def __init__(self, folder, name):
        self.state = os.path.join(folder, name)
        self.path = os.path.join(folder, name + ".d", "sock")
        self.log = open(os.path.join(folder, name + ".log"), "w+")
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "overlayd"), "--state", self.state, "--socket", self.path,
             "--listen-udp", "0", "--no-tun", "--no-lan", "--no-portmap"],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("ready "), line
        self.ready = dict(word.split("=", 1) for word in line.split()[1:])

    def memory_kb(self):
        """Resident memory; 0 for a sanitized daemon, whose allocator keeps what is freed."""
        if "san" in os.path.basename(BUILD):
            return 0
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(l.split()[1]) for l in f if l.startswith("VmRSS"))

    def status_ms(self):
        start = time.monotonic()
        client = Client(self.path)
        answer = client.ask({"id": 1, "op": "status"})
        client.close()
        assert answer["ok"], answer
        return (time.monotonic() - start) * 1000

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=5)
        assert code == 0, code

    def cli(self, *words, expect=0, env=None):
        done = subprocess.run([os.path.join(BUILD, "overlay"), *words], text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**os.environ, "OVERLAY_SOCKET": self.path, **(env or {})})
        assert done.returncode == expect, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout if expect == 0 else done.stdout + done.stderr


def eventually(what, condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


# ---- the socket ----

def case_modes(a, b):
    assert stat.S_IMODE(os.stat(a.path).st_mode) == 0o660
    assert stat.S_IMODE(os.stat(os.path.dirname(a.path)).st_mode) in (0o700, 0o710)


def case_a_megabyte_of_nonsense(a, b):
    before = a.memory_kb()
    for filler in (b"x", b"\0", b"[", b'{"a":', b"\xff"):
        client = Client(a.path, hello=False)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.send(filler * (1024 * 1024 // len(filler)))
        answer = client.line()
        assert answer["error"]["code"] == "bad-argument" and "65536" in answer["error"]["text"]
        assert client.line() is None
        client.close()
    assert a.memory_kb() - before < 2048
    assert a.status_ms() < 100


def case_bad_lines_leave_the_connection_usable(a, b):
    client = Client(a.path)
    for line in (b"nonsense\n", b'{"op":"id\0"}\n', b"[]\n", b'{"op":7}\n', b'{"id":"x","op":"id"}\n',
                 b"[" * 30000 + b"\n", b'{"op":"peer.show","args":{"peer":[1]}}\n',
                 b'{"op":"ping","args":{"peer":"x","timeout_ms":"1"}}\n'):
        client.send(line)
        answer = client.line()
        assert not answer["ok"] and answer["error"]["code"] == "bad-argument", answer
    answer = client.ask({"id": 5, "op": "sttaus"})
    assert answer["id"] == 5 and "status" in answer["error"]["hint"]
    client.send(b"\n\r\n")
    assert client.ask({"id": 6, "op": "id"})["id"] == 6
    client.close()


def case_requests_in_pieces_and_in_one(a, b):
    client = Client(a.path)
    for byte in json.dumps({"id": 1, "op": "id"}).encode() + b"\n":
        client.send(bytes([byte]))
    assert client.line()["id"] == 1
    client.send(b"".join(json.dumps({"id": i, "op": "id"}).encode() + b"\n" for i in range(500)))
    assert [client.line()["id"] for _ in range(500)] == list(range(500))
    client.send(json.dumps({"id": 9, "op": "id"}).encode() + b"\n")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.line()["id"] == 9 and client.line() is None
    client.close()


def case_half_a_request_is_cut_after_5_s(a, b):
    client = Client(a.path)
    client.send(b'{"id":1,"op":"sta')
    start = time.monotonic()
    answer = client.line()
    took = time.monotonic() - start
    assert answer["error"]["code"] == "timeout" and 4.5 < took < 6.0, (answer, took)
    start = time.monotonic()
    assert client.line() is None and time.monotonic() - start < 0.5
    client.close()


def case_dripping_clients_do_not_delay_status(a, b):
    clients = [Client(a.path, hello=False) for _ in range(60)]
    start, worst, cut = time.monotonic(), 0, set()
    while time.monotonic() - start < 6.5:
        for i, client in enumerate(clients):
            if i in cut:
                continue
            try:
                client.sock.send(b"{")
            except (BrokenPipeError, ConnectionResetError):
                cut.add(i)
        worst = max(worst, a.status_ms())
        time.sleep(0.25)
    for client in clients:
        assert client.line()["error"]["code"] == "timeout"
        client.close()
    assert worst < 100, worst


def case_300_clients(a, b):
    clients, refused = [], 0
    for _ in range(300):
        client = Client(a.path, hello=False)
        client.sock.settimeout(5)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.send(HELLO)
        answer = client.line()
        if answer["ok"]:
            clients.append(client)
        else:
            assert answer["error"]["code"] == "busy" and client.line() is None
            refused += 1
            client.close()
    assert len(clients) == 64 and refused == 236, (len(clients), refused)
    assert clients[0].ask({"id": 1, "op": "id"})["ok"]
    for client in clients:
        client.close()
    eventually("room again", lambda: Client(a.path, hello=False).ask(HELLO)["ok"], 2)


def case_a_client_that_never_reads(a, b):
    """Asks for ever, takes no answer: it is paused, then cut within 10 s of standing still."""
    before = a.memory_kb()
    client = Client(a.path)
    client.sock.setblocking(False)
    request = json.dumps({"id": 1, "op": "status"}).encode() + b"\n"
    start, cut = time.monotonic(), False
    while not cut and time.monotonic() - start < 14:
        try:
            client.sock.send(request * 50)
        except BlockingIOError:
            time.sleep(0.05)
        except (BrokenPipeError, ConnectionResetError):
            cut = True
        if int((time.monotonic() - start) * 20) % 40 == 0:
            assert a.status_ms() < 100
    assert cut, "still connected"
    assert a.memory_kb() - before < 4096
    client.close()


def case_strangers_are_told_to_join_the_group(a, b):
    if os.geteuid() != 0:
        return
    top = os.path.dirname(os.path.dirname(a.path))
    os.chmod(top, 0o755)
    mode = os.stat(os.path.dirname(a.path)).st_mode
    os.chmod(os.path.dirname(a.path), 0o755)
    program = shutil.copy(os.path.join(BUILD, "overlay"), top)  # a clone in /root is closed to strangers

    def refused():
        done = subprocess.run([program, "status"], user=65534, group=65534, extra_groups=[], text=True,
                              stderr=subprocess.PIPE, env={"OVERLAY_SOCKET": a.path})
        assert done.returncode == 4 and "join group overlay" in done.stderr, done
    refused()
    os.chmod(a.path, 0o666)  # past the kernel's check: the daemon refuses by itself
    refused()
    os.chmod(a.path, 0o660)
    os.chmod(os.path.dirname(a.path), stat.S_IMODE(mode))


def case_stale_socket_is_replaced_and_a_living_one_is_not(a, b):
    again = subprocess.run([os.path.join(BUILD, "overlayd"), "--state", b.state + "2", "--socket",
                            b.path, "--listen-udp", "0", "--no-tun", "--no-lan", "--no-portmap"], text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10)
    assert again.returncode != 0 and "another overlayd listens there" in again.stdout, again
    assert b.status_ms() < 1000
    b.process.kill()
    b.process.wait()
    assert os.path.exists(b.path)
    b.cli("status", expect=3)
    b.start()
    assert b.status_ms() < 1000


# ---- the CLI ----

def case_two_machines_by_cli(a, b):
    assert "No peers yet" in a.cli("status")
    id_a, id_b = a.cli("id", "--short").strip(), b.cli("id", "--short").strip()
    assert id_a == a.ready["peer"] and json.loads(a.cli("id", "--json"))["address"] == a.ready["address"]
    events = Client(a.path)
    assert events.ask({"id": 1, "op": "subscribe"})["ok"]
    b.cli("peer", "add", "alpha", id_a)
    text = a.cli("peer", "add", "beta", id_b, f"127.0.0.1:{b.ready['udp']}", "--allow", "tcp/22")
    assert "overlay ping beta" in text
    assert " 0 % lost" in a.cli("ping", "-c", "3", "-i", "0.05", "beta")
    seen = events.line()
    assert seen["event"] == "peer.up" and seen["name"] == "beta" and seen["at"].endswith("Z"), seen
    events.close()
    pongs = [json.loads(l) for l in a.cli("ping", "-c", "2", "-i", "0.05", "--json", "beta").splitlines()]
    assert pongs[0]["peer"] == id_b and pongs[0]["rtt_us"] > 0 and pongs[2]["summary"]["received"] == 2
    status = a.cli("status")
    assert "beta" in status and "127.0.0.1:" in status and "\033" not in status
    assert max(len(l) for l in status.splitlines()) <= 80, status
    peer = json.loads(a.cli("peer", "show", "--json", "beta"))
    assert peer["state"] == "up" and "tcp/22" in peer["allow"] and peer["paths"][0]["active"]
    assert "tcp/80" in a.cli("peer", "allow", "beta", "tcp/80,udp/53")
    assert "tcp/80" not in a.cli("peer", "allow", "beta", "--remove", "tcp/80")
    a.cli("peer", "rename", "beta", "gamma")
    assert "did you mean gamma" in a.cli("ping", "-c", "1", "gama", expect=1)
    a.cli("peer", "remove", "gamma")
    assert json.loads(a.cli("peer", "list", "--json"))["peers"] == []


def case_contacts_survive_a_kill(a, b):
    a.cli("peer", "add", "beta", b.ready["peer"], "--allow", "tcp/443")
    a.process.kill()
    a.process.wait()
    a.start()
    peers = json.loads(a.cli("peer", "list", "--json"))["peers"]
    assert [p["name"] for p in peers] == ["beta"] and "tcp/443" in peers[0]["allow"]


def case_usage_and_exit_codes(a, b):
    a.cli(expect=2)
    a.cli("--help")
    a.cli("stats", expect=2)
    a.cli("peer", expect=2)
    a.cli("peer", "add", "x", expect=2)
    a.cli("peer", "add", "x", "notakey", expect=2)
    a.cli("status", "--nonsense", expect=2)
    a.cli("ping", "-c", "zero", "beta", expect=2)
    a.cli("peer", "show", "nobody", expect=1)
    assert "OVERLAY_SOCKET" in a.cli("status", "--socket", "/nonexistent/sock", expect=3)
    assert json.loads(a.cli("status", "--json", "--socket", "/nonexistent", expect=3))["code"] == "no-daemon"
    a.cli("version", "--socket", "/nonexistent")
    for words in (["facilitator", "--help"], ["facilitator", "-h"], ["help", "facilitator"]):
        text = a.cli(*words)
        assert "facilitator status" in text and "peer add" not in text, text
    text = a.cli("--help")
    commands = [l[2:20].strip() for l in text.splitlines() if l.startswith("  ") and l[2] != " "]
    commands = [c for c in commands if c and not c.startswith("-")]
    assert len(commands) >= 15, commands
    for command in commands:
        help_text = a.cli(*command.split(), "--help")
        assert "usage: overlay " + command in help_text and "  overlay " in help_text
        assert " \n" not in help_text, command


def case_ping_a_peer_that_is_away(a, b):
    b.stop()
    a.cli("peer", "add", "beta", b.ready["peer"], f"127.0.0.1:{b.ready['udp']}")
    text = a.cli("ping", "-c", "1", "-W", "0.5", "beta", expect=5)
    assert "1 sent, 0 received" in text and "overlay peer show beta" in text, text
    process = subprocess.Popen([os.path.join(BUILD, "overlay"), "ping", "-W", "20", "beta"], text=True,
                               stdout=subprocess.PIPE, env={**os.environ, "OVERLAY_SOCKET": a.path})
    time.sleep(0.4)
    process.send_signal(signal.SIGINT)
    assert "0 sent" in process.communicate(timeout=5)[0]
    b.start()


def case_hosts(a, b):
    path = os.path.join(os.path.dirname(a.state), "hosts")
    original = "127.0.0.1 localhost\n# mine"
    with open(path, "w") as f:
        f.write(original)
    os.chmod(path, 0o640)
    a.cli("hosts", "--file", path)
    text = open(path).read()
    assert text.startswith(original + "\n# overlay begin") and f"{b.ready['address']} beta.overlay" in text
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    node = os.stat(path).st_ino
    a.cli("hosts", "--file", path)
    assert open(path).read() == text and os.stat(path).st_ino == node
    a.cli("hosts", "--file", path, "--remove")
    assert open(path).read() == original + "\n"
    with open(path, "w") as f:
        f.write("# overlay begin\n1.2.3.4 x\n")
    assert "repair" in a.cli("hosts", "--file", path, expect=1)
    assert open(path).read() == "# overlay begin\n1.2.3.4 x\n"
    assert "cannot read" in a.cli("hosts", "--file", path + ".none", expect=1)
    assert "beta.overlay" in a.cli("hosts", "--dry-run")


def case_config_check(a, b):
    path = os.path.join(os.path.dirname(a.state), "overlay.json")
    with open(path, "w") as f:
        json.dump({"contacts": [{"name": "x", "peer": b.ready["peer"]}]}, f)
    assert "1 contact" in a.cli("config", "check", path)
    assert json.loads(a.cli("config", "check", "--json", path))["contacts"] == 1
    with open(path, "w") as f:
        f.write('{\n "tun": {"mut": 1300}\n}\n')
    text = a.cli("config", "check", path, expect=1)
    assert f"{path}:2" in text and "mtu" in text, text
    a.cli("config", "check", path + ".none", expect=1)


def main():
    folder = tempfile.mkdtemp(prefix="ovctl")
    failed = passed = 0
    daemons = []
    try:
        daemons = [Daemon(folder, "a"), Daemon(folder, "b")]
        wanted = sys.argv[1:]
        for name, case in [(n, f) for n, f in globals().items() if n.startswith("case_")]:
            if wanted and name not in wanted:
                continue
            start = time.monotonic()
            try:
                case(*daemons)
                passed += 1
                print(f"ok    {name} ({time.monotonic() - start:.1f} s)", flush=True)
            except Exception as why:  # the next case still runs
                failed += 1
                print(f"FAIL  {name}: {type(why).__name__}: {why}", flush=True)
        for daemon in daemons:
            daemon.stop()
            assert not os.path.exists(daemon.path)
    finally:
        for daemon in daemons:
            if daemon.process.poll() is None:
                daemon.process.kill()
                daemon.process.wait()
        if failed:
            for daemon in daemons:
                daemon.log.seek(0)
                print(daemon.log.read()[-2000:])
        shutil.rmtree(folder)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
