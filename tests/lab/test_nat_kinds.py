#!/usr/bin/env python3
"""Every router of the lab is what its name says, proven by natprobe.py before others count on it.

One case per kind; the last ones prove that the probe can tell (a plain masquerade is not strict), the
counters at the core, and that it all holds at 20 ms each way.
"""
import dataclasses
import sys
import time

import lab
import nat
import natprobe


def built(name, rtt_ms=None, neighbour=True, **changes):
    """A world with one router of the kind and the probe around it."""
    world = nat.World(rtt_ms)
    router = world.router(name, **changes)
    inside = world.host("inside", router)
    beside = world.host("beside", router) if neighbour else None
    return world, router, natprobe.Probe(inside, world.server("server"), beside)


def expect(probe, **wanted):
    """The probe's whole verdict, no field left out."""
    found = dataclasses.asdict(probe.verdict())
    wanted = {**dict.fromkeys(found), **wanted}
    lab.check(found == wanted, f"the probe finds {found}\n     it should be {wanted}")
    return {k: v for k, v in found.items() if v is not None}


EIM = dict(mapping="eim", strict=True, unsolicited=False, ports="preserve", hairpin=False)
APDM = dict(mapping="apdm", strict=False, filtering="apdf", unsolicited=False, hairpin=False)
# Public addresses behind the router: "strict" is then trivial, and a hairpin is plain routing.
PUBLIC = dict(mapping="none", strict=True, ports="preserve", hairpin=True)

WANTED = {
    "open": dict(PUBLIC, filtering="eif", unsolicited=True),
    "firewall": dict(PUBLIC, filtering="apdf", unsolicited=False),
    "full-cone": dict(EIM, filtering="eif"),
    "address-restricted": dict(EIM, filtering="adf"),
    "port-restricted": dict(EIM, filtering="apdf"),
    "symmetric": dict(APDM, ports="random"),
    "sequential": dict(APDM, ports="sequential"),
    "cgnat": dict(EIM, filtering="apdf"),
    "full-cone+hairpin": dict(EIM, filtering="eif", hairpin=True),
    "port-restricted+hairpin": dict(EIM, filtering="apdf", hairpin=True),
    "full-cone+random": dict(EIM, filtering="eif", ports="random"),
    "port-restricted+random": dict(EIM, filtering="apdf", ports="random"),
    "port-restricted+sequential": dict(EIM, filtering="apdf", ports="sequential"),
    "cgnat+random": dict(EIM, filtering="apdf", ports="random"),
}


def case(kind):
    def run():
        return expect(built(kind)[2], **WANTED[kind])
    return run


def udp_blocked():
    _, _, probe = built("udp-blocked", neighbour=False)
    figures = expect(probe, mapping="blocked")
    open_ports = [p for p in (80, 443, 8080, 22) if natprobe.tcp_reaches(probe.inside, probe.server, p)]
    lab.check(open_ports == [80, 443], f"TCP goes out to ports {open_ports}")
    ping = probe.inside.ns.run("ping", "-nqc1", "-W1", probe.server.address, ok=False)
    lab.check(ping.returncode != 0, "ICMP goes out")
    return figures


def neighbours(hairpin):
    """Two customers of one carrier speak to each other's outside endpoint, twice. The first packets
    die at the inner routers, which are port-restricted; the second ones arrive if, and only if, the
    carrier has a hairpin."""
    def run():
        world = nat.World(None)
        one = world.router("cgnat", hairpin=hairpin)
        two = world.router("cgnat", carrier=one.carrier, hairpin=hairpin)
        a, b = world.host("a", one), world.host("b", two)
        probe = natprobe.Probe(a, world.server("server"))
        with natprobe.udp(a.ns, a.address) as x, natprobe.udp(b.ns, b.address) as y:
            of_x, of_y = probe.open(x), probe.open(y)
            lab.check(of_x[0] == of_y[0] == one.carrier.wan, f"not one carrier: {of_x} and {of_y}")
            for _ in range(2):
                x.sendto(b"x", of_y)
                y.sendto(b"y", of_x)
            probe.answers(x, of_x, [])
            got = [data for data, source in natprobe.drain(y) if source == of_x]
        lab.check(got == [b"x"] * hairpin, f"with hairpin={hairpin} arrives {got}")
    return run


