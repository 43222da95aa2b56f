#!/usr/bin/env python3
"""overlayd and the machine below it: it hears of a new address at once, uses the AEAD that it is told to,
sends in batches, and shows in its status what it found.
"""
import os
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))

import lab  # noqa: E402
import load  # noqa: E402
import node  # noqa: E402
import topo  # noqa: E402

A, B, NEW = "10.9.1.1", "10.9.1.2", "10.9.1.9"
GATE_MS = 100  # issue 2: the monitor reacts within 100 ms
ETH_P_ALL, PACKET_OUTGOING = 3, 4


def pair(args=(), more=("", "")):
    """Two daemons with a session on one cable."""
    x, y = lab.Ns(f"a{more[0]}"), lab.Ns(f"b{more[1]}")
    lab.veth(x, "eth0", y, "eth0")
    x.address("eth0", f"{A}/24")
    y.address("eth0", f"{B}/24")
    a, b = node.Node(x, args=args).start(), node.Node(y, args=args).start()
    node.pair(a, b, node.endpoint(B))
    a.cli("ping", b.name, "-c", 1)
    return a, b


def speaks_of_a_new_address():
    """An idle daemon whose address changes: from the netlink event to the first datagram from there."""
    a, b = pair()
    delays = []
    for old, new in ((B, NEW), (NEW, B), (B, NEW)):
        time.sleep(1)  # whatever the last change began is over
        with b.ns.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as ear:
            ear.bind(("eth0", ETH_P_ALL))
            ear.settimeout(2)
            b.ns.ip(f"addr del {old}/24 dev eth0")
            watch = topo.RouteWatch(b.ns)
            event = watch.after(lambda n=new: b.ns.ip(f"addr add {n}/24 dev eth0"), (watch.NEWADDR,))
            while True:
                frame, where = ear.recvfrom(2048)
                if where[2] == PACKET_OUTGOING and frame[12:14] == b"\x08\x00" and \
                        frame[26:30] == socket.inet_aton(new) and frame[23] == socket.IPPROTO_UDP:
                    break
            delays.append((time.monotonic_ns() - event) / 1e6)
    lab.check(max(delays) <= GATE_MS, f"first datagram from the new address after {delays} ms")
    a.stop()
    b.stop()
    return {"worst_ms": max(delays)}


def aead():
    """--aead forces each backend and each cipher; both ends agree, and status shows what it is."""
    wanted = {"ipsec-mb:aes-256-gcm": ("aes-256-gcm", "ipsec-mb"), "openssl:aes-256-gcm": ("aes-256-gcm", "openssl"),
        "sodium:aes-256-gcm": ("aes-256-gcm", "sodium"),
        "ipsec-mb:chacha20-poly1305": ("chacha20-poly1305", "ipsec-mb"),
        "openssl:chacha20-poly1305": ("chacha20-poly1305", "openssl"),
        "sodium:chacha20-poly1305": ("chacha20-poly1305", "sodium")}
    for i, (word, (suite, backend)) in enumerate(wanted.items()):
        a, b = pair(["--aead", word], (i, i))
        lab.check(load.ping_once(a.ns, b.address), f"{word}: no ping")
        load.Transfer(a.ns, b.ns, b.address, 5).finish()
        for one, other in ((a, b), (b, a)):
            shown = one.cli("peer", "show", other.name)
            lab.check((shown["suite"], shown["backend"]) == (suite, backend),
                f"{word}: {shown['suite']} by {shown['backend']}")
        a.stop()
        b.stop()
    mixed_a, mixed_b = pair((), ("x", "x"))
    mixed_b.stop()
    mixed_b.args = ["--aead", "chacha20-poly1305"]
    mixed_b.start()
    lab.check(load.ping_once(mixed_b.ns, mixed_a.address, 5), "one end without AES: no ping")
    suite = mixed_b.cli("peer", "show", mixed_a.name)["suite"]
    lab.check(suite == "chacha20-poly1305", f"one end without AES: {suite}")
    return {"choices": len(wanted)}


def batches():
    """Under load the daemon makes far fewer system calls than it moves packets, and it says by what."""
    a, b = pair()
    features = a.cli("status")["features"]
    for key in ("udp_gso", "udp_gro", "ipv4", "ipv6", "tun_vnet", "tun_tso", "tun_uso"):
        lab.check(isinstance(features.get(key), bool), f"status does not say whether {key}: {features}")
    text = a.ns.run(node.program("overlay"), "--socket", a.socket, "status")
    lab.check("udp_gso" in text and "tun_tso" in text, f"no features for eyes:\n{text}")
    lab.check(features["udp_gso"] and features["tun_vnet"] and features["tun_tso"], f"no batches here: {features}")
    before, start = calls(a), a.cli("status")["counters"]["datagrams_out"]
    transfer = load.Transfer(a.ns, b.ns, b.address, 200).finish()
    made, moved = calls(a) - before, a.cli("status")["counters"]["datagrams_out"] - start
    lab.check(moved > 100000, f"only {moved} datagrams for 200 MB")
    lab.check(made * 4 < moved, f"{made} writes for {moved} datagrams")
    a.stop()
    b.stop()
    return {"datagrams": moved, "mbit": transfer.mbit()}


def calls(daemon):
    """UDP datagrams that left the machine's stack as one: a GSO run counts once."""
    with daemon.ns.inside():
        lines = [line.split() for line in open("/proc/thread-self/net/snmp", encoding="ascii")]
    head, values = (line for line in lines if line[0] == "Udp:")
    return int(values[head.index("OutDatagrams")])


CASES = {f.__name__: f for f in (speaks_of_a_new_address, aead, batches)}

if __name__ == "__main__":
    os.environ.pop("OVERLAY_AEAD", None)
    sys.exit(lab.main(CASES, node.logs))
