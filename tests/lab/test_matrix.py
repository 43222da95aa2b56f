#!/usr/bin/env python3
"""The matrix's own parts: its arithmetic, and cells whose outcome is known.

A static endpoint works only at an open site, so those pairs must connect and be direct, or must not
connect at all; with a facilitator two cones must be direct and two symmetric NATs must stay relayed. A
harness that saw a connection or a direct path where there is none would fail here."""
import sys

import lab
import matrix


def arithmetic():
    """26 of 36 can be direct; three days see every cell once."""
    possible = [cell for cell in matrix.CELLS if matrix.is_possible(*cell)]
    lab.check((len(matrix.CELLS), len(possible)) == (36, 26), f"{len(possible)} of {len(matrix.CELLS)}")
    lab.check(all(matrix.is_possible(b, a) for a, b in possible), "possible one way only")
    for a, b in (("symmetric", "sequential"), ("udp-blocked", "firewall"), ("udp-blocked+random", "cgnat")):
        lab.check(not matrix.is_possible(a, b), f"{a} with {b} is taken for possible")
    days = [matrix.third_of(matrix.CELLS, 740000 + day) for day in range(3)]
    lab.check(sorted(sum(days, [])) == sorted(matrix.CELLS), "three thirds are not the whole")
    for cells in days:
        lab.check(all(sum(kind in cell for cell in cells) >= 3 for kind in matrix.KINDS), f"uneven: {cells}")
    lab.check(len(matrix.third_cases()) == 12, "a third of 36 is not 12")
    lab.check(matrix.is_cell(("cgnat+random", "sequential")), "words behind a kind are refused")
    lab.check(not any(map(matrix.is_cell, (("open",), ("open", "odd"), ("open+random", "open")))),
        "cells that cannot be are taken")


STATIC = [("open", "open"), ("symmetric", "open"), ("udp-blocked", "open"),
    ("open", "port-restricted")]
OPEN_PORTS = "port-restricted+open-ports"  # each must send before the other's first packet comes
FACILITATED = [("full-cone", "full-cone"), ("symmetric", "symmetric")]

if __name__ == "__main__":
    cases = {f"static {a} / {b}": matrix.case(a, b, static=True) for a, b in STATIC}
    cases.update({f"{a} / {b}": matrix.case(a, b) for a, b in FACILITATED})
    cases["routers_with_open_ports"] = matrix.case(OPEN_PORTS, OPEN_PORTS)
    sys.exit(lab.main({"arithmetic": arithmetic, **cases}, matrix.node.logs))
