#!/usr/bin/env python3
"""Where a machine may be called and answered: lan_only, and private ranges that are not ours.

    desk 10.1.0.10 ---.
    laptop 10.1.0.11 -+- home 45.1.0.2 --- 45.1.0.1 core 45.9.0.1 --- 45.9.0.2 hub (facilitator)
    attic 192.168.7.10 '                   45.2.0.1 core --- 45.2.0.2 away --- 10.2.0.x

home and away translate (masquerade). desk's own networks are 10.1.0.0/24 and nothing else: what it
sends to other private ranges is captured.
"""
import ipaddress
import json
import socket
import struct
import sys
import time

import lab
import load
import node

HUB = "45.9.0.2"
PORT = 27182
PRIVATE = [ipaddress.ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
    "100.64.0.0/10", "169.254.0.0/16")]
MASQUERADE = """
    table ip nat {
        chain post { type nat hook postrouting priority 100
            oifname "wan" masquerade
        }
    }
    table ip closed {
        chain in { type filter hook input priority 0
            iifname "wan" ct state new drop
        }
        chain through { type filter hook forward priority 0
            iifname "wan" ct state new drop
        }
    }"""


class Site:
    """A home with a router; machines are plugged into its bridges."""

    def __init__(self, core, number, name, subnets):
        self.ns = lab.Ns(name, forward=True)
        lab.veth(self.ns, "wan", core, name, False)
        self.ns.address("wan", f"45.{number}.0.2/24")
        core.address(name, f"45.{number}.0.1/24")
        self.ns.ip(f"route add default via 45.{number}.0.1")
        self.subnets = subnets
        for i, subnet in enumerate(subnets):
            self.ns.ip(f"link add lan{i} type bridge")
            self.ns.address(f"lan{i}", f"{subnet}.1/24")
        self.ns.nft(MASQUERADE)

    def join(self, machine, host, subnet=0):
        """A cable, an address, a default route. The machine's interface has the name of the site."""
        dev, net = self.ns.name, self.subnets[subnet]
        lab.veth(machine, dev, self.ns, f"p{machine.name}", False)
        self.ns.ip(f"link set dev p{machine.name} master lan{subnet} up")
        machine.sysctl(f"net.ipv6.conf.{dev}.disable_ipv6", 1)  # what is watched is IPv4
        machine.address(dev, f"{net}.{host}/24")
        machine.ip(f"route replace default via {net}.1 dev {dev}")
        return f"{net}.{host}"

    def leave(self, machine):
        machine.ip(f"link del dev {self.ns.name}")


class World:
    def __init__(self):
        self.core, self.hub = lab.Ns("core", forward=True), lab.Ns("hub")
        lab.veth(self.hub, "eth0", self.core, "hub", False)
        self.hub.address("eth0", f"{HUB}/24")
        self.core.address("hub", "45.9.0.1/24")
        self.hub.ip("route add default via 45.9.0.1")
        self.home = Site(self.core, 1, "home", ("10.1.0", "192.168.7"))
        self.away = Site(self.core, 2, "away", ("10.2.0",))
        self.facilitator = node.Node(self.hub, args=["--facilitator-policy", "open",
            "--facilitator-tcp", 0, "--no-tun"]).start()
        self.nodes = []

    def machine(self, name, *args, facilitator=True):
        one = node.Node(lab.Ns(name), args=args)
        if facilitator:
            config = one.dir / "overlay.json"
            config.write_text(json.dumps({"facilitators": [f"{self.facilitator.peer}@{HUB}:{PORT}"]}))
            one.args += ["--config", config]
        self.nodes.append(one)
        return one

    def stop(self):
        for one in (*self.nodes, self.facilitator):
            if one.process and one.process.poll() is None:
                one.stop()