def lifetime(kind, lifetime_s, unanswered, answered):
    """Silences in s: {silence: is the mapping still there?}, for a flow of one way and of both."""
    def run():
        world, router, probe = built(kind, neighbour=False, lifetime_s=lifetime_s)
        for silences, both in ((unanswered, False), (answered, True)):
            alive = probe.survivors(list(silences), both) if silences else []
            lab.check(alive == [s for s in silences if silences[s]],
                f"of {list(silences)} s of silence it survives {alive}, answered={both}")
    return run


LIFETIMES = {
    "full_cone_lives_2_s": ("full-cone", (2, 2), {1.2: True, 2.6: False}, {}),
    "restricted_lives_1_and_2_s": ("port-restricted", (1, 2), {0.5: True, 1.5: False},
        {1.5: True, 2.6: False}),
    "symmetric_lives_1_s": ("symmetric", (1, 1), {0.5: True, 1.5: False}, {}),
}


def port_map():
    """The hook for miniupnpd: who is inside reaches a daemon of the gateway, who is outside does not;
    a port map that it makes lets anybody in, and ends when it is taken away."""
    world, router, probe = built("full-cone", neighbour=False)
    port, inside = 40000, probe.inside
    with natprobe.udp(router.gateway_ns, "0.0.0.0", 5351) as gateway:
        with natprobe.udp(inside.ns, inside.address) as s:
            probe.far[probe.first].sendto(b"outside", (router.wan, 5351))
            probe.answers(s, probe.open(s), [])  # what was sent before has arrived or is lost
            s.sendto(b"inside", (router.gateway, 5351))
            got = [gateway.recv(64)] + [data for data, _ in natprobe.drain(gateway)]
            lab.check(got == [b"inside"], f"the gateway's daemon hears {got}")
    router.gateway_ns.nft(f"""
        table inet miniupnpd {{
            chain pre {{ type nat hook prerouting priority -100
                iifname "wan" udp dport {port} dnat ip to {inside.address}:27182
            }}
        }}""")
    with natprobe.udp(inside.ns, inside.address, 27182) as s:
        for far in probe.far.values():
            far.sendto(b"in", (router.wan, port))
            _, source = s.recvfrom(64)
            s.sendto(b"back", source)
            lab.check(far.recvfrom(64) == (b"back", (router.wan, port)), "the answer has another port")
        router.gateway_ns.nft("delete table inet miniupnpd")
        lab.flush_conntrack(router.ns)
        probe.far[probe.first].sendto(b"late", (router.wan, port))
        lab.check(probe.open(s) == (router.wan, 27182), "the port map outlives itself as a mapping")
        lab.check(not natprobe.drain(s), "the port map outlives itself")


def ipv6():
    """Beside the NATs: routed, and closed from outside behind all kinds but open; behind two routers
    as well. The core counts it."""
    world = nat.World(None, v6=True)
    server, reached = world.server("server"), {}
    for kind in ("open", "firewall", "port-restricted", "cgnat"):
        host = world.host(kind, world.router(kind))
        with server.ns.socket(natprobe.socket.AF_INET6, natprobe.socket.SOCK_DGRAM) as far, \
                host.ns.socket(natprobe.socket.AF_INET6, natprobe.socket.SOCK_DGRAM) as s:
            far.settimeout(natprobe.ARRIVE_S)
            s.settimeout(natprobe.ARRIVE_S)
            far.bind((server.address6, 5000))
            s.bind((host.address6, 27182))
            far.sendto(b"unasked", s.getsockname()[:2])
            s.sendto(b"out", far.getsockname()[:2])
            _, source = far.recvfrom(64)
            lab.check(source[:2] == (host.address6, 27182), f"{kind}: comes from {source}")
            far.sendto(b"answer", source)
            got = [s.recv(64)] + [data for data, _ in natprobe.drain(s)]
            lab.check(got[-1] == b"answer", f"{kind}: {got}")
            reached[kind] = got[0] == b"unasked"
        lab.check(world.direct_packets(host, server, "udp") == 3, f"{kind}: the core counts otherwise")
    lab.check(reached == {"open": True, "firewall": False, "port-restricted": False, "cgnat": False},
        str(reached))
    host.leave()
    host.join(world.router("firewall"), v4=False)
    routes = host.ns.run("ip", "-4", "route")
    lab.check(host.address is None and not routes, f"an IPv6-only host has routes: {routes}")


