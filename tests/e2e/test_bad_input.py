#!/usr/bin/env python3
"""Bad files, options and surroundings of the real overlayd: each a clear message (what, where, what to
do), nothing lost, the daemon alive. Issue 2, section 6; datagrams are in test_bad_datagrams.py, inner
packets in tests/lab/test_inner.py, the overlay socket in test_control.py, foreign addresses in
tests/lab/test_routes.py.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))

import lab  # noqa: E402
import load  # noqa: E402
import node  # noqa: E402

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all",
    "--bounding-set=-all", "--no-new-privs"]


def says(text, *words):
    """Every word (a regular expression) is in the text."""
    for word in words:
        lab.check(re.search(word, text), f"it does not say {word!r} but:\n{text.strip() or '(nothing)'}")


def refused(daemon, *words, code=1, args=()):
    """A start that must end at once, with this exit code and these words."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OVERLAY_", "XDG_"))}
    done = daemon.ns.run(node.program("overlayd"), "--state", daemon.state, "--socket", daemon.socket,
        "--listen-udp", daemon.port, *daemon.args, *args, ok=False, timeout=5, env=env)
    lab.check(done.returncode == code, f"exit {done.returncode}, expected {code}: {done.stderr}{done.stdout}")
    lab.check("ready" not in done.stdout, "it says ready and ends")
    says(done.stderr, *words)


def alone(name="alone", args=("--no-tun",), **kw):
    return node.Node(lab.Ns(name), name, args=args, **kw)


def neighbours(v4=("10.9.1.1/24", "10.9.1.2/24"), args=()):
    """Two machines on one cable with a daemon each, not started."""
    a, b = lab.Ns("a"), lab.Ns("b")
    lab.veth(a, "eth0", b, "eth0")
    a.address("eth0", v4[0])
    b.address("eth0", v4[1])
    return node.Node(a, args=args), node.Node(b, args=args)


def meet(a, b, address="10.9.1.2"):
    node.pair(a, b, node.endpoint(address))
    lab.check(load.ping_once(a.ns, b.address), "no first contact")


def contacts(daemon):
    return {p["name"]: p["peer"] for p in daemon.cli("peer", "list")["peers"]}


# --- the key -----------------------------------------------------------------------------------

def key_missing():
    """Made anew and said so; contacts stay, the name does not."""
    daemon = alone().start()
    key = daemon.state / "identity.key"
    says(daemon.log.read_text(), f"created file={key}")
    lab.check(stat.S_IMODE(key.stat().st_mode) == 0o600, f"mode {key.stat().st_mode:o}")
    before = daemon.peer
    daemon.cli("peer", "add", "friend", other_peer())
    daemon.stop()
    daemon.log.write_text("")
    daemon.start()
    lab.check(daemon.peer == before, "another key at the second start")
    lab.check("created" not in daemon.log.read_text(), "it says created and did not")
    daemon.stop()
    key.unlink()
    daemon.start()
    says(daemon.log.read_text(), f"created file={key}")
    lab.check(daemon.peer != before, "the key came back from nowhere")
    lab.check(list(contacts(daemon)) == ["friend"], "the contact went with the key")
    daemon.stop()


def other_peer():
    """The PeerId of somebody else."""
    other = alone(f"other{len(node.NODES)}").start()
    other.stop()
    return other.peer


def key_bad():
    """Short, readable by others, a link, in an open directory: refused, untouched, and repaired it goes on."""
    daemon = alone().start()
    peer, key = daemon.peer, daemon.state / "identity.key"
    daemon.stop()
    text = key.read_text()
    for cut in (0, 30, len(text) - 2):
        key.write_text(text[:cut])
        refused(daemon, f"{key} is damaged", "restore it from a backup", "move it away")
        lab.check(key.read_text() == text[:cut], "the damaged key was changed")
    key.write_text(text)
    key.chmod(0o644)
    refused(daemon, f"{key} is accessible to others .0644.", f"chmod 600 {key}")
    key.chmod(0o600)
    moved = key.with_name("elsewhere")
    key.rename(moved)
    key.symlink_to(moved)
    refused(daemon, f"{key} is a symbolic link", "replace it by the key file itself")
    key.unlink()
    moved.rename(key)
    daemon.state.chmod(0o755)
    refused(daemon, f"{daemon.state} is accessible to others .0755.", f"chmod 700 {daemon.state}")
    daemon.state.chmod(0o700)
    lab.check(daemon.start().peer == peer, "not the same key after the repairs")
    daemon.stop()


