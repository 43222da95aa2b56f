#!/usr/bin/env python3
"""The router forwards our port: by each protocol, renewed, given back; and routers that mean harm."""
import os
import pathlib
import signal
import subprocess
import sys
import time

import lab
import load
import node
import router

LOST_LIMIT_S = 5  # a router that restarted and says so
HOSTILE_LIMIT_S = 20  # a search that meets one: 12 s for the child, then the end of the search
HOSTILE = ("endless", "endless_chunks", "broken", "wrong_sizes", "elsewhere", "redirect",
    "soap_sizes", "neighbour")


def laptop(home, **kw):
    return node.Node(home.laptop, args=["--no-tun", "--log-level", "debug"], **kw).start()


def mapping(daemon, family="ipv4"):
    return daemon.cli("status")["portmap"][family]


def settled(daemon, family="ipv4", timeout_s=8):
    """What the search came to."""
    def probe():
        found = mapping(daemon, family)
        return found if found["state"] in ("held", "none") else None
    return lab.wait_for(f"{family}: an end of the search", timeout_s, probe, 0.05)


def held(daemon, protocol, external, family="ipv4"):
    found = settled(daemon, family)
    got = (found["state"], found["protocol"], found["external"], found["double_nat"])
    lab.check(got == ("held", protocol, external, False), f"{family}: {found}")
    return found


def by(protocol, speaks):
    """A mapping by this protocol carries a call from outside, and is gone after the end."""
    def case():
        home = router.Home(speaks).serve()
        far = node.Node(home.far).start()
        start = time.monotonic()
        daemon = node.Node(home.laptop, args=["--log-level", "debug"]).start()
        held(daemon, protocol, "45.1.0.2:27182")
        mapped_ms = (time.monotonic() - start) * 1e3
        lab.check(home.mapped(), "the router has no rule")
        daemon.add(far)
        far.add(daemon, "45.1.0.2:27182")
        lab.check(load.ping_once(home.far, daemon.address), "the mapping carries nothing from outside")
        daemon.stop()
        lab.wait_for("the port is given back", 5, lambda: not home.mapped())
        return {"mapped_ms": mapped_ms}
    return case


def ipv6(protocol, speaks):
    """A hole in the IPv6 firewall, for the address that we have."""
    def case():
        home = router.Home(speaks, v6=True).serve()
        far = node.Node(home.far).start()
        daemon = node.Node(home.laptop, args=["--log-level", "debug"]).start()
        daemon.add(far)
        far.add(daemon, "[2a45:1::10]:27182")
        held(daemon, protocol, "[2a45:1::10]:27182", "ipv6")
        held(daemon, protocol, "45.1.0.2:27182")
        lab.check(load.ping_once(home.far, daemon.address), "the pinhole carries nothing from outside")
        path = far.cli("peer", "show", daemon.name)["path"]
        lab.check(path["remote"].startswith("[2a45:1::10]"), f"another way: {path['remote']}")
        daemon.stop()
        lab.wait_for("both are given back", 5, lambda: not home.mapped())
    return case


def router_restarts():
    """It has forgotten the mapping and announces itself: it is there again at once."""
    home = router.Home(("pcp", "natpmp")).serve()
    daemon = laptop(home)
    held(daemon, "pcp", "45.1.0.2:27182")
    time.sleep(6)  # an announcement right after an answer is not listened to
    home.reboot()
    start = time.monotonic()
    lab.wait_for("the mapping is back", LOST_LIMIT_S, home.mapped)
    back_ms = (time.monotonic() - start) * 1e3
    daemon.stop()
    return {"back_ms": back_ms}


def crash_and_restart():
    """After kill -9 of overlayd nothing was given back: the next one gets the same mapping."""
    home = router.Home(("pcp",)).serve()
    daemon = laptop(home)
    held(daemon, "pcp", "45.1.0.2:27182")
    daemon.process.kill()
    daemon.process.wait()
    lab.check(home.mapped(), "given back by a dead process?")
    daemon.start()
    held(daemon, "pcp", "45.1.0.2:27182")
    daemon.stop()
    lab.wait_for("given back", 5, lambda: not home.mapped())


