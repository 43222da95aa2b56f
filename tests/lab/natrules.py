"""natrules - what makes a Linux router one kind of NAT, as nftables text. nat.py loads it.

The words are those of RFC 4787. mapping: does a socket behind the router keep one external port for
every destination (eim) or get another one for each (apdm)? filtering: who may send to that port:
anybody (eif), every port of an address the socket sent to (adf), or exactly the endpoints it sent
to (apdf)? ports: how the number is chosen.

Linux by itself knows apdf (conntrack) and nothing of eim: `snat` and `masquerade` keep the port only
as long as it is free for that one destination. So the kinds with eim have maps of their own:

  int2ext  inside endpoint -> outside endpoint; the first flow of a socket is translated by the
           rules below it, a filter chain at postrouting 110 (after the translation) learns what
           came of it, each later flow of the socket is translated by the map.
  ext2int  the reverse: eif and adf let strangers in through it, and so does the hairpin.
  taken    ports of other inside sockets, which a preserving router must not deal twice.
  asked    adf: which addresses an outside port has sent to.

All age alike and are refreshed by each packet that leaves, like conntrack's own entries.

A port out of a list needs `numgen inc mod N map { 0 : PORT, ... }`: numgen given to snat directly
(`snat to A:numgen inc mod 1000 offset 20000`) is accepted, but the number is taken in the byte order
of the host: 8270, 8526, 8782 instead of 20000, 20001, 20002 (measured). nat rules are run once per
flow, so the counter moves once per mapping: a list in ascending order is the sequential NAT, a
shuffled one the random NAT that never deals a port twice.

No kind lets a packet from outside reach the router itself, unless it has open-ports: there conntrack
makes an entry of the other side's early punch, and the own packet to it then leaves by another port or
not at all (nat.md part 4).
A hairpinned packet is not filtered: it comes from inside.
"""
import dataclasses
import random

LIFETIME_S = (30, 120)  # Linux: before and after the first answer
POOL = 4096  # external ports that a router with a list deals before it starts over


@dataclasses.dataclass(frozen=True)
class Kind:
    mapping: str  # none (public addresses inside), eim, apdm
    filtering: str  # open, eif, adf, apdf
    ports: str = "preserve"  # preserve, random, sequential
    hairpin: bool = False
    tcp_only: bool = False  # nothing leaves but TCP to ports 80 and 443
    open_ports: bool = False  # of the router's own: whatever comes unasked is taken
    lifetime_s: tuple = LIFETIME_S
    carrier: bool = False  # behind a second NAT of the same kind


KINDS = {
    "open": Kind("none", "open"),
    "firewall": Kind("none", "apdf"),
    "full-cone": Kind("eim", "eif"),
    "address-restricted": Kind("eim", "adf"),
    "port-restricted": Kind("eim", "apdf"),
    "symmetric": Kind("apdm", "apdf", ports="random"),
    "sequential": Kind("apdm", "apdf", ports="sequential"),
    "cgnat": Kind("eim", "apdf", carrier=True),
    "udp-blocked": Kind("eim", "apdf", tcp_only=True),
}


WORDS = {
    "random": {"ports": "random"},
    "sequential": {"ports": "sequential"},
    "hairpin": {"hairpin": True},
    "open-ports": {"open_ports": True},
    "short": {"lifetime_s": (10, 20)},  # shorter than any keepalive that is not measured
}


def kind_of(text, **changes):
    """A kind by its name, with words that change it: "port-restricted+random+hairpin"; or fields:
    kind_of("port-restricted", ports="random"). KeyError: no such name or word."""
    name, *words = text.split("+")
    for word in words:
        changes = {**WORDS[word], **changes}
    kind = dataclasses.replace(KINDS[name], **changes)
    if kind.mapping == "none" and (kind.ports != "preserve" or kind.hairpin):
        raise ValueError(f"{name} translates nothing: neither ports nor hairpin mean anything")
    if kind.mapping == "apdm" and (kind.ports == "preserve" or kind.hairpin):
        raise ValueError(f"{name}: symmetric with preserved ports or a hairpin is not built")
    return kind


def _from_list(ports):
    return f"numgen inc mod {len(ports)} map {{ {', '.join(f'{i} : {p}' for i, p in enumerate(ports))} }}"


def _pool(kind, seed):
    """The ports in the order in which the router deals them."""
    dice = random.Random(seed)
    if kind.ports == "sequential":
        start = dice.randrange(10000, 60000 - POOL)
        return list(range(start, start + POOL))
    return dice.sample(range(1024, 65536), POOL)


