#!/usr/bin/env python3
"""What happens to the networks of the lab (nat.py: reboot, move, ...) does happen, and nothing else:
seen with plain sockets, before tests of the daemon count on it."""
import contextlib
import sys
import threading
import time

import lab
import load
import nat
import natprobe
import node


def site(kind, rtt_ms=None):
    world = nat.World(rtt_ms)
    router = world.router(kind)
    inside = world.host("inside", router)
    return world, router, natprobe.Probe(inside, world.server("server"))


@contextlib.contextmanager
def chatter(probe, s, mapped):
    """Both ends send all the time, to where the other one was: what would teach an old mapping back."""
    stop = threading.Event()

    def talk():
        far = probe.far[probe.first]
        while not stop.wait(0.002):
            s.sendto(b"in", probe.first)
            far.sendto(b"out", mapped)
    thread = threading.Thread(target=talk)
    thread.start()
    yield
    stop.set()
    thread.join()


def rebooted(probe, which, **how):
    """One socket lives through a reboot under traffic; gives its outside endpoints."""
    with natprobe.udp(probe.inside.ns, probe.inside.address, 27182) as s:
        old = probe.open(s)
        with chatter(probe, s, old):
            time.sleep(0.05)
            start = time.monotonic()
            up = nat.reboot(which, down_s=0.1, **how) / 1e9
            lab.check(start + 0.1 <= up <= time.monotonic(), "the time handed back is not the end")
            time.sleep(0.05)
        for far in probe.far.values():
            natprobe.drain(far)
        new = probe.open(s)
        natprobe.drain(s)
        probe.far[probe.first].sendto(b"old", old)
        probe.answers(s, new, [])
        lab.check(not natprobe.drain(s), f"the old mapping {old} still works")
    return old, new


def reboot_new_port(kind):
    def run():
        _, router, probe = site(kind)
        ends = [rebooted(probe, router) for _ in range(3)]
        for old, new in ends:
            lab.check(old[0] == new[0] == router.wan and old[1] != new[1], f"{old} became {new}")
        lab.check(probe.mapping() == ("apdm" if kind in ("symmetric", "sequential") else "eim"),
            "after the reboot it is another kind")
    return run


def reboot_new_address():
    """Ports are preserved, so only the address tells; and nobody could notice a reboot without."""
    world, router, probe = site("port-restricted")
    old, new = rebooted(probe, router, new_address=True)
    lab.check(new == (router.wan, 27182) and old[0] != new[0] and old[1] == 27182, f"{old} -> {new}")
    lab.check((probe.filtering(), probe.ports()) == ("apdf", "preserve"), "it is another kind now")
    for kind in ("open", "firewall", "full-cone"):
        try:
            nat.reboot(world.router(kind))
        except lab.Failed:
            continue
        raise lab.Failed(f"{kind}: a reboot that nobody can notice was done")


def reboot_carrier():
    """The home's address stays, the carrier's changes; then the home's own, which nobody sees."""
    _, home, probe = site("cgnat+random")
    old, new = rebooted(probe, home.carrier, new_address=True)
    lab.check(new[0] == home.carrier.wan != old[0], f"{old} -> {new}")
    old, new = rebooted(probe, home)
    lab.check(new[0] == old[0] and new[1] != old[1], f"{old} -> {new}")


def move_through_all():
    """One host visits every kind; each lets it out from its own address, and the core sees it there."""
    world, router, probe = site("open", rtt_ms=20)
    gaps = []
    for kind in (*nat.natrules.KINDS, "open"):
        router = world.router(kind)
        event = nat.move(probe.inside, router)
        if kind == "udp-blocked":
            lab.check(natprobe.tcp_reaches(probe.inside, probe.server, 443), "no TCP behind udp-blocked")
        else:
            with natprobe.udp(probe.inside.ns, probe.inside.address) as s:
                mapped = probe.open(s)
            gaps.append((time.monotonic_ns() - event) / 1e6)
            public = router.kind.mapping == "none"
            lab.check(mapped[0] == (probe.inside.address if public else router.edge.wan), f"{kind}: {mapped}")
        lab.check(world.direct_packets(probe.inside, probe.server) > 0, f"{kind}: unseen by the core")
    routes = probe.inside.ns.run("ip", "route", "show", "default").splitlines()
    lab.check(len(routes) == 1, f"routes were left behind: {routes}")
    return {"worst_ms": max(gaps)}


