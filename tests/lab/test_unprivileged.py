#!/usr/bin/env python3
"""overlayd without root: without TUN, with one capability, in a user namespace of its own."""
import os
import pathlib
import shutil
import stat
import sys

import lab
import load
import node
import topo

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all",
    "--bounding-set=-all", "--no-new-privs"]
WITH_NET_ADMIN = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
    "--inh-caps=+net_admin", "--ambient-caps=+net_admin", "--bounding-set=-all,+net_admin",
    "--no-new-privs"]


def need_real_root():
    if not lab.is_real_root():
        raise lab.Skip("becoming uid 65534 needs root")


def reachable_programs():
    """The programs where uid 65534 may read them: a clone can lie in a private directory."""
    target = lab.WORK / "bin"
    if not target.exists():
        target.mkdir()
        for name in ("overlayd", "overlay"):
            shutil.copy(node.program(name), target / name)
        lab.BUILD = target


def as_user(ns, user, name=None, port=27182, args=()):
    """A node whose files belong to uid 65534 before it starts."""
    reachable_programs()
    made = node.Node(ns, name=name, port=port, args=args, user=user)
    return made.own(NOBODY).start()


def two_daemons_on_one_machine():
    """--listen-udp 0 --no-tun, both as uid 65534 without any capability."""
    need_real_root()
    machine = lab.Ns("machine")
    one = as_user(machine, AS_NOBODY, "one", 0, ["--no-tun"])
    two = as_user(machine, AS_NOBODY, "two", 0, ["--no-tun"])
    lab.check(one.udp != two.udp and one.udp > 0, f"ports {one.udp} and {two.udp}")
    node.pair(one, two, node.endpoint("127.0.0.1", two.udp))
    pong = one.cli("ping", "two", "-c", 1)
    lab.check(two.cli("ping", "one", "-c", 1) is not None, "no way back")
    status = pathlib.Path(f"/proc/{one.process.pid}/status").read_text()
    lab.check("CapEff:\t0000000000000000" in status, "the test did not take the capabilities away")
    one.stop()
    two.stop()
    return {"rtt_us": pong[0]["rtt_us"]}


def without_tun_but_permission_missing():
    """Neither --no-tun nor a right to make one: it says so and serves ping."""
    need_real_root()
    machine = lab.Ns("machine")
    one = as_user(machine, AS_NOBODY, "one", 0)
    two = as_user(machine, AS_NOBODY, "two", 0)
    node.pair(one, two, node.endpoint("127.0.0.1", two.udp))
    one.cli("ping", "two", "-c", 1)
    said = one.log.read_text().lower()
    lab.check("tun" in said, "the log does not say that there is no TUN")
    return {}


def tun_with_cap_net_admin():
    """An ordinary user with CAP_NET_ADMIN as ambient capability has everything that root has."""
    need_real_root()
    if not os.stat("/dev/net/tun").st_mode & stat.S_IWOTH:
        own_tun_node()
    world = topo.World(delay_ms=1)
    world.cafe.join()
    laptop = as_user(world.laptop, WITH_NET_ADMIN)
    home = as_user(world.home, WITH_NET_ADMIN)
    node.pair(laptop, home, node.endpoint(topo.HOME4))
    lab.check(load.ping_once(world.laptop, home.address), "the overlay address does not answer")
    load.Transfer(world.laptop, world.home, home.address, 20).finish()
    laptop.stop()
    home.stop()
    return {}


def own_tun_node():
    """A TUN node for all, in this run's /run, in place of the machine's."""
    path = lab.WORK / "tun"
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(10, 200))
    os.chmod(path, 0o666)
    lab.run("mount", "--bind", path, "/dev/net/tun")


def tun_in_user_namespace():
    """uid 65534 makes itself a user and network namespace, as in a container, and has a TUN there.
    The daemons talk over a cable between the two namespaces."""
    need_real_root()
    own_tun_node()
    a, b = lab.Ns("a"), lab.Ns("b")
    nodes = []
    for machine, address in ((a, "45.1.0.1/24"), (b, "45.1.0.2/24")):
        # The namespace belongs to a user namespace of uid 65534; the test gives it a cable.
        holder = machine.popen(*AS_NOBODY, "unshare", "--user", "--map-root-user", "--net", "sleep",
            "1000")
        lab.wait_for("a user namespace", 2, lambda h=holder: has_own_netns(h.pid))
        lab.run("ip", "netns", "attach", f"{machine.name}-user", holder.pid)
        inner = lab.Ns(f"{machine.name}-user", adopt=True)
        enter = ["nsenter", "--target", holder.pid, "--user", "--net", "--preserve-credentials"]
        nodes.append((inner, enter, address))
    lab.veth(nodes[0][0], "eth0", nodes[1][0], "eth0")
    daemons = []
    for inner, enter, address in nodes:
        inner.address("eth0", address)
        daemons.append(as_user(inner, [*AS_NOBODY, *map(str, enter)]))
    node.pair(*daemons, node.endpoint("45.1.0.2"))
    lab.check(load.ping_once(nodes[0][0], daemons[1].address), "the overlay address does not answer")
    load.Transfer(nodes[0][0], nodes[1][0], daemons[1].address, 20).finish()
    return {}


def has_own_netns(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/net") not in {
            os.readlink("/proc/self/ns/net"), *netns_links()}
    except OSError:
        return False


def netns_links():
    return {f"net:[{os.stat(path).st_ino}]" for path in pathlib.Path("/run/netns").iterdir()}


if __name__ == "__main__":
    sys.exit(lab.main({"two_daemons_on_one_machine": two_daemons_on_one_machine,
        "without_tun_but_permission_missing": without_tun_but_permission_missing,
        "tun_with_cap_net_admin": tun_with_cap_net_admin,
        "tun_in_user_namespace": tun_in_user_namespace}, node.logs))