def _translate(kind, wan, seed):
    """The rules that give a new UDP flow its outside endpoint. A chain of their own: with the list of
    ports in it twice the table is more than an ordinary user may tell the kernel at once."""
    if kind.mapping == "apdm" and kind.ports == "random":
        return [f"meta l4proto udp snat to {wan}:1024-65535 fully-random"]
    rules = [f"meta l4proto udp snat to {wan}:{_from_list(_pool(kind, seed))}"]
    if kind.mapping == "eim" and kind.ports == "preserve":
        rules.insert(0, f"udp sport != @taken snat to {wan}")
    if kind.mapping == "eim":
        rules.insert(0, "meta l4proto udp snat to ip saddr . udp sport map @int2ext")
    return rules


def _enter(kind, wan):
    """Which new flows the maps let in."""
    rules = []
    to_inside = "dnat to ip daddr . udp dport map @ext2int"
    if kind.filtering == "eif":
        rules += [f'iifname "wan" meta l4proto udp {to_inside}']
    if kind.filtering == "adf":
        rules += [f'iifname "wan" udp dport . ip saddr @asked {to_inside}']
    if kind.hairpin:
        rules += [f'iifname "lan" ip daddr {wan} meta l4proto udp {to_inside}']
    return rules


def _learn(kind, wan, lan):
    """What a translated packet teaches. The inside endpoint is the source of that direction of the
    flow in which the packet goes. An answer only keeps alive what is there: its flow may have come
    in by a port map of somebody else (miniupnpd), which is no mapping of ours."""
    rules = []
    for way in ("original", "reply"):
        inside = f"ct {way} ip saddr . ct {way} proto-src"
        mine = f"meta l4proto udp ip saddr {wan} ct direction {way} ct {way} ip saddr {lan}"
        if way == "reply":
            mine += " udp sport @taken"
        rules += [f"{mine} update @int2ext {{ {inside} : ip saddr . udp sport }}",
            f"{mine} update @ext2int {{ ip saddr . udp sport : {inside} }}",
            f"{mine} update @taken {{ udp sport }}"]
        if kind.filtering == "adf":
            rules += [f"{mine} update @asked {{ udp sport . ip daddr }}"]
    return rules


def _lines(rules):
    return "\n".join("\t\t" + rule for rule in rules)


def _maps(kind):
    endpoint, dynamic = "ipv4_addr . inet_service", f"flags dynamic,timeout; timeout {kind.lifetime_s[1]}s; size 65536"
    return f"""
    map int2ext {{ type {endpoint} : {endpoint}; {dynamic}; }}
    map ext2int {{ type {endpoint} : {endpoint}; {dynamic}; }}
    set taken {{ type inet_service; {dynamic}; }}
    set asked {{ type inet_service . ipv4_addr; {dynamic}; }}"""


def nat_table(kind, wan, lan, seed):
    """The table that translates. wan: external address; lan: the network inside, ADDRESS/LEN;
    seed decides the ports."""
    if kind.mapping == "none":
        return ""
    places = ['oifname "wan"'] + (['oifname "lan" ct status dnat'] if kind.hairpin else [])
    post = [f"{where} jump translate" for where in places]
    how = " random,fully-random" if kind.mapping == "apdm" else ""
    post += [f'oifname "wan" snat to {wan}{how}']
    return f"""
table ip nat {{{_maps(kind) if kind.mapping == "eim" else ""}
    chain pre {{
        type nat hook prerouting priority -100
{_lines(_enter(kind, wan))}
    }}
    chain translate {{
{_lines(_translate(kind, wan, seed))}
    }}
    chain post {{
        type nat hook postrouting priority 100
{_lines(post)}
    }}
    chain learn {{
        type filter hook postrouting priority 110
{_lines(_learn(kind, wan, lan) if kind.mapping == "eim" else [])}
    }}
}}
"""


def filter_table(kind):
    """The table that decides who passes, IPv6 included. What was translated inwards has been let in
    by the maps, or by a port map of miniupnpd."""
    if kind.filtering == "open":
        return ""
    tcp_only = ['iifname "lan" tcp dport { 80, 443 } accept', 'iifname "lan" oifname "wan" drop']
    return f"""
table inet closed {{
    chain in {{
        type filter hook input priority 0
        iifname "wan" ct state {"invalid" if kind.open_ports else "new,invalid"} drop
    }}
    chain through {{
        type filter hook forward priority 0
        iifname "wan" ct status dnat accept
        iifname "wan" ct state new,invalid drop
{_lines(tcp_only if kind.tcp_only else [])}
    }}
}}
"""


HELD = """
table inet held {
    chain pre { type filter hook prerouting priority -500; policy drop; }
    chain out { type filter hook output priority -500; policy drop; }
}
"""

UDP_STOPPED = """
table inet no_udp {
    chain through {
        type filter hook forward priority -10
        meta l4proto udp drop
    }
}
"""
