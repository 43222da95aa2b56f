"""lab - real daemons in network namespaces that vanish with the program.

Whoever calls enter() goes on in its own mount, PID and network namespaces (and, without root, in
its own user namespace): named namespaces live on a private tmpfs at /run, processes under a PID 1
that is this program. When it ends, however it ends (return, Ctrl-C, SIGKILL), the kernel ends all
processes and removes all interfaces, namespaces, rules and files of the run. So nothing can be left
over, two runs never meet, and nothing outside can be touched: the machine's own interfaces are not
even visible. Look inside a running lab with `nsenter -t PID -m -p -n`.

Tests are programs: they call main(cases). Exit status 77 means skipped (neither root nor user
namespaces); OVERLAY_NO_SKIP=1 turns that into a failure.
"""
import argparse
import contextlib
import ctypes
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("OVERLAY_BUILD", ROOT / "build/release")).resolve()
WORK = pathlib.Path("/run/lab")  # private to the run: /run is a tmpfs of our own
SKIP = 77
CASE_LIMIT_S = 60

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 16384, 1 << 18
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]


class Failed(Exception):
    """A check of the test did not hold; the text says which and with what figure."""


class Skip(Exception):
    """This machine cannot run the case; the text says what is missing."""


def _call(function, *args):
    if function(*args) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def check(condition, text):
    if not condition:
        raise Failed(text)


# --- the sandbox -------------------------------------------------------------------------------

