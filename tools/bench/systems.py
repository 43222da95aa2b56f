"""systems - what the bench measures: our daemon, the peers, the bare cable and a bare forwarder.

Each system joins two machines a and b (outer 10.77.0.1 and 10.77.0.2, one veth) and gives an inner
address per machine. Programs are started directly, in the foreground; pids() are those whose CPU and
memory count. Configurations of the peers are under peers/.
"""
import os
import pathlib
import shutil
import subprocess

import lab
import node

HERE = pathlib.Path(__file__).resolve().parent
NEWER = lab.ROOT / "build/bench/peers"
OUTER = ("10.77.0.1", "10.77.0.2")


class System:
    """cipher: what protects the packets, printed with the figures."""
    name, cipher = "", "none"

    def __init__(self):
        self.processes = []
        self.dir = lab.WORK / "system"
        self.dir.mkdir(exist_ok=True)

    def spawn(self, ns, *argv, **kw):
        log = open(self.dir / f"log-{ns.name}", "ab")
        process = ns.popen(*argv, stdout=log, stderr=log, **kw)
        self.processes.append(process)
        return process

    def wait_device(self, ns, dev):
        def there():
            for process in self.processes:
                lab.check(process.poll() is None, f"{self.name} ended: {self.said()}")
            return ns.run("ip", "link", "show", "dev", dev, ok=False).returncode == 0
        lab.wait_for(f"{self.name}: {dev}", 5, there)

    def said(self):
        return " | ".join(p.read_text(errors="replace")[-600:] for p in self.dir.glob("log-*"))

    def pids(self):
        return [p.pid for p in self.processes]

    def template(self, name, target, **values):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((HERE / "peers" / name).read_text().format(**values))
        return target


def newer(package, program=None):
    """A program of the newer suite (peers.sh), else the system's own; second: its version."""
    program = program or package
    wrapper = NEWER / "bin" / package
    if wrapper.exists():
        path = wrapper if program == package else next(
            (NEWER / "root" / package).rglob(f"bin/{program}"))
        for line in (NEWER / "versions").read_text().splitlines():
            if line.split()[0] == package:
                return path, line.split()[1]
    return own(package, program)


