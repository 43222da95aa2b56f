#!/usr/bin/env python3
"""Every `overlay` command with right and wrong input against real daemons: what it prints, JSON that
parses, exit codes 0 to 5; pairing, watch, signals, reload, restart. Hostile and clumsy clients of the
socket, and the help of each command, are in test_control.py.
"""
import json
import pathlib
import re
import shutil
import signal
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))

import lab  # noqa: E402
import load  # noqa: E402
import node  # noqa: E402

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
A, B = "10.9.1.1", "10.9.1.2"


def says(text, *words):
    for word in words:
        lab.check(re.search(word, text), f"it does not say {word!r} but:\n{text.strip() or '(nothing)'}")


def overlay(daemon, *words, code=0, user=(), **kw):
    """The finished command; its exit code is checked."""
    done = daemon.ns.run(*user, node.program("overlay"), "--socket", daemon.socket, *words, ok=False,
        timeout=20, **kw)
    lab.check(done.returncode == code, f"overlay {' '.join(map(str, words))}: exit {done.returncode}, "
        f"expected {code}\n{done.stdout}{done.stderr}")
    return done


def two(started=True, args=(), **kw):
    """a and b on one cable, who know only the addresses that they are given."""
    x, y = lab.Ns("a"), lab.Ns("b")
    lab.veth(x, "eth0", y, "eth0")
    x.address("eth0", f"{A}/24")
    y.address("eth0", f"{B}/24")
    nodes = [node.Node(ns, args=["--no-lan", *args], **kw) for ns in (x, y)]
    return [n.start() for n in nodes] if started else nodes


def friends(**kw):
    a, b = two(**kw)
    node.pair(a, b, node.endpoint(B), allow="icmp")
    a.cli("ping", "b", "-c", 1)
    return a, b


def contacts(daemon):
    """What the owner said of them, without what changes by itself."""
    return [{key: p[key] for key in ("name", "peer", "allow", "endpoints", "source")}
        for p in daemon.cli("peer", "list")["peers"]]


def state_of(daemon, name):
    return daemon.cli("peer", "show", name)["state"]


# --- each command ------------------------------------------------------------------------------

def right_input():
    """For eyes and as JSON; every line of --json is one object with the keys that programs read."""
    a, b = friends(args=["--no-tun"])
    hosts, config = a.dir / "hosts", a.dir / "overlay.json"
    hosts.write_text("127.0.0.1 localhost\n")
    config.write_text("{}")
    stranger = lab.Ns("c")
    third = node.Node(stranger, args=["--no-tun"]).start()
    table = [  # words; what people see; keys of the first JSON object
        (["id"], f"peer +{a.peer}\naddress +{a.address}", {"peer", "address", "prefix"}),
        (["id", "--short"], f"^{a.peer}$", {"peer"}),
        (["version"], r"overlay +\d.*\noverlayd +\d.*api 1", {"version", "overlayd"}),
        (["status"], r"b +up +[\d.]+ ms", {"peer", "peers", "counters", "features", "udp_port", "uptime_ms"}),
        (["peer", "list"], f"b\n +peer +{b.peer}", {"peers"}),
        (["peer", "show", "b"], rf"\* udp {re.escape(B)}:27182", {"peer", "state", "paths", "candidates", "allow"}),
        (["peer", "show", b.peer], "^b  up", {"peer"}),
        (["peer", "add", "c", third.peer], "c added", {"peer", "name", "allow"}),
        (["peer", "add", "c", third.peer, "192.0.2.7:1", "[2001:db8::1]:2", "c.example:3"], "calling it now",
            {"endpoints"}),
        (["peer", "allow", "c", "tcp/22,udp/53", "icmp"], "may +icmp message tcp/22 udp/53", {"allow"}),
        (["peer", "allow", "c", "--remove", "tcp/22"], "may +icmp message udp/53", {"allow"}),
        (["peer", "lan-only", "c", "on"], "c is reached on networks of this machine only", {"lan_only"}),
        (["peer", "show", "c"], "lan only ", {"lan_only"}),
        (["peer", "list"], r"c\n(  .*\n)*  lan only", {"peers"}),
        (["peer", "add", "c", third.peer, "tcp:192.0.2.7:443"], "calling it now", {"endpoints"}),
        (["peer", "show", "c"], r"   tcp:192\.0\.2\.7:443 +config +\w+", {"candidates"}),
        (["status"], r"no path; \d addresses known; lan only", {"lan_only"}),
        (["why", "c"], r"lan_only of this contact.*\(policy\)", {"code", "text"}),
        (["peer", "lan-only", "c", "off"], "c is reached wherever", {"lan_only"}),
        (["peer", "rename", "c", "sea"], "sea is the new name of c", {"name"}),
        (["peer", "remove", "sea"], "sea removed", {"name"}),
        (["peer", "requests"], "none are taken now", {"requests", "pairing"}),
        (["ping", "b", "-c", "2", "-i", "0.05"], "2 sent, 2 received, 0 % lost",
            {"peer", "rtt_us", "path", "observed", "pmtu_bytes"}),
        (["ping", a.peer, "-c", "1"], "1 sent, 1 received", {"rtt_us"}),
        (["hosts", "--dry-run"], f"{b.address} +b.overlay", None),
        (["hosts", "--file", hosts], "", None),
        (["hosts", "--file", hosts, "--remove"], "", None),
        (["config", "check", config], "is good: 0 contacts", {"file", "exists", "contacts"}),
    ]
    undo = {"rename": ["peer", "rename", "sea", "c"], "remove": ["peer", "add", "sea", third.peer]}
    for words, seen, keys in table:
        says(overlay(a, *words).stdout, seen)
        if words[0] == "peer" and words[1] in undo:
            overlay(a, *undo[words[1]])
        elif "tcp/22" in words and "--remove" in words:
            overlay(a, "peer", "allow", "c", "tcp/22")
        out = overlay(a, *words, "--json").stdout
        objects = [json.loads(line) for line in out.splitlines()]
        lab.check(objects and all(isinstance(o, dict) for o in objects), f"{words} --json: {out!r}")
        lab.check(keys is None or keys <= objects[0].keys(), f"{words} --json: {sorted(objects[0])} lacks "
            f"{sorted((keys or set()) - objects[0].keys())}")
    a.cli("peer", "lan-only", "b", "on")
    status = a.cli("status")
    lab.check([status["lan_only"], *(p["lan_only"] for p in status["peers"])] == [False, True], f"{status}")
    a.cli("peer", "lan-only", "b", "off")
    summary = json.loads(overlay(a, "ping", b.peer, "-c", "1", "--json").stdout.splitlines()[-1])["summary"]
    lab.check((summary["peer"], summary["name"]) == (b.peer, "b"), f"ping --json: {summary}")
    return {"commands": len(table)}


