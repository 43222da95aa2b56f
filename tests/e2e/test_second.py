#!/usr/bin/env python3
"""A second implementation, written from docs/protocol.md, against a real overlayd on loopback: what the page
says must be enough to be understood, and what it says is dropped must be met with silence and its counter.

tests/vectors/model.py has the handshake; here are CONTROL and its frames. No root, no interface.
OVERLAY_BUILD names the folder of the programs (build/release)."""
import base64
import ipaddress
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("OVERLAY_BUILD", "build/release")
CHALLENGE, RESPONSE = 1, 2
CHACHA = 1

source = (ROOT / "tests/vectors/model.py").read_text(encoding="utf-8")
assert source.endswith("\nmain()\n")
model = {"__name__": "model"}
exec(compile(source.removesuffix("main()\n"), "model.py", "exec"), model)  # all but its output


def unseal(key, counter, head, sealed):
    """ChaCha20-Poly1305 backwards: the key stream is its own inverse, the tag is computed anew."""
    nonce = bytes(4) + struct.pack("<Q", counter)
    plain = model["chacha_seal"](key, nonce, head, sealed[:-16])[:-16]
    assert model["chacha_seal"](key, nonce, head, plain) == sealed, "tag"
    return plain


def frames(plain):
    """Section 5: type, length, body; PADDING is one byte."""
    out, at = [], 0
    while at < len(plain):
        if plain[at] == 0:
            at += 1
            continue
        kind, size = struct.unpack_from("<BH", plain, at)
        out.append((kind, plain[at + 3:at + 3 + size]))
        at += 3 + size
    return out


def frame(kind, body):
    return struct.pack("<BH", kind, len(body)) + body


class Second:
    """The other peer."""

    def __init__(self, daemon_peer, port, seed=b"a second implementation, 32 byte"):
        self.me = model["Identity"](seed)
        self.other_id = daemon_peer
        self.other_dh = model["to_dh"](daemon_peer)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.connect(("127.0.0.1", port))
        self.sock.settimeout(2)
        self.seq, self.index, self.counter = 1 << 32, 0x5EC0, 0

    def hs1(self, **change):
        """Section 3.2. Keeps the Noise state for hs2()."""
        x25519, base = model["x25519"], model["BASE_U"]
        self.seq += 1
        self.index += 1
        self.e = os.urandom(32)
        s = self.noise = model["Symmetric"](b"overlay\1" + bytes(16), self.other_dh)
        e_public = x25519(self.e, base)
        s.ephemeral(e_public)
        s.mix_key(x25519(self.e, self.other_dh))
        sealed_s = s.encrypt(self.me.dh_public)
        s.mix_key(x25519(self.me.dh_secret, self.other_dh))
        f = {"peer": self.me.id, "seq": self.seq, "suites": CHACHA, **change}
        plain = f["peer"] + struct.pack("<Q16xQQIHBB", f["seq"], 77, 4242, 0, 1452, f["suites"], 0)
        tlvs = b"\x21\x03\x00abc"  # unknown: skipped
        if "invite" in f:
            tlvs += b"\x01\x10\x00" + f["invite"]
        sealed = s.encrypt((plain + tlvs).ljust(152, b"\0"))
        return model["add_macs"](model["header"](4, 0, 0, self.index) + e_public + sealed_s + sealed, self.other_dh)

    def hs2(self, data):
        x25519, s = model["x25519"], self.noise
        assert len(data) == 128 and data[:8] == struct.pack("<BBHI", 5, 0, 0, self.index)
        assert data == model["add_macs"](data[:96], self.me.dh_public), "mac1, zero mac2"
        self.remote_index = struct.unpack("<Q", data[8:16])[0]
        e_remote = data[16:48]
        s.ephemeral(e_remote)
        s.mix_key(x25519(self.e, e_remote))
        s.mix_key(x25519(self.me.dh_secret, e_remote))
        s.mix_psk(bytes(32))
        nonce = bytes(4) + struct.pack("<Q", s.n)
        plain = model["chacha_seal"](s.k, nonce, s.h, data[48:80])[:-16]
        assert s.encrypt(plain) == data[48:96], "tag of the payload"
        association, instance, self.seen, mtu, suite = struct.unpack("<QQQHB", plain[:27])
        assert association and instance and suite == CHACHA and plain[27:] == bytes(5) and 548 <= mtu <= 1452
        to_other, to_me = (k[:32] for k in model["hkdf"](s.ck, b"", 2))
        self.send_key = model["ov_hash"](32, "OVL transport", bytes([suite]), to_other)
        self.receive_key = model["ov_hash"](32, "OVL transport", bytes([suite]), to_me)
        self.counter = 0

    def sealed(self, plain, kind=7, flags=0):
        head = model["header"](kind, flags, self.remote_index, self.counter)
        packet = head + model["chacha_seal"](self.send_key, bytes(4) + head[8:], head, plain)
        self.counter += 1
        return packet

    def receive(self):
        """Frames of the next CONTROL packet."""
        data = self.sock.recv(2048)
        kind, flags, zero, index, counter = struct.unpack("<BBHIQ", data[:16])
        assert (kind, flags, zero, index) == (7, 0, 0, self.index), data[:16].hex()
        return frames(unseal(self.receive_key, counter, data[:16], data[16:]))

    def is_silent(self):
        """Nothing but questions and signs of life: no HS2, no COOKIE, no answer."""
        self.sock.settimeout(0.3)
        try:
            while True:
                data = self.sock.recv(2048)
                if data[0] != 7 or any(k == RESPONSE for k, _ in
                        frames(unseal(self.receive_key, struct.unpack("<Q", data[8:16])[0], data[:16], data[16:]))):
                    return False
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(2)


