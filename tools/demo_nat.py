#!/usr/bin/env python3
"""DEMO=nat make demo: two laptops in two homes, each behind a NAT that lets nothing in, and a facilitator.
One prints an invite, the other joins: they speak through the facilitator at once, and directly as soon as
both NATs are punched. Then one's network blocks UDP, and in the end she visits him: her laptop joins his
LAN. A ping every 10 ms and one TCP connection run through all of it. Real daemons, real kernel NAT, 20 ms
between any two; whether they speak directly is counted at the core of that Internet, not asked of them.
Ends by itself in less than 45 s; nothing is left behind.
"""
import sys
import time

import demo
from demo import lab, load, node, say

import nat  # noqa: E402 (found beside lab.py)
import natprobe  # noqa: E402

PORT, PAYLOAD = 27182, 800  # pings of that size are what nat.World counts
GAPS = []


class Story:
    def __init__(self):
        say("building a small Internet: two homes, each behind a NAT that lets in only answers; a facilitator; "
            "20 ms between any two")
        self.world = nat.World()
        self.hub = self.world.server("hub")
        self.homes = [self.world.router("port-restricted+random") for _ in range(2)]
        self.hosts = [self.world.host(name, home) for name, home in zip(("anna", "ben"), self.homes)]
        for host in self.hosts:
            probe = natprobe.Probe(host, self.hub)
            seen = (probe.mapping(port=0), probe.filtering())
            probe.close()
            lab.check(seen == ("eim", "apdf"), f"the NAT of {host.name} is not what it should be: {seen}")
            say(f"{host.name} is {host.address} behind {host.router.wan}; proven: nobody reaches that unasked")
        self.hosts[0].prepare(self.homes[1])
        self.facilitator = node.Node(self.hub.ns, "facilitator",
            args=["--facilitator", "--facilitator-policy", "open", "--no-tun"]).start()
        say(f"overlayd --facilitator at {self.hub.address}")
        where = f"{self.facilitator.peer}@{self.hub.address}:{PORT}"
        self.anna = node.Node(self.hosts[0].ns, "anna").start()
        self.ben = node.Node(self.hosts[1].ns, "ben", args=["--facilitators", where]).start()
        say(f"overlayd runs on both laptops; anna has never heard of anybody: {demo.short(self.anna.peer)}")
        lab.wait_for("ben's registration", 5,
            lambda: self.ben.cli("facilitator", "status")["facilitators"][0]["registered"])
        self.pings = self.transfer = None

    def counted(self):
        """(from anna, from ben, by the facilitator): pings that the core has seen."""
        by_hub = sum(sum(self.world.carried(x, self.hub)) for x in self.hosts)
        return (*self.world.carried(*self.hosts), by_hub)

    def path(self):
        """As `overlay status` and `overlay why` on anna's laptop tell it."""
        found = self.anna.cli("status")["peers"][0]["path"]
        why = self.anna.cli("why", "ben")
        text = f"{found['carrier']} to {found['remote']}, {found['rtt_us'] / 1e3:.1f} ms" if found else "none"
        if found and found["carrier"] == "relay":
            text = f"by relay, {found['rtt_us'] / 1e3:.1f} ms"
        say(f"    path: {text}  (why: {why['text']})")
        return found

    def carriers(self):
        paths = [d.cli("status")["peers"][0]["path"] for d in (self.anna, self.ben)]
        return [p["carrier"] if p else None for p in paths]

    def gap(self, event, text):
        """What the ping noticed since the event, said."""
        self.pings.answers = self.pings.so_far()
        ms = self.pings.gap_ms(event, (self.pings.answers[-1][1] - event) / 1e9)
        GAPS.append(ms)
        say(f"{text}: the ping missed {ms:.0f} ms, TCP goes on ({self.transfer.received / 1e6:.1f} MB so far)")

    def after(self, event, what, timeout_s, probe):
        lab.wait_for(what, timeout_s, probe)
        return (time.monotonic_ns() - event) / 1e6


def meet(story):
    line = story.ben.cli("invite", "--name", "anna", "--as", "ben", "--allow", "icmp,tcp/5201")["line"]
    say(f"ben:   overlay invite --name anna --allow icmp,tcp/5201   -> {line[:24]}... ({len(line)} characters, or a QR code)")
    start = time.monotonic_ns()
    story.anna.cli("join", line)
    say(f"anna:  overlay join {line[:16]}...   -> done after {(time.monotonic_ns() - start) / 1e6:.0f} ms; "
        "both are contacts")
    story.pings = load.Pings(story.hosts[0].ns, story.ben.address, interval_ms=10, payload=PAYLOAD, live=True)
    lab.wait_for("a first answer", 5, story.pings.so_far, 0.005)
    first = story.pings.so_far()[0][1]
    say(f"first ping answered {(first - start) / 1e6:.0f} ms after the join began")
    story.path()
    direct = story.after(start, "a direct path", 10,
        lambda: all(story.counted()[:2]) and story.carriers() == ["udp", "udp"])
    say(f"both NATs are punched: direct {direct:.0f} ms after the join began")
    time.sleep(0.5)
    before = story.counted()
    time.sleep(1.0)
    there, back, by_hub = (n - m for n, m in zip(story.counted(), before))
    say(f"the core counted {there} pings and {back} answers between the homes in a second, {by_hub} by the facilitator")
    story.path()
    story.transfer = load.Transfer(story.hosts[0].ns, story.hosts[1].ns, story.ben.address, 25, rate_mbit=20)
    say("a copy of 25 MB over one TCP connection begins")
    time.sleep(1.0)


def blocked(story):
    say("anna's network drops all UDP from now on (as hotels do); only TCP to 80 and 443 is left")
    event = nat.stop_udp(story.homes[0])
    lab.wait_for("the facilitator by TCP", 6, lambda: story.anna.cli("facilitator", "status")["facilitators"][0]
        ["remote"].endswith(":443"))
    lab.wait_for("an answer", 5, lambda: story.pings.so_far()[-1][0] > event)
    time.sleep(1.0)
    story.gap(event, "by TCP to port 443 of the facilitator, and on to ben")
    story.path()
    nat.allow_udp(story.homes[0])


def visit(story):
    say("anna closes her door and walks to ben's: her laptop joins his LAN")
    event = nat.move(story.hosts[0], story.homes[1], away_s=0.5)
    say(f"it is {story.hosts[0].address} there, ben is {story.hosts[1].address}")

    def on_lan():
        found = story.anna.cli("status")["peers"][0]["path"]
        remote = (found and found["carrier"] == "udp" and found["remote"]) or ""
        return story.hosts[1].address in remote or remote.startswith("[fe80:")  # LAN beacons tell both
    took = story.after(event, "the path over the LAN", 10, on_lan)
    time.sleep(1.5)
    story.gap(event, f"over the LAN itself after {took:.0f} ms")
    path = story.path()
    lab.check(path["rtt_us"] < 15000, "the path over the LAN is no shorter")


def story():
    it = Story()
    meet(it)
    blocked(it)
    visit(it)
    it.transfer.finish(20)
    it.pings.stop()
    say(f"the copy is complete: {it.transfer.received / 1e6:.1f} MB, every byte as sent, one TCP connection all the way")
    for daemon in (it.anna, it.ben, it.facilitator):
        daemon.stop()
    say("all three daemons ended within 2 s of SIGTERM; nothing is left behind")
    print(f"gap: {max(GAPS):.0f} ms", flush=True)
    lab.check(max(GAPS) <= 3000, "more than 3 s without an answer")


if __name__ == "__main__":
    sys.exit(demo.main(story))
