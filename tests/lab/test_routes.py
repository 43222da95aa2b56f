#!/usr/bin/env python3
"""overlayd takes one route per contact and leaves every other one alone."""
import json
import sys

import lab
import load
import node
import topo

FOREIGN = "fd12:3456:789a::7"


def routes(ns):
    return json.loads(ns.run("ip", "-j", "-6", "route", "show", "table", "all"))


def foreign_ula():
    """Another ULA of the user is behind the default route: it answers before, with and after."""
    world = topo.World(delay_ms=None)
    world.cafe.join()
    world.home.ip(f"addr add {FOREIGN}/128 dev lo nodad")
    world.internet.ip("route add fd12:3456:789a::/48 via 2a45:9::2")
    lab.check(load.ping_once(world.laptop, FOREIGN), "the foreign network does not work by itself")
    before = routes(world.laptop)
    laptop, home = node.Node(world.laptop).start(), node.Node(world.home).start()
    node.pair(laptop, home, node.endpoint(topo.HOME4))
    lab.check(load.ping_once(world.laptop, home.address), "no first contact")
    lab.check(load.ping_once(world.laptop, FOREIGN, 2), "overlayd took the way to a foreign ULA")
    new = [r for r in routes(world.laptop) if r not in before]
    for route in new:
        dst = route["dst"]
        lab.check(dst != "default" and not dst.startswith(("fd00::/8", "fc00::/7")),
            f"overlayd claims {dst}")
    mine = [r["dst"] for r in new if r.get("dev") == "overlay0" and r["dst"].startswith("fd") and
        "/" in r["dst"]]
    prefix = home.address.rsplit("::", 1)[0]
    lab.check(any(d.startswith(prefix) and d.endswith("/64") for d in mine),
        f"no route for the contact's /64 among {mine}")
    laptop.stop()
    lab.wait_for("the routes as before", 2, lambda: routes(world.laptop) == before)
    lab.check(load.ping_once(world.laptop, FOREIGN, 2), "overlayd left something behind")
    return {"routes": len(mine)}


if __name__ == "__main__":
    sys.exit(lab.main({"foreign_ula": foreign_ula}, node.logs))
