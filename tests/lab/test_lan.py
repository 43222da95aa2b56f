#!/usr/bin/env python3
"""Contacts find each other on a LAN without Internet: no default route, no endpoints, only PeerIds.

          .--- desk
    switch --- laptop
          `--- guest      no contact of anybody: listens, and sends what it likes
"""
import base64
import contextlib
import os
import socket
import struct
import sys
import time

import lab
import node

PORT, GROUP4, GROUP6 = 27184, "239.255.27.182", "ff12::6a2e"
BEACON, HS1, CONTROL = 11, 4, 7
ETH_P_ALL = 3
SOON_S = 1.0  # the bound


class Lan:
    """One switch, three machines, addresses of either family."""

    def __init__(self, v4=True, v6=True):
        self.v4, self.v6 = v4, v6
        self.switch = lab.Ns("switch")
        self.switch.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
        self.switch.ip("link add br0 type bridge", "link set br0 up")
        self.machines = {}
        for i, name in enumerate(("desk", "laptop", "guest"), 1):
            ns = self.machines[name] = lab.Ns(name)
            ns.sysctl("net.ipv4.conf.all.rp_filter", 0)
            ns.sysctl("net.ipv4.conf.default.rp_filter", 0)
            self.plug(name)
            self.address(name, i)
        self.desk, self.laptop, self.guest = self.machines.values()

    def plug(self, name):
        lab.veth(self.machines[name], "eth0", self.switch, name)
        self.switch.ip(f"link set dev {name} master br0")
        if not self.v6:
            self.machines[name].sysctl("net.ipv6.conf.eth0.disable_ipv6", 1)

    def address(self, name, i):
        if self.v4:
            self.machines[name].address("eth0", f"10.7.0.{i}/24")

    def cable(self, name, plugged):
        """The other end of it: the machine sees its carrier come and go."""
        self.switch.ip(f"link set dev {name} {'up' if plugged else 'down'}")


def acquainted(world, *args):
    """desk and laptop know each other by PeerId and never met: stopped, ready to start."""
    for name in ("desk", "laptop"):
        world.cable(name, False)
    desk, laptop = node.Node(world.desk, args=args).start(), node.Node(world.laptop, args=args).start()
    node.pair(desk, laptop)
    for daemon in (desk, laptop):
        daemon.stop()
    for name in ("desk", "laptop"):
        world.cable(name, True)
    return desk, laptop


def state(daemon, other):
    for peer in daemon.cli("status")["peers"]:
        if peer["name"] == other.name:
            return peer
    raise lab.Failed(f"{daemon.name} does not know {other.name}")


def meet(a, b, start):
    """Both are up; gives the milliseconds since start, which are fewer than the bound."""
    lab.wait_for(f"{a.name} and {b.name} up", 5,
        lambda: state(a, b)["state"] == "up" and state(b, a)["state"] == "up")
    took = time.monotonic() - start
    lab.check(took < SOON_S, f"up only after {took * 1e3:.0f} ms")
    pong = a.cli("ping", b.name, "-c", 1)
    lab.check(pong[0]["rtt_us"] > 0, "no answer to a ping")
    return took * 1e3


def second_start(v4, v6):
    world = Lan(v4, v6)
    desk, laptop = acquainted(world)
    desk.start()
    time.sleep(4)  # what it says at its start is over
    lab.check(state(desk, laptop)["state"] in ("idle", "away"), "up with nobody")
    start = time.monotonic()
    laptop.start()
    took = meet(laptop, desk, start)
    remote = state(laptop, desk)["path"]["remote"]
    lab.check(remote.startswith("10.7.0.1:" if v4 and not v6 else "[fe80:" if not v4 else ""),
        f"the path leads to {remote}")
    sources = {c["source"] for c in desk.cli("peer", "show", "laptop")["candidates"]}
    lab.check(sources == {"lan"}, f"candidates from {sources}")
    lab.check(desk.cli("status")["lan"]["heard"] > 0, "heard nobody")
    return {"up_ms": took}


def second_start_4():
    return second_start(True, False)


def second_start_6():
    return second_start(False, True)


def second_start_46():
    return second_start(True, True)


def restart():
    """Killed, and back before anybody noticed: the other's session is stale."""
    world = Lan()
    desk, laptop = acquainted(world)
    desk.start()
    laptop.start()
    meet(laptop, desk, time.monotonic())
    laptop.process.kill()
    laptop.process.wait()
    start = time.monotonic()
    laptop.start()
    return {"up_ms": meet(laptop, desk, start)}


def new_contact():
    """Two strangers on one LAN, both running: up when the second has added the first."""
    world = Lan()
    desk, laptop = node.Node(world.desk).start(), node.Node(world.laptop).start()
    desk.add(laptop)
    time.sleep(0.5)
    lab.check(state(desk, laptop)["state"] != "up", "up before the other agreed")
    start = time.monotonic()
    laptop.add(desk)
    return {"up_ms": meet(laptop, desk, start)}


