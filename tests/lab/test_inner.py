#!/usr/bin/env python3
"""Inner packets with a wrong source or destination, or without a grant, are dropped and counted.

The sender is a daemon of ours relinked without its own check (hostile.c), so the packets really
arrive sealed under a valid session. Each case runs a second time against a receiver relinked without
the filter: there the same packet must get through, or the case could not fail (security.md 5, 17).
"""
import ipaddress
import os
import shlex
import socket
import sys
import time

import lab
import load
import node
import topo

PORT = 7777
STRANGER = "fd99:1:2:3::9"  # an address that belongs to neither


def relinked(rule):
    """overlayd with one function replaced: the link command of make, with hostile.c in front."""
    target = lab.BUILD / "overlayd"
    program = lab.ROOT / f"build/lab/overlayd-without-{rule}"
    if program.exists() and program.stat().st_mtime > target.stat().st_mtime:
        return program
    short = os.path.relpath(target, lab.ROOT)
    plan = lab.run("make", "-C", lab.ROOT, "--no-print-directory", "-n", "V=1",
        "-W", os.path.relpath(lab.BUILD / "libov.a", lab.ROOT), short)
    links = [shlex.split(line) for line in plan.splitlines() if f"-o {short}" in line]
    lab.check(len(links) == 1, f"make shows no link command for {short}:\n{plan}")
    words = links[0]
    words[words.index("-o") + 1] = str(program)
    words.insert(1, "-fno-lto")  # the optimizer would join caller and callee before --wrap parts them
    source = lab.ROOT / "tests/lab/hostile.c"
    made = program.with_suffix(".o")
    lab.run("cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-fPIE", f"-DWRAP_{rule.upper()}",
        "-I", lab.ROOT, "-c", source, "-o", made)
    lab.run(*words, made, f"-Wl,--wrap=filter_{rule}", cwd=lab.ROOT)
    return program


def prefix_hex(address):
    return ipaddress.ip_address(address).packed[:8].hex()


class Scene:
    """A hostile laptop that talks with a home; filtered tells whether the home has its filter."""

    def __init__(self, filtered, allow="all"):
        self.world = topo.World(delay_ms=None)
        self.world.cafe.join()
        env = {}
        self.home = node.Node(self.world.home)
        if not filtered:
            self.home.overlayd = relinked("inbound")
        self.home.start()
        env["OVERLAY_LAB_PREFIX"] = prefix_hex(self.home.address)
        self.laptop = node.Node(self.world.laptop, env=env)
        self.laptop.overlayd = relinked("outbound")
        self.laptop.start()
        self.laptop.add(self.home, node.endpoint(topo.HOME4))
        self.home.add(self.laptop, allow=allow)
        if "icmp" in allow or allow == "all":
            lab.check(load.ping_once(self.world.laptop, self.home.address), "no first contact")
        else:
            self.laptop.cli("ping", "home", "-c", 1)

    def send(self, source, target):
        """One UDP datagram through the tunnel; True when a program at home got it."""
        with self.world.home.socket(socket.AF_INET6, socket.SOCK_DGRAM) as inbox, \
                self.world.laptop.socket(socket.AF_INET6, socket.SOCK_DGRAM) as out:
            inbox.bind(("::", PORT))
            inbox.settimeout(0.5)
            out.bind((source, 0))
            for _ in range(3):
                out.sendto(b"let me in", (target, PORT))
                time.sleep(0.02)
            try:
                return inbox.recv(64) == b"let me in"
            except TimeoutError:
                return False


def drops(daemon, reason):
    return daemon.cli("status")["counters"]["drops"][reason]


def scene_case(reason, prepare, allow="all"):
    """prepare(scene) -> (source, target) of the bad packet."""
    def run():
        scene = Scene(True, allow)
        pair = prepare(scene)
        before = drops(scene.home, reason)
        lab.check(not scene.send(*pair), f"a packet {pair[0]} -> {pair[1]} got through")
        counted = drops(scene.home, reason) - before
        lab.check(counted == 3, f"3 packets, counter {reason} rose by {counted}")
        return {"counted": counted}

    def control():
        scene = Scene(False, allow)
        pair = prepare(scene)
        lab.check(scene.send(*pair), "without the rule the packet does not arrive either: the case "
            "proves nothing")
        return {}
    return run, control


def wrong_source(scene):
    scene.world.laptop.ip(f"addr add {STRANGER}/128 dev lo nodad")
    return STRANGER, scene.home.address


def wrong_destination(scene):
    scene.world.home.ip(f"addr add {STRANGER}/128 dev lo nodad")
    scene.world.laptop.ip(f"route add {STRANGER}/128 dev overlay0")
    return scene.laptop.address, STRANGER


def no_grant(scene):
    return scene.laptop.address, scene.home.address


CASES = {}
for _name, _reason, _prepare, _allow in (("wrong_source", "source", wrong_source, "all"),
        ("wrong_destination", "destination", wrong_destination, "all"),
        ("no_grant", "grant", no_grant, "icmp")):
    CASES[_name], CASES[f"{_name}_without_rule"] = scene_case(_reason, _prepare, _allow)

if __name__ == "__main__":
    sys.exit(lab.main(CASES, node.logs))