def contacts(node):
    """What the owner set; where and when a peer was seen changes by itself."""
    listed = json.loads(overlay(node, "peer", "list", "--json").stdout)
    return [{key: c[key] for key in ("peer", "name", "allow", "endpoints", "source", "lan_only")} for c in listed["peers"]]


def wrong_input():
    """Exit code, and words that say what was wrong and what to do; never a change."""
    a, b = friends(args=["--no-tun"])
    nearly = b.peer[:-1]
    before = contacts(a)
    table = [  # words; exit code; what stderr says
        (["stauts"], 2, ["unknown command", "did you mean: overlay status"]),
        (["peer"], 2, ["peer what", "overlay peer add"]),
        (["peer", "ad"], 2, ["did you mean: overlay peer add"]),
        (["status", "now"], 2, ["too many arguments", "usage: overlay status"]),
        (["status", "--jsno"], 2, ["unknown option", "overlay status --help"]),
        (["peer", "lan-only", "b", "yes"], 2, ["neither on nor off", "overlay peer lan-only PEER on"]),
        (["peer", "lan-only", "nobody", "on"], 1, ["no peer", "nobody"]),
        (["peer", "add", "x"], 2, ["too few arguments", "usage: overlay peer add NAME PEERID"]),
        (["peer", "add", "x", nearly], 2, ["is not a PeerId", "56 characters", "overlay id"]),
        (["peer", "add", "x", a.peer], 2, ["PeerId of this machine", "on the other machine"]),
        (["peer", "add", "-x-", b.peer], 2, ["unknown option"]),
        (["peer", "add", "x y", b.peer], 2, ['"x y" cannot be a name', "letters, digits"]),
        (["peer", "add", "other", b.peer], 2, ["known as b", "overlay peer rename b other"]),
        (["peer", "add", "b", b.peer, "1.2.3.4:99999"], 2, ["is not an endpoint", "1.2.3.4:27182"]),
        (["peer", "add", "b", b.peer, "--allow", "tpc/22"], 2, ['"tpc/22" is not a grant', "tcp/PORT"]),
        (["peer", "show", "c"], 1, ["c"]),
        (["peer", "show", "B"], 1, ["did you mean b"]),
        (["peer", "rename", "b", "/"], 2, ["cannot be a name"]),
        (["peer", "remove", "c"], 1, ["c"]),
        (["peer", "allow", "b", "tcp/0"], 2, ["is not a grant"]),
        (["peer", "allow", "b", "--remove", "tcp/9"], 2, ["has no grant tcp/9", "overlay peer show b"]),
        (["peer", "accept", nearly + ("a" if b.peer[-1] != "a" else "b")], None, ["nobody can ask now|is not a PeerId"]),
        (["peer", "refuse", b.peer], 1, ["nobody can ask now", "overlay peer add"]),
        (["ping", "c"], 1, ["c"]),
        (["ping", "b", "-c", "many"], 2, ["--count: many is not a number"]),
        (["ping", "b", "-W", "0"], 2, ["--timeout: 0 is not a number from"]),
        (["watch", "peer.upp"], 2, ["peer.upp"]),
        (["hosts", "--file", a.dir / "none"], 1, ["cannot read", "none"]),
        (["config", "check", a.dir / "none"], 1, ["none", "No such file"]),
        (["help", "nonsense"], 2, ["unknown command"]),
        (["nonsense", "--help"], 2, ["unknown command"]),
        (["facilitator"], 2, ["facilitator what", "overlay facilitator status"]),
        (["facilitator", "status", "x"], 2, ["too many arguments", "usage: overlay facilitator status"]),
        (["visible", "--as", "x"], 2, ["for how long", "overlay visible 10m --as NAME"]),
        (["visible", "10m"], 4, ["does not speak on the LAN", "--no-lan"]),
        (["invite", "--expires", "400d"], 2, ["at most 365d", "15m"]),
        (["invite", "revoke", "12345678"], 1, ["no invite", "overlay invite list"]),
        (["invite", "revoke", "me"], 2, ["not the id of an invite", "8 hexadecimal digits"]),
        (["peer", "add", "b", b.peer, "tcp:"], 2, ["is not an endpoint", "tcp:host.example:443"]),
    ]
    for words, code, seen in table:
        done = a.ns.run(node.program("overlay"), "--socket", a.socket, *words, ok=False, timeout=20)
        lab.check(done.returncode == code if code else done.returncode in (1, 2),
            f"overlay {words}: exit {done.returncode}, expected {code}: {done.stdout}{done.stderr}")
        lab.check(not done.stdout, f"overlay {words}: prints its error to stdout: {done.stdout}")
        says(done.stderr, *seen)
        lab.check(not re.search(r"[ \t]$", done.stderr, re.MULTILINE), f"trailing blank: {done.stderr!r}")
    lab.check(contacts(a) == before, "wrong input changed the contacts")
    error = json.loads(overlay(a, "peer", "show", "B", "--json", code=1).stderr)
    lab.check(error.keys() == {"code", "text", "hint"} and error["code"] == "unknown-peer", f"{error}")
    for words, text, hint in [
        (["status", "--jsno", "--json"], "unknown option: --jsno", "overlay status --help"),
        (["status", "--json=1", "--json"], "this option takes no value: --json=1", "overlay status --help"),
        (["stauts", "--json"], 'unknown command "stauts"', "did you mean: overlay status"),
        (["frob\udcff", "--json"], 'unknown command "frob?"', "overlay --help lists the commands"),
        (["peer", "--json"], "peer what?", "overlay peer --help"),
        (["--json"], "no command", "overlay --help lists the commands"),
    ]:
        error = json.loads(overlay(a, *words, code=2).stderr)
        lab.check(error == {"code": "bad-argument", "text": text, "hint": hint}, f"{words}: {error}")
    error = json.loads(overlay(a, "why", "--json", code=2).stderr)
    lab.check(error["code"] == "bad-argument" and error["hint"] == "usage: overlay why PEER", f"{error}")
    return {"commands": len(table)}


