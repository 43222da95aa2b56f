#!/usr/bin/env python3
"""Two machines become contacts by one line: invite, join, both up. Used once, until it expires; whoever is
restarted or killed in between finds the other all the same; the inviter's disk never holds the secret.
"""
import base64
import json
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))

import lab  # noqa: E402
import node  # noqa: E402

A, B, A2, C = "10.9.1.1", "10.9.1.2", "10.9.2.1", "10.9.2.2"
UP_S = 10


def machines(count=2):
    """a and b on one cable, a and c on another. Daemons are started."""
    spaces = [lab.Ns(name) for name in "abc"[:count]]
    a, b = spaces[:2]
    lab.veth(a, "eth0", b, "eth0")
    a.address("eth0", f"{A}/24")
    b.address("eth0", f"{B}/24")
    if count == 3:
        lab.veth(a, "eth1", spaces[2], "eth0")
        a.address("eth1", f"{A2}/24")
        spaces[2].address("eth0", f"{C}/24")
    return [node.Node(ns, args=["--no-tun", "--no-lan", "--no-portmap"]).start() for ns in spaces]


def overlay(daemon, *words, code=0):
    """The finished command, for eyes; its exit code is checked."""
    done = daemon.ns.run(node.program("overlay"), "--socket", daemon.socket, *words, ok=False, timeout=30)
    lab.check(done.returncode == code, f"overlay {' '.join(map(str, words))}: exit {done.returncode}, "
        f"expected {code}\n{done.stdout}{done.stderr}")
    return done


def says(text, *words):
    for word in words:
        lab.check(re.search(word, text), f"it does not say {word!r} but:\n{text.strip() or '(nothing)'}")


def invite(daemon, *words):
    return daemon.cli("invite", *words)["line"]


def names(daemon):
    return [p["name"] for p in daemon.cli("peer", "list")["peers"]]


def is_up(daemon, name):
    return daemon.cli("peer", "show", name)["state"] == "up"


def both_up(a, b, name_of_b, name_of_a):
    lab.wait_for("both up", UP_S, lambda: names(a) and is_up(a, name_of_b) and is_up(b, name_of_a))


def kill(daemon):
    daemon.process.kill()
    daemon.process.wait()


def secret_of(line):
    text = line.removeprefix("overlay:").upper()
    return base64.b32decode(text + "=" * (-len(text) % 8))[35:51]


def disk(daemon):
    """All bytes of the store. Not the log: it is searched as text."""
    return b"".join(p.read_bytes() for p in sorted(daemon.state.glob("overlay.db*")) if p.suffix != ".reserve")


def invite_and_join():
    """One command on each machine. What people see, and what programs get."""
    a, b = machines()
    shown = overlay(a, "invite", "--name", "bee", "--as", "ay", "--allow", "tcp/22")
    line = shown.stdout.strip()
    lab.check(re.fullmatch(r"overlay:[a-z2-7]+", line), f"not one line of one word: {shown.stdout!r}")
    says(shown.stderr, "overlay join LINE", "good once, until 20", "as you would a password")
    says(overlay(a, "invite", "list").stdout, r"[0-9a-f]{8}  for bee, until .* may icmp,message,tcp/22")
    start = time.monotonic()
    says(overlay(b, "join", line, "--allow", "udp/53").stdout, f"connected to ay via udp {re.escape(A)}:27182")
    took = time.monotonic() - start
    both_up(a, b, "bee", "ay")
    lab.check(a.cli("peer", "show", "bee")["allow"] == ["icmp", "message", "tcp/22"], "grants of the guest")
    lab.check(b.cli("peer", "show", "ay")["allow"] == ["icmp", "message", "udp/53"], "grants of the inviter")
    a.cli("ping", "bee", "-c", 1)
    b.cli("ping", "ay", "-c", 1)
    says(overlay(a, "invite", "list").stdout, "no invites wait")
    says(a.log.read_text(), f"invite joined name=bee peer={b.peer}")
    for words in (["invite"], ["invite", "--qr"], ["invite", "--no-qr", "--expires", "12h"]):
        made = a.cli(*words)
        lab.check({"id", "line", "name", "allow", "expires_at", "endpoints", "facilitators"} <= made.keys(), f"{made}")
    lab.check(f"{A}:27182" in made["endpoints"], f"endpoints {made['endpoints']}")
    listed = a.cli("invite", "list")
    lab.check(len(listed["invites"]) == 3 and "overlay:" not in json.dumps(listed), f"{listed}")
    gone = a.cli("invite", "revoke", made["id"])
    lab.check(gone["id"] == made["id"] and len(a.cli("invite", "list")["invites"]) == 2, "revoke")
    lab.check(made["line"] not in a.log.read_text(), "the log has the line")
    return {"join_ms": took * 1000}