def state_in_use():
    daemon = alone().start()
    refused(daemon, f"another overlayd .pid {daemon.process.pid}. uses {daemon.state}", "--state DIR",
        args=["--listen-udp", "0"])
    lab.check(daemon.cli("status")["peer"] == daemon.peer, "the first one suffered")
    daemon.stop()


# --- the configuration -------------------------------------------------------------------------

def bad_configs(peers):
    """{name: (text, line, words of the message)}"""
    one, two = peers
    contact = '{"name": "x", "peer": "%s"}'
    return {
        "wrong type": ('{\n "listen": {"udp": "27182"}\n}', 2,
            ["listen.udp", "a number from 0 to 65535", "not a text"]),
        "wrong type of a section": ('{\n\n "tun": 7\n}', 3, ["tun", "an object"]),
        "out of range": ('{"tun": {\n"mtu": 1279\n}}', 2, ["tun.mtu", "from 1280 to 1420, not 1279"]),
        "unknown key": ('{\n "listne": {"udp": 1}\n}', 2, ["unknown key", "listne"]),
        "unknown key below": ('{\n "tun": {\n  "mut": 1300}\n}', 3, ["unknown key", 'did you mean "tun.mtu"']),
        "syntax": ('{\n "pairing": true,\n}', 3, ["not valid JSON"]),
        "no object": ("[]", 1, ["expected one JSON object"]),
        "two values": ('{"pairing": true,\n"pairing": false}', 2, ["pairing"]),
        "duplicate peer": ('{"contacts": [\n' + contact % one + ",\n" +
            '{"name": "y", "peer": "%s"}' % one + "\n]}", 3, ["same peer as x in line 2", "remove one"]),
        "duplicate name": ('{"contacts": [\n' + contact % one + ",\n" + contact % two + "\n]}", 3,
            ["the name x is taken in line 2", "choose another"]),
        "no PeerId": ('{"contacts": [\n{"name": "x", "peer": "abc"}]}', 2, ["abc", "no PeerId", "overlay id"]),
    }


def config_refused():
    """File and line, at the start, in `config check`, and at SIGHUP, which then changes nothing."""
    daemon = alone()
    file = daemon.dir / "overlay.json"
    daemon.args += ["--config", file]
    peers = [other_peer(), other_peer()]
    good = json.dumps({"contacts": [{"name": "good", "peer": peers[0]}]})
    file.write_text(good)
    daemon.start()
    bad = bad_configs(peers)
    idle = node.Node(daemon.ns, "idle", args=daemon.args)
    for what, (text, line, words) in bad.items():
        place = re.escape(f"{file}:{line}: ")
        file.write_text(text)
        refused(idle, place, *words, code=2)
        done = daemon.cli("config", "check", file, ok=False)
        lab.check(done.returncode == 1, f"{what}: config check exits with {done.returncode}")
        says(json.loads(done.stderr)["text"], place, *words)
        daemon.log.write_text("")
        daemon.process.send_signal(signal.SIGHUP)
        lab.wait_for(f"{what}: refusal at SIGHUP", 2, lambda: "not_reloaded" in daemon.log.read_text())
        says(daemon.log.read_text(), place, words[0])
        lab.check(list(contacts(daemon)) == ["good"], f"{what}: contacts changed")
    file.write_text(json.dumps({"contacts": [{"name": "good", "peer": peers[0]},
        {"name": "new", "peer": peers[1]}]}))
    daemon.process.send_signal(signal.SIGHUP)
    lab.wait_for("the repaired file", 2, lambda: set(contacts(daemon)) == {"good", "new"})
    daemon.stop()
    return {"files": len(bad)}