def exit_codes():
    """0 ok, 1 failed, 2 usage, 3 no daemon, 4 not allowed, 5 away."""
    a, b = two(started=False, args=["--no-tun"])
    b.start()
    file = a.dir / "overlay.json"
    file.write_text('{"contacts": [\n\n{"name": "fixed", "peer": "%s"}]}' % b.peer)
    a.args += ["--config", file]
    says(overlay(a, "status", code=3).stderr, "is overlayd running|not running|no overlayd", str(a.socket))
    says(overlay(a, "version").stdout, "overlayd +not reached")
    a.start()
    overlay(a, "status")
    overlay(a, "peer", "show", "nobody", code=1)
    overlay(a, "status", "--nonsense", code=2)
    says(overlay(a, "peer", "remove", "fixed", code=4).stderr, re.escape(f"{file}:3"), "edit")
    says(overlay(a, "ping", "fixed", "-c", "1", "-W", "0.3", code=5).stderr, "fixed",
        "overlay peer add fixed PEERID IP:PORT")
    summary = json.loads(overlay(a, "ping", "fixed", "-c", "1", "-W", "0.3", "--json", code=5).stdout)["summary"]
    lab.check((summary["peer"], summary["name"]) == (b.peer, "fixed"), f"ping --json without an answer: {summary}")
    if lab.is_real_root():
        a.dir.chmod(0o755)
        target = lab.WORK / "bin"
        target.mkdir()
        shutil.copy(node.program("overlay"), target)
        done = a.ns.run(*AS_NOBODY, target / "overlay", "--socket", a.socket, "status", ok=False)
        lab.check(done.returncode == 4, f"a stranger to the socket: exit {done.returncode}")
        says(done.stderr, "permission denied", "join group overlay")
        hosts = a.dir / "hosts"
        hosts.write_text("")
        a.socket.chmod(0o666)
        done = a.ns.run(*AS_NOBODY, target / "overlay", "--socket", a.socket, "hosts", "--file", hosts, ok=False)
        lab.check(done.returncode == 4 and hosts.read_text() == "", f"hosts as nobody: {done}")


