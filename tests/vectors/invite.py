#!/usr/bin/env python3
"""Invites and vouchers from docs/protocol.md 14, by the primitives of model.py, which checks itself first.

python3 tests/vectors/invite.py > tests/vectors/invite.json"""
import base64
import hashlib
import ipaddress
import json
import pathlib
import struct

source = (pathlib.Path(__file__).parent / "model.py").read_text(encoding="utf-8")
assert source.endswith("\nmain()\n")
model = {"__name__": "model"}
exec(compile(source.removesuffix("main()\n"), "model.py", "exec"), model)  # all but its output
ov_hash, Identity, rnd = model["ov_hash"], model["Identity"], model["rnd"]

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493


def ed_times(n, point):
    total = None
    while n:
        if n & 1:
            total = point if total is None else model["ed_add"](total, point)
        point, n = model["ed_add"](point, point), n >> 1
    return total


def ed_pack(point):
    x, y, z = point[:3]
    inverse = pow(z, P - 2, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def ed_sign(seed, message):
    """RFC 8032 5.1.6."""
    h = hashlib.sha512(seed).digest()
    a = int.from_bytes(h[:32], "little") & ((1 << 254) - 8) | 1 << 254
    public = ed_pack(ed_times(a, model["ed_base"]()))
    assert public == model["ed_public"](seed)
    r = int.from_bytes(hashlib.sha512(h[32:] + message).digest(), "little") % L
    big_r = ed_pack(ed_times(r, model["ed_base"]()))
    k = int.from_bytes(hashlib.sha512(big_r + public + message).digest(), "little") % L
    return big_r + ((r + k * a) % L).to_bytes(32, "little")


def self_check():
    """RFC 8032 7.1, test 2."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    assert ed_sign(seed, b"\x72").hex() == \
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" \
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"


def token(secret):
    return ov_hash(32, "OVL token", secret)[:16]


def signed_part(facilitator, secret, expires_s):
    return facilitator + ov_hash(32, "OVL voucher", token(secret)) + struct.pack("<Q", expires_s)


def voucher_signature(inviter, facilitator, secret, expires_s):
    return ed_sign(inviter.seed, b"OVL voucher v1\0" + signed_part(facilitator, secret, expires_s))


def voucher(inviter, facilitator, secret, expires_s):
    return b"V1\0\0" + inviter.id + signed_part(facilitator, secret, expires_s) + \
        voucher_signature(inviter, facilitator, secret, expires_s)


def shown(inviter, facilitator, secret, expires_s):
    """What a guest puts into HS1 (TLV voucher)."""
    return inviter.id + token(secret) + struct.pack("<Q", expires_s) + \
        voucher_signature(inviter, facilitator, secret, expires_s)


def notice(who, port, name):
    """Section 11.2."""
    signed = struct.pack("<HBB", port, len(name), 0) + who.id + name.ljust(64, b"\0")
    return struct.pack("<BBHIQ", 11, 1, 0, 0, 0) + signed + ed_sign(who.seed, b"OVL notice v1\0" + signed)


def endpoint(text):
    ip, port = text.rsplit(":", 1)
    return ipaddress.ip_address(ip.strip("[]")).packed + struct.pack("<H", int(port))


def item(kind, value):
    return bytes([kind, len(value)]) + value


def line(inviter, secret, expires_s, name, endpoints, facilitators):
    items = (item(1, name.encode()) if name else b"") + b"".join(item(2, endpoint(e)) for e in endpoints)
    for peer, where in facilitators:
        items += item(3, peer + voucher_signature(inviter, peer, secret, expires_s) + endpoint(where))
    fixed = inviter.id + secret + struct.pack("<Q", expires_s)
    data = b"\1" + struct.pack("<H", 3 + len(fixed) + len(items) + 4) + fixed + items
    data += ov_hash(32, "OVL invite sum", data)[:4]
    return "overlay:" + base64.b32encode(data).decode().lower().rstrip("=")


def invite(n, name, endpoints, facilitators):
    inviter, secret, expires_s = Identity(rnd(f"inviter {n}")), rnd(f"secret {n}", 16), 1800000000 + n
    peers = [(Identity(rnd(f"facilitator {n} {i}")).id, where) for i, where in enumerate(facilitators)]
    return {"inviter": inviter.id, "secret": secret, "hash": ov_hash(32, "OVL invite", secret), "expires_s": expires_s,
            "name": name, "endpoints": endpoints, "line": line(inviter, secret, expires_s, name, endpoints, peers)}


def plainly(v):
    if isinstance(v, bytes):
        return v.hex()
    if isinstance(v, dict):
        return {k: plainly(x) for k, x in v.items()}
    return [plainly(x) for x in v] if isinstance(v, list) else v


def main():
    model["self_check"]()
    self_check()
    inviter, facilitator, secret = Identity(rnd("voucher")), Identity(rnd("voucher facilitator")).id, rnd("v", 16)
    print(json.dumps(plainly({
        "origin": "tests/vectors/invite.py",
        "invites": [
            invite(0, "", [], []),
            invite(1, "desk", ["192.0.2.7:27182", "[2001:db8::7]:4021"], []),
            invite(2, "old-laptop", ["203.0.113.9:1", "192.168.1.7:27182", "10.0.0.1:27182", "[2001:db8::8]:65535"],
                   ["198.51.100.1:27182", "[2001:db8::1]:27182"]),
        ],
        "voucher": {"seed": inviter.seed, "facilitator": facilitator, "secret": secret, "token": token(secret),
                    "expires_s": 1800000000, "voucher": voucher(inviter, facilitator, secret, 1800000000),
                    "shown": shown(inviter, facilitator, secret, 1800000000)},
        "notice": {"seed": inviter.seed, "port": 27182, "name": "desk-2.home",
                   "notice": notice(inviter, 27182, b"desk-2.home")},
    }), indent=1))


main()
