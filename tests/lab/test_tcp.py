#!/usr/bin/env python3
"""TCP, for networks that block UDP: alice sits behind a router that lets nothing out but TCP to ports 80
and 443; bob and the facilitator are in the open.

    alice 10.1.0.10 --- 10.1.0.1 router 45.3.0.2 --- 45.3.0.1 core 45.1.0.1 --- 45.1.0.10 facilitator
                                                           45.2.0.1 --- 45.2.0.10 bob
"""
import os
import signal
import socket
import struct
import sys
import threading
import time

import lab
import load
import node

FACILITATOR, BOB = "45.1.0.10", "45.2.0.10"
HS1 = bytes([4]) + bytes(295)

NAT = """
    table ip nat {
        chain post { type nat hook postrouting priority 100
            oifname "wan" masquerade
        }
    }"""
ONLY_WEB = """
    table ip gate {
        chain through { type filter hook forward priority 0
            iifname "lan" tcp dport { 80, 443 } accept
            iifname "lan" drop
        }
    }"""


class World:
    def __init__(self, facilitator=True, port=443):
        self.port = port
        self.core, self.router = lab.Ns("core", forward=True), lab.Ns("router", forward=True)
        self.hub, self.alice_ns, self.bob_ns = lab.Ns("hub"), lab.Ns("alice"), lab.Ns("bob")
        for number, ns in ((1, self.hub), (2, self.bob_ns)):
            lab.veth(ns, "eth0", self.core, ns.name, False)
            ns.address("eth0", f"45.{number}.0.10/24")
            self.core.address(ns.name, f"45.{number}.0.1/24")
            ns.ip(f"route add default via 45.{number}.0.1")
        lab.veth(self.router, "wan", self.core, "router", False)
        lab.veth(self.alice_ns, "eth0", self.router, "lan", False)
        self.core.address("router", "45.3.0.1/24")
        self.router.address("wan", "45.3.0.2/24")
        self.router.address("lan", "10.1.0.1/24")
        self.router.ip("route add default via 45.3.0.1")
        self.alice_ns.address("eth0", "10.1.0.10/24")
        self.alice_ns.ip("route add default via 10.1.0.1")
        self.router.nft(NAT)
        self.only_web(True)
        self._prove_gate()
        self.facilitator = self.alice = self.bob = None
        if facilitator:
            self.facilitator = node.Node(self.hub, args=["--facilitator-policy", "open",
                "--facilitator-tcp", port, "--no-tun"]).start()

    def only_web(self, closed):
        self.router.run("nft", "delete", "table", "ip", "gate", ok=False)
        if closed:
            self.router.nft(ONLY_WEB)

    def _prove_gate(self):
        """UDP and TCP to other ports must not pass, TCP to 443 must."""
        with self.hub.socket(socket.AF_INET, socket.SOCK_DGRAM) as far, \
                self.alice_ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as near:
            far.bind((FACILITATOR, 443))
            far.settimeout(0.2)
            near.sendto(b"udp", (FACILITATOR, 443))
            lab.check(not _arrives(far), "the gate lets UDP pass")
        for port, passes in ((27182, False), (443, True)):
            with self.hub.socket(socket.AF_INET, socket.SOCK_STREAM) as far:
                far.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                far.bind((FACILITATOR, port))
                far.listen(1)
                with self.alice_ns.socket(socket.AF_INET, socket.SOCK_STREAM) as near:
                    near.settimeout(0.3)
                    lab.check((near.connect_ex((FACILITATOR, port)) == 0) == passes,
                        f"the gate is wrong about TCP {port}")

    def client(self, ns, *args):
        if self.facilitator:
            use = [f"{self.facilitator.peer}@{FACILITATOR}:27182"]
            if self.port != 443:
                use.append(f"{self.facilitator.peer}@tcp:{FACILITATOR}:{self.port}")
            args = ["--facilitators", ",".join(use), *args]
        return node.Node(ns, args=args).start()

    def both(self):
        self.alice, self.bob = self.client(self.alice_ns), self.client(self.bob_ns)
        node.pair(self.alice, self.bob)
        for daemon in (self.alice, self.bob):
            lab.wait_for(f"registration of {daemon.name}", 5, lambda d=daemon: registered(d))

    def stop(self):
        for daemon in (self.alice, self.bob, self.facilitator):
            if daemon:
                daemon.stop()


