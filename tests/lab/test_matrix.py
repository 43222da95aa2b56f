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
    days = [matrix.third_of(matrix.CELLS, 740000 + day) for day in range(3)]
    lab.check(sorted(sum(days, [])) == sorted(matrix.CELLS), "three thirds are not the whole")
    lab.check(len(matrix.third_cases()) == 12, "a third of 36 is not 12")


STATIC = [("open", "open"), ("symmetric", "open"), ("cgnat", "open"), ("udp-blocked", "open"),
    ("open", "port-restricted")]
FACILITATED = [("full-cone", "full-cone"), ("symmetric", "symmetric")]

if __name__ == "__main__":
    cases = {f"static {a} / {b}": matrix.case(a, b, static=True) for a, b in STATIC}
    cases.update({f"{a} / {b}": matrix.case(a, b) for a, b in FACILITATED})
    sys.exit(lab.main({"arithmetic": arithmetic, **cases}, matrix.node.logs))