def own(package, program=None):
    path = shutil.which(program or package, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
    if not path:
        raise lab.Skip(f"{package} is not installed: tools/bench/setup.sh")
    version = lab.run("dpkg-query", "-W", "-f", "${Version}", package, ok=False).stdout
    return pathlib.Path(path), f"{version or 'unknown'} (system's own)"


class Raw(System):
    name = "raw veth"

    def version(self):
        return os.uname().release

    def start(self, _a, _b):
        self.inner = OUTER


class Wireguard(System):
    name, cipher = "wireguard-go", "ChaCha20-Poly1305"
    find = staticmethod(newer)

    def version(self):
        return self.find("wireguard-go")[1]

    def start(self, a, b):
        program, _ = self.find("wireguard-go")
        self.inner = ("fd77::1", "fd77::2")
        keys = [lab.run("wg", "genkey").strip() for _ in range(2)]
        public = [subprocess.run(["wg", "pubkey"], input=k, text=True, stdout=subprocess.PIPE,
            check=True).stdout.strip() for k in keys]
        for i, ns in enumerate((a, b)):
            dev = f"wg-{ns.name}"
            self.spawn(ns, program, "-f", dev, env={**os.environ, "LOG_LEVEL": "error"})
            lab.wait_for("wireguard-go", 5,
                lambda n=ns, d=dev: n.run("wg", "show", d, ok=False).returncode == 0)
            key = self.dir / f"key-{i}"
            key.write_text(keys[i])
            ns.run("wg", "set", dev, "listen-port", 51820, "private-key", key, "peer", public[1 - i],
                "allowed-ips", f"{self.inner[1 - i]}/128", "endpoint", f"{OUTER[1 - i]}:51820")
            ns.ip(f"link set dev {dev} mtu 1420 up", f"addr add {self.inner[i]}/64 dev {dev} nodad")


class WireguardOwn(Wireguard):
    name = "wireguard-go of the system"
    find = staticmethod(own)


class Fastd(System):
    name, cipher = "fastd", "salsa2012+umac"

    def version(self):
        return newer("fastd")[1]

    def start(self, a, b):
        program, _ = newer("fastd")
        self.inner = ("fd77::1", "fd77::2")
        pairs = []
        for _ in range(2):
            words = lab.run(program, "--generate-key").split()
            pairs.append((words[words.index("Secret:") + 1], words[words.index("Public:") + 1]))
        for i, ns in enumerate((a, b)):
            config = self.template("fastd.conf", self.dir / f"fastd-{ns.name}.conf", side=ns.name,
                outer=OUTER[i], other_outer=OUTER[1 - i], secret=pairs[i][0],
                other_key=pairs[1 - i][1])
            self.spawn(ns, program, "-c", config)
            self.wait_device(ns, f"fastd-{ns.name}")
            ns.ip(f"link set dev fastd-{ns.name} up",
                f"addr add {self.inner[i]}/64 dev fastd-{ns.name} nodad")


class Nebula(System):
    name, cipher = "nebula", "AES-256-GCM"

    def version(self):
        return newer("nebula")[1]

    def start(self, a, b):
        program, _ = newer("nebula")
        cert, _ = newer("nebula", "nebula-cert")
        self.inner = ("10.78.0.1", "10.78.0.2")
        run = {"cwd": self.dir}
        lab.run(cert, "ca", "-name", "bench", **run)
        for i, ns in enumerate((a, b)):
            lab.run(cert, "sign", "-name", ns.name, "-ip", f"{self.inner[i]}/24", **run)
        for i, ns in enumerate((a, b)):
            config = self.template("nebula.yml", self.dir / f"nebula-{ns.name}.yml", dir=self.dir,
                side=ns.name, outer=OUTER[i], other_outer=OUTER[1 - i],
                other_inner=self.inner[1 - i])
            self.spawn(ns, program, "-config", config)
            self.wait_device(ns, f"nebula-{ns.name}")


class Tinc(System):
    name, cipher = "tinc", "AES-256-CBC, SHA-256"

    def version(self):
        return own("tinc", "tincd")[1]

    def start(self, a, b):
        program, _ = own("tinc", "tincd")
        self.inner = ("fd77::1", "fd77::2")
        for i, ns in enumerate((a, b)):
            home = self.dir / f"tinc-{ns.name}"
            self.template("tinc.conf", home / "tinc.conf", side=ns.name, outer=OUTER[i],
                connect="ConnectTo = b" if i == 0 else "")
            up = home / "tinc-up"
            up.write_text(f"#!/bin/sh\nip addr add {self.inner[i]}/64 dev $INTERFACE nodad\n"
                "ip link set $INTERFACE up\n")
            up.chmod(0o755)
            (home / "hosts").mkdir()
            (home / "hosts" / ns.name).write_text(f"Address = {OUTER[i]} 655\n"
                f"Subnet = {self.inner[i]}/128\nCipher = aes-256-cbc\nDigest = sha256\n")
            lab.run(program, "-c", home, "-K", "2048")
        for i, (ns, other) in enumerate(((a, b), (b, a))):
            shutil.copy(self.dir / f"tinc-{other.name}/hosts/{other.name}",
                self.dir / f"tinc-{ns.name}/hosts/{other.name}")
            self.spawn(ns, program, "-c", self.dir / f"tinc-{ns.name}", "-D",
                f"--pidfile={self.dir}/tinc-{ns.name}.pid")
            self.wait_device(ns, f"tinc-{ns.name}")


class Tunfwd(System):
    """The reference: no handshake, no replay window, no peers; what the kernel and a cipher allow."""

    def __init__(self, word, cipher):
        super().__init__()
        self.word, self.cipher, self.name = word, cipher, f"tunfwd {word}"

    def version(self):
        return "tools/bench/tunfwd.c"

    def start(self, a, b):
        libs = ["-lsodium", "-lcrypto", "-ldl"]
        program = lab.tool("tools/bench/tunfwd.c", *libs)
        self.inner = ("fd77::1", "fd77::2")
        for i, ns in enumerate((a, b)):
            self.spawn(ns, program, "-i", f"fwd-{ns.name}", "-l", "6000", "-c", self.word, OUTER[1 - i],
                "6000")
            self.wait_device(ns, f"fwd-{ns.name}")
            ns.ip(f"link set dev fwd-{ns.name} mtu 1420 up",
                f"addr add {self.inner[i]}/64 dev fwd-{ns.name} nodad")


class Overlay(System):
    def __init__(self, word, cipher):
        super().__init__()
        self.word, self.cipher, self.name = word, cipher, f"overlay {word}"

    def version(self):
        commit = lab.run("git", "-C", lab.ROOT, "rev-parse", "--short", "HEAD", ok=False)
        return commit.stdout.strip() or "unknown"

    def start(self, a, b):
        args = ["--aead", self.word] if self.word != "auto" else []
        nodes = [node.Node(ns, args=args).start() for ns in (a, b)]
        node.pair(*nodes, node.endpoint(OUTER[1]))
        self.nodes = nodes
        self.processes = [n.process for n in nodes]
        self.inner = tuple(n.address for n in nodes)

    def said(self):
        return node.logs()


def catalogue():
    """name -> maker. The order is that of the tables."""
    return {
        "raw": Raw,
        "tunfwd-aes": lambda: Tunfwd("aes", "AES-256-GCM"),
        "tunfwd-chacha": lambda: Tunfwd("chacha", "ChaCha20-Poly1305"),
        "overlay-aes": lambda: Overlay("auto", "AES-256-GCM, best backend"),
        "overlay-chacha": lambda: Overlay("chacha20-poly1305", "ChaCha20-Poly1305"),
        "wireguard": Wireguard,
        "wireguard-own": WireguardOwn,
        "nebula": Nebula,
        "fastd": Fastd,
        "tinc": Tinc,
    }