def options_refused():
    daemon = alone()
    refused(daemon, "unknown option --listne-udp", "did you mean --listen-udp", code=2, args=["--listne-udp", "1"])
    refused(daemon, "--tun-mtu", "from 1280 to 1420, not 1000", code=2, args=["--tun-mtu", "1000"])
    refused(daemon, "--listen-udp", "65536", code=2, args=["--listen-udp", "65536"])
    refused(daemon, "aead", "rot13", "chacha20-poly1305", code=2, args=["--aead", "rot13"])
    refused(daemon, "none.json", "No such file", code=2, args=["--config", daemon.dir / "none.json"])
    os.environ["OVERLAY_LISTEN_UDP"] = "many"
    try:
        done = daemon.ns.run(node.program("overlayd"), "--state", daemon.state, ok=False, timeout=5)
    finally:
        del os.environ["OVERLAY_LISTEN_UDP"]
    says(done.stderr, "OVERLAY_LISTEN_UDP", "a number from 0 to 65535", "many")


# --- the machine -------------------------------------------------------------------------------

def port_taken():
    daemon = alone()
    for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with daemon.ns.socket(family, socket.SOCK_DGRAM) as taken:
            if family == socket.AF_INET6:
                taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            taken.bind((any_address, daemon.port))
            refused(daemon, f"UDP port {daemon.port} is taken by another program", "--listen-udp")
    daemon.start().stop()


def socket_place_taken():
    daemon = alone()
    daemon.socket.write_text("mine")
    refused(daemon, f"{daemon.socket} exists and is not a socket", "move it away")
    lab.check(daemon.socket.read_text() == "mine", "the file was changed")


def lives_without_tun(daemon, *words):
    """No interface: it says why, shows why, and everything else works."""
    log = daemon.log.read_text()
    says(log, *words)
    status = daemon.cli("status")
    lab.check(status["tun"] is None, f"status shows an interface: {status['tun']}")
    says(status["tun_why"], *words)
    says(daemon.ns.run(node.program("overlay"), "--socket", daemon.socket, "status"), *words)
    other = node.Node(daemon.ns, "peer", port=0, args=["--no-tun"]).start()
    node.pair(daemon, other, node.endpoint("127.0.0.1", other.udp))
    pong = daemon.cli("ping", "peer", "-c", 1)
    lab.check(pong[0]["rtt_us"] > 0, "ping does not work without an interface")
    other.stop()
    daemon.stop()


def no_permission_for_tun():
    if not lab.is_real_root():
        raise lab.Skip("becoming uid 65534 needs root")
    target = lab.WORK / "bin"
    target.mkdir()
    for name in ("overlayd", "overlay"):
        shutil.copy(node.program(name), target / name)
    lab.BUILD = target
    own = lab.WORK / "tun"
    os.mknod(own, stat.S_IFCHR | 0o666, os.makedev(10, 200))
    own.chmod(0o666)
    lab.run("mount", "--bind", own, "/dev/net/tun")
    daemon = alone(args=(), user=AS_NOBODY).own(NOBODY).start()
    says(daemon.log.read_text(), "no permission to create the interface overlay0", "CAP_NET_ADMIN")
    daemon.stop()
    own.chmod(0o600)
    daemon.log.unlink()
    daemon.start()
    lives_without_tun(daemon, "/dev/net/tun: Permission denied", "run as root", "--no-tun")


def no_tun_device():
    lab.run("mount", "-t", "tmpfs", "none", "/dev/net")
    lives_without_tun(alone(args=()).start(), "there is no TUN device /dev/net/tun", "modprobe tun", "--no-tun")


