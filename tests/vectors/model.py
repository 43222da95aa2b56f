#!/usr/bin/env python3
"""A second implementation of the handshake and packet format, from docs/protocol.md 2 and 3, in plain
Python without any crypto library. It shares no code with core/ and writes handshake.json, which
tests/unit/test_handshake.c and test_aead.c compare byte for byte with what core/ produces.

    python3 tests/vectors/model.py > tests/vectors/handshake.json

It first checks its own primitives against published vectors: RFC 7748 5.2 and 6.1, RFC 8032 7.1,
RFC 8439 2.8.2, draft-irtf-cfrg-xchacha-03 A.3.1, and test case 16 of the GCM specification (McGrew and
Viega). Slow and not constant-time: for tests only."""
import base64
import hashlib
import hmac
import json
import struct

# --- Curve25519 ---------------------------------------------------------------------------------
P = 2**255 - 19


def x25519(secret, u):
    """RFC 7748 5"""
    k = bytearray(secret)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k = int.from_bytes(k, "little")
    x1 = int.from_bytes(u, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in range(254, -1, -1):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


BASE_U = (9).to_bytes(32, "little")
D = -121665 * pow(121666, P - 2, P) % P


def ed_add(p, q):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = p, q
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def ed_base():
    y = 4 * pow(5, P - 2, P) % P
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x & 1:
        x = P - x
    return x, y, 1, x * y % P


def ed_public(seed):
    """RFC 8032 5.1.5"""
    k = bytearray(hashlib.sha512(seed).digest()[:32])
    k[0] &= 248
    k[31] = k[31] & 63 | 64
    k, q, r = int.from_bytes(k, "little"), ed_base(), (0, 1, 1, 0)
    while k:
        if k & 1:
            r = ed_add(r, q)
        q, k = ed_add(q, q), k >> 1
    zi = pow(r[2], P - 2, P)
    x, y = r[0] * zi % P, r[1] * zi % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def to_dh(peer_id):
    """u = (1 + y) / (1 - y), RFC 7748 4.1"""
    y = int.from_bytes(peer_id, "little") & (2**255 - 1)
    return ((1 + y) * pow(1 - y, P - 2, P) % P).to_bytes(32, "little")


# --- ChaCha20-Poly1305, RFC 8439 ------------------------------------------------------------------
def chacha_rounds(key, tail):
    s = list(struct.unpack("<16I", b"expand 32-byte k" + key + tail))

    def rotl(v, n):
        return (v << n | v >> 32 - n) & 0xFFFFFFFF

    def quarter(a, b, c, d):
        for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xFFFFFFFF
            s[z] = rotl(s[z] ^ s[x], n)

    for _ in range(10):
        for i in range(4):
            quarter(i, i + 4, i + 8, i + 12)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return s


def chacha_block(key, counter, nonce):
    tail = struct.pack("<I", counter) + nonce
    start = struct.unpack("<16I", b"expand 32-byte k" + key + tail)
    mixed = chacha_rounds(key, tail)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(start, mixed)))


def hchacha(key, nonce16):
    s = chacha_rounds(key, nonce16)
    return struct.pack("<8I", *s[:4], *s[12:])


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def pad16(data):
    return data + bytes(-len(data) % 16)


