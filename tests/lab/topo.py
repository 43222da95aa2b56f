"""topo - the networks of the lab: two access networks, an Internet, a home.

                      .------- cafe ---- wan.          .---- line ----.
    laptop  wifi/lte <                    >  internet <                > home
                      `------- cell ---- wan'          `--------------'

cafe and cell are routers, each may be a NAT; the delay line is a cable between the Internet and the
home. The lab's Internet is 45.0.0.0/8 and 2a45::/16 (nat.md part 4: some programs refuse the
documentation prefixes). Nothing is configured on the laptop until join().
"""
import ipaddress
import socket
import threading

import lab

HOME4, HOME6 = "45.9.0.2", "2a45:9::2"


class Network:
    """One access network: a router that the laptop can join through its own interface."""

    def __init__(self, number, name, dev, laptop, internet, nat, whole):
        self.name, self.dev, self.laptop = name, dev, laptop
        self.router = lab.Ns(name, forward=True)
        inside = f"10.{number}.0" if nat else f"45.{number}.0"
        self.gateway4, self.host4 = f"{inside}.1", f"{inside}.10"
        self.gateway6, self.host6 = f"2a45:{number}::1", f"2a45:{number}::10"
        lab.veth(laptop, dev, self.router, "lan", whole)
        laptop.ip(f"link set dev {dev} down")
        lab.veth(self.router, "wan", internet, name, whole)
        self.router.address("lan", f"{self.gateway4}/24", f"{self.gateway6}/64")
        self.router.address("wan", f"45.10{number}.0.2/30", f"2a45:10{number}::2/64")
        internet.address(name, f"45.10{number}.0.1/30", f"2a45:10{number}::1/64")
        self.router.ip(f"route add default via 45.10{number}.0.1",
            f"route add default via 2a45:10{number}::1")
        internet.ip(f"route add 2a45:{number}::/64 via 2a45:10{number}::2")
        if nat:
            self._masquerade()
        else:
            internet.ip(f"route add 45.{number}.0.0/24 via 45.10{number}.0.2")

    def _masquerade(self):
        """A symmetric NAT with a random port, closed from outside. fully-random switches the reuse
        of mappings off; the dropping filter keeps early packets from making entries of their own."""
        self.router.nft("""
            table ip nat {
                chain post { type nat hook postrouting priority 100
                    oifname "wan" masquerade random,fully-random
                }
            }
            table ip closed {
                chain in { type filter hook input priority 0
                    iifname "wan" ct state new drop
                }
                chain through { type filter hook forward priority 0
                    iifname "wan" ct state new drop
                }
            }""")

    def join(self, v4=True, v6=True, metric=100):
        """Address and default route for the laptop; usable when this returns."""
        lab.link_up(self.laptop, self.dev, self.router, "lan")
        commands = []
        if v4:
            commands += [f"addr add {self.host4}/24 dev {self.dev}",
                f"route add default via {self.gateway4} dev {self.dev} metric {metric}"]
        if v6:
            commands += [f"addr add {self.host6}/64 dev {self.dev} nodad",
                f"route add default via {self.gateway6} dev {self.dev} metric {metric}"]
        self.laptop.ip(*commands)

    def leave(self):
        """The addresses go first, then the interface: what a lost WLAN looks like."""
        self.laptop.ip(f"addr flush dev {self.dev}", f"link set dev {self.dev} down")

    def forget(self, down_s=0.0, sleep=None):
        """The NAT reboots: the line is held meanwhile, because an old packet between the flush and
        the new start would teach the old mapping back (nat.md part 4)."""
        self.router.nft("""
            table inet held {
                chain pre { type filter hook prerouting priority -500; policy drop; }
                chain out { type filter hook output priority -500; policy drop; }
            }""")
        lab.flush_conntrack(self.router)
        if sleep:
            sleep(down_s)
        lab.flush_conntrack(self.router)
        self.router.nft("delete table inet held")