def missing_grant():
    """What a contact may not do is said to the owner, with the command that allows it; then it works."""
    a, b = two()
    node.pair(a, b, node.endpoint(B), allow="icmp")
    lab.check(load.ping_once(a.ns, b.address), "no first contact")
    with b.ns.socket(socket.AF_INET6, socket.SOCK_STREAM) as server:
        server.bind((b.address, 22))
        server.listen()

        def connects():
            with a.ns.socket(socket.AF_INET6, socket.SOCK_STREAM) as client:
                client.settimeout(0.3)
                return client.connect_ex((b.address, 22)) == 0
        lab.check(not connects(), "tcp/22 without a grant")
        says(b.log.read_text(), "refused grant=tcp/22 name=a")
        says(overlay(b, "peer", "show", "a").stdout,
            "tcp/22 not allowed for a: overlay peer allow a tcp/22")
        overlay(b, "peer", "allow", "a", "tcp/22")
        lab.check(connects(), "tcp/22 with its grant")
        overlay(b, "peer", "allow", "a", "--remove", "tcp/22")
        lab.check(not connects(), "tcp/22 after the grant was taken away")


# --- strangers ---------------------------------------------------------------------------------

def pairing():
    """A stranger's call is listed while pairing is on, can be refused, and accepted becomes a contact."""
    a, b = two(started=False, args=["--no-tun"])
    file = b.dir / "overlay.json"
    file.write_text('{"pairing": true}')
    b.args += ["--config", file]
    a.start()
    b.start()
    a.cli("peer", "add", "b", b.peer, node.endpoint(B))

    def requests():
        return b.cli("peer", "requests")["requests"]
    lab.wait_for("the request", 3, requests)
    lab.check([(r["peer"], r["from"]) for r in requests()] == [(a.peer, node.endpoint(A))], f"{requests()}")
    says(overlay(b, "status").stdout, "overlay peer requests")
    says(overlay(b, "peer", "requests").stdout, a.peer, "overlay peer accept")
    overlay(b, "peer", "refuse", a.peer)
    lab.check(b.cli("peer", "list")["peers"] == [], "refused, and yet a contact")
    lab.wait_for("it asks again", 10, requests)
    says(overlay(b, "peer", "accept", a.peer, "anna", "--allow", "tcp/22").stdout, "anna added", "tcp/22")
    lab.check(requests() == [], "accepted, and still a request")
    lab.wait_for("a session", 8, lambda: state_of(b, "anna") == "up")
    b.cli("ping", "anna", "-c", 1)
    b.cli("peer", "remove", "anna")
    file.write_text('{"pairing": false}')
    b.process.send_signal(signal.SIGHUP)
    lab.wait_for("pairing off", 2, lambda: not b.cli("peer", "requests")["pairing"])


