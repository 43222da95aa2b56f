#!/usr/bin/env python3
"""How long the kernel's NAT remembers, measured by the daemon: 20 s, and Linux's own 120 s (30 s for
what nobody answered). Then whoever is behind the short one is reached at any time."""
import sys
import time

import lab
import load
import node
from test_netcheck import homes

MEASURED_S = 150


def lifetime(site):
    return (site.found() or {}).get("lifetime") or {"measuring": True}


def a_short_lifetime_is_found_and_kept():
    lab.allow(300)
    short, linux, away = homes("symmetric+short", "port-restricted", "open")
    node.pair(short.daemon, away.daemon)
    lab.check(load.ping_once(short.daemon.ns, away.daemon.address, 5), "no first contact")
    start = time.monotonic()
    lab.wait_for("the measured lifetime", MEASURED_S,
        lambda: lifetime(short).get("lost_s") and not lifetime(short)["measuring"], step_s=1)
    measured_s = time.monotonic() - start
    lab.check(lifetime(short) == {"measuring": False, "survived_s": 18, "lost_s": 28, "keepalive_ms": 15000},
        f"20 s: {lifetime(short)}")
    lab.check((lifetime(linux)["survived_s"] or 0) >= 28, f"120 s: {lifetime(linux)}")
    path = short.daemon.cli("status")["peers"][0]["path"]
    lab.check(path and path["carrier"] == "udp", f"not direct: {path}")
    for silence_s in (23, 29):
        time.sleep(silence_s)
        lab.check(load.ping_once(away.daemon.ns, short.daemon.address, 0.3), f"not reached after {silence_s} s")
    return {"measured_s": measured_s}


if __name__ == "__main__":
    sys.exit(lab.main({"a_short_lifetime_is_found_and_kept": a_short_lifetime_is_found_and_kept}, node.logs))
