"""router - a home whose router maps ports: miniupnpd on nftables.

    laptop eth0 ------ lan router wan ------ internet ------ far

The laptop is behind a NAT that lets nothing in by itself, and behind an IPv6 firewall that does the
same. What a router speaks is its own configuration: `pcp` and `natpmp` are one server of miniupnpd,
so a rule of its firewall silences one of them; `upnp` is another.
"""
import pathlib
import subprocess

import lab
import node

LAPTOP4, ROUTER4, OUTSIDE4 = "192.168.1.10", "192.168.1.1", "45.1.0.2"
LAPTOP6, ROUTER6 = "2a45:1::10", "2a45:1::1"
FAR4, FAR6 = "45.9.0.2", "2a45:9::2"

# The chains that miniupnpd fills (its nftables backend makes none), and what stands around them.
RULES = """
    table inet home {
        chain forward { type filter hook forward priority 0; policy drop
            ct state established,related accept
            iifname "lan" accept
            jump mapped
        }
        chain input { type filter hook input priority 0
            iifname "wan" ct state new meta l4proto udp drop
            %s
        }
        chain mapped { }
        chain prerouting { type nat hook prerouting priority -100
            jump mapped_nat
        }
        chain postrouting { type nat hook postrouting priority 100
            jump mapped_post
            oifname "wan" meta nfproto ipv4 masquerade random,fully-random
        }
        chain mapped_nat { }
        chain mapped_post { }
    }"""
SILENCE = {  # the version is the first byte
    "pcp": "iifname \"lan\" udp dport 5351 @th,64,8 2 drop",
    "natpmp": "iifname \"lan\" udp dport 5351 @th,64,8 0 drop",
}


class Upnpd:
    """miniupnpd in ns between `lan` and `wan`; it fills the chains mapped, mapped_nat and mapped_post of
    the table `inet TABLE`. speaks: of "pcp", "natpmp", "upnp"."""

    def __init__(self, ns, speaks, options=(), table="home"):
        self.ns, self.speaks, self.options, self.table = ns, speaks, list(options), table
        self.process = None
        self.log = lab.WORK / "miniupnpd.log"

    def serve(self):
        """Starts it; it announces itself."""
        lab.check(lab.have("miniupnpd"), "miniupnpd is missing: make setup")
        yes = {True: "yes", False: "no"}
        path = lab.WORK / "miniupnpd.conf"
        path.write_text("\n".join([
            "ext_ifname=wan", "listening_ip=lan", "http_port=5000",
            f"enable_natpmp={yes[bool({'pcp', 'natpmp'} & set(self.speaks))]}",
            f"enable_upnp={yes['upnp' in self.speaks]}", "secure_mode=yes", "system_uptime=no",
            f"upnp_table_name={self.table}", f"upnp_nat_table_name={self.table}",
            "upnp_forward_chain=mapped", "upnp_nat_chain=mapped_nat",
            "upnp_nat_postrouting_chain=mapped_post",
            "uuid=00000000-0000-0000-0000-000000000001",
            *self.options, "allow 1024-65535 0.0.0.0/0 1024-65535", ""]))
        with open(self.log, "ab") as log:
            self.process = self.ns.popen("miniupnpd", "-d", "-f", path, "-P",
                lab.WORK / "miniupnpd.pid", stdout=log, stderr=subprocess.STDOUT)
        lab.wait_for("miniupnpd listens", 5, self._listens)
        return self

    def _listens(self):
        lab.check(self.process.poll() is None, f"miniupnpd ended: {self.log.read_text()}")
        open_ports = self.ns.run("ss", "-Hlnu") + self.ns.run("ss", "-Hlnt")
        wanted = [":1900 "] if "upnp" in self.speaks else []
        wanted += [":5351 "] if {"pcp", "natpmp"} & set(self.speaks) else []
        return all(port in open_ports for port in wanted)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Home:
    """speaks: of "pcp", "natpmp", "upnp". outside4: the router's address towards the Internet."""

    def __init__(self, speaks=("pcp", "natpmp", "upnp"), outside4=OUTSIDE4, v6=False, options=()):
        self.speaks, self.outside4, self.options = speaks, outside4, list(options)
        self.upnpd = None
        self.internet = lab.Ns("internet", forward=True)
        self.router = lab.Ns("router", forward=True)
        self.laptop, self.far = lab.Ns("laptop"), lab.Ns("far")
        lab.veth(self.laptop, "eth0", self.router, "lan")
        lab.veth(self.router, "wan", self.internet, "home")
        lab.veth(self.internet, "far", self.far, "eth0")
        inner4 = outside4.rpartition(".")[0] + ".1"
        self.internet.address("home", f"{inner4}/24", "2a45:100::1/64")
        self.internet.address("far", "45.9.0.1/24", "2a45:9::1/64")
        self.internet.ip("route add 2a45:1::/64 via 2a45:100::2")
        self.router.address("wan", f"{outside4}/24", "2a45:100::2/64")
        self.router.address("lan", f"{ROUTER4}/24", f"{ROUTER6}/64", "fe80::1/64")
        self.router.ip(f"route add default via {inner4}", "route add default via 2a45:100::1")
        self.far.address("eth0", f"{FAR4}/24", f"{FAR6}/64")
        self.far.ip("route add default via 45.9.0.1", "route add default via 2a45:9::1")
        self.join(v6)
        silent = [rule for word, rule in SILENCE.items() if word not in speaks and
            {"pcp", "natpmp"} & set(speaks)]
        if "pcp" not in speaks:  # miniupnpd serves it over IPv6 whatever it is told
            silent.append('iifname "lan" meta nfproto ipv6 udp dport 5351 reject')
        self.router.nft(RULES % "\n".join(silent))

    def join(self, v6=False):
        self.laptop.address("eth0", f"{LAPTOP4}/24", *([f"{LAPTOP6}/64"] if v6 else []))
        self.laptop.ip(f"route add default via {ROUTER4}",
            *(["route add default via fe80::1 dev eth0"] if v6 else []))

    def serve(self):
        """Starts miniupnpd, which announces itself."""
        self.upnpd = Upnpd(self.router, self.speaks, self.options).serve()
        return self

    def reboot(self):
        """Loses every mapping, as a router without memory does."""
        self.upnpd.kill()
        for chain in ("mapped", "mapped_nat", "mapped_post"):
            self.router.run("nft", "flush", "chain", "inet", "home", chain)
        self.serve()

    def mapped(self):
        """The rules that miniupnpd made, as nft prints them."""
        text = ""
        for chain in ("mapped", "mapped_nat"):
            text += self.router.run("nft", "list", "chain", "inet", "home", chain)
        return [line.strip() for line in text.splitlines() if "27182" in line]


def logs():
    text, path = node.logs(), lab.WORK / "miniupnpd.log"
    if path.exists():
        text += "--- miniupnpd\n" + "\n".join(path.read_text(errors="replace").splitlines()[-25:]) + "\n"
    return text


def children_of(pid):
    """PIDs of the processes that pid started."""
    found = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]