def ipv6_absent():
    """The switch of sysctl: sessions over IPv4 all the same; the interface, whose addresses are IPv6,
    says what it lacks."""
    a, b = neighbours()
    for ns in (a.ns, b.ns):
        ns.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
        ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    a.start()
    b.start()
    says(a.log.read_text(), "the interface overlay0 cannot have its IPv6 address",
        "sysctl net.ipv6.conf.all.disable_ipv6=0", "--no-tun")
    node.pair(a, b, node.endpoint("10.9.1.2"))
    pong = a.cli("ping", "b", "-c", 2)
    lab.check(pong[0]["path"]["remote"] == "10.9.1.2:27182", f"the path is {pong[0]}")
    lab.check(a.cli("status")["features"]["ipv4"], "status denies IPv4")
    a.stop()
    b.stop()
    return {"rtt_us": pong[0]["rtt_us"]}


def narrow_underlay():
    """A cable of 900 bytes, below what IPv6 allows: packets of 1420 go in pieces."""
    a, b = neighbours()
    for ns in (a.ns, b.ns):
        ns.ip("link set dev eth0 mtu 900")
    a.start()
    b.start()
    meet(a, b)
    transfer = load.Transfer(a.ns, b.ns, b.address, 3).finish(20)
    pmtu = a.cli("peer", "show", "b")["paths"][0]["pmtu_bytes"]
    lab.check(576 <= pmtu <= 900 - 28, f"path MTU {pmtu} on a cable of 900")
    lab.check(a.ns.run("ping", "-n", "-c", "1", "-W", "2", "-s", "1300", b.address, ok=False).returncode == 0,
        "an inner packet of 1300 bytes does not arrive")
    a.stop()
    b.stop()
    return {"mbit": transfer.mbit(), "pmtu_bytes": pmtu}


class SmallDisk:
    """A tmpfs for the state directory that can be filled to the last byte."""

    def __init__(self, daemon, size):
        self.path, self.filler = daemon.state, daemon.state / "filler"
        self.path.mkdir(mode=0o700)
        lab.run("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", self.path)

    def fill(self):
        with open(self.filler, "ab", buffering=0) as out:
            try:
                while True:
                    out.write(bytes(4096))
            except OSError:
                pass

    def free(self):
        self.filler.unlink()


def disk_full():
    a, b = neighbours()
    disk = SmallDisk(a, "4m")
    a.start()
    b.start()
    meet(a, b)
    disk.fill()
    peer = other_peer()
    done = a.cli("peer", "add", "friend", peer, ok=False)
    lab.check(done.returncode == 1, f"peer add on a full disk exits with {done.returncode}: {done.stdout}")
    error = json.loads(done.stderr)
    lab.check(error["code"] == "io", f"code {error['code']}")
    says(error["text"] + error["hint"], "disk full", f"{a.state}/overlay.db", "free some space")
    lab.check(contacts(a) == {"b": b.peer}, f"contacts {contacts(a)} after a refusal")
    lab.check(load.ping_once(a.ns, b.address, 2), "the session died with the disk")
    disk.free()
    a.cli("peer", "add", "friend", peer)
    a.stop()
    a.start()
    lab.check(contacts(a) == {"b": b.peer, "friend": peer}, f"after the restart {contacts(a)}")
    lab.check(load.ping_once(a.ns, b.address, 5), "not found again after the restart")
    a.stop()
    b.stop()


def disk_full_at_first_start():
    daemon = alone()
    disk = SmallDisk(daemon, "1m")
    disk.fill()
    refused(daemon, f"{daemon.state}", "No space left|disk full", "free some space")
    disk.free()
    daemon.start().stop()


CASES = {f.__name__: f for f in (key_missing, key_bad, state_in_use, config_refused, options_refused,
    port_taken, socket_place_taken, no_permission_for_tun, no_tun_device, ipv6_absent, narrow_underlay,
    disk_full, disk_full_at_first_start)}

if __name__ == "__main__":
    sys.exit(lab.main(CASES, node.logs))