def _map_ids(uid, gid):
    pathlib.Path("/proc/self/setgroups").write_text("deny")
    pathlib.Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    pathlib.Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def _mounts():
    _call(_libc.mount, b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    _call(_libc.mount, b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    # Not nodev: a case makes its own TUN node here.
    _call(_libc.mount, b"lab", b"/run", b"tmpfs", MS_NOSUID, b"mode=755")
    WORK.mkdir()
    pathlib.Path("/run/netns").mkdir()


def _guard(child):
    """The outer process: passes signals in, and hands the status out."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: os.kill(child, n))
    _, status = os.waitpid(child, 0)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def _stop(number, _):
    raise SystemExit(128 + number)


def enter():
    """Goes on inside fresh namespaces; raises Skip when the machine allows none. Call it once,
    before any thread is started."""
    uid, gid = os.geteuid(), os.getegid()
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | (CLONE_NEWUSER if uid else 0)
    try:
        _call(_libc.unshare, flags)
        if uid:
            _map_ids(uid, gid)
    except OSError as error:
        raise Skip(f"neither root nor user namespaces: {error.strerror}") from error
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        _guard(child)
    _call(_libc.prctl, PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)  # PID 1 ignores what it has no handler for
    try:
        _mounts()
    except OSError as error:
        raise Skip(f"private mounts are not allowed here: {error.strerror}") from error
    run("ip", "link", "set", "lo", "up")


def is_real_root():
    """True when uid 0 in here is uid 0 of the machine: only then can a case become another uid."""
    return pathlib.Path("/proc/self/uid_map").read_text().split()[2] != "1"


# --- programs ----------------------------------------------------------------------------------

def run(*argv, ok=True, **kw):
    """Runs a command to its end and gives its output; a failure names command and message. With
    ok=False the finished process itself comes back, whatever its status."""
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, text=True, **kw)
    if ok and done.returncode != 0:
        raise Failed(f"{' '.join(map(str, argv))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout if ok else done


def tool(source, *libs):
    """A small C program of the lab, built when its source is newer. Give a path below the root."""
    source = ROOT / source
    program = ROOT / "build/lab" / source.stem
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        program.parent.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(f".{os.getpid()}.new")
        run(os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra",
            "-Werror", "-I", ROOT, source, "-o", fresh, *libs)
        fresh.replace(program)
    return program


def have(program):
    return run("sh", "-c", f"command -v {program}", ok=False).returncode == 0


def wait_for(what, timeout_s, probe, step_s=0.02):
    """Polls until probe() is true; the value is handed back."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {timeout_s} s")
        time.sleep(step_s)


# --- network namespaces ------------------------------------------------------------------------

class Ns:
    """One machine of the lab: a network namespace with a name."""

    def __init__(self, name, forward=False, adopt=False):
        """adopt: the namespace exists and was given its name by `ip netns attach`."""
        self.name = name
        if not adopt:
            run("ip", "netns", "add", name)
        self.fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
        for scope in ("all", "default"):
            self.sysctl(f"net.ipv6.conf.{scope}.accept_dad", 0)  # addresses are usable at once
            self.sysctl(f"net.ipv6.conf.{scope}.accept_ra", 0)
        if forward:
            self.sysctl("net.ipv4.ip_forward", 1)
            self.sysctl("net.ipv6.conf.all.forwarding", 1)
        self.ip("link set lo up")

    @contextlib.contextmanager
    def inside(self):
        """This thread is in the namespace meanwhile; sockets made here belong to it."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _call(_libc.setns, self.fd, CLONE_NEWNET)
            yield self
        finally:
            _call(_libc.setns, back, CLONE_NEWNET)
            os.close(back)

    def _prepare(self, kw):
        def enter_it():
            if _libc.setns(self.fd, CLONE_NEWNET) != 0:
                os._exit(126)
        kw.setdefault("preexec_fn", enter_it)
        return kw

    def run(self, *argv, **kw):
        return run(*argv, **self._prepare(kw))

    def popen(self, *argv, **kw):
        """A process of this machine. It never inherits our pipes unless the caller asks."""
        kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("stdout", subprocess.DEVNULL)
        kw.setdefault("stderr", subprocess.DEVNULL)
        return subprocess.Popen([str(a) for a in argv], **self._prepare(kw))

    def ip(self, *lines):
        """One `ip` command per argument, all in one process: "link set eth0 up", "addr add ..."."""
        text = "\n".join(lines) + "\n"
        done = subprocess.run(["ip", "-n", self.name, "-batch", "-"], input=text, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise Failed(f"{self.name}: ip: {text.strip()}: {done.stderr.strip()}")
        return done.stdout

    def operstate(self, dev):
        """"up" once the kernel's link watch has seen the carrier; before that the interface drops what is sent."""
        return json.loads(self.run("ip", "-j", "link", "show", "dev", dev))[0]["operstate"].lower()

    def nft(self, rules):
        done = subprocess.run(["nft", "-f", "-"], input=rules, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, **self._prepare({}))
        if done.returncode != 0:
            raise Failed(f"{self.name}: nft: {done.stderr.strip()}")

    def sysctl(self, key, value):
        with self.inside():  # /proc/sys/net shows the namespace of whoever opens it
            pathlib.Path("/proc/sys", *key.split(".")).write_text(f"{value}\n")

    def socket(self, family, kind, proto=0):
        with self.inside():
            return socket.socket(family, kind, proto)

    def address(self, dev, *cidrs):
        self.ip(f"link set dev {dev} up", *(f"addr add {c} dev {dev}{' nodad' if ':' in c else ''}"
            for c in cidrs))


def veth(a, dev_a, b, dev_b, whole=True):
    """A cable between two machines. whole: GSO packets cross uncut, as between virtual machines;
    else each UDP datagram is cut out before it, as by a network card without USO."""
    run("ip", "link", "add", dev_a, "netns", a.name, "type", "veth", "peer", "name", dev_b, "netns",
        b.name)
    for ns, dev in ((a, dev_a), (b, dev_b)):
        if not whole:
            ns.run("ethtool", "-K", dev, "tx-udp-segmentation", "off")
        ns.ip(f"link set dev {dev} up")


def link_up(a, dev_a, b, dev_b):
    """Switches the end at a on and waits until both are operational. Until the kernel's link watch has seen the carrier, which
    on a busy machine takes up to a second, either end drops what is sent, and ARP is repeated after another second:
    no daemon could do anything about that. Real machines get their address after it, too."""
    a.ip(f"link set dev {dev_a} up")
    for ns, dev in ((a, dev_a), (b, dev_b)):
        wait_for(f"the link {dev} of {ns.name}", 5, lambda: ns.operstate(dev) == "up", step_s=0.002)


# --- conntrack ---------------------------------------------------------------------------------

def flush_conntrack(ns):
    """Forgets every mapping of the NAT in ns: IPCTNL_MSG_CT_DELETE without a tuple, both families."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with ns.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as nl:  # NETLINK_NETFILTER
            nl.bind((0, 0))
            body = struct.pack("BBH", family, 0, 0)
            nl.send(struct.pack("=IHHII", 16 + len(body), 1 << 8 | 2, 1 | 4, 1, 0) + body)
            _, kind, _, _, _, error = struct.unpack_from("=IHHIIi", nl.recv(4096))
            check(kind == 2 and error == 0, f"conntrack flush in {ns.name}: error {error}")


# --- results -----------------------------------------------------------------------------------

def _print_row(row):
    pairs = " ".join(f"{k}={v:.1f}" if isinstance(v, float) else f"{k}={v}"
        for k, v in row["figures"].items())
    print(f"{row['state']:4} {row['seconds']:6.1f} s  {row['case']:<34} {pairs}", flush=True)
    if row["text"]:
        print("     " + row["text"].rstrip().replace("\n", "\n     "), flush=True)


def skipped(text):
    print(f"skip: {text}", flush=True)
    return 1 if os.environ.get("OVERLAY_NO_SKIP") == "1" else SKIP


def too_long(*_):
    raise Failed("took too long")


def allow(seconds):
    """From now on the case has so much time: for the long ones, which wait for a clock."""
    signal.alarm(seconds)


def _row_of(name, case, logs):
    """Runs one case; figures are name=value pairs with the unit in the name."""
    row = {"case": name, "state": "FAIL", "seconds": 0.0, "figures": {}, "text": ""}
    start = time.monotonic()
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(CASE_LIMIT_S)
    try:
        row["figures"] = case() or {}
        row["state"] = "pass"
    except Skip as skip:
        row["state"], row["text"] = "skip", str(skip)
    except Failed as failed:
        row["text"] = f"{failed}\n{logs()}"
    except Exception:
        row["text"] = f"{traceback.format_exc()}{logs()}"
    signal.alarm(0)
    row["seconds"] = round(time.monotonic() - start, 2)
    return row


def _in_sandbox(name, case, logs, json_file):
    try:
        enter()
        row = _row_of(name, case, logs)
    except Skip as skip:
        return skipped(str(skip))
    except SystemExit as stop:
        return stop.code
    _print_row(row)
    if json_file:
        with open(json_file, "a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
    if row["state"] == "skip":
        return skipped(name) if os.environ.get("OVERLAY_NO_SKIP") == "1" else 0
    return 0 if row["state"] == "pass" else 1


def main(cases, logs=lambda: ""):
    """The command line of a test program. cases: {name: function}; each function builds what it
    needs in a sandbox of its own, so that no case sees what another left, and returns figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", action="append", metavar="CASE", choices=sorted(cases))
    parser.add_argument("--json", metavar="FILE", help="append the results as lines of JSON")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if args.list:
        print("\n".join(cases))
        return 0
    worst = 0
    for name in args.only or cases:
        status = isolated(lambda n=name: _in_sandbox(n, cases[n], logs, args.json))
        if status == SKIP:
            return SKIP
        worst = worst or status
    return worst


def isolated(function):
    """Runs function in a child and gives the exit status that it returned."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        status = 1
        try:
            status = function()
        except SystemExit as stop:
            status = stop.code
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status if isinstance(status, int) else 1)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except BaseException:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        raise