class Daemon:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="overlay-second-")
        self.socket = self.dir + "/s"
        env = {k: v for k, v in os.environ.items() if not k.startswith("OVERLAY_")} | {"HOME": self.dir}
        self.process = subprocess.Popen([BUILD / "overlayd", "--no-tun", "--state", self.dir + "/state", "--socket",
            self.socket, "--listen-udp", "0", "--no-lan", "--no-portmap", "--aead", "chacha20-poly1305"], stdout=subprocess.PIPE, env=env, text=True)
        for line in self.process.stdout:
            if line.startswith("ready "):
                break
        words = dict(w.split("=", 1) for w in line.split()[1:])
        self.peer, self.port, self.address = words["peer"], int(words["udp"]), words["address"]

    def overlay(self, *args):
        out = subprocess.run([BUILD / "overlay", *args, "--socket", self.socket, "--json"], capture_output=True, text=True,
            timeout=20, check=False)
        assert out.returncode == 0, out.stderr
        return json.loads(out.stdout)

    def drops(self):
        return self.overlay("status")["counters"]["drops"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(5) == 0
        shutil.rmtree(self.dir)


def case_identity(d, s):
    """1.3, 1.4: text form and address agree."""
    raw = base64.b32decode(d.peer.upper())
    assert raw[34] == 1 and raw[32:34] == model["ov_hash"](32, "OVL peerid v1", raw[:32] + b"\1")[:2]
    assert str(ipaddress.IPv6Address(b"\xfd" + model["ov_hash"](32, "OVL addr v1", raw[:32])[:7] + bytes(7) + b"\1")) == d.address


def expect_drop(d, s, reason, *packets):
    """Sends them; waits until they are counted as they should; then nothing may have been answered."""
    before, deadline = d.drops(), time.monotonic() + 5
    for p in packets:
        s.sock.send(p)
    while sum((now := d.drops()).values()) < sum(before.values()) + len(packets) and time.monotonic() < deadline:
        pass
    assert now == before | {reason: before[reason] + len(packets)}, (reason, before, now)
    assert s.is_silent(), reason


def case_stranger(d, s):
    """8: a valid handshake of no contact is silence."""
    expect_drop(d, s, "stranger", s.hs1())


def case_handshake(d, s):
    """3, 4: HS2 opens, the first packet confirms, the peer is up. A repetition before that gets the same HS2."""
    d.overlay("peer", "add", "second", s.me.text())
    first = s.hs1()
    s.sock.send(first)
    answer = s.sock.recv(2048)
    s.sock.send(first)
    assert s.sock.recv(2048) == answer, "repetition"
    s.hs2(answer)
    token = os.urandom(8)
    s.sock.send(s.sealed(frame(CHALLENGE, token + b"\0")))
    got = []
    while CHALLENGE not in dict(got) or RESPONSE not in dict(got):
        got += s.receive()
    body = dict(got)[RESPONSE]
    ip, port = s.sock.getsockname()
    observed = bytes(10) + b"\xff\xff" + ipaddress.IPv4Address(ip).packed + struct.pack("<H", port)
    hold, size, count = struct.unpack("<IHQ", body[26:])
    assert len(body) == 40 and body[:8] == token and body[8:26] == observed
    assert size == 12 + 32 and count == 1 and hold < 1000000
    s.sock.send(s.sealed(frame(RESPONSE, dict(got)[CHALLENGE][:8] + observed + struct.pack("<IHQ", 0, 44, 1))))
    time.sleep(0.1)
    shown = d.overlay("peer", "show", "second")
    assert shown["state"] == "up" and shown["path"]["state"] == "valid" and shown["suite"] == "chacha20-poly1305", shown


def case_answers(d, s):
    """5, 7: one answer per challenge, skippable frames are skipped, a padded probe tells its size."""
    token = os.urandom(8)
    s.sock.send(s.sealed((frame(0x90, b"later") + frame(CHALLENGE, token + b"\0")).ljust(1168, b"\0")))
    while True:
        for kind, body in s.receive():
            if kind == CHALLENGE:  # its PMTU search
                ip, port = s.sock.getsockname()
                observed = bytes(10) + b"\xff\xff" + ipaddress.IPv4Address(ip).packed + struct.pack("<H", port)
                s.sock.send(s.sealed(frame(RESPONSE, body[:8] + observed + struct.pack("<IHQ", 0, 1200, 1))))
            if kind == RESPONSE:
                assert body[:8] == token and struct.unpack("<H", body[30:32])[0] == 1200
                return


def case_drops(d, s):
    """8: each is silence and its counter."""
    good = s.sealed(b"")
    s.sock.send(good)
    expect_drop(d, s, "replay", good)
    bad = bytearray(s.sealed(b""))
    bad[-1] ^= 1
    expect_drop(d, s, "auth", bytes(bad))
    expect_drop(d, s, "index", model["header"](7, 0, s.remote_index ^ 1, 5) + bytes(16))
    expect_drop(d, s, "header", s.sealed(b"", flags=1))
    expect_drop(d, s, "type", *(model["header"](kind, 0, 0, 0) + bytes(300) for kind in (0, 3, 14, 255)))
    expect_drop(d, s, "channel", model["header"](10, 0, 0, 0) + bytes(300))
    expect_drop(d, s, "short", b"\x07", model["header"](7, 0, s.remote_index, 9) + bytes(15), s.hs1()[:-1])
    expect_drop(d, s, "oversized", s.hs1() + bytes(1000))
    expect_drop(d, s, "frame", s.sealed(frame(70, b"")))
    expect_drop(d, s, "format", s.sealed(frame(CHALLENGE, bytes(8))), s.sealed(b"\x01\xff"))
    expect_drop(d, s, "token", s.sealed(frame(RESPONSE, bytes(40))))
    expect_drop(d, s, "fragment", s.sealed(struct.pack("<IBB", 1, 2, 2) + bytes(9), kind=9))
    inner = bytearray(60)
    expect_drop(d, s, "inner", s.sealed(bytes(inner), kind=8))
    inner[0], inner[4:6], inner[6] = 0x60, struct.pack(">H", 20), 6
    ours, theirs = s.me.address(), ipaddress.IPv6Address(d.address).packed
    expect_drop(d, s, "source", s.sealed(bytes(inner[:8]) + theirs + theirs + bytes(20), kind=8))
    expect_drop(d, s, "destination", s.sealed(bytes(inner[:8]) + ours + ours + bytes(20), kind=8))
    syn = struct.pack(">HHIIBBHHH", 1024, 22, 0, 0, 0x50, 2, 0, 0, 0)
    expect_drop(d, s, "grant", s.sealed(bytes(inner[:8]) + ours + theirs + syn, kind=8))


def case_stale(d, s):
    """3.3, 3.7: a wrong mac1, a seq seen before while we are heard, and a PeerId that is not the key's: silence."""
    packet = bytearray(s.hs1())
    packet[-20] ^= 1
    keys = (s.index, s.noise)
    expect_drop(d, s, "mac1", bytes(packet))
    s.index, s.noise = keys
    expect_drop(d, s, "stale", s.hs1(seq=1 << 32 | 1))
    other = model["Identity"](bytes(32))
    expect_drop(d, s, "auth", s.hs1(peer=other.id))


def read_line(d, line):
    """14.1: the secret of a line of d."""
    text = line.removeprefix("overlay:").upper()
    raw = base64.b32decode(text + "=" * (-len(text) % 8))
    assert raw[0] == 1 and struct.unpack("<H", raw[1:3])[0] == len(raw)
    assert raw[-4:] == model["ov_hash"](32, "OVL invite sum", raw[:-4])[:4]
    assert raw[3:35] == base64.b32decode(d.peer.upper())[:32]
    assert 86000 < struct.unpack("<Q", raw[51:59])[0] - time.time() < 86401
    at, items = 59, []
    while at < len(raw) - 4:
        items.append((raw[at], raw[at + 2:at + 2 + raw[at + 1]]))
        at += 2 + raw[at + 1]
    assert at == len(raw) - 4 and (1, b"host") in items and all(len(v) in (6, 18) for k, v in items if k == 2)
    return raw[35:51]


def case_invite(d, s):
    """14.3: a wrong secret is silence; the right one makes a contact, which is called back; a replay of that HS1
    makes none, and is answered as a contact's; another guest with the same secret gets silence."""
    guest, other = (Second(s.other_id, d.port, seed) for seed in (b"a guest".ljust(32), b"another guest".ljust(32)))
    names = [p["name"] for p in d.overlay("peer", "list")["peers"]]
    secret = read_line(d, d.overlay("invite", "--name", "guest", "--as", "host")["line"])
    expect_drop(d, guest, "stranger", guest.hs1(invite=bytes(16)))
    first = guest.hs1(invite=secret)
    guest.sock.send(first)
    back = guest.sock.recv(2048)
    assert len(back) == 296 and back[0] == 4, "it calls back"
    assert [p["name"] for p in d.overlay("peer", "list")["peers"]] == [*names, "guest"]
    guest.sock.send(first)
    while (answer := guest.sock.recv(2048))[0] != 5:
        assert answer[0] == 4, "its HS1 again"
    guest.hs2(answer)
    assert [p["name"] for p in d.overlay("peer", "list")["peers"]] == [*names, "guest"]
    refused = d.overlay("invite", "list")
    assert refused["invites"] == [] and refused["refused"] == 1, refused
    expect_drop(d, other, "stranger", other.hs1(invite=secret))
    assert d.overlay("invite", "list")["refused"] == 2


def main():
    passed = failed = 0
    d = Daemon()
    try:
        s = Second(base64.b32decode(d.peer.upper())[:32], d.port)
        for case in (case_identity, case_stranger, case_handshake, case_answers, case_drops, case_stale, case_invite):
            try:
                case(d, s)
                passed += 1
            except Exception as error:  # the next case still tells something
                failed += 1
                print(f"FAIL  {case.__name__}: {type(error).__name__} {error}")
    finally:
        d.stop()
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return failed > 0


sys.exit(main())