def qr_code():
    """A picture of the line: a square, quiet around it, with the three corners that cameras look for."""
    a, _ = machines()
    out = overlay(a, "invite", "--qr").stdout.splitlines()
    lab.check(out[0].startswith("overlay:"), "the line comes first")
    rows = [re.sub(r"\033\[[0-9;]*m", "", row) for row in out[1:]]
    width = len(rows[0])
    lab.check(all(len(r) == width for r in rows) and len(rows) == (width + 1) // 2, "not a square")
    light = []  # two modules in a character
    for row in rows:
        light += [[c in "\u2580\u2588" for c in row], [c in "\u2584\u2588" for c in row]]
    lab.check(all(all(r[:4]) and all(r[-4:]) for r in light[:width]) and all(map(all, light[:4])), "no quiet zone")
    for x, y in ((4, 4), (width - 11, 4), (4, width - 11)):
        finder = ["".join("." if light[y + j][x + i] else "#" for i in range(7)) for j in range(7)]
        lab.check(finder == ["#######", "#.....#", "#.###.#", "#.###.#", "#.###.#", "#.....#", "#######"],
            "\n".join(finder))


def used_once():
    """The second machine with the same line gets silence; nothing of it is kept."""
    a, b, c = machines(3)
    line = invite(a, "--name", "bee")
    overlay(b, "join", line, "--name", "ay")
    both_up(a, b, "bee", "ay")
    says(overlay(c, "join", line, "--name", "ay", "--wait", "2").stdout, "ay added; will connect when it is reachable")
    lab.check(names(a) == ["bee"], f"{names(a)}")
    lab.check(a.cli("status")["counters"]["drops"]["stranger"] >= 2, "not counted")
    lab.check(a.cli("invite", "list")["refused"] >= 2, "not counted as refused")
    says(a.log.read_text(), f"invite refused peer={c.peer} why=unknown_or_used")
    lab.check(c.cli("status")["counters"]["drops"]["auth"] == 0 and not is_up(c, "ay"), "c was answered")
    # Another one for the same inviter, and it is in.
    says(overlay(c, "join", invite(a, "--name", "bee-2")).stdout, "connected to ay")
    both_up(a, c, "bee-2", "ay")
    lab.check(a.cli("peer", "requests")["requests"] == [], "a request without pairing")


def expired():
    """Nobody takes it, nobody shows it any more, and it leaves the disk."""
    a, b = machines()
    line = invite(a, "--expires", "2s")
    late = invite(a, "--expires", "3s")
    kill(a)
    says(overlay(b, "join", late, "--name", "ay", "--wait", "0").stdout, "ay added")
    time.sleep(3.1)
    says(overlay(b, "join", line, code=1).stderr, "the invite expired at 20", "ask for a new one")
    a.start()
    overlay(b, "ping", "ay", "-c", "1", "-W", "0.5", code=5)
    lab.check(a.cli("status")["counters"]["drops"]["stranger"] > 0, "b did not call")
    lab.check(a.cli("invite", "list") == {"invites": [], "refused": 0}, "an expired invite is listed, or was shown")
    lab.check(names(a) == [] and not is_up(b, "ay"), "the guest was let in")
    b.stop()
    lab.check(late.encode() not in disk(b), "the guest keeps the expired line")


def revoked():
    """The guest has the line in time; the inviter has changed its mind."""
    a, b = machines()
    made = a.cli("invite", "--name", "bee")
    a.cli("invite", "revoke", made["id"])
    says(overlay(b, "join", made["line"], "--name", "ay", "--wait", "1").stdout, "ay added; will connect")
    lab.check(names(a) == [] and a.cli("invite", "list")["refused"] > 0, "not refused")
    says(a.log.read_text(), f"invite refused peer={b.peer} why=unknown_or_used")


def restarts():
    """Either side is killed between invite and join, and the guest between join and first session."""
    a, b = machines()
    line = invite(a, "--name", "bee", "--allow", "tcp/22")
    kill(a)
    kill(b)
    b.start()
    says(overlay(b, "join", line, "--name", "ay", "--wait", "0.2").stdout, "ay added; will connect")
    kill(b)
    lab.check(secret_of(line) not in disk(a), "the inviter's disk has the secret")
    lab.check(line.encode() in disk(b), "the guest's disk lacks the line: the check above finds nothing")
    a.start()
    lab.check(len(a.cli("invite", "list")["invites"]) == 1, "the invite did not survive")
    b.start()
    both_up(a, b, "bee", "ay")
    lab.check(a.cli("invite", "list")["invites"] == [], "the invite is still there")
    lab.check("tcp/22" in a.cli("peer", "show", "bee")["allow"], "the grant is lost")
    a.stop()
    b.stop()
    lab.check(line.encode() not in disk(b), "the guest keeps the line")
    lab.check(secret_of(line) not in disk(a), "the inviter's disk has the secret")
    a.start()
    b.start()
    both_up(a, b, "bee", "ay")


def killed_inviter():
    """The inviter commits, is cut off and killed before the guest hears of it: the guest goes on showing the
    secret, which is used, and is a contact all the same."""
    a, b = machines()
    line = invite(a, "--name", "bee")
    for family in ("ip", "ip6"):
        b.ns.nft(f"table {family} t {{\n chain i {{\n type filter hook input priority 0\n udp sport 27182 drop\n }}\n}}\n")
    overlay(b, "join", line, "--name", "ay", "--wait", "0")
    lab.wait_for("a knows b", UP_S, lambda: names(a) == ["bee"])
    kill(a)
    lab.check(not is_up(b, "ay"), "b heard of it")
    b.ns.nft("delete table ip t\ndelete table ip6 t\n")
    a.start()
    both_up(a, b, "bee", "ay")
    lab.check(names(a) == ["bee"] and names(b) == ["ay"], "a contact twice")


def wrong_input():
    """Words that say what is wrong and what to do; never a change."""
    a, b = machines()
    line = invite(a)
    mistyped = line[:80] + ("a" if line[80] != "a" else "b") + line[81:]
    table = [
        (["join"], 2, ["too few arguments", "usage: overlay join LINE"]),
        (["join", line[:-3]], 2, ["end of the invite is missing", "whole line"]),
        (["join", line + "a"], 2, ["followed by something else"]),
        (["join", mistyped], 2, ["changed or mistyped", "copy it again"]),
        (["join", line.replace("overlay:", "")], 2, ["this is no invite", "overlay invite"]),
        (["join", a.peer], 2, ["overlay peer add NAME PEERID"]),
        (["join", "overlay:a" + "z" * 150], 2, ["newer version|changed or mistyped"]),
        (["join", line, "--allow", "tpc/1"], 2, ["not a grant"]),
        (["join", line, "--name", "a b"], 2, ["cannot be a name"]),
        (["join", line, "--wait", "long"], 2, ["--wait: long is not a number"]),
        (["invite", "--expires", "1w"], 2, ["no duration", "12h or 1d"]),
        (["invite", "--expires", "500d"], 2, ["at most 365d"]),
        (["invite", "--name", "-"], 2, ["cannot be a name"]),
        (["invite", "--allow", "everything"], 2, ["not a grant"]),
        (["invite", "revoke", "00000000"], 1, ["no invite", "overlay invite list"]),
    ]
    for words, code, seen in table:
        done = overlay(b, *words, code=code)
        says(done.stderr, *seen)
        lab.check(not done.stdout, f"{words}: {done.stdout}")
    says(overlay(a, "join", line, code=2).stderr, "this machine made the invite")
    lab.check(names(b) == [] and b.cli("invite", "list")["invites"] == [], "wrong input changed something")
    for _ in range(63):
        invite(a)
    says(overlay(a, "invite", code=1).stderr, "64 invites wait", "overlay invite revoke")
    lab.check(len(a.cli("invite", "list")["invites"]) == 64, "not 64")
    done = b.ns.run("sh", "-c", f"echo overlay:aea | {node.program('overlay')} --socket {b.socket} join -", ok=False)
    lab.check(done.returncode == 2 and "is missing" in done.stderr, f"join -: {done}")
    says(overlay(b, "join", line.upper().replace("OVERLAY:", "overlay:"), "--name", "ay").stdout, "connected to ay")
    invite(a)  # there is room again
    return {"commands": len(table)}


CASES = {f.__name__: f for f in (invite_and_join, qr_code, used_once, expired, revoked, restarts, killed_inviter,
    wrong_input)}

if __name__ == "__main__":
    sys.exit(lab.main(CASES, node.logs))
