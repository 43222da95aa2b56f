#!/usr/bin/env python3
"""One side's router runs miniupnpd: whatever its kind is and what the other side is behind (but blocked
UDP), the two become direct, as the core sees it (matrix.py). 20 ms each way."""
import sys

import lab
import matrix
import router as gateway

UPNP_CHAINS = """
    table inet upnp {
        chain mapped { }
        chain mapped_nat { }
        chain mapped_post { }
        chain forward { type filter hook forward priority -1; jump mapped; }
        chain pre { type nat hook prerouting priority -101; jump mapped_nat; }
        chain post { type nat hook postrouting priority 99; jump mapped_post; }
    }"""


def with_miniupnpd(of_a):
    of_a.gateway_ns.nft(UPNP_CHAINS)
    gateway.Upnpd(of_a.gateway_ns, ("pcp", "natpmp", "upnp"), table="upnp").serve()


def mapped(kind_a, kind_b):
    """A's router maps ports: whatever its kind and B's is, the two become direct."""
    def case():
        meeting = matrix.Meeting(kind_a, kind_b, furnish=with_miniupnpd)
        pings = meeting.pings(interval_ms=matrix.INTERVAL_MS)
        answers = matrix.wait(matrix.CONNECT_S, pings.so_far)
        pings.stop()
        lab.check(answers, "not connected")
        direct = meeting.direct_ns(matrix.GUESSING_S)
        held = meeting.nodes[0].cli("status")["portmap"]["ipv4"]
        lab.check(direct, f"not direct; the port map is {held}")
        lab.check(held["state"] == "held", f"the port map is {held}")
        return {"first_ms": (answers[0][1] - meeting.zero) / 1e6, "direct_ms": (direct - meeting.zero) / 1e6}
    return case


if __name__ == "__main__":
    sys.exit(lab.main({f"{a}/{b}": mapped(a, b) for a in ("full-cone", "port-restricted", "symmetric")
        for b in ("open", "full-cone", "port-restricted", "symmetric", "cgnat")}, gateway.logs))