def cable(v4, v6):
    """Never plugged in while running; then unplugged and plugged in again: up each time."""
    world = Lan(v4, v6)
    desk, laptop = acquainted(world)
    world.cable("laptop", False)
    desk.start()
    laptop.start()
    time.sleep(4)
    start = time.monotonic()
    world.cable("laptop", True)
    first = meet(laptop, desk, start)
    world.cable("laptop", False)
    time.sleep(2)
    start = time.monotonic()
    world.cable("laptop", True)
    lab.wait_for("the session answers again", SOON_S,
        lambda: laptop.cli("ping", "desk", "-c", 1, "-W", 1, ok=False).returncode == 0)
    return {"up_ms": first, "again_ms": (time.monotonic() - start) * 1e3}


def cable_4():
    return cable(True, False)


def cable_6():
    return cable(False, True)


def interface_comes_and_goes():
    """A network card is put in, taken out, put in: other index each time."""
    world = Lan()
    desk, laptop = acquainted(world)
    world.laptop.ip("link del dev eth0")
    desk.start()
    laptop.start()
    lab.check(laptop.cli("status")["lan"]["interfaces"] == 0, "an interface where there is none")
    worst = 0
    for _ in range(3):
        time.sleep(4)
        start = time.monotonic()
        world.plug("laptop")
        world.address("laptop", 2)
        lab.check(time.monotonic() - start < 0.5, "the lab is slow")
        start = time.monotonic()
        worst = max(worst, meet(laptop, desk, start))
        world.laptop.ip("link del dev eth0")
        lab.wait_for("it is gone", 2, lambda: laptop.cli("status")["lan"]["interfaces"] == 0)
    return {"up_ms": worst}


@contextlib.contextmanager
def listening(ns, dev="eth0"):
    """Every frame that comes in by dev, as (ip protocol payload seen from UDP on)."""
    with ns.inside():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    s.bind((dev, 0))
    s.settimeout(0.05)
    yield s
    s.close()


def drain(s, seconds):
    """UDP datagrams that came in: (source port, destination port, destination mac, payload)."""
    found, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(TimeoutError):
            frame, where = s.recvfrom(4096)
            if where[2] == socket.PACKET_OUTGOING:
                continue
            kind = struct.unpack_from("!H", frame, 12)[0]
            at = 14 + (frame[14] & 15) * 4 if kind == 0x0800 else 54
            protocol = frame[23] if kind == 0x0800 else frame[20] if kind == 0x86dd else 0
            if protocol == socket.IPPROTO_UDP:
                found.append((*struct.unpack_from("!HH", frame, at), frame[:6], frame[at + 8:]))
    return found


def says_nothing_to_others():
    """A guest with an overlayd of its own learns no PeerId, is told nothing, and tells nothing: all
    it ever receives are beacons, and these have no bytes in common."""
    world = Lan()
    desk, laptop = acquainted(world)
    guest, nobody = node.Node(world.guest).start(), node.Node(world.guest, "nobody", port=27190).start()
    guest.add(nobody)
    with listening(world.guest) as s:
        desk.start()
        laptop.start()
        seen = drain(s, 4.5)
        up = state(desk, laptop)["state"]
    lab.check(up == "up", f"desk and laptop are {up}")
    beacons = [payload for _, to, mac, payload in seen if to == PORT]
    strays = [(to, payload[:1]) for _, to, mac, payload in seen if to != PORT and not mac[0] & 1]
    lab.check(not strays, f"the guest was sent {strays}")
    lab.check(len(beacons) >= 12, f"only {len(beacons)} beacons")
    lab.check(all(b[0] == BEACON and len(b) == 44 for b in beacons), "not only beacons of one tag")
    for text in (desk.peer, laptop.peer):
        key = base64.b32decode(text.upper() + "=" * (-len(text) % 8))[:32]
        for word in (key, key[:8], text.encode()[:8]):
            lab.check(not any(word in b for b in beacons), "a beacon contains a PeerId")
    bodies = {b[16:] for b in beacons}
    lab.check(len({b[:16] for b in bodies}) == len(bodies), "two beacons share a nonce")
    lab.check(len({b[20:] for b in bodies}) == len(bodies), "two beacons share a tag")
    heard = guest.cli("status")
    lab.check(heard["lan"]["heard"] == 0 and heard["lan"]["strangers"] > 0, f"{heard['lan']}")
    lab.check(heard["lan"]["own"] > 0 and heard["lan"]["copies"] > 0, f"{heard['lan']}")
    lab.check(heard["counters"]["handshakes"] == 0, "the guest has shaken hands")
    return {"beacons": len(beacons)}