class Capture:
    """IPv4 packets that leave a machine by one interface: (protocol, address, destination port)."""

    def __init__(self, ns, dev):
        self._socket = ns.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.bind((dev, 3))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.setblocking(False)

    def sent(self):
        found = set()
        while True:
            try:
                data, where = self._socket.recvfrom(65536)
            except BlockingIOError:
                return found
            if where[2] == socket.PACKET_OUTGOING and data[12:14] == b"\x08\x00":
                ihl = (data[14] & 15) * 4
                port = struct.unpack_from("!H", data, 14 + ihl + 2)[0]
                found.add((data[23], ipaddress.ip_address(data[30:34]), port))


def foreign(found, *own):
    """Destinations in private ranges outside of our own networks."""
    own = [ipaddress.ip_network(n) for n in own]
    return sorted(f"{a}:{p}" for _, a, p in found
        if any(a in n for n in PRIVATE) and not any(a in n for n in own))


def why(daemon, other):
    return daemon.cli("why", other.name)["code"]


def path(daemon, other):
    return daemon.cli("peer", "show", other.name)["paths"]


def active(daemon, other):
    return next((p for p in path(daemon, other) if p["active"]), {"carrier": None, "remote": None})


def pings(a, b, seconds=1):
    return load.ping_once(a.ns, b.address, seconds)


def reaches(a, b, within_s):
    start = time.monotonic()
    lab.wait_for(f"{a.name} reaches {b.name}", within_s, lambda: pings(a, b, 0.5))
    return (time.monotonic() - start) * 1e3


def registered(one):
    return any(f["registered"] for f in one.cli("facilitator", "status")["facilitators"])


def lan_only_contact():
    """At home as ever; elsewhere neither called nor answered, and no relay carries it; until the owner says
    otherwise."""
    world = World()
    desk, laptop = world.machine("desk"), world.machine("laptop")
    world.home.join(desk.ns, 10)
    world.home.join(laptop.ns, 11)
    desk.start(), laptop.start()
    laptop.add(desk)
    desk.cli("peer", "add", "laptop", laptop.peer, "--lan-only", "--allow", "all")
    lab.check(desk.cli("peer", "show", "laptop")["lan_only"] is True, "not noted")
    home_ms = reaches(desk, laptop, 5)
    lab.check(active(desk, laptop)["remote"] == f"10.1.0.11:{PORT}", f"{active(desk, laptop)}")
    for one in (desk, laptop):
        lab.wait_for(f"registration of {one.name}", 5, lambda o=one: registered(o))

    world.home.leave(laptop.ns)
    world.away.join(laptop.ns, 11)
    lab.wait_for("registration from elsewhere", 5,
        lambda: any(f["observed"] and f["observed"].startswith("45.2.") for f in
        laptop.cli("facilitator", "status")["facilitators"]))
    lab.check(not pings(desk, laptop, 0.5) and not pings(laptop, desk), "it answers from elsewhere")
    lab.check(why(desk, laptop) == "policy", f"desk says {desk.cli('why', 'laptop')}")
    serving = world.facilitator.cli("facilitator", "status")["serving"]
    lab.check(serving["channels"] == 0 and serving["relayed_bytes"] == 0, f"the relay says {serving}")

    desk.stop()  # it is on disk
    desk.start()
    lab.check(not pings(laptop, desk), "forgotten by a restart")
    desk.cli("peer", "lan-only", "laptop", "off")
    free_ms = reaches(desk, laptop, 5)
    desk.cli("peer", "lan-only", "laptop", "on")
    lab.check(not pings(desk, laptop, 0.5) and not pings(laptop, desk, 0.5), "it still answers")

    world.away.leave(laptop.ns)
    world.home.join(laptop.ns, 11)
    back_ms = reaches(laptop, desk, 8)
    world.stop()
    return {"home_ms": home_ms, "free_ms": free_ms, "back_ms": back_ms}


