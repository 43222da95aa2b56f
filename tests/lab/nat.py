"""nat - an Internet of routers of every kind, hosts that move between them, counters at its core.

    host --- lan [router] wan --- line --- s1 [core] s2 --- line --- wan [router] lan --- host
    host --- lan [router] wan --- lan [carrier] wan --- line --- s3 [core] s4 --- line --- server

The Internet is 45.0.0.0/8 (miniupnpd and others refuse reserved ranges); router n has 10.n.0.0/24
inside (45.n.0.0/24 without translation, 100.64.n.0/24 inside a carrier) and 45.(128+n).0.2 outside.
World(v6=True) adds IPv6: 2a45:n::/64 inside, routed, and every kind but open drops what comes unasked.
Each line to the core is a cable of delay.c with a quarter of the round trip each way: two sites are
20 ms apart one way unless told. Such a cable carries at most 157,000 frames/s, 1.9 Gbit/s of full
frames one by one (delay.c says how that was measured); each has a process of its own.

The core stands for many routers: what has fewer than 8 hops left dies in it.

Whether two sites speak directly is seen at the core, not asked of the daemons: direct_packets().
The core counts by pair of lines and protocol, so an address may change meanwhile. What a path that
is only being tried sends is counted as well; carried() counts the packets of one size.

The events at the end (reboot, move, ...) hand back the CLOCK_MONOTONIC nanosecond at which the
network could be used again: what a gap is measured from.
"""
import concurrent.futures
import contextlib
import ctypes
import json
import random
import signal
import time

import lab
import natrules
import topo

RTT_MS = 40.0


# --- counters ----------------------------------------------------------------------------------

class _Nft:
    """libnftables itself: reading counters many times a second must not cost a process each. A
    context is made per question, because it caches what it has read."""
    JSON = 1 << 4
    PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp"}  # where /etc/protocols is missing

    def __init__(self):
        self._lib = ctypes.CDLL("libnftables.so.1")
        self._lib.nft_ctx_new.restype = ctypes.c_void_p
        self._lib.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
        self._lib.nft_ctx_get_output_buffer.argtypes = [ctypes.c_void_p]
        for name in ("nft_ctx_free", "nft_ctx_buffer_output", "nft_ctx_buffer_error"):
            getattr(self._lib, name).argtypes = [ctypes.c_void_p]
        self._lib.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        self._lib.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]

    def list_set(self, ns, table, name):
        """Elements of a set of counters in ns: {tuple of the key: (packets, bytes)}."""
        with ns.inside():
            ctx = self._lib.nft_ctx_new(0)
            try:
                self._lib.nft_ctx_output_set_flags(ctx, self.JSON)
                self._lib.nft_ctx_buffer_output(ctx)
                self._lib.nft_ctx_buffer_error(ctx)
                failed = self._lib.nft_run_cmd_from_buffer(ctx, f"list set {table} {name}".encode())
                text = self._lib.nft_ctx_get_output_buffer(ctx)
            finally:
                self._lib.nft_ctx_free(ctx)
        lab.check(not failed, f"{ns.name}: set {name} cannot be read")
        found = {}
        for item in json.loads(text)["nftables"]:
            for element in item.get("set", {}).get("elem", []):
                value = element["elem"]
                key = (self.PROTOCOLS.get(word, word) for word in value["val"]["concat"])
                found[tuple(key)] = (value["counter"]["packets"],
                    value["counter"]["bytes"])
        return found


COUNTING = """
table inet count {
    set pairs { type ifname . ifname . inet_proto; flags dynamic; size 65536; }
    set sized { type ifname . ifname . inet_proto; flags dynamic; size 65536; }
    chain pass {
        type filter hook forward priority 0
        ip ttl < 8 drop
        update @pairs { iifname . oifname . meta l4proto counter }
        meta length %d-%d update @sized { iifname . oifname . meta l4proto counter }
    }
}
"""


# --- the machines ------------------------------------------------------------------------------