def silence():
    """lan=false says and hears nothing; without contacts nothing is said either."""
    world = Lan()
    desk, laptop = acquainted(world, "--no-lan")
    guest = node.Node(world.guest)
    with listening(world.switch, "desk") as s, listening(world.switch, "guest") as g:
        guest.start()
        desk.start()
        laptop.start()
        time.sleep(3.5)
        said = [d for d in drain(s, 0.2) + drain(g, 0.2) if d[1] == PORT]
    lab.check(not said, f"{len(said)} beacons")
    lab.check(desk.cli("status")["lan"] is None, "status shows a LAN that is off")
    lab.check(guest.cli("status")["lan"]["sent"] == 0, "said something to nobody")
    lab.check(state(desk, laptop)["state"] != "up", "up without beacons and endpoints")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


class Forger:
    """Sends beacons from the guest under any source address."""

    def __init__(self, ns):
        self.raw = ns.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.7.0.3"))
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)

    def send(self, payload, source, to=GROUP4):
        udp = struct.pack("!HHHH", PORT, PORT, 8 + len(payload), 0) + payload
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 1, 17, 0,
            socket.inet_aton(source), socket.inet_aton(to))
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        self.raw.sendto(head + udp, (to, 0))


def beacon(count=64):
    return bytes([BEACON]) + bytes(15) + os.urandom(16) + struct.pack("<HBB", 27182, count, 0) + os.urandom(8 * count)


def forged():
    """Off-link, unicast, malformed, flooded and replayed beacons: each is counted and bounded, nobody
    is answered but by HS1 after a replay, and who starts meanwhile is found as fast."""
    world = Lan(v6=False)
    desk, laptop = acquainted(world)
    desk.start()
    forger = Forger(world.guest)

    def counters():
        return desk.cli("status")["lan"]

    def grows(key, by, send):
        before = counters()
        with listening(world.guest) as s:
            send()
            answers = drain(s, 0.3)
        after = counters()
        lab.check(after[key] - before[key] == by, f"{key} grew by {after[key] - before[key]}, not {by}")
        lab.check(not [a for a in answers if a[1] != PORT], "an answer")
        return after

    grows("off_link", 2, lambda: [forger.send(beacon(), ip) for ip in ("45.9.0.7", "10.7.1.3")])
    grows("off_link", 1, lambda: forger.send(beacon(), "10.7.0.3", "10.7.0.1"))
    grows("malformed", 3, lambda: [forger.send(b, "10.7.0.3") for b in
        (b"", beacon()[:-1], beacon() + bytes(1))])
    same = beacon(1)
    grows("copies", 4, lambda: [forger.send(same, "10.7.0.3") for _ in range(5)])

    before, start = counters(), time.monotonic()
    for i in range(4000):  # one source: 8, then 4 a second
        forger.send(beacon(), "10.7.0.3")
    time.sleep(0.2)
    after, took = counters(), time.monotonic() - start
    tried = after["strangers"] - before["strangers"]
    lab.check(tried <= 8 + 4 * took + 1, f"{tried} of one source were tried in {took:.1f} s")
    lab.check(after["limited"] > before["limited"], "no limit was hit")
    start = time.monotonic()
    with listening(world.guest) as s:
        laptop.start()
        up = meet(laptop, desk, start)
        seen = [p for _, to, _, p in drain(s, 0.5) if to == PORT]
    lab.check(len(seen) >= 2, "the guest heard no beacon")

    before, start = counters(), time.monotonic()
    for i in range(4000):  # many sources: 20 a second of the interface
        forger.send(beacon(), f"10.7.0.{10 + i % 200}")
    time.sleep(0.2)
    after, took = counters(), time.monotonic() - start
    tried = after["strangers"] - before["strangers"]
    lab.check(tried <= 40 + 20 * took + 1, f"{tried} of many were tried in {took:.1f} s")
    time.sleep(2.5)
    with listening(world.guest) as s:  # a recorded one of each, from another address
        for payload in {p for p in seen}:
            forger.send(payload, "10.7.0.3")
        got = drain(s, 1.5)
    replies = [p for _, to, _, p in got if to == 27182]
    lab.check(1 <= len(replies) <= 12, f"{len(replies)} datagrams for a replay")
    lab.check(all(p[0] in (HS1, CONTROL) for p in replies), f"types {[p[0] for p in replies]}")
    lab.check(len(laptop.cli("peer", "show", "desk")["candidates"]) <= 16, "candidates without bound")
    lab.check(laptop.cli("ping", "desk", "-c", 1)[0]["rtt_us"] > 0, "the session suffered")
    return {"up_ms": up, "replies": len(replies)}


if __name__ == "__main__":
    sys.exit(lab.main({f.__name__: f for f in (second_start_4, second_start_6, second_start_46, restart,
        new_contact, cable_4, cable_6, interface_comes_and_goes, says_nothing_to_others, silence, forged)},
        node.logs))
