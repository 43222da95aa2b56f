#!/usr/bin/env python3
"""Two machines that never met, on one LAN: one shows itself, the other finds and adds it, the first accepts. And a
third that shouts."""
import socket
import struct
import sys
import time

import lab
import node
import test_lan

BROADCAST = "10.7.0.255"


def nearby(daemon):
    return {p["peer"]: p for p in daemon.cli("nearby")["nearby"]}


def started():
    world = test_lan.Lan()
    return world, node.Node(world.desk).start(), node.Node(world.laptop).start()


def up(a, b):
    return test_lan.state(a, b)["state"] == "up" and test_lan.state(b, a)["state"] == "up"


def visible_nearby_add_accept():
    _, desk, laptop = started()
    lab.check(not desk.cli("visible")["visible"] and nearby(laptop) == {}, "visible without being asked")
    shown = desk.cli("visible", "10m", "--as", "the-desk")
    lab.check(shown["visible"] and shown["name"] == "the-desk" and shown["pairing"] and
        590_000 < shown["left_ms"] <= 600_000, f"visible says {shown}")
    start = time.monotonic()
    lab.wait_for("desk nearby", 2, lambda: desk.peer in nearby(laptop))
    seen_ms = (time.monotonic() - start) * 1e3
    found = nearby(laptop)[desk.peer]
    lab.check(found["name"] == "the-desk" and found["contact"] is None and found["ago_ms"] < 3000, f"nearby {found}")
    lab.check(nearby(desk) == {}, "desk lists itself, or who is not visible")

    added = laptop.cli("peer", "add", "desk", desk.peer, "--allow", "all")
    lab.check(added["calling"], f"peer add says {added}")
    lab.wait_for("the request", 2, lambda: [r["peer"] for r in desk.cli("peer", "requests")["requests"]] == [laptop.peer])
    desk.cli("peer", "accept", laptop.peer, "laptop", "--allow", "all")
    lab.wait_for("both up", 3, lambda: up(desk, laptop))
    met_ms = (time.monotonic() - start) * 1e3
    lab.check(laptop.cli("ping", "desk", "-c", 1)[0]["rtt_us"] > 0, "no answer to a ping")
    lab.check(nearby(laptop)[desk.peer]["contact"] == "desk", "nearby does not say that it is a contact")
    ended = desk.cli("visible", "off")
    lab.check(not ended["visible"] and not ended["pairing"], f"visible off says {ended}")
    return {"seen_ms": seen_ms, "met_ms": met_ms}


def it_ends():
    """By itself, and with the daemon; then nobody can ask, and who was listed is forgotten."""
    _, desk, laptop = started()
    desk.cli("visible", "2s")
    lab.wait_for("desk nearby", 2, lambda: desk.peer in nearby(laptop))
    lab.wait_for("its end", 4, lambda: not desk.cli("visible")["visible"])
    laptop.cli("peer", "add", "desk", desk.peer)
    time.sleep(1)
    asked = desk.cli("peer", "requests")
    lab.check(asked == {"requests": [], "pairing": False}, f"requests say {asked}")
    desk.cli("visible", "10m")
    lab.wait_for("a request", 7, lambda: desk.cli("peer", "requests")["requests"])
    desk.stop()
    desk.start()
    lab.check(not desk.cli("visible")["visible"], "visible after a restart")
    lab.check(desk.cli("peer", "requests")["requests"] == [], "requests after a restart")
    for words, part in ((("visible", "soon"), "no duration"), (("visible", "2d"), "at most 1d"),
            (("visible", "1m", "--as", "\033[31m"), "cannot be a name")):
        done = desk.cli(*words, ok=False)
        lab.check(done.returncode != 0 and part in done.stderr and "\033" not in done.stderr, f"{words}: {done.stderr}")
    return {}


def load_model():
    """Primitives of tests/vectors: an implementation of its own."""
    path = lab.ROOT / "tests/vectors/invite.py"
    model = {"__name__": "model", "__file__": str(path)}
    exec(compile(path.read_text(encoding="utf-8").removesuffix("main()\n"), "invite.py", "exec"), model)
    return model


def a_hostile_lan():
    """Thousands of notices: forged, of made-up machines, with names for terminals. Cost is bounded, the honest one,
    who was there before, stays."""
    world, desk, laptop = started()
    desk.cli("visible", "10m", "--as", "desk")
    lab.wait_for("desk nearby", 2, lambda: desk.peer in nearby(laptop))
    model = load_model()

    def notice(seed, name):
        return model["notice"](model["Identity"](seed), 27182, name)
    good = [notice(struct.pack("<32s", b"fake %d" % i), b"fake-%d" % i) for i in range(8)]
    wrong = [notice(bytes(32), name) for name in (b"\033[2J", b"a b", b"-rf", b"x" * 64, "ü".encode())]
    forged = [good[0][:60] + bytes([i]) + good[0][61:] for i in range(ord("a"), ord("z"))]
    cpu, rss, start = laptop.cpu_s(), laptop.rss_kb(), time.monotonic()
    sock = world.guest.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.bind(("10.7.0.3", 0))
    count = 0
    while time.monotonic() - start < 1.0:
        for data in (*wrong, *forged, *good):
            sock.sendto(data, (BROADCAST, test_lan.PORT))
            count += 1
        time.sleep(0.005)
    cpu = laptop.cpu_s() - cpu
    found = nearby(laptop)
    names = sorted(p["name"] for p in found.values())
    lab.check("desk" in names and len(names) <= 5, f"listed {names}")  # 4 of one source
    lab.check(all(n == "desk" or n.startswith("fake-") for n in names), f"listed {names}")
    said = laptop.cli("status")["lan"]
    lab.check(said["malformed"] > 0 and said["limited"] > 0, f"counted {said}")
    lab.check(laptop.rss_kb() - rss < 2000, f"{laptop.rss_kb() - rss} kB more")
    lab.check(cpu < 0.5, f"{cpu} s for {count} notices")
    return {"notices": count, "cpu_s": cpu, "listed": len(names)}


if __name__ == "__main__":
    sys.exit(lab.main({f.__name__: f for f in (visible_nearby_add_accept, it_ends, a_hostile_lan)}, node.logs))
