"""streams - programs at both ends of a stream: `overlay serve` and `forward`, what they lead to, sshd."""
import contextlib
import json
import pathlib
import re
import shutil
import signal
import socket
import threading

import lab
import node

MIB = 1 << 20


class Running:
    """`overlay serve` or `forward`, which lasts until it is ended; ready: what it says first."""
    ALL = []

    def __init__(self, daemon, *words, ready):
        self.words = [str(w) for w in words]
        base = daemon.dir / f"cli-{len(self.ALL)}"
        self.out, self.err = base.with_suffix(".out"), base.with_suffix(".err")
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = daemon.ns.popen(node.program("overlay"), "--socket", daemon.socket, *self.words,
                stdout=out, stderr=err)
        self.ALL.append(self)
        self.await_text(ready)

    def text(self):
        return self.out.read_text() + self.err.read_text()

    def await_text(self, words, timeout_s=5):
        def probe():
            found = re.search(words, self.text())
            lab.check(found or self.process.poll() is None, f"{self.words}: ended with {self.process.poll()}: {self.text()}")
            return found
        return lab.wait_for(f"{self.words}: {words}", timeout_s, probe)

    def objects(self):
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        status = self.process.wait(3)
        lab.check(status == 0, f"{self.words}: exit {status} after {signal.Signals(number).name}: {self.text()}")


class Target:
    """A program that a service leads to; handler(socket) for each connection, in a thread of its own."""

    def __init__(self, ns, handler, path=None):
        self.handler, self.path, self.taken = handler, path, 0
        self.socket = ns.socket(socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_STREAM)
        self.socket.bind(str(path) if path else ("127.0.0.1", 0))
        self.socket.listen(512)
        self.name = str(path) if path else self.socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.socket.accept()
                self.taken += 1
                threading.Thread(target=self._one, args=(s,), daemon=True).start()

    def _one(self, s):
        with s, contextlib.suppress(OSError):
            self.handler(s)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def echo(s):
    while data := s.recv(MIB):
        s.sendall(data)


def all_of(s):
    parts = []
    while data := s.recv(MIB):
        parts.append(data)
    return b"".join(parts)


def forward(daemon, local, to, **kw):
    """With the port it listens on, of a TCP one."""
    running = Running(daemon, "forward", local, to, ready="forwarding .*\n", **kw)
    port = re.search(r"127\.0\.0\.1:(\d+)", running.text())
    running.port = int(port[1]) if port else None
    return running


def connect(daemon, to):
    s = daemon.ns.socket(socket.AF_INET if isinstance(to, int) else socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(10)
    s.connect(("127.0.0.1", to) if isinstance(to, int) else str(to))
    return s


class Sshd:
    """A real sshd on loopback of a daemon's machine, with keys of its own; needs root."""

    def __init__(self, daemon, port):
        path = "/usr/sbin:/usr/bin:/sbin:/bin"
        if not lab.is_real_root() or not shutil.which("sshd", path=path):
            raise lab.Skip("no sshd, or not root")
        self.folder = lab.WORK / f"sshd-{daemon.name}"
        self.folder.mkdir(mode=0o700)
        self.log = self.folder / "log"
        pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # /run is ours
        for name in ("host", "user"):
            lab.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name)
        shutil.copy(self.folder / "user.pub", self.folder / "allowed")
        config = self.folder / "config"
        config.write_text(f"ListenAddress 127.0.0.1:{port}\nHostKey {self.folder}/host\n"
            f"AuthorizedKeysFile {self.folder}/allowed\nPidFile {self.folder}/pid\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nPermitRootLogin yes\n")
        with open(self.log, "wb") as log:
            daemon.ns.popen(shutil.which("sshd", path=path), "-D", "-e", "-f", config, stderr=log)
        lab.wait_for("sshd", 5, lambda: "listening" in self.log.read_text())

    def command(self, daemon, name):
        """Words of an ssh from this daemon's machine to the contact `name`, through its service ssh."""
        known = self.folder / "known"
        known.write_text(f"{name} " + (self.folder / "host.pub").read_text())
        proxy = f"{node.program('overlay')} --socket {daemon.socket} pipe %h ssh"
        return ["ssh", "-F", "none", "-o", f"ProxyCommand={proxy}", "-i", str(self.folder / "user"), "-o", "BatchMode=yes",
            "-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes", f"root@{name}"]


def logs():
    """What the programs said, for a failed case."""
    return "".join(f"--- overlay {' '.join(r.words)}\n{r.text()[-1500:]}\n" for r in Running.ALL)
