#!/usr/bin/env python3
"""The slow cases of test_portmap.py: a lease over its half, and routers that take their time."""
import datetime
import os
import signal
import sys
import time

import lab
import router
from test_portmap import child_of, held, hostile, laptop, mapping

HOSTILE = ("endless_header", "drip", "deep", "long_names", "soap_endless", "long_values", "ssdp_endless")


def lease_s(found):
    at = datetime.datetime.fromisoformat(found["expires_at"].replace("Z", "+00:00"))
    return (at - datetime.datetime.now(datetime.timezone.utc)).total_seconds()


def renewed_at_half():
    """A lease of 60 s: after 40 s more than 40 s are left."""
    home = router.Home(("pcp",), options=["max_lifetime=60", "min_lifetime=30"]).serve()
    daemon = laptop(home)
    found = held(daemon, "pcp", "45.1.0.2:27182")
    lab.check(found["lease_s"] == 60, f"a lease of {found['lease_s']} s")
    time.sleep(40)
    found = held(daemon, "pcp", "45.1.0.2:27182")
    left = lease_s(found)
    lab.check(left > 40, f"{left:.0f} s are left: not renewed")
    lab.check(home.mapped(), "the router has no rule any more")
    daemon.stop()
    return {"left_s": left}


def child_that_hangs():
    """Stopped while it owes an answer: ended and replaced within 15 s."""
    home = router.Home(("upnp",)).serve()
    daemon = laptop(home)
    held(daemon, "upnp", "45.1.0.2:27182")
    child = child_of(daemon)
    os.kill(child, signal.SIGSTOP)
    home.laptop.ip("addr flush dev eth0")
    lab.wait_for("no router", 2, lambda: mapping(daemon)["state"] == "off")
    home.join()
    lab.wait_for("the search ends", 20, lambda: mapping(daemon)["error"] == "helper", 0.2)
    lab.wait_for("another child", 5, lambda: child_of(daemon) not in (None, child))
    daemon.stop()


if __name__ == "__main__":
    cases = {"renewed_at_half": renewed_at_half, "child_that_hangs": child_that_hangs}
    cases.update({f"hostile_{kind}": hostile(kind) for kind in HOSTILE})
    sys.exit(lab.main(cases, router.logs))