def _arrives(sock):
    try:
        return bool(sock.recv(16))
    except TimeoutError:
        return False


def registered(daemon):
    ours = daemon.cli("facilitator", "status")["facilitators"]
    return bool(ours) and ours[0]["registered"]


def remote_of_facilitator(daemon):
    return daemon.cli("facilitator", "status")["facilitators"][0]["remote"]


def path(daemon, peer=0):
    return daemon.cli("status")["peers"][peer]["path"] or {"carrier": "none", "remote": None}


def tcp(daemon):
    return daemon.cli("status")["tcp"]


def relayed():
    """Ping and transfers through the facilitator, by TCP to it; then UDP comes back."""
    world = World()
    start = time.monotonic()
    world.both()
    registered_ms = (time.monotonic() - start) * 1e3
    lab.check(remote_of_facilitator(world.alice) == f"{FACILITATOR}:443", "alice is not at port 443")
    start = time.monotonic()
    lab.check(load.ping_once(world.alice_ns, world.bob.address, 3), "no answer through the relay")
    first_ms = (time.monotonic() - start) * 1e3
    lab.check(path(world.alice)["carrier"] == "relay", f"the path is {path(world.alice)}")
    down = load.Transfer(world.bob_ns, world.alice_ns, world.alice.address, 8).finish()
    up = load.Transfer(world.alice_ns, world.bob_ns, world.bob.address, 8, port=5202).finish()
    lab.check(load.ping_once(world.bob_ns, world.alice.address, 3), "no answer after the transfers")
    world.only_web(False)
    start = time.monotonic()
    lab.wait_for("UDP", 20, lambda: remote_of_facilitator(world.alice) == f"{FACILITATOR}:27182", 0.1)
    udp_s = time.monotonic() - start
    lab.check(load.ping_once(world.alice_ns, world.bob.address, 3), "no answer after the move")
    lab.check(registered(world.alice), "no longer registered")
    world.stop()
    return {"registered_ms": registered_ms, "first_ms": first_ms, "down_mbit": down.mbit(), "up_mbit": up.mbit(),
        "udp_s": udp_s}


def direct():
    """A peer that listens at 443 is reached by TCP without anybody's help."""
    world = World(facilitator=False)
    world.alice = world.client(world.alice_ns)
    world.bob = world.client(world.bob_ns, "--listen-tcp", "443")
    node.pair(world.alice, world.bob, f"{BOB}:27182", f"tcp:{BOB}:443")
    start = time.monotonic()
    lab.check(load.ping_once(world.alice_ns, world.bob.address, 3), "no answer by TCP")
    first_ms = (time.monotonic() - start) * 1e3
    for daemon in (world.alice, world.bob):
        lab.check(path(daemon)["carrier"] == "tcp", f"the path of {daemon.name} is {path(daemon)}")
    lab.check(path(world.alice)["remote"] == f"{BOB}:443" and path(world.alice)["pmtu_bytes"] == 1452,
        f"the path is {path(world.alice)}")
    lab.check(world.alice.cli("ping", "bob", "-c", "1")[0]["path"]["carrier"] == "tcp", "ping names another carrier")
    size = 8
    down = load.Transfer(world.bob_ns, world.alice_ns, world.alice.address, size).finish()
    up = load.Transfer(world.alice_ns, world.bob_ns, world.bob.address, size, port=5202).finish()
    world.only_web(False)
    lab.wait_for("UDP", 25, lambda: path(world.alice)["carrier"] == "udp", 0.1)
    world.only_web(True)
    start = time.monotonic()
    lab.check(load.ping_once(world.alice_ns, world.bob.address, 5), "no answer after UDP was blocked")
    blocked_ms = (time.monotonic() - start) * 1e3
    world.stop()
    return {"first_ms": first_ms, "down_mbit": down.mbit(), "up_mbit": up.mbit(), "blocked_ms": blocked_ms}


def _connect(ns, source=None):
    sock = ns.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(10)
    if source:
        sock.bind((source, 0))
    sock.connect((FACILITATOR, 443))
    return sock