def lan_only_all():
    """--lan-only: not one packet leaves the home, whoever calls; at home all is as ever."""
    world = World()
    desk, laptop, guest = world.machine("desk", "--lan-only"), world.machine("laptop"), world.machine("guest")
    for one, host, site in ((desk, 10, world.home), (laptop, 11, world.home), (guest, 12, world.away)):
        site.join(one.ns, host)
    capture = Capture(desk.ns, "home")
    desk.start(), laptop.start(), guest.start()
    node.pair(laptop, desk)
    # a hole in the router, for whoever knows it
    world.home.ns.nft(f"""
        table ip hole {{
            chain pre {{ type nat hook prerouting priority -100
                iifname "wan" udp dport {PORT} dnat to 10.1.0.10
            }}
        }}
        delete table ip closed""")
    node.pair(desk, guest, f"45.2.0.2:{PORT}")
    guest.add(desk, f"45.1.0.2:{PORT}")
    home_ms = reaches(laptop, desk, 5)
    lab.check(not pings(guest, desk) and not pings(desk, guest, 0.5), "guest is reached")
    lab.check(why(desk, guest) == "policy", f"desk says {desk.cli('why', 'guest')}")
    dropped = desk.cli("status")["counters"]["drops"]["policy"]
    lab.check(dropped > 0, "guest's calls did not even arrive")
    outside = [f"{a}:{p}" for _, a, p in capture.sent() if a not in ipaddress.ip_network("10.1.0.0/24")
        and not a.is_multicast]
    lab.check(not outside, f"it spoke to {outside}")
    world.stop()
    return {"home_ms": home_ms, "dropped": dropped}


def private_ranges():
    """desk meets who is elsewhere, who has private addresses of all sorts, and an endpoint of its own
    that was true yesterday: nothing goes to a private range that is not desk's. Whom desk shares a router
    with is asked there, though the network is another one."""
    world = World()
    desk, guest, attic = world.machine("desk"), world.machine("guest"), world.machine("attic")
    world.home.join(desk.ns, 10)
    world.away.join(guest.ns, 12)
    for i, net in enumerate(("192.168.44.5/24", "172.20.1.5/16", "10.77.0.5/24", "100.70.0.5/24")):
        lab.veth(guest.ns, f"extra{i}", world.away.ns, f"x{i}")
        guest.ns.address(f"extra{i}", net)
    capture = Capture(desk.ns, "home")
    desk.start(), guest.start()
    node.pair(desk, guest)
    met_ms = reaches(desk, guest, 5)
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline and active(desk, guest)["carrier"] != "udp":
        pings(desk, guest)
    lab.check(active(desk, guest)["remote"] == f"45.2.0.2:{PORT}", f"the path is {active(desk, guest)}")
    told = {c["addr"] for c in guest.cli("peer", "show", "desk")["candidates"]}
    lab.check(not any(a.startswith("10.1.") for a in told), f"guest kept {told}")
    guest.stop()
    pings(desk, guest)  # and its calls
    found = foreign(capture.sent(), "10.1.0.0/24")
    lab.check(not found, f"desk asked at {found}")

    world.home.join(attic.ns, 10, subnet=1)
    attic.start()
    node.pair(desk, attic)
    reaches(desk, attic, 5)
    lab.wait_for("the way inside the house", 5, lambda: pings(desk, attic) and
        active(desk, attic)["remote"] == f"192.168.7.10:{PORT}", 0.2)
    found = foreign(capture.sent(), "10.1.0.0/24", "192.168.7.0/24")
    lab.check(not found, f"desk asked at {found}")
    world.home.leave(desk.ns)  # the same addresses are somebody else's there
    world.away.join(desk.ns, 20)
    capture = Capture(desk.ns, "away")
    reaches(desk, attic, 5)
    time.sleep(1)
    found = foreign(capture.sent(), "10.2.0.0/24")
    lab.check(not found, f"desk, elsewhere, asked at {found}")
    world.stop()
    return {"met_ms": met_ms}


if __name__ == "__main__":
    sys.exit(lab.main({"lan_only_contact": lan_only_contact, "lan_only_all": lan_only_all,
        "private_ranges": private_ranges}, node.logs))
