#!/usr/bin/env python3
"""make demo: two laptops in two networks; one walks from the cafe to the cell network while a ping
and a copy over TCP run. Real daemons, real kernel, a network of namespaces that vanishes afterwards.
Ends by itself in less than 45 s, with `gap: N ms`.
"""
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/lab"))

import lab  # noqa: E402
import load  # noqa: E402
import node  # noqa: E402
import topo  # noqa: E402

BEGIN = time.monotonic()


def say(text):
    print(f"{time.monotonic() - BEGIN:6.2f} s  {text}", flush=True)


def short(peer):
    return peer[:8] + "..." + peer[-4:]


def settled(pings, seconds, transfer, text):
    """Lets traffic flow for a while and tells how it goes."""
    before = transfer.received
    time.sleep(seconds)
    rate = (transfer.received - before) * 8e-6 / seconds
    say(f"{text}: the copy runs at {rate:.0f} Mbit/s, {transfer.received / 1e6:.1f} MB are there")


def prepare():
    say("building a small Internet: a cafe (IPv4 behind a NAT), a cell network (IPv6), a home; "
        "20 ms between them")
    world = topo.World(nat=(True, False))
    world.cafe.join(v6=False)
    ports = topo.prove_nat(world.cafe, topo.HOME4, world.home)
    say(f"anna's laptop joins the cafe as {world.cafe.host4}; its NAT deals random ports ({ports[0]}, "
        f"{ports[1]}, {ports[2]})")
    anna, ben = node.Node(world.laptop, "anna").start(), node.Node(world.home, "ben").start()
    say(f"overlayd runs on both: anna {short(anna.peer)}, ben {short(ben.peer)}")
    say(f"    overlay peer add ben {short(ben.peer)} {topo.HOME4}:27182   (on anna)")
    say(f"    overlay peer add anna {short(anna.peer)}   (on ben)")
    node.pair(anna, ben, node.endpoint(topo.HOME4), node.endpoint(topo.HOME6))
    start = time.monotonic()
    lab.check(load.ping_once(world.laptop, ben.address), "anna cannot reach ben")
    say(f"first ping to {ben.address} answered {1e3 * (time.monotonic() - start):.0f} ms after "
        "anna knew the key")
    return world, anna, ben


def demo():
    world, anna, ben = prepare()
    watch = topo.RouteWatch(world.laptop)
    pings = load.Pings(world.laptop, ben.address)
    size = 30
    transfer = load.Transfer(world.laptop, world.home, ben.address, size, rate_mbit=40)
    say(f"a ping every 10 ms and a copy of {size} MB over one TCP connection begin")
    settled(pings, 2.0, transfer, "in the cafe")
    say("anna leaves the cafe: address and interface are gone")
    world.cafe.leave()
    time.sleep(0.5)
    event = watch.after(lambda: world.cell.join(v4=False), (watch.NEWROUTE,))
    say(f"the cell network gives her {world.cell.host6}: another family, another address, no NAT")
    settled(pings, 2.0, transfer, "in the cell network")
    transfer.finish(20)
    say(f"the copy is complete: {transfer.received / 1e6:.1f} MB, every byte as sent, the same TCP "
        "connection")
    pings.stop()
    gap = pings.gap_ms(event, 2.0)
    lost = pings.sent - len(pings.answers)
    say(f"{pings.sent} pings, {lost} without an answer (away for 0.5 s included)")
    for daemon in (anna, ben):
        daemon.stop()
    say("both daemons ended within 2 s of SIGTERM; nothing is left behind")
    print(f"gap: {gap:.0f} ms", flush=True)
    lab.check(gap <= 300, "more than 300 ms from a usable route to the first answer")


def main(story):
    """Runs a story in the lab's sandbox: whatever happens, Ctrl-C too, nothing is left of it."""
    os.chdir(ROOT)
    lab.signal.signal(lab.signal.SIGALRM, lab.too_long)
    try:
        lab.enter()
        lab.signal.alarm(44)
        story()
        return 0
    except lab.Skip as skip:
        return lab.skipped(str(skip))
    except lab.Failed as failed:
        print(f"demo failed: {failed}\n{node.logs()}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(demo))