def _end_s(sock, data=b"", trickle=b""):
    """Sends data, then trickle byte by byte; seconds until the far end closes, having said nothing."""
    start = time.monotonic()
    try:
        if data:
            sock.sendall(data)
        sock.settimeout(0.2)
        while time.monotonic() - start < 12:
            try:
                got = sock.recv(64)
            except TimeoutError:
                if trickle:
                    sock.sendall(trickle[:1])
                    trickle = trickle[1:]
                continue
            lab.check(got == b"", f"it answered {got!r}")
            return time.monotonic() - start
    except (ConnectionResetError, BrokenPipeError):
        return time.monotonic() - start
    finally:
        sock.close()
    raise lab.Failed("the connection stays open")


def hostile():
    """Garbage, silence, one byte at a time, junk that looks like HS1, more connections than anybody needs:
    each ends in silence, each is counted, and whoever belongs there comes in meanwhile."""
    world = World()
    frame = struct.pack("<H", 296)
    cases = {"http": (b"GET / HTTP/1.1\r\n\r\n", b"", 0, 1), "zeros": (bytes(64), b"", 0, 1),
        "not_hs1": (frame + bytes([7]), b"", 0, 1), "silent": (b"", b"", 4.5, 7),
        "trickle": (frame, HS1, 4.5, 7), "junk_hs1": (frame + HS1, b"", 4.5, 7),
        "junk_then_garbage": (frame + HS1 + b"\xff\xff", b"", 0, 1)}
    times, threads = {}, []

    def one(name, data, trickle):
        try:
            times[name] = _end_s(_connect(world.bob_ns), data, trickle)
        except lab.Failed as failed:
            times[name] = failed

    for name, (data, trickle, _, _) in cases.items():
        threads.append(threading.Thread(target=one, args=(name, data, trickle), daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join(20)
    for name, (_, _, least, most) in cases.items():
        took = times.get(name, lab.Failed("no end"))
        lab.check(not isinstance(took, Exception) and least <= took <= most, f"{name}: {took}")
    seen = tcp(world.facilitator)
    lab.check(seen["malformed"] >= 4 and seen["silent"] >= 3 and seen["connections"] == 0, f"it counted {seen}")

    before_kb = world.facilitator.rss_kb()
    crowd = []
    for _ in range(100):
        crowd.append(_connect(world.bob_ns))
        crowd[-1].setblocking(False)
        try:
            crowd[-1].send(frame + HS1[:100])
        except (ConnectionResetError, BrokenPipeError):
            pass  # not let in
    lab.wait_for("refusals", 2, lambda: tcp(world.facilitator)["refused"] >= 80)
    seen = tcp(world.facilitator)
    lab.check(seen["half_open"] <= 16, f"one source has {seen['half_open']} half-open connections")
    world.alice = world.client(world.alice_ns)
    lab.wait_for("registration in the crowd", 5, lambda: registered(world.alice))
    lab.wait_for("the end of the crowd", 8, lambda: tcp(world.facilitator)["half_open"] == 0)
    grown_kb = world.facilitator.rss_kb() - before_kb
    lab.check(grown_kb < 8192, f"it grew by {grown_kb} KiB")
    for sock in crowd:
        sock.close()
    world.stop()
    return {"silent_s": times["silent"], "trickle_s": times["trickle"], "grown_kb": grown_kb}


def facilitator_restarts():
    """At another port than the usual one, named as an endpoint of its own."""
    world = World(port=80)
    world.both()
    lab.check(load.ping_once(world.alice_ns, world.bob.address, 3), "no answer through the relay")
    world.facilitator.stop()
    time.sleep(1)
    world.facilitator.start()
    start = time.monotonic()
    lab.wait_for("a connection again", 5, lambda: tcp(world.facilitator)["accepted"] > 0)
    connected_ms = (time.monotonic() - start) * 1e3
    lab.wait_for("registration of both", 7,  # bob, by UDP, looks whether the silent relay is there
        lambda: world.facilitator.cli("facilitator", "status")["serving"]["clients"] == 2)
    registered_ms = (time.monotonic() - start) * 1e3
    lab.check(load.ping_once(world.alice_ns, world.bob.address, 5), "not relayed again")
    again_ms = (time.monotonic() - start) * 1e3
    lab.check(connected_ms < 5000, f"connected again after {connected_ms:.0f} ms")
    lab.check(again_ms < 7000, f"relayed again after {again_ms:.0f} ms")
    world.stop()
    return {"connected_ms": connected_ms, "registered_ms": registered_ms, "again_ms": again_ms}


PORTAL = """
    table ip portal {
        chain pre { type nat hook prerouting priority -100
            iifname "lan" tcp dport { 80, 443 } dnat to 10.1.0.1:8443
        }
    }"""
PORTAL_ANSWER = b"HTTP/1.0 302 Found\r\nLocation: http://10.1.0.1/login\r\n\r\n"


def _portal(world, answer):
    """Whatever is asked at port 443 anywhere, the router answers it; what was asked is handed back."""
    listener, asked = world.router.socket(socket.AF_INET, socket.SOCK_STREAM), []
    listener.bind(("10.1.0.1", 8443))
    listener.listen()

    def serve():
        while True:
            sock, _ = listener.accept()
            with sock:
                asked.append(sock.recv(2048))
                sock.sendall(answer)
    threading.Thread(target=serve, daemon=True).start()
    world.router.nft(PORTAL)
    return asked


def captive():
    """A network that wants a login first: said by netcheck and why, not hurried, and over after it."""
    world = World()
    asked = _portal(world, PORTAL_ANSWER)
    world.bob = world.client(world.bob_ns)
    world.alice = world.client(world.alice_ns)
    lab.wait_for("the portal", 3, lambda: world.alice.cli("netcheck")["captive"], 0.1)
    found = world.alice.cli("netcheck")
    lab.check((found["captive"], found["udp"]) == (f"{FACILITATOR}:443", "no-answer"), f"netcheck says {found}")
    text = world.alice_ns.run(node.program("overlay"), "--socket", world.alice.socket, "netcheck")
    lab.check("sign" in text and f"at {FACILITATOR}:443" in text, text)
    world.alice.add(world.bob)
    why = world.alice.cli("why", "bob")
    lab.check(why["code"] == "captive" and "sign in" in why["text"], f"why says {why}")
    time.sleep(1.2)  # without patience it would be asked again
    lab.check(len(asked) == 1 and len(asked[0]) == 298, f"{len(asked)} attempts at once")
    lab.check(tcp(world.alice)["foreign"] == 1, f"counters {tcp(world.alice)}")
    world.router.run("nft", "delete", "table", "ip", "portal")
    start = time.monotonic()
    lab.wait_for("registration after the login", 12, lambda: registered(world.alice), 0.1)
    lab.check(world.alice.cli("netcheck")["captive"] is None, "still captive")
    after_s = time.monotonic() - start
    world.stop()
    return {"after_s": after_s}


def slow_reader():
    """A client that reads nothing costs the relay a bounded queue; what is too much is lost and counted."""
    world = World()
    world.both()
    lab.check(load.ping_once(world.alice_ns, world.bob.address, 3), "no answer through the relay")
    before_kb = world.facilitator.rss_kb()
    world.alice.process.send_signal(signal.SIGSTOP)
    with world.bob_ns.socket(socket.AF_INET6, socket.SOCK_DGRAM) as flood:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            for _ in range(20):
                flood.sendto(os.urandom(1200), (world.alice.address, 9))
            time.sleep(0.002)
    seen, grown_kb = tcp(world.facilitator), world.facilitator.rss_kb() - before_kb
    world.alice.process.send_signal(signal.SIGCONT)
    lab.check(seen["lost"] > 100, f"nothing was lost: {seen}")
    lab.check(grown_kb < 4096, f"the relay grew by {grown_kb} KiB")
    lab.wait_for("an answer again", 8, lambda: load.ping_once(world.bob_ns, world.alice.address, 1))
    world.stop()
    return {"lost": seen["lost"], "grown_kb": grown_kb}


if __name__ == "__main__":
    sys.exit(lab.main({"relayed": relayed, "direct": direct, "hostile": hostile,
        "facilitator_restarts": facilitator_restarts, "slow_reader": slow_reader, "captive": captive}, node.logs))