class Router:
    """A router of one kind between its `lan` (a bridge: any number of hosts) and its `wan`.

    ns         its namespace; interfaces `lan` and `wan`
    gateway_ns the namespace in which a daemon of the gateway runs (miniupnpd): inside address
               `gateway` on `lan`, outside address `wan` on `wan`
    wan        its outside address at this moment
    carrier    the router it is behind, or None
    edge       the outermost router: the one on the line to the core"""

    def __init__(self, world, kind, carrier=None, is_carrier=False):
        self.world, self.kind, self.carrier = world, kind, carrier
        self.number = world.take_number()
        self.name = f"r{self.number}"
        self.edge = carrier.edge if carrier else self
        self.seed = random.Random(self.number).random()
        self.ns = self.gateway_ns = lab.Ns(self.name, forward=True)
        self.ns.sysctl("net.ipv4.conf.all.promote_secondaries", 1)
        inside = "45" if kind.mapping == "none" else "100.64" if is_carrier else "10"
        self._inside = f"{inside}.{self.number}" + ("" if is_carrier else ".0")
        self.gateway, self.lan = f"{self._inside}.1", f"{self._inside}.0/24"
        self.ns.ip("link add lan type bridge")
        self._route_hairpins()
        self.ns.address("lan", f"{self.gateway}/24")
        if world.v6:
            self.gateway6 = f"2a45:{self.number}::1"
            self.ns.address("lan", f"{self.gateway6}/64")
        self._hosts = self._outside = 0
        self._connect()
        self._load()

    def _route_hairpins(self):
        """What comes from the lan and goes back there is routed like the rest: by default the bridge
        would take it as translated inwards, and never hand it back to the machine that it came from."""
        for key in ("conf.all", "conf.lan"):
            self.ns.sysctl(f"net.ipv4.{key}.send_redirects", 0)
        with contextlib.suppress(FileNotFoundError):  # the module that does so is not loaded
            self.ns.sysctl("net.bridge.bridge-nf-call-iptables", 0)

    def take_address(self):
        """An address of the inside network that nobody has, and the one of IPv6 that goes with it."""
        self._hosts += 1
        return f"{self._inside}.{9 + self._hosts}", f"2a45:{self.number}::{9 + self._hosts}"

    def plug(self, ns, dev):
        """A cable from a port of the lan to a machine."""
        self._hosts += 1
        port = f"p{self._hosts}"
        lab.veth(ns, dev, self.ns, port)
        self.ns.ip(f"link set dev {port} master lan up")
        return port

    def _connect(self):
        if self.carrier:
            self.carrier.plug(self.ns, "wan")
            self._next_hop, self._net = self.carrier.gateway, None
        else:
            self.core_dev = f"s{self.number}"
            self.world.line(self.core_dev, self.ns, "wan")
            self._net = f"45.{128 + self.number}.0"
            self._next_hop = f"{self._net}.1"
            self.world.core.address(self.core_dev, f"{self._next_hop}/24")
        self.wan = self._new_outside()
        self.ns.address("wan", f"{self.wan}/24")
        self.ns.ip(f"route add default via {self._next_hop}")
        if self.kind.mapping == "none":
            self.world.core.ip(f"route add {self.lan} via {self.wan}")
        if self.world.v6:
            self._connect6()

    def _connect6(self):
        """The same without translation; the way back is told to everything between us and the core."""
        if self.carrier:
            next_hop, self.wan6 = self.carrier.gateway6, self.carrier.take_address()[1]
        else:
            next_hop, self.wan6 = (f"2a45:{1000 + self.number}::{i}" for i in (1, 2))
            self.world.core.address(self.core_dev, f"{next_hop}/64")
        self.ns.address("wan", f"{self.wan6}/64")
        self.ns.ip(f"route add default via {next_hop}")
        hop = self
        while hop:
            upstream = hop.carrier.ns if hop.carrier else self.world.core
            upstream.ip(f"route add 2a45:{self.number}::/64 via {hop.wan6}")
            hop = hop.carrier

    def _new_outside(self):
        if self.carrier:
            return self.carrier.take_address()[0]
        self._outside += 1
        return f"{self._net}.{1 + self._outside}"

    def _load(self):
        if self.kind.filtering != "open":
            self.ns.nft(natrules.nat_table(self.kind, self.wan, self.lan, self.seed) +
                natrules.filter_table(self.kind))
            unreplied, stream = self.kind.lifetime_s
            self.ns.sysctl("net.netfilter.nf_conntrack_udp_timeout", unreplied)
            self.ns.sysctl("net.netfilter.nf_conntrack_udp_timeout_stream", stream)

    def _unload(self):
        for table in ("ip nat", "inet closed"):
            self.ns.nft(f"table {table}\ndelete table {table}\n")

    def restart(self, down_s, new_address):
        """What reboot() does; see there."""
        self.ns.nft(natrules.HELD)
        self._unload()
        lab.flush_conntrack(self.ns)
        self.seed = random.Random(self.seed).random()
        if new_address:
            old, self.wan = self.wan, self._new_outside()
            self.ns.ip(f"addr add {self.wan}/24 dev wan", f"addr del {old}/24 dev wan",
                f"route replace default via {self._next_hop}")
        self._load()
        time.sleep(down_s)
        lab.flush_conntrack(self.ns)
        self.ns.nft("delete table inet held")
        return time.monotonic_ns()