def move_back():
    """A host returns to a network that it has been in: the same address, the same cable."""
    world, cafe, probe = site("port-restricted")
    cell, first = world.router("symmetric"), probe.inside.address
    event = nat.move(probe.inside, cell, away_s=0.2)
    away_ms = (time.monotonic_ns() - event) / 1e6
    nat.move(probe.inside, cafe)
    lab.check(probe.inside.address == first and away_ms < 100, f"{probe.inside.address}, {away_ms:.0f} ms")
    lab.check(probe.mapping() == "eim", "the first network works no more")


def both_move():
    """Two hosts that speak directly change places at once; each is then where the other was not."""
    world = nat.World(20)
    a = world.host("a", world.router("open"))
    b = world.host("b", world.router("open"))
    old = (a.address, b.address)
    lab.check(load.ping_once(a.ns, b.address), "no ping before")
    event = nat.move_both(a, world.router("open"), b, world.router("full-cone"))
    lab.check(not set(old) & {a.address, b.address}, "an address stayed")
    with natprobe.udp(a.ns, a.address, 5000) as x, natprobe.udp(b.ns, b.address) as y:
        y.sendto(b"moved", (a.address, 5000))
        _, source = x.recvfrom(64)
        after_ms = (time.monotonic_ns() - event) / 1e6
    lab.check(source[0] == b.router.wan, f"{source} is not outside of the new router")
    lab.check(world.direct_packets(a, b, "udp") == 1, "the core does not see the new pair")
    return {"after_ms": after_ms}


def udp_blocked_suddenly():
    """UDP dies in both directions, known flows too, TCP does not; then it comes back."""
    world, router, probe = site("full-cone")
    with natprobe.udp(probe.inside.ns, probe.inside.address) as s:
        mapped = probe.open(s)
        with nat.udp_stopped(router):
            lab.check(probe.seen(s, probe.first, 0.2) is None, "UDP still goes out")
            probe.far[probe.first].sendto(b"in", mapped)
            lab.check(not natprobe.drain(s), "UDP still comes in")
            lab.check(natprobe.tcp_reaches(probe.inside, probe.server, 443), "TCP is gone as well")
        lab.check(probe.open(s) == mapped, "UDP did not come back as it was")


def daemon_killed():
    """A daemon that is killed comes back under its key and is found again, behind a NAT or not."""
    world = nat.World(20)
    inside, server = world.host("inside", world.router("port-restricted")), world.server("server")
    laptop, home = node.Node(inside.ns).start(), node.Node(server.ns).start()
    node.pair(laptop, home, node.endpoint(server.address))
    lab.check(load.ping_once(inside.ns, home.address), "no first contact")
    before = home.peer, home.process.pid
    event = nat.kill_and_restart(home, away_s=0.3)
    lab.check(home.peer == before[0] and home.process.pid != before[1], "it is not the same again")
    lab.check(load.ping_once(inside.ns, home.address, 10), "not found again within 10 s")
    return {"again_ms": (time.monotonic_ns() - event) / 1e6}


if __name__ == "__main__":
    sys.exit(lab.main({
        "reboot_full_cone": reboot_new_port("full-cone+random"),
        "reboot_port_restricted": reboot_new_port("port-restricted+random"),
        "reboot_sequential": reboot_new_port("sequential"),
        "reboot_symmetric": reboot_new_port("symmetric"),
        "reboot_new_address": reboot_new_address, "reboot_carrier": reboot_carrier,
        "move_through_all": move_through_all, "move_back": move_back, "both_move": both_move,
        "udp_blocked_suddenly": udp_blocked_suddenly, "daemon_killed": daemon_killed}, node.logs))