def child_of(daemon):
    found = router.children_of(daemon.process.pid)
    return found[0] if len(found) == 1 else None


def child_is_confined_and_replaced():
    """No privilege, no file, no program; killed, another one comes and the lease stays."""
    home = router.Home(("upnp",)).serve()
    # whoever starts overlayd may leave it descriptors: they do not reach the child, nor disturb it
    daemon = laptop(home, user=["bash", "-c", 'exec "$@" 3</dev/null 9</dev/null', "_"])
    held(daemon, "upnp", "45.1.0.2:27182")
    child = lab.wait_for("a child", 2, lambda: child_of(daemon))
    status = dict(line.split(":", 1) for line in
        pathlib.Path(f"/proc/{child}/status").read_text().splitlines() if ":" in line)
    facts = {key: status[key].split()[0] for key in ("CapEff", "CapPrm", "NoNewPrivs", "Seccomp", "Uid")}
    lab.check(int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == 0, f"capabilities: {facts}")
    lab.check(facts["NoNewPrivs"] == "1" and facts["Seccomp"] == "2", f"not confined: {facts}")
    lab.check(facts["Uid"] == "65534" or not lab.is_real_root(), f"runs as uid {facts['Uid']}")
    open_files = sorted(int(fd) for fd in os.listdir(f"/proc/{child}/fd"))
    lab.check(open_files == [0, 1, 2, 3], f"descriptors {open_files}")
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(child, number)  # a whole group is told to end: not the child's business
    time.sleep(0.2)
    lab.check(child_of(daemon) == child, "a signal for the group ended it")
    os.kill(child, signal.SIGKILL)
    second = lab.wait_for("another child", 5,
        lambda: child_of(daemon) if child_of(daemon) != child else None)
    held(daemon, "upnp", "45.1.0.2:27182")
    daemon.stop()
    lab.wait_for("given back by the new child", 6, lambda: not home.mapped())
    lab.wait_for("the child ends", 15, lambda: not pathlib.Path(f"/proc/{second}/exe").exists())


def child_is_missing():
    """overlayd alone in a folder: said once, PCP works, nothing else is lost."""
    home = router.Home(("upnp",)).serve()
    alone = lab.WORK / "alone"
    alone.mkdir()
    lab.run("cp", node.program("overlayd"), alone)
    daemon = node.Node(home.laptop, args=["--no-tun"])
    daemon.overlayd = alone / "overlayd"
    daemon.start()
    found = settled(daemon)
    lab.check((found["state"], found["error"]) == ("none", "helper"), f"{found}")
    log = daemon.log.read_text()
    lab.check(log.count("helper_missing") == 1 and "overlay-portmap" in log, "it does not say what is missing")
    daemon.stop()


def double_nat():
    """The router's own address is a carrier's: it refuses, and the status says why."""
    home = router.Home(outside4="100.64.0.2").serve()
    daemon = laptop(home)
    found = settled(daemon)
    lab.check((found["state"], found["error"], found["double_nat"]) == ("none", "double-nat", True),
        f"{found}")
    text = home.laptop.run(node.program("overlay"), "--socket", daemon.socket, "status")
    lab.check("another NAT is ahead" in text, text)
    daemon.stop()


