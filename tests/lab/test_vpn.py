#!/usr/bin/env python3
"""A full-tunnel VPN goes up and down under a session: sessions stay, and the tunnel is no place to be met.

    desk 10.1.0.10 --- home 45.1.0.2 --- core --- 45.2.0.2 away --- 10.2.0.12 guest
         vpn0 10.8.0.2 ....... UDP ....... core --- 45.8.0.2 exit     core --- 45.9.0.2 hub (facilitator)

The VPN is a TUN (or TAP) whose packets go by UDP to exit, which translates them to its own address. How it
takes the default route is what real ones do: two halves (OpenVPN), a table of its own by a rule (wg-quick),
another default in place of the old one; and a kill switch, which lets nothing out beside the tunnel.
"""
import fcntl
import os
import select
import struct
import sys
import threading
import time

import lab
import load
import node
import test_reach

EXIT, INSIDE = "45.8.0.2", "10.8.0.2"
GATEWAY, TABLE = "10.1.0.1", 77
TUNSETIFF, IFF_TUN, IFF_TAP, IFF_NO_PI = 0x400454CA, 1, 2, 0x1000
WATCHED_S, GATE_MS = 1.0, 500  # of a move between two networks

SWITCH = """
    table inet kill {
        chain out { type filter hook output priority 0
            oifname "home" ip daddr != 45.8.0.2 ip daddr != 10.1.0.0/24 drop
        }
    }"""
UP = {
    "halves": ["route add 0.0.0.0/1 dev vpn0", "route add 128.0.0.0/1 dev vpn0"],
    "table": [f"route add default dev vpn0 table {TABLE}",
        f"rule add to {EXIT} lookup main pref 90", "rule add lookup main suppress_prefixlength 0 pref 99",
        f"rule add lookup {TABLE} pref 100"],
    "replaced": ["route replace default dev vpn0"],
}
DOWN = {
    "halves": [],  # they go with the interface
    "table": ["rule del pref 90", "rule del pref 99", "rule del pref 100"],
    "replaced": [f"route replace default via {GATEWAY} dev home"],
}

CASES = {  # how the routes are taken, TAP instead of TUN, kill switch
    "halves": ("halves", False, False), "table": ("table", False, False), "tap": ("halves", True, False),
    "replaced": ("replaced", False, False), "kill_switch": ("halves", False, True),
}


class End:
    """One end of the tunnel: an interface, and a thread that carries its packets to the other end by UDP."""

    def __init__(self, ns, name, address, local, remote, tap=False):
        self.ns, self.name = ns, name
        self._stop = threading.Event()
        with ns.inside():
            self._tun = os.open("/dev/net/tun", os.O_RDWR)
            mode = (IFF_TAP if tap else IFF_TUN) | IFF_NO_PI
            fcntl.ioctl(self._tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), mode))
        self._udp = ns.socket(2, 2)
        self._udp.bind((local, 1194))
        self._remote = (remote, 1194)
        ns.sysctl(f"net.ipv6.conf.{name}.disable_ipv6", 1)
        ns.ip(f"addr add {address}/24 dev {name}", f"link set dev {name} mtu 1420 up")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.is_set():
            for one in select.select([self._tun, self._udp], [], [], 0.1)[0]:
                try:
                    if one is self._udp:
                        os.write(self._tun, self._udp.recv(2048))
                    else:
                        self._udp.sendto(os.read(self._tun, 2048), self._remote)
                except OSError:
                    pass  # the other end is gone, or the packet is none

    def close(self):
        self._stop.set()
        self._thread.join()
        os.close(self._tun)
        self._udp.close()


