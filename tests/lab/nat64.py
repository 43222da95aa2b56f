"""nat64 - a router's NAT64 (RFC 6146) and DNS for the hosts inside, as threads of the test.

    IPv6-only host --- lan [router] --- tun "nat64": 64:ff9b::/96 <-> 192.168.255.0/24 --- masquerade --- wan

A TUN takes what goes to 64:ff9b::/96. Each inside address gets one of IPv4 behind the TUN (RFC 7915,
headers of UDP, TCP and echo translated, checksums adjusted), and the kernel of the router hides these
behind its own as any NAT does. There is no module for it here. Packets of IPv4 are cut to fit 1480: the
TUN's MTU is 1480 and IPv6 needs 20 bytes more.

The name server answers AAAA of ipv4only.arpa (RFC 7050) and nothing else. /etc/resolv.conf of the whole
sandbox names it: nobody else in the lab resolves names."""
import fcntl
import ipaddress
import os
import pathlib
import socket
import struct
import threading

import lab

PREFIX = ipaddress.IPv6Address("64:ff9b::").packed[:12]
POOL = "192.168.255"
WELL_KNOWN = PREFIX + bytes([192, 0, 0, 170])
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
ICMP_TYPES = {(58, 128): (1, 8), (58, 129): (1, 0), (1, 8): (58, 128), (1, 0): (58, 129)}
CHECKSUM_AT = {17: 6, 6: 16, 1: 2, 58: 2}


def _sum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _sealed(protocol, source, target, payload):
    """The payload with the checksum that its new addresses need; None: a protocol we do not carry."""
    at = CHECKSUM_AT.get(protocol)
    if at is None or len(payload) < at + 2:
        return None
    payload = payload[:at] + b"\0\0" + payload[at + 2:]
    pseudo = b"" if protocol == 1 else source + target + struct.pack("!IHBB", len(payload), 0, 0, protocol)
    value = 0xFFFF ^ _sum(pseudo + payload)
    return payload[:at] + struct.pack("!H", value or (0xFFFF if protocol == 17 else 0)) + payload[at + 2:]


def _retyped(protocol, payload):
    """ICMP echo of the other family."""
    if protocol not in (1, 58):
        return protocol, payload
    other, kind = ICMP_TYPES.get((protocol, payload[0]), (0, 0))
    return other, bytes([kind]) + payload[1:]


class Nat64:
    def __init__(self, router):
        self.inside, self.router = {}, router
        with router.ns.inside():
            self.fd = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH", b"nat64", IFF_TUN | IFF_NO_PI))
        router.ns.ip("link set nat64 mtu 1480 up", f"route add {POOL}.0/24 dev nat64",
            "route add 64:ff9b::/96 dev nat64")
        router.ns.nft(f"""
            table ip nat64 {{
                chain post {{ type nat hook postrouting priority 100
                    ip saddr {POOL}.0/24 oifname "wan" masquerade
                }}
            }}""")
        self.names = router.ns.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.names.bind((router.gateway6, 53))
        for work in (self._translate, self._name):
            threading.Thread(target=work, daemon=True).start()
        conf = lab.WORK / "resolv.conf"
        conf.write_text(f"nameserver {router.gateway6}\noptions timeout:1 attempts:1\n")
        lab.run("mount", "--bind", conf, "/etc/resolv.conf")

    def _pool_of(self, inside):
        return self.inside.setdefault(inside, ipaddress.IPv4Address(f"{POOL}.{len(self.inside) + 2}").packed)

    def _down(self, packet):
        """IPv6 to IPv4."""
        source, target = packet[8:24], packet[24:40]
        protocol, payload = _retyped(packet[6], packet[40:])
        if target[:12] != PREFIX:
            return None
        source, target = self._pool_of(source), target[12:]
        payload = _sealed(protocol, source, target, payload)
        if payload is None:
            return None
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, packet[7], protocol, 0)
        value = 0xFFFF ^ _sum(head + source + target)
        return head[:10] + struct.pack("!H", value) + source + target + payload

    def _up(self, packet):
        """IPv4 to IPv6."""
        behind = {pool: inside for inside, pool in self.inside.items()}
        target = behind.get(packet[16:20])
        if target is None or packet[0] != 0x45 or struct.unpack("!H", packet[6:8])[0] & 0x3FFF:
            return None
        protocol, payload = _retyped(packet[9], packet[20:])
        source = PREFIX + packet[12:16]
        payload = _sealed(protocol, source, target, payload)
        if payload is None:
            return None
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, packet[8]) + source + target + payload

    def _translate(self):
        while True:
            packet = os.read(self.fd, 2048)
            out = (self._down if packet[0] >> 4 == 6 else self._up)(packet)
            if out:
                os.write(self.fd, out)

    def _name(self):
        while True:
            data, who = self.names.recvfrom(512)
            at = 12
            labels = []
            while data[at]:
                labels.append(data[at + 1:at + 1 + data[at]].decode().lower())
                at += 1 + data[at]
            question = data[12:at + 5]
            known = labels == ["ipv4only", "arpa"]
            answer = known and question[-4:-2] == b"\0\x1c"
            head = data[:2] + struct.pack("!HHHHH", 0x8180 | (0 if known else 3), 1, int(answer), 0, 0)
            record = struct.pack("!HHHIH", 0xC00C, 28, 1, 60, 16) + WELL_KNOWN if answer else b""
            self.names.sendto(head + question + record, who)