def changes_are_told():
    """portmap.changed on the overlay socket; another network, and the search starts again."""
    home = router.Home(("pcp",)).serve()
    home.laptop.ip("addr flush dev eth0")
    daemon = laptop(home)
    watch = home.laptop.popen(node.program("overlay"), "--socket", daemon.socket, "watch",
        "portmap.changed", "--json", stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    home.join()
    events = [watch.stdout.readline() for _ in range(2)]
    lab.check('"searching"' in events[0] and '"held"' in events[1], f"{events}")
    home.laptop.ip("addr flush dev eth0")
    lab.check('"off"' in watch.stdout.readline(), "no event when the router is gone")
    watch.terminate()
    daemon.stop()


def nobody_answers():
    """A router that drops all of it: three questions by PCP, three by NAT-PMP, two searches, then
    silence. Switched off: nothing at all."""
    home = router.Home(())
    home.router.nft("table inet count { chain in { type filter hook prerouting priority -300\n"
        'iifname "lan" udp dport {5351, 1900} counter\nudp dport 5351 drop\n }\n}')

    def packets():
        text = home.router.run("nft", "list", "table", "inet", "count")
        return int(text.split("packets ")[1].split()[0])
    off = node.Node(home.laptop, name="off", args=["--no-tun", "--no-portmap"]).start()
    time.sleep(0.5)
    lab.check(off.cli("status")["portmap"] == {"enabled": False, "ipv4": None, "ipv6": None}, "not off")
    off.stop()
    lab.check(packets() == 0, "switched off, and it asks")
    daemon = laptop(home)
    start = time.monotonic()
    found = settled(daemon, timeout_s=12)
    lab.check((found["state"], found["error"]) == ("none", "no-answer"), f"{found}")
    took, asked = time.monotonic() - start, packets()
    time.sleep(4)
    lab.check(packets() == asked, "it goes on asking")
    lab.check(7 <= asked <= 10, f"{asked} packets for one search")
    daemon.stop()
    return {"packets": asked, "search_s": took}


def hostile_server(ns, address, kind):
    server = ns.popen(sys.executable, lab.ROOT / "tests/lab/upnp_hostile.py", address, kind,
        stdout=subprocess.PIPE, text=True)
    lab.check(server.stdout.readline() == "ready\n", "the hostile server does not start")
    return server


def requests_of(server):
    """What it was asked over HTTP, a line each; the server ends."""
    server.terminate()
    return server.stdout.read()


def hostile(kind):
    """overlayd lives and answers at once, the child stays in its bounds, the search ends."""
    def case():
        home = router.Home(())
        home.router.ip("addr add 192.168.1.66/24 dev lan")  # stands for a neighbour
        server = hostile_server(home.router, router.ROUTER4, kind)
        elsewhere = hostile_server(home.far, router.FAR4, kind)
        daemon = laptop(home)
        start, worst_kb, found = time.monotonic(), 0, None
        while time.monotonic() - start < HOSTILE_LIMIT_S:
            asked = time.monotonic()
            found = mapping(daemon)
            lab.check(time.monotonic() - asked < 1, "overlayd stalls")
            for child in router.children_of(daemon.process.pid):
                try:
                    worst_kb = max(worst_kb, node.rss_kb(child))
                except OSError:
                    pass  # it ended just now
            if found["state"] in ("none", "held"):
                break
            time.sleep(0.1)
        took = time.monotonic() - start
        # who answers "done" to everything is believed: a peer finds out that nothing comes through
        lab.check(found["state"] == ("held" if kind == "soap_sizes" else "none"), f"after {took:.0f} s: {found}")
        lab.check(worst_kb < 70 << 10, f"the child has {worst_kb} KiB")
        lab.check(node.rss_kb(daemon.process.pid) < 80 << 10, "overlayd has grown")
        daemon.stop()
        lab.check(requests_of(elsewhere) == "", "it spoke to a machine that the router named")
        seen = requests_of(server)
        lab.check((seen == "") == (kind == "neighbour"), f"requests: {seen}")
        return {"search_s": took, "child_kb": worst_kb}
    return case


if __name__ == "__main__":
    cases = {
        "pcp": by("pcp", ("pcp",)), "natpmp": by("nat-pmp", ("natpmp",)), "upnp": by("upnp", ("upnp",)),
        "pcp_ipv6": ipv6("pcp", ("pcp",)), "upnp_ipv6": ipv6("upnp", ("upnp",)),
        "router_restarts": router_restarts, "crash_and_restart": crash_and_restart,
        "child_is_confined_and_replaced": child_is_confined_and_replaced,
        "child_is_missing": child_is_missing, "double_nat": double_nat,
        "changes_are_told": changes_are_told, "nobody_answers": nobody_answers,
    }
    cases.update({f"hostile_{kind}": hostile(kind) for kind in HOSTILE})
    sys.exit(lab.main(cases, router.logs))