class World:
    """delay_ms: one way, on the home's line; None: no delay line, cables only."""

    def __init__(self, nat=(False, False), delay_ms=10.0, whole=True, line_options=()):
        self.internet = lab.Ns("internet", forward=True)
        self.laptop, self.home = lab.Ns("laptop"), lab.Ns("home")
        self.cafe = Network(1, "cafe", "wifi", self.laptop, self.internet, nat[0], whole)
        self.cell = Network(2, "cell", "lte", self.laptop, self.internet, nat[1], whole)
        if delay_ms is None:
            lab.veth(self.internet, "home", self.home, "eth0", whole)
        else:
            # Kernels before 6.2 cannot show a UDP GSO frame to a packet socket: cut there.
            self.line = Line(self.internet, "home", self.home, "eth0",
                "-d", int(delay_ms * 1000), *line_options)
        self.internet.address("home", "45.9.0.1/24", "2a45:9::1/64")
        self.home.address("eth0", f"{HOME4}/24", f"{HOME6}/64")
        self.home.ip("route add default via 45.9.0.1", "route add default via 2a45:9::1")


class Line:
    """A delay line between two machines: a namespace with the two cable ends and delay.c."""

    def __init__(self, a, dev_a, b, dev_b, *options, name="line"):
        self.ns = lab.Ns(name)
        for key in ("all", "default"):
            self.ns.sysctl(f"net.ipv6.conf.{key}.disable_ipv6", 1)  # the cable says nothing itself
        lab.veth(a, dev_a, self.ns, "a", whole=False)
        lab.veth(b, dev_b, self.ns, "b", whole=False)
        self.process = self.ns.popen(lab.tool("tests/lab/delay.c"), *options, "a", "b",
            stdout=lab.subprocess.PIPE, text=True)
        lab.check(self.process.stdout.readline() == "ready\n", "the delay line does not start")

    def stop(self):
        """Ends the line; gives its counters as {direction: {name: number}}."""
        self.process.terminate()
        counters = {}
        for line in self.process.communicate()[0].splitlines():
            direction, *pairs = line.split()
            counters[direction] = {k: int(v) for k, v in (p.split("=") for p in pairs)}
        return counters


def prove_nat(network, outside_ip, outside_ns):
    """The NAT must be what its name says before a test counts on it: the port outside differs from
    the inside one, and differs again for a second destination (symmetric). Gives the ports seen."""
    seen = []
    with network.laptop.socket(socket.AF_INET, socket.SOCK_DGRAM) as inside:
        inside.bind((network.host4, 27182))
        for port in (5001, 5002, 5003):
            with outside_ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
                outside.bind((outside_ip, port))
                outside.settimeout(3)
                inside.sendto(b"which port", (outside_ip, port))
                _, (ip, mapped) = outside.recvfrom(64)
                lab.check(ip != network.host4, f"the NAT does not translate: {ip}")
                lab.check(mapped != 27182, "the NAT preserves the port")
                seen.append(mapped)
    lab.check(len(set(seen)) == 3, f"the NAT reuses a mapping: {seen}")
    return seen


class RouteWatch:
    """Netlink's own times of route and address changes on one machine."""
    NEWADDR, DELADDR, NEWROUTE, DELROUTE = 20, 21, 24, 25

    def __init__(self, ns):
        self.events, self._new = [], threading.Event()
        with ns.inside():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
            # RTMGRP: IPv4 address, route; IPv6 address, route
            self._socket.bind((0, 0x10 | 0x40 | 0x100 | 0x400))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            data = self._socket.recv(65536)
            now = lab.time.monotonic_ns()
            at = 0
            while at + 16 <= len(data):
                length, kind = lab.struct.unpack_from("=IH", data, at)
                self.events.append((now, kind))
                at += (length + 3) & ~3

    def after(self, action, kinds):
        """Runs action and gives the time of the last event of these kinds that it caused."""
        start = lab.time.monotonic_ns()
        action()
        end = lab.time.monotonic_ns()
        lab.time.sleep(0.005)  # the reader's turn
        times = [t for t, kind in self.events if start <= t <= end and kind in kinds]
        return times[-1] if times else end


def is_v4(address):
    return ipaddress.ip_address(address).version == 4