class World(test_reach.World):
    def __init__(self):
        super().__init__()
        self.exit = lab.Ns("exit", forward=True)
        lab.veth(self.exit, "wan", self.core, "exit", False)
        self.exit.address("wan", f"{EXIT}/24")
        self.core.address("exit", "45.8.0.1/24")
        self.exit.ip("route add default via 45.8.0.1")
        self.exit.nft(test_reach.MASQUERADE.replace('iifname "wan" ct state new drop',
            'iifname "wan" udp dport != 1194 ct state new drop'))
        self.desk, self.guest = self.machine("desk"), self.machine("guest")
        self.home.join(self.desk.ns, 10)
        self.away.join(self.guest.ns, 12)
        self.client = self.server = None

    def meet(self):
        """desk and guest speak directly."""
        self.desk.start(), self.guest.start()
        node.pair(self.desk, self.guest)
        test_reach.reaches(self.desk, self.guest, 5)
        lab.wait_for("a direct path", 5, lambda: test_reach.pings(self.desk, self.guest) and
            test_reach.active(self.desk, self.guest)["carrier"] == "udp")

    def up(self, how, tap=False, switch=False):
        self.server = End(self.exit, "tunnel", "10.8.0.1", EXIT, "45.1.0.2", tap)
        self.desk.ns.ip(f"route replace {EXIT} via {GATEWAY} dev home")
        self.client = End(self.desk.ns, "vpn0", INSIDE, "10.1.0.10", EXIT, tap)
        at = time.monotonic_ns()
        lines = [l.replace("dev vpn0", "via 10.8.0.1 dev vpn0") for l in UP[how]] if tap else UP[how]
        self.desk.ns.ip(*lines)
        if switch:
            self.desk.ns.nft(SWITCH)
        return at

    def down(self, how, switch=False):
        at = time.monotonic_ns()
        if switch:
            self.desk.ns.nft("delete table inet kill")
        self.desk.ns.ip(*DOWN[how])
        self.client.close()  # the interface goes with it
        self.server.close()
        return at


def never_told(world):
    """The tunnel is no interface of ours, in no invite, not among what guest was told; at the far end it
    may be seen as where desk was heard."""
    desk, guest = world.desk, world.guest
    lab.check(desk.cli("status")["lan"]["interfaces"] == 1, "beacons go by the tunnel")
    known = {c["addr"]: c["source"] for c in guest.cli("peer", "show", "desk")["candidates"]}
    told = [a for a, source in known.items()
        if a.startswith("10.8.") or a.startswith(EXIT) and source == "peer"]
    lab.check(not told, f"desk told {told}")
    invite = desk.cli("invite", "--no-qr", "--expires", "1m")
    lab.check(not any(e.startswith((EXIT, "10.8.")) for e in invite["endpoints"]), f"{invite['endpoints']}")
    desk.cli("invite", "revoke", invite["id"])


def gap(world, event):
    """The longest silence of a 100 Hz ping while event() happens."""
    pings = load.Pings(world.desk.ns, world.guest.address, interval_ms=10, live=True)
    time.sleep(0.2)
    at = event()
    time.sleep(WATCHED_S)
    return pings.stop().gap_ms(at, WATCHED_S - 0.1)


def full_tunnel():
    """Up and down in each way: the session stays, beside the tunnel or through it."""
    world, figures = World(), {}
    world.meet()
    registered = world.desk.cli("status")["peers"][0]["handshakes"]
    for name, (how, tap, switch) in CASES.items():
        up_ms = gap(world, lambda: world.up(how, tap, switch))
        observed = world.desk.cli("facilitator", "status")["facilitators"][0]["observed"]
        by_tunnel = observed is not None and observed.startswith(EXIT)
        lab.check(by_tunnel == (switch or how == "replaced"), f"{name}: the facilitator sees {observed}")
        never_told(world)
        down_ms = gap(world, lambda: world.down(how, switch))
        lab.check(test_reach.pings(world.desk, world.guest), f"{name}: no answer afterwards")
        lab.check(max(up_ms, down_ms) <= GATE_MS, f"{name}: silent for {up_ms:.0f} and {down_ms:.0f} ms")
        figures.update({f"{name}_up_ms": up_ms, f"{name}_down_ms": down_ms})
    lab.check(world.desk.cli("status")["peers"][0]["handshakes"] - registered <= 4, "sessions began anew")
    world.stop()
    return figures


def started_inside():
    """A daemon that starts while the VPN has everything: connected through it, and still nothing is told."""
    world = World()
    world.guest.start()
    world.up("halves", switch=True)
    world.desk.start()
    node.pair(world.desk, world.guest)
    met_ms = test_reach.reaches(world.desk, world.guest, 5)
    time.sleep(0.5)
    never_told(world)
    down_ms = gap(world, lambda: world.down("halves", True))
    lab.check(down_ms <= GATE_MS, f"silent for {down_ms:.0f} ms")
    world.stop()
    return {"met_ms": met_ms, "down_ms": down_ms}


if __name__ == "__main__":
    sys.exit(lab.main({"full_tunnel": full_tunnel, "started_inside": started_inside}, node.logs))
