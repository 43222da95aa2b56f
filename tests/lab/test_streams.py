#!/usr/bin/env python3
"""Streams outlive their network: a transfer by `overlay forward` and an ssh session that stays idle, while
the laptop changes its network and then its NAT reboots (RTT 20 ms); and the first byte of one takes no longer
than a round trip. No daemon has an interface."""
import subprocess
import sys
import time

import lab
import load
import node
import streams
import topo

MOVE_MS, REBOOT_MS = 300, 3000  # as for a ping: test_roam.py, test_nat_roam.py
RATE_MBIT = 20


def talking(delay_ms=10.0):
    """Laptop behind a symmetric NAT and home, where sshd and a sink are services."""
    world = topo.World(nat=(True, True), delay_ms=delay_ms)
    world.cafe.join(v6=False)
    laptop, home = (node.Node(ns, args=["--no-tun"]).start() for ns in (world.laptop, world.home))
    node.pair(laptop, home, node.endpoint(topo.HOME4), allow="icmp,service:ssh,service:sink")
    laptop.cli("ping", "home", "-c", 1)
    return world, laptop, home


class Session:
    """An ssh session in which `cat` runs; only say() sends anything."""

    def __init__(self, sshd, daemon, name):
        self.process = daemon.ns.popen(*sshd.command(daemon, name), "cat", stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def say(self, line):
        """Gives the milliseconds until it comes back."""
        start = time.monotonic()
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        back = self.process.stdout.readline()
        lab.check(back == line + b"\n", f"ssh: {line!r} came back as {back!r}: "
            f"{self.process.stderr.read() if not back else b''}")
        return (time.monotonic() - start) * 1e3

    def end(self):
        _, words = self.process.communicate(timeout=5)
        lab.check(self.process.returncode == 0 and not words, f"ssh: exit {self.process.returncode}: {words}")


def lives_through_moves():
    """No byte differs, nobody dials again."""
    world, laptop, home = talking()
    sshd = streams.Sshd(home, 2022)
    streams.Running(home, "serve", "ssh", 2022, ready="serving ssh")
    streams.Running(home, "serve", "sink", 5201, ready="serving sink")
    forward = streams.forward(laptop, 0, "home:sink")
    session = Session(sshd, laptop, "home")
    session.say(b"before")
    watch = topo.RouteWatch(world.laptop)
    transfer = load.Transfer(laptop.ns, home.ns, "127.0.0.1", RATE_MBIT / 8 * 5, rate_mbit=RATE_MBIT,
        via=("127.0.0.1", forward.port))
    time.sleep(0.5)
    world.cafe.leave()
    time.sleep(0.3)
    moved = watch.after(lambda: world.cell.join(v6=False), (watch.NEWROUTE,))
    time.sleep(1.5)
    world.cell.forget(0.2, time.sleep)
    rebooted = time.monotonic_ns()
    time.sleep(2.0)
    transfer.finish()
    figures = {"move_stall_ms": transfer.stall_ms(moved, 1.5), "reboot_stall_ms": transfer.stall_ms(rebooted, 2.0),
        "ssh_after_ms": session.say(b"after")}
    session.end()
    lab.check(figures["move_stall_ms"] <= MOVE_MS, f"{figures} > {MOVE_MS} ms")
    lab.check(figures["reboot_stall_ms"] <= REBOOT_MS, f"{figures} > {REBOOT_MS} ms")
    lab.check(figures["ssh_after_ms"] <= 500, f"{figures}: ssh answers late")
    return figures


def first_byte():
    """Of an answer to what `overlay pipe` is given: within 1 RTT, not 2. The fastest of five, and of that of a
    connection by `overlay forward`."""
    _, laptop, home = talking(delay_ms=50.0)
    target = streams.Target(home.ns, streams.echo)
    streams.Running(home, "serve", "sink", target.name, ready="serving sink")
    forward = streams.forward(laptop, 0, "home:sink")
    piped, forwarded = [], []
    for _ in range(5):
        start = time.monotonic()
        process = laptop.ns.popen(node.program("overlay"), "--socket", laptop.socket, "pipe", "home", "sink",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdin.write(b"x")
        process.stdin.flush()
        lab.check(process.stdout.read1(1) == b"x", "pipe: no answer")
        piped.append((time.monotonic() - start) * 1e3)
        process.communicate(timeout=5)
        start = time.monotonic()
        with streams.connect(laptop, forward.port) as s:
            s.sendall(b"x")
            lab.check(s.recv(1) == b"x", "forward: no answer")
        forwarded.append((time.monotonic() - start) * 1e3)
    figures = {"rtt_ms": 100, "pipe_ms": min(piped), "forward_ms": min(forwarded)}
    lab.check(100 <= figures["pipe_ms"] < 170 and 100 <= figures["forward_ms"] < 170, f"{figures}: more than 1 RTT")
    return figures


def logs():
    return node.logs() + streams.logs()


if __name__ == "__main__":
    sys.exit(lab.main({"lives_through_moves": lives_through_moves, "first_byte": first_byte}, logs))