class Host:
    """A machine that joins routers, one at a time. address, address6: the present ones, None when it
    has none."""

    def __init__(self, name):
        self.name, self.ns = name, lab.Ns(name)
        self.router = self.address = self.address6 = None
        self._cables = {}  # router number: (device, port of the router, address, address6)

    @property
    def edge(self):
        """The router whose line to the core this host's packets take."""
        return self.router.edge

    def prepare(self, router):
        """Lays the cable, so that join() takes no time. The interface is there, but down."""
        if router.number not in self._cables:
            dev = f"net{router.number}"
            port = router.plug(self.ns, dev)
            self.ns.ip(f"link set dev {dev} down")
            self._cables[router.number] = (dev, port, *router.take_address())

    def join(self, router, v4=True, v6=True):
        """Addresses and default routes of the families asked for (IPv6 only where the world has it);
        usable when this returns."""
        self.prepare(router)
        dev, port, address, address6 = self._cables[router.number]
        lab.link_up(self.ns, dev, router.ns, port)
        lines = []
        if v4:
            lines += [f"addr add {address}/24 dev {dev}",
                f"route add default via {router.gateway} dev {dev}"]
        if v6 and router.world.v6:
            lines += [f"addr add {address6}/64 dev {dev} nodad",
                f"route add default via {router.gateway6} dev {dev}"]
        self.ns.ip(*lines)
        self.router, self.address = router, address if v4 else None
        self.address6 = address6 if v6 and router.world.v6 else None
        return self

    def leave(self):
        """The address goes first, then the interface: what a lost WLAN looks like."""
        dev = self._cables[self.router.number][0]
        self.ns.ip(f"addr flush dev {dev}", f"link set dev {dev} down")
        self.router = self.address = self.address6 = None


class Server:
    """A machine with public addresses right on a line to the core: the place of a facilitator and of
    the probe's far end. addresses: all of them; address: the first."""

    def __init__(self, world, name, count=2):
        self.name, self.ns = name, lab.Ns(name)
        self.number = world.take_number()
        self.core_dev, self.edge = f"s{self.number}", self
        net = f"45.{128 + self.number}.0"
        world.line(self.core_dev, self.ns, "eth0")
        world.core.address(self.core_dev, f"{net}.1/24")
        self.addresses = [f"{net}.{2 + i}" for i in range(count)]
        self.address = self.addresses[0]
        self.ns.address("eth0", *(f"{a}/24" for a in self.addresses))
        self.ns.ip(f"route add default via {net}.1")
        if world.v6:
            self.address6 = f"2a45:{1000 + self.number}::2"
            world.core.address(self.core_dev, f"2a45:{1000 + self.number}::1/64")
            self.ns.address("eth0", f"{self.address6}/64")
            self.ns.ip(f"route add default via 2a45:{1000 + self.number}::1")


