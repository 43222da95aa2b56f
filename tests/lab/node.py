"""node - overlayd on one machine of the lab, and the overlay command beside it."""
import json
import os
import pathlib
import select
import signal
import subprocess
import time

import lab

NODES = []


def program(name):
    path = lab.BUILD / name
    lab.check(path.exists(), f"{path} is missing: run make first")
    return path


class Node:
    """One daemon. start() waits for its ready line; everything it says goes to a log that a failed
    case prints. user: argv words in front of the daemon that change who it is (setpriv ...)."""

    def __init__(self, ns, name=None, port=27182, args=(), user=(), env=None):
        self.ns, self.name, self.port = ns, name or ns.name, port
        self.args, self.user, self.env = list(args), list(user), env
        self.dir = lab.WORK / f"node-{self.name}"
        self.dir.mkdir(mode=0o700)
        self.state, self.socket, self.log = self.dir / "state", self.dir / "socket", self.dir / "log"
        self.overlayd = None  # another program than the built one
        self.process = self.peer = self.udp = self.address = None
        NODES.append(self)

    def own(self, uid):
        """Gives the node's files to uid before a start as that user."""
        for path in (self.dir, *self.dir.rglob("*")):
            os.chown(path, uid, uid)
        return self

    def start(self, timeout_s=5.0):
        argv = [*self.user, self.overlayd or program("overlayd"), "--state", self.state, "--socket", self.socket,
            "--listen-udp", self.port, *self.args]
        log = open(self.log, "ab")
        # No configuration of whoever runs the test, and a home that another user may read.
        env = {k: v for k, v in os.environ.items() if not k.startswith(("OVERLAY_", "XDG_"))}
        env.update(HOME=str(self.dir), **(self.env or {}))
        self.process = self.ns.popen(*argv, stdout=subprocess.PIPE, stderr=log, env=env)
        ready = self._ready_line(timeout_s)
        words = dict(w.split("=", 1) for w in ready.split() if "=" in w)
        self.peer, self.udp, self.address = words["peer"], int(words["udp"]), words["address"]
        return self

    def _ready_line(self, timeout_s):
        deadline, text = time.monotonic() + timeout_s, b""
        out = self.process.stdout.fileno()
        while True:
            for line in text.decode(errors="replace").splitlines(keepends=True):
                if line.startswith("ready ") and line.endswith("\n"):
                    return line
            left = deadline - time.monotonic()
            lab.check(left > 0, f"{self.name}: no ready line within {timeout_s} s")
            if select.select([out], [], [], left)[0]:
                data = os.read(out, 4096)
                if not data:
                    raise lab.Failed(f"{self.name}: overlayd ended with {self.process.wait(5)}")
                text += data

    def stop(self):
        """SIGTERM must end it with status 0 within 2 s."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise lab.Failed(f"{self.name}: overlayd still runs 2 s after SIGTERM") from None
        lab.check(status == 0, f"{self.name}: overlayd ended with {status} after SIGTERM")

    def cli(self, *words, ok=True):
        """overlay WORDS --json: its result object; with ok=False the finished process."""
        done = self.ns.run(*self.user, program("overlay"), "--socket", self.socket, *words, "--json",
            ok=False)
        if not ok:
            return done
        lab.check(done.returncode == 0,
            f"{self.name}: overlay {' '.join(map(str, words))}: {done.stderr.strip()}")
        results = [json.loads(line) for line in done.stdout.splitlines()]
        return results[0] if len(results) == 1 else results

    def add(self, other, *endpoints, allow="all"):
        self.cli("peer", "add", other.name, other.peer, *endpoints, "--allow", allow)

    def cpu_s(self):
        """User and system time of the daemon with all its threads, in seconds."""
        return cpu_s(self.process.pid)

    def rss_kb(self):
        return rss_kb(self.process.pid)


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_kb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def endpoint(address, port=27182):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def pair(a, b, *endpoints_of_b, **kw):
    """Two nodes know each other: a has endpoints of b, b waits to be called."""
    b.add(a, **kw)  # first: a calls as soon as it knows an address
    a.add(b, *endpoints_of_b, **kw)


def logs():
    """The last lines of every daemon of the case, for a failed one."""
    text = ""
    for node in NODES:
        if node.log.exists():
            lines = node.log.read_text(errors="replace").splitlines()[-25:]
            text += f"--- overlayd {node.name}\n" + "\n".join(lines) + "\n"
    return text
