"""roam - one move of a laptop, measured: used by test_roam.py, demo.py and the bench.

The gap is counted from the netlink event after which a usable address and route exist to the first
answered ping (100 Hz) whose request was sent after it; when both interfaces are up, that event is
the removal of the old one, before which the new one was usable. A later silence counts as well.
"""
import time

import lab
import load
import node
import topo

KINDS = {
    "v4_v4": dict(old=(True, False), new=(True, False), order="old_first"),
    "v4_v6": dict(old=(True, False), new=(False, True), order="old_first"),
    "v6_v4": dict(old=(False, True), new=(True, False), order="old_first"),
    "v4_v4_nat": dict(old=(True, False), new=(True, False), order="old_first", nat=True),
    "v4_v4_both_up": dict(old=(True, False), new=(True, False), order="both_up"),
    "v4_v6_both_up": dict(old=(True, False), new=(False, True), order="both_up"),
}


class Roamer:
    """A laptop and a home that talk; move() is one change of network with traffic on."""

    def __init__(self, nat=False, delay_ms=10.0, old=(True, False), args=()):
        self.world = topo.World(nat=(nat, nat), delay_ms=delay_ms)
        self.here, self.there = self.world.cafe, self.world.cell
        self.here.join(v4=old[0], v6=old[1])
        self.watch = topo.RouteWatch(self.world.laptop)
        self.laptop = node.Node(self.world.laptop, args=args).start()
        self.home = node.Node(self.world.home, args=args).start()
        node.pair(self.laptop, self.home, node.endpoint(topo.HOME4), node.endpoint(topo.HOME6))
        lab.check(load.ping_once(self.world.laptop, self.home.address), "no first contact")

    def change(self, new, order, away_s=0.3):
        """The move itself; gives the time of the event."""
        old_net, self.here, self.there = self.here, self.there, self.here
        new_net = self.here

        def join(metric):
            return lambda: new_net.join(v4=new[0], v6=new[1], metric=metric)
        if order == "both_up":
            join(50)()  # better than the old one, as a cable beside a WLAN
            time.sleep(1.0)
            return self.watch.after(old_net.leave, (self.watch.DELROUTE, self.watch.DELADDR))
        old_net.leave()
        time.sleep(away_s)
        return self.watch.after(join(100), (self.watch.NEWROUTE,))

    def move(self, new=(True, False), order="old_first", after_s=1.5, megabit=20):
        """One move under a ping and a TCP transfer. Fails when TCP breaks or a byte differs."""
        pings = load.Pings(self.world.laptop, self.home.address)
        seconds = 0.4 + 0.3 + after_s
        transfer = load.Transfer(self.world.laptop, self.world.home, self.home.address,
            megabit / 8 * seconds, rate_mbit=megabit)
        time.sleep(0.4)
        event = self.change(new, order)
        time.sleep(after_s)
        transfer.finish()
        pings.stop()
        return {"gap_ms": pings.gap_ms(event, after_s), "tcp_stall_ms": transfer.stall_ms(event)}


def once(kind, **kw):
    """One move of a kind in a world of its own."""
    what = KINDS[kind]
    roamer = Roamer(nat=what.get("nat", False), old=what["old"], **kw)
    return roamer.move(what["new"], what["order"])


def forget_once(world, laptop, home, after_s=2.0):
    """The NAT in front of the laptop forgets its mappings while traffic flows, and deals new
    ports. The gap counts from the moment the line is up again."""
    pings = load.Pings(laptop.ns, home.address)
    transfer = load.Transfer(laptop.ns, home.ns, home.address, 20 / 8 * (0.6 + after_s), rate_mbit=20)
    time.sleep(0.4)
    world.cafe.forget(0.2, time.sleep)
    event = time.monotonic_ns()
    time.sleep(after_s)
    transfer.finish()
    pings.stop()
    return {"gap_ms": pings.gap_ms(event, after_s), "tcp_stall_ms": transfer.stall_ms(event)}


def natted():
    """A laptop behind a proven symmetric NAT that talks with the home."""
    world = topo.World(nat=(True, True))
    world.cafe.join(v6=False)
    topo.prove_nat(world.cafe, topo.HOME4, world.home)
    laptop, home = node.Node(world.laptop).start(), node.Node(world.home).start()
    node.pair(laptop, home, node.endpoint(topo.HOME4))
    lab.check(load.ping_once(world.laptop, home.address), "no first contact")
    return world, laptop, home