def chacha_seal(key, nonce, aad, plain):
    stream = b"".join(chacha_block(key, 1 + i, nonce) for i in range(len(plain) // 64 + 1))
    cipher = xor(plain, stream)
    otk = chacha_block(key, 0, nonce)[:32]
    r = int.from_bytes(otk[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    text = pad16(aad) + pad16(cipher) + struct.pack("<QQ", len(aad), len(cipher))
    acc = 0
    for i in range(0, len(text), 16):
        acc = (acc + int.from_bytes(text[i:i + 16] + b"\1", "little")) * r % (2**130 - 5)
    tag = (acc + int.from_bytes(otk[16:], "little")) % 2**128
    return cipher + tag.to_bytes(16, "little")


def xchacha_seal(key, nonce24, aad, plain):
    return chacha_seal(hchacha(key, nonce24[:16]), bytes(4) + nonce24[16:], aad, plain)


# --- AES-256-GCM ----------------------------------------------------------------------------------
def rot(v, n):
    return (v << n | v >> 8 - n) & 0xFF


def gf8(a, b):
    r = 0
    while b:
        r ^= a if b & 1 else 0
        a, b = a << 1 ^ (0x11B if a & 0x80 else 0), b >> 1
    return r


def make_sbox():
    inverse = [0] + [next(y for y in range(256) if gf8(x, y) == 1) for x in range(1, 256)]
    return bytes(0x63 ^ v ^ rot(v, 1) ^ rot(v, 2) ^ rot(v, 3) ^ rot(v, 4)
                 for v in inverse)


SBOX = make_sbox()


def aes256_encrypt(key, block):
    w, rcon = [key[i:i + 4] for i in range(0, 32, 4)], 1
    for i in range(8, 60):
        t = w[-1]
        if i % 8 == 0:
            t = bytes(SBOX[b] for b in t[1:] + t[:1])
            t, rcon = bytes([t[0] ^ rcon]) + t[1:], gf8(rcon, 2)
        elif i % 8 == 4:
            t = bytes(SBOX[b] for b in t)
        w.append(xor(w[-8], t))
    keys = [b"".join(w[i:i + 4]) for i in range(0, 60, 4)]
    s = xor(block, keys[0])
    for rnd in range(1, 15):
        s = bytes(SBOX[s[(i + 4 * (i % 4)) % 16]] for i in range(16))  # SubBytes, ShiftRows
        if rnd < 14:
            s = bytes(gf8(s[i], 2) ^ gf8(s[i & ~3 | (i + 1) & 3], 3) ^ s[i & ~3 | (i + 2) & 3]
                      ^ s[i & ~3 | (i + 3) & 3] for i in range(16))
        s = xor(s, keys[rnd])
    return s


def gcm_seal(key, nonce, aad, plain):
    def times_h(x):
        z, v = 0, h
        for i in range(127, -1, -1):
            z ^= v if x >> i & 1 else 0
            v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
        return z

    def block(i):
        return aes256_encrypt(key, nonce + struct.pack(">I", i))

    h = int.from_bytes(aes256_encrypt(key, bytes(16)), "big")
    cipher = xor(plain, b"".join(block(2 + i) for i in range(len(plain) // 16 + 1)))
    acc = 0
    text = pad16(aad) + pad16(cipher) + struct.pack(">QQ", 8 * len(aad), 8 * len(cipher))
    for i in range(0, len(text), 16):
        acc = times_h(acc ^ int.from_bytes(text[i:i + 16], "big"))
    return cipher + xor(acc.to_bytes(16, "big"), block(1))


# --- The project's hash, identity, cookies --------------------------------------------------------
def ov_hash(size, label, data, key=b""):
    return hashlib.blake2b(data, digest_size=size, key=key, person=label.encode()).digest()


class Identity:
    def __init__(self, seed):
        self.seed, self.id = seed, ed_public(seed)
        self.dh_secret = hashlib.sha512(seed).digest()[:32]
        self.dh_public = to_dh(self.id)
        assert self.dh_public == x25519(self.dh_secret, BASE_U)

    def text(self):
        raw = self.id + ov_hash(32, "OVL peerid v1", self.id + b"\1")[:2] + b"\1"
        return base64.b32encode(raw).decode().lower()

    def address(self):
        return b"\xfd" + ov_hash(32, "OVL addr v1", self.id)[:7] + bytes(7) + b"\1"


def address_cookie(secret, packed):
    return ov_hash(16, "OVL addr cookie", packed, secret)


def peer_cookie(secret, peer_id):
    return ov_hash(16, "OVL peer cookie", peer_id, secret)


# --- Noise IKpsk2, revision 34 --------------------------------------------------------------------
def hkdf(ck, ikm, count):
    temp, out = hmac.new(ck, ikm, hashlib.blake2b).digest(), [b""]
    for i in range(count):
        out.append(hmac.new(temp, out[-1] + bytes([i + 1]), hashlib.blake2b).digest())
    return out[1:]


class Symmetric:
    def __init__(self, prologue, responder_static):
        self.h = self.ck = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b".ljust(64, b"\0")
        self.mix_hash(prologue)
        self.mix_hash(responder_static)

    def mix_hash(self, data):
        self.h = hashlib.blake2b(self.h + data).digest()

    def mix_key(self, ikm):
        self.ck, k = hkdf(self.ck, ikm, 2)
        self.k, self.n = k[:32], 0

    def mix_psk(self, psk):
        self.ck, temp, k = hkdf(self.ck, psk, 3)
        self.mix_hash(temp)
        self.k, self.n = k[:32], 0

    def encrypt(self, plain):
        out = chacha_seal(self.k, bytes(4) + struct.pack("<Q", self.n), self.h, plain)
        self.n += 1
        self.mix_hash(out)
        return out

    def ephemeral(self, public):
        self.mix_hash(public)
        self.mix_key(public)  # psk patterns, section 9.2


# --- Packets ----------------------------------------------------------------------------------------
def header(kind, flags, receiver, counter):
    return struct.pack("<BBHIQ", kind, flags, 0, receiver, counter)


def add_macs(packet, dh_public):
    key = ov_hash(32, "OVL mac1", dh_public)
    return packet + ov_hash(16, "OVL mac1 tag", packet, key) + bytes(16)


def with_mac2(packet, cookie):
    return packet[:-16] + ov_hash(16, "OVL mac2 tag", packet[:-16], cookie)


def handshake(v):
    """One exchange; v holds the inputs, the outputs are added."""
    i, r, psk = v["initiator"], v["responder"], v["psk"]
    s = Symmetric(b"overlay" + b"\1" + v["network_id"], r.dh_public)
    ei, er = v["initiator_ephemeral"], v["responder_ephemeral"]
    ei_public, er_public = x25519(ei, BASE_U), x25519(er, BASE_U)

    s.ephemeral(ei_public)
    s.mix_key(x25519(ei, r.dh_public))
    sealed_s = s.encrypt(i.dh_public)
    s.mix_key(x25519(i.dh_secret, r.dh_public))
    plain = i.id + struct.pack("<Q", v["seq"]) + v["liveness"] + struct.pack(
        "<QQIHBB", v["association"], v["instance"], v["psk_id"], v["mtu"], v["suites"], 0)
    if v["invite"]:
        plain += struct.pack("<BH", 1, 16) + v["invite"]
    if v["voucher"]:
        plain += struct.pack("<BH", 2, 120) + v["voucher"]
    length = 368 if v["voucher"] else 296
    sealed = s.encrypt(plain.ljust(length - 144, b"\0"))
    v["hs1"] = add_macs(header(4, 0, 0, v["initiator_index"]) + ei_public + sealed_s + sealed, r.dh_public)

    s.ephemeral(er_public)
    s.mix_key(x25519(er, ei_public))
    s.mix_key(x25519(er, i.dh_public))
    s.mix_psk(psk)
    plain = struct.pack("<QQQHB5x", v["answer_association"], v["answer_instance"], v["seen_seq"],
                        v["answer_mtu"], v["suite"])
    v["hs2"] = add_macs(
        header(5, 0, v["initiator_index"], v["responder_index"]) + er_public + s.encrypt(plain), i.dh_public)
    assert len(v["hs1"]) == length and len(v["hs2"]) == 128

    to_responder, to_initiator = (k[:32] for k in hkdf(s.ck, b"", 2))
    v["initiator_key"] = ov_hash(32, "OVL transport", bytes([v["suite"]]), to_responder)
    v["responder_key"] = ov_hash(32, "OVL transport", bytes([v["suite"]]), to_initiator)

    head = header(6, v["cookie_flags"], v["initiator_index"], 0)
    v["cookie_packet"] = head + v["cookie_nonce"] + xchacha_seal(
        ov_hash(32, "OVL cookie", r.dh_public), v["cookie_nonce"], head + v["hs1"][-32:-16], v["cookie"])
    v["hs1_with_mac2"] = with_mac2(v["hs1"], v["cookie"])
    return v


def packet(cipher, key, counter, plain):
    """A CONTROL datagram: header, then sealed plaintext."""
    head = header(7, 0, 0x01020304, counter)
    seal = gcm_seal if cipher == "aes-256-gcm" else chacha_seal
    return {"cipher": cipher, "key": key, "counter": str(counter), "header": head, "plain": plain,
            "sealed": seal(key, bytes(4) + struct.pack("<Q", counter), head, plain)}


# --- Self-check and output --------------------------------------------------------------------------
def self_check():
    h = bytes.fromhex
    assert x25519(h("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
                  h("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")) == \
        h("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")
    assert x25519(h("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"), BASE_U) == \
        h("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    assert ed_public(h("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")) == \
        h("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    text = (b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
            b"sunscreen would be it.")
    aad = h("50515253c0c1c2c3c4c5c6c7")
    key = bytes(range(0x80, 0xA0))
    sealed = chacha_seal(key, h("070000004041424344454647"), aad, text)
    assert sealed[-16:] == h("1ae10b594f09e26a7e902ecbd0600691") and sealed[:4] == h("d31a8d34")
    sealed = xchacha_seal(key, bytes(range(0x40, 0x58)), aad, text)
    assert sealed[-16:] == h("c0875924c1c7987947deafd8780acf49")
    key = h("feffe9928665731c6d6a8f9467308308") * 2
    plain = h("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
              "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39")
    sealed = gcm_seal(key, h("cafebabefacedbaddecaf888"), h("feedfacedeadbeeffeedfacedeadbeefabaddad2"), plain)
    assert sealed[-16:] == h("76fc6ece0f4e1768cddf8853bb2d551b") and sealed[:4] == h("522dc1f0")


def rnd(label, size=32):
    """Deterministic bytes that nobody chose."""
    return hashlib.shake_256(b"overlay vectors " + label.encode()).digest(size)


def exchange(n):
    suite = 1 + n % 2
    return handshake({
        "initiator": Identity(rnd(f"initiator {n}")), "responder": Identity(rnd(f"responder {n}")),
        "network_id": rnd(f"network {n}", 16) if n else bytes(16),
        "psk": rnd(f"psk {n}") if n else bytes(32), "psk_id": 0x01000000 + n if n else 0,
        "initiator_ephemeral": rnd(f"ei {n}"), "responder_ephemeral": rnd(f"er {n}"),
        "initiator_index": 0x89ABCDEF - n, "responder_index": 0x76543210 + n,
        "seq": (n + 1) << 32 | 7, "liveness": rnd(f"liveness {n}", 16) if n else bytes(16),
        "association": 0x0102030405060708 + n, "instance": 0x1112131415161718 + n,
        "mtu": 1452, "suites": 3, "answer_association": 0x2122232425262728 + n,
        "answer_instance": 0x3132333435363738 + n, "seen_seq": n << 32 | 9, "answer_mtu": 1400,
        "suite": suite, "cookie": rnd(f"cookie {n}", 16), "cookie_nonce": rnd(f"nonce {n}", 24),
        "cookie_flags": n % 2, "invite": rnd(f"invite {n}", 16) if n >= 4 else b"",
        "voucher": rnd(f"voucher {n}", 120) if n == 5 else b""})


def identity_json(i):
    return {"seed": i.seed, "id": i.id, "dh_public": i.dh_public, "text": i.text(), "address": i.address()}


def plainly(v):
    if isinstance(v, bytes):
        return v.hex()
    if isinstance(v, Identity):
        return plainly(identity_json(v))
    if isinstance(v, dict):
        return {k: plainly(x) for k, x in v.items()}
    return [plainly(x) for x in v] if isinstance(v, list) else v


def main():
    self_check()
    secret, peer = rnd("secret"), rnd("id")
    packed = bytes(10) + b"\xff\xff\xc0\x00\x02\x01" + struct.pack("<H", 27182)  # 192.0.2.1:27182
    print(json.dumps(plainly({
        "origin": "tests/vectors/model.py",
        "handshakes": [exchange(n) for n in range(6)],
        "packets": [packet(c, rnd(f"key {n}"), counter, rnd(f"plain {n}", n))
                    for c in ("chacha20-poly1305", "aes-256-gcm")
                    for n, counter in ((0, 0), (1, 1), (16, 255), (65, 2**32 + 1), (296, 2**63 + 5))],
        "cookies": {"secret": secret, "address": packed, "peer": peer,
                    "address_cookie": address_cookie(secret, packed), "peer_cookie": peer_cookie(secret, peer)},
    }), indent=1))


main()