def watch():
    """peer.up when a peer comes, path.changed when it moves, peer.down when it is removed or gone."""
    a, b = two()
    out, human = a.dir / "events", a.dir / "human"
    with open(out, "wb") as json_out, open(human, "wb") as text_out:
        watchers = [a.ns.popen(node.program("overlay"), "--socket", a.socket, "watch", *words, stdout=to)
            for words, to in ((["--json", "peer.up", "path.changed"], json_out), ([], text_out))]
    time.sleep(0.2)
    b.add(a)
    a.add(b, node.endpoint(B))

    def events(kind):
        return [e for e in map(json.loads, out.read_text().splitlines()) if e["event"] == kind]
    lab.wait_for("peer.up", 4, lambda: events("peer.up"))
    up = events("peer.up")[0]
    lab.check(up["name"] == "b" and up["peer"] == b.peer and up["remote"] == node.endpoint(B) and up["at"].endswith("Z"), f"{up}")
    before = len(events("path.changed"))
    b.ns.ip(f"addr del {B}/24 dev eth0", "addr add 10.9.1.9/24 dev eth0")
    lab.check(load.ping_once(b.ns, a.address), "b is cut off by its move")
    lab.wait_for("path.changed", 4, lambda: len(events("path.changed")) > before)
    lab.check(events("path.changed")[-1]["remote"] == "10.9.1.9:27182", f"{events('path.changed')}")
    says(human.read_text(), r"peer\.up +b at 10\.9\.1\.2:27182", r"path\.changed +b at 10\.9\.1\.2:27182", r"path\.changed +b at 10\.9\.1\.9:27182")
    for watcher in watchers:
        watcher.send_signal(signal.SIGINT)
        lab.check(watcher.wait(2) == 0, "watch: Ctrl-C is no error")


# --- the life of a daemon ----------------------------------------------------------------------

def signals():
    """SIGTERM and SIGINT: exit 0 within 2 s, with sessions up and a transfer under way."""
    figures = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        name = number.name.lower()
        x, y = lab.Ns(f"a-{name}"), lab.Ns(f"b-{name}")
        lab.veth(x, "eth0", y, "eth0")
        x.address("eth0", f"{A}/24")
        y.address("eth0", f"{B}/24")
        a, b = node.Node(x).start(), node.Node(y).start()
        node.pair(a, b, node.endpoint(B))
        lab.check(load.ping_once(x, b.address), "no first contact")
        load.Transfer(x, y, b.address, 5000)
        time.sleep(0.3)
        start = time.monotonic()
        a.process.send_signal(number)
        status = a.process.wait(2)
        figures[f"{name}_ms"] = (time.monotonic() - start) * 1e3
        lab.check(status == 0, f"{name}: exit {status}")
        lab.check(not a.socket.exists(), f"{name}: the socket is left behind")
        b.stop()
    return figures


def reload():
    """SIGHUP: a contact of the file is called at once, sessions stay."""
    a, b = two(started=False, args=["--no-tun"])
    other = node.Node(b.ns, "other", port=4242, args=["--no-tun"]).start()
    file = a.dir / "overlay.json"
    file.write_text("{}")
    a.args += ["--config", file]
    a.start()
    b.start()
    node.pair(a, b, node.endpoint(B))
    other.add(a)
    a.cli("ping", "b", "-c", 1)
    handshakes = b.cli("status")["counters"]["handshakes"]
    file.write_text(json.dumps({"contacts": [{"name": "other", "peer": other.peer,
        "endpoints": [node.endpoint(B, 4242)], "allow": ["tcp/80"]}]}))
    a.process.send_signal(signal.SIGHUP)
    lab.wait_for("a session with the new contact", 3, lambda: "other" in
        {p["name"] for p in a.cli("status")["peers"] if p["state"] == "up"})
    shown = a.cli("peer", "show", "other")
    lab.check(shown["allow"] == ["tcp/80"] and shown["source"] == "config", f"{shown}")
    a.cli("ping", "b", "-c", 1)
    lab.check(b.cli("status")["counters"]["handshakes"] == handshakes, "the reload cost b its session")


def restart():
    """Contacts stay; who was only ever called back is reached by its last endpoint, nobody told."""
    a, b = friends(args=["--no-tun"])
    lab.check(b.cli("peer", "show", "a")["endpoints"] == [], "b was told where a is")
    b.cli("peer", "allow", "a", "tcp/443")
    lab.check(b.cli("peer", "show", "a")["last_endpoint"] == node.endpoint(A), "b does not say where a was")
    time.sleep(0.5)  # a hint, written when there is nothing else to do
    b.process.kill()
    b.process.wait()
    b.start()
    lab.wait_for("a session after the restart", 3, lambda: state_of(b, "a") == "up")
    lab.check("tcp/443" in b.cli("peer", "show", "a")["allow"], "the grant is lost")
    b.cli("ping", "a", "-c", 1)


CASES = {f.__name__: f for f in (right_input, wrong_input, exit_codes, missing_grant, pairing, watch, signals,
    reload, restart)}

if __name__ == "__main__":
    sys.exit(lab.main(CASES, node.logs))