class World:
    """The core and everything on it. rtt_ms: round trip between two sites; None: cables only.
    sized: lengths of the IP packets that carried() counts."""

    def __init__(self, rtt_ms=RTT_MS, sized=(860, 1000), v6=False):
        self.v6 = v6
        self.core = lab.Ns("core", forward=True)
        self.core.nft(COUNTING % sized)
        self._rtt_ms, self._count, self._nft = rtt_ms, 0, _Nft()

    def take_number(self):
        self._count += 1
        lab.check(self._count < 100, "the world is full: 99 routers and servers")
        return self._count

    def line(self, core_dev, ns, dev):
        if self._rtt_ms is None:
            lab.veth(self.core, core_dev, ns, dev)
        else:
            topo.Line(self.core, core_dev, ns, dev, "-d", int(self._rtt_ms * 250),
                name=f"l-{core_dev}")

    def router(self, name, carrier=None, **changes):
        """A router by the name of its kind, words that change it and fields changed (natrules.kind_of).
        For a kind behind a carrier the inner router comes back; carrier: an existing one, for neighbours."""
        kind = natrules.kind_of(name, **changes)
        if kind.carrier and carrier is None:
            carrier = Router(self, kind, is_carrier=True)
        return Router(self, kind, carrier=carrier)

    def host(self, name, router):
        return Host(name).join(router)

    def server(self, name, count=2):
        return Server(self, name, count)

    def _pair(self, table, a, b, protocol):
        """(packets, bytes) from a to b and from b to a."""
        both = []
        elements = self._nft.list_set(self.core, "inet count", table)
        for x, y in ((a, b), (b, a)):
            hits = [v for (i, o, p), v in elements.items()
                if (i, o) == (x.edge.core_dev, y.edge.core_dev) and protocol in (None, p)]
            both.append((sum(v[0] for v in hits), sum(v[1] for v in hits)))
        return both

    def direct_packets(self, a, b, protocol=None):
        """How many packets crossed the core between the sites of a and b (host, router or server),
        both ways. protocol: "udp", "tcp", "icmp", "ipv6-icmp"; None: all."""
        return sum(packets for packets, _ in self._pair("pairs", a, b, protocol))

    def direct_bytes(self, a, b, protocol=None):
        return sum(size for _, size in self._pair("pairs", a, b, protocol))

    def carried(self, a, b):
        """Packets of the size that World was told to look for, (from a to b, from b to a): pings of
        known length prove that a path carries data, and is not only being tried."""
        return tuple(packets for packets, _ in self._pair("sized", a, b, None))


# --- what happens to them ----------------------------------------------------------------------

def reboot(router, new_address=False, down_s=0.2):
    """The router reboots: nothing passes, its rules, maps and mappings are gone, it deals other ports
    and, if asked, has another address outside; then it is back. The line must be down meanwhile,
    because a packet between the flush and the new start teaches the old mapping back. Inside nobody
    is told (no ICMP). Port preservation makes a reboot invisible, so such a router needs a new
    address."""
    visible = new_address or router.kind.mapping != "none" and router.kind.ports != "preserve"
    lab.check(visible, "nobody can notice this reboot: ports are preserved and the address stays")
    lab.check(not new_address or router.kind.mapping != "none", "the hosts have the public addresses")
    return router.restart(down_s, new_address)


def move(host, router, away_s=0.0):
    """A host leaves its network and joins another, away_s without any in between."""
    host.prepare(router)
    host.leave()
    time.sleep(away_s)
    host.join(router)
    return time.monotonic_ns()


def move_both(a, router_a, b, router_b, away_s=0.0):
    """Both ends of a conversation change their network at once: neither can tell the other."""
    for host, router in ((a, router_a), (b, router_b)):
        host.prepare(router)
    for host in (a, b):
        host.leave()
    time.sleep(away_s)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(Host.join, (a, b), (router_a, router_b)))
    return time.monotonic_ns()


def kill_and_restart(daemon, away_s=0.5):
    """A daemon (node.Node; a facilitator above all) dies by SIGKILL, so it can tell nobody, and is
    started again from what it had on disk."""
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait(5)
    time.sleep(away_s)
    daemon.start()
    return time.monotonic_ns()


def stop_udp(router):
    """From now on the router drops all UDP, that of known flows too."""
    router.edge.ns.nft(natrules.UDP_STOPPED)
    return time.monotonic_ns()


def allow_udp(router):
    router.edge.ns.nft("delete table inet no_udp")
    return time.monotonic_ns()


@contextlib.contextmanager
def udp_stopped(router):
    """UDP is blocked for as long as the block runs."""
    yield stop_udp(router)
    allow_udp(router)