def counters():
    """The core counts what passes between two sites, and nothing else; 20 ms each way."""
    world = nat.World()
    a = world.host("a", world.router("full-cone"))
    b = world.host("b", world.router("open"))
    server = world.server("server")
    probe = natprobe.Probe(a, server)
    with natprobe.udp(a.ns, a.address) as x, natprobe.udp(b.ns, b.address) as y:
        of_x = probe.open(x)  # with the questions for hardware addresses
        start = time.monotonic()
        probe.open(x)
        one_way_ms = (time.monotonic() - start) * 1e3
        for to, size, count in ((y.getsockname(), 900 - 28, 3), (y.getsockname(), 10, 4)):
            for _ in range(count):
                x.sendto(bytes(size), to)
        got = [len(y.recvfrom(2000)[0]) for _ in range(7)]
        y.sendto(bytes(1001 - 28), of_x)
        x.recvfrom(2000)
    with a.ns.socket(natprobe.socket.AF_INET, natprobe.socket.SOCK_STREAM) as s:
        s.settimeout(1)
        refused = s.connect_ex((b.address, 443)) != 0
    lab.check(refused and sorted(got) == [10] * 4 + [872] * 3, f"{refused} {got}")
    figures = {"udp": world.direct_packets(a, b, "udp"), "all": world.direct_packets(a, b),
        "carried": world.carried(a, b), "bytes": world.direct_bytes(b, a, "udp"),
        "to_server": world.direct_packets(a.router, server), "between_others": world.direct_packets(b, server)}
    lab.check(figures == {"udp": 8, "all": 10, "carried": (3, 0), "bytes": 3 * 900 + 4 * 38 + 1001,
        "to_server": 2, "between_others": 0}, str(figures))
    start = time.monotonic()
    for _ in range(10):
        world.carried(a, b)
    figures["read_ms"] = (time.monotonic() - start) * 100
    lab.check(20.0 <= one_way_ms < 40.0, f"20 ms one way became {one_way_ms:.1f} ms")
    return dict(figures, one_way_ms=one_way_ms)


def masquerade_is_not_strict():
    """The probe tells: the kernel's own masquerade deals a second inside host another port for some
    destinations only (nat.md part 4), though with one host it looks like a cone."""
    world, router, probe = built("port-restricted")
    router.ns.nft("""
        flush ruleset
        table ip nat {
            chain post { type nat hook postrouting priority 100
                oifname "wan" masquerade
            }
        }""")
    lab.flush_conntrack(router.ns)
    lab.check(not probe.strict(), "two hosts behind a masquerade are taken for strict")
    lab.flush_conntrack(router.ns)  # where the first host is everywhere already it would look strict
    lab.check(probe.mapping() == "eim", "one host behind a masquerade: not one port")


if __name__ == "__main__":
    cases = {kind: case(kind) for kind in WANTED}
    cases.update({name: lifetime(*what) for name, what in LIFETIMES.items()})
    cases.update(udp_blocked=udp_blocked, neighbours=neighbours(False),
        neighbours_hairpin=neighbours(True), masquerade_is_not_strict=masquerade_is_not_strict,
        port_map=port_map, ipv6=ipv6, counters=counters)
    sys.exit(lab.main(cases))
