#!/usr/bin/env python3
"""matrix - do two sites find each other, and directly, behind any pair of NATs? 36 ordered pairs.

A cell is a world of its own: two sites of the two kinds and a public facilitator, 20 ms each way
between any two. Real daemons; the contacts know each other's PeerId and nothing else, nothing is
cached. What is measured:

  zero       both daemons have said that they are ready
  first      first ICMPv6 echo reply that came back to A through the TUN, ms after zero. The pings are
             small: a large one costs a round trip more, because nothing above 3 x what was
             received goes to an address that has not answered a challenge
  direct     from the first answer on pings of one size run: first moment at which the core had seen
             some pass between the sites in both directions, ms after zero. It counts only when at
             the end, for a second, every ping goes that way and none over the facilitator's line
  possible   what mathematics allows (nat.md part 4): all but symmetric with symmetric, and udp-blocked
             with anything but open (there: TCP). 26 of 36

  matrix.py --all                    every cell, a table, exit status 1 when a possible one is missed
  matrix.py --third [N]              a third of them; without N another one every day
  matrix.py --cells open/cgnat,...   these; any kind of natrules.py, with words behind it:
                                     sequential/port-restricted+random
  matrix.py --static ...             no facilitator: A knows B's endpoint instead, so B must be open
  --json FILE                        one object per cell, appended

Each router is proven by natprobe.py before the daemons start. As a module: case(a, b) gives a case
for lab.main, Meeting is two connected sites for whatever happens to them next.
"""
import argparse
import concurrent.futures
import datetime
import json
import pathlib
import sys
import tempfile
import time

import lab
import load
import nat
import natprobe
import node

KINDS = ("open", "full-cone", "port-restricted", "symmetric", "cgnat", "udp-blocked")
CELLS = [(a, b) for a in KINDS for b in KINDS]
PORT = 27182
PAYLOAD = 800  # of the pings that are counted: 908 to 950 bytes at the core, UDP, TCP, relayed or not
INTERVAL_MS = 100
CONNECT_S = 6.0
SILENT_S = 2.0  # how long a pair that cannot connect at all (--static) is watched
SETTLE_S = 1.0
RELAYED_S = 3.0  # how long a pair that cannot be direct is watched for it
CONE_S = 5.0
GUESSING_S = 20.0  # symmetric with a cone: ports must be guessed


def base(kind):
    """cgnat of cgnat+random: what the words change makes nothing impossible."""
    return kind.partition("+")[0]


def is_possible(a, b):
    pair = {base(a), base(b)}
    if "udp-blocked" in pair:
        return "open" in pair
    return not ("symmetric" in pair and pair <= {"symmetric", "sequential"})


def patience_s(a, b):
    """How long a cell may take from the first answer to the direct path."""
    if not is_possible(a, b):
        return RELAYED_S
    pair = {base(a), base(b)}
    return GUESSING_S if "symmetric" in pair and "open" not in pair else CONE_S


def expected(kind_a, kind_b, static):
    """(connected, direct) as the gates want it. Static: B must be open and A must have UDP."""
    if static:
        works = base(kind_b) == "open" and base(kind_a) != "udp-blocked"
        return works, works
    return True, is_possible(kind_a, kind_b)


def listening(kind):
    """The flags of a daemon there: in the open it takes TCP connections, and tells peers so."""
    return ["--listen-tcp", 443] if base(kind) == "open" else []


# --- the one place that knows how daemons are told of a facilitator and of each other -------------

SECOND = 27190  # port of a second facilitator on the hub


def introduce(hub, a, b, two=False):
    """Starts the facilitator (two: another beside it, its field `second`) and hands it back; afterwards a and b are ready to be started: each has
    the other as a contact by its PeerId alone, and the facilitator by PeerId and endpoint. Their
    identities are made and their contacts stored in a namespace without a network: nothing is
    cached."""
    _born(a, b)
    facilitator = node.Node(hub.ns, args=["--facilitator", "--facilitator-policy", "open"]).start()
    known = [f"{facilitator.peer}@{hub.address}:{PORT}"]
    if two:
        facilitator.second = node.Node(hub.ns, "hub2", port=SECOND, args=["--no-tun", "--facilitator",
            "--facilitator-policy", "open", "--facilitator-tcp", "0"]).start()
        known.append(f"{facilitator.second.peer}@{hub.address}:{SECOND}")
    for site in (a, b):
        config = site.dir / "overlay.json"
        config.write_text(json.dumps({"facilitators": known}))
        site.args += ["--config", config]
    return facilitator


def introduce_static(_hub, a, b, two=False):
    """No facilitator: a has b's endpoint, b waits to be called."""
    assert not two
    _born(a, b, node.endpoint(b.address4, PORT))


def _born(a, b, *endpoints_of_b):
    cradle = lab.Ns("cradle")
    homes = a.ns, b.ns
    a.ns = b.ns = cradle
    a.start()
    peer_of_a = a.peer
    a.stop()
    b.start()
    b.cli("peer", "add", a.name, peer_of_a, "--allow", "all")
    b.stop()
    a.start()
    a.cli("peer", "add", b.name, b.peer, *endpoints_of_b, "--allow", "all")
    a.stop()
    a.ns, b.ns = homes


# --- one cell ----------------------------------------------------------------------------------

def prove(host, hub, name):
    """The router of a host is what its name says; the port of the daemon stays unused."""
    kind = nat.natrules.kind_of(name)
    probe = natprobe.Probe(host, hub)
    found = probe.mapping(port=0)
    wanted = "blocked" if kind.tcp_only else kind.mapping
    lab.check(found == wanted, f"{host.name}: {name} has the mapping {found}, not {wanted}")
    if not kind.tcp_only:
        found, wanted = probe.filtering(), "eif" if kind.filtering == "open" else kind.filtering
        lab.check(found == wanted, f"{host.name}: {name} has the filtering {found}, not {wanted}")
    probe.close()


def wait(seconds, probe, step_s=0.02):
    """The first true value of probe() within so many seconds, or None."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = probe()
        if value:
            return value
        time.sleep(step_s)
    return None


class Meeting:
    """Two sites, proven, whose daemons run: hosts (nat.Host) and nodes (node.Node) of A and B, the hub
    (nat.Server) with the facilitator (node.Node; static: None), zero in ns."""

    def __init__(self, kind_a, kind_b, static=False, furnish=None, two=False):
        """furnish(router of A) adds to it what its kind has not, before the daemons start. two: facilitators."""
        self.world = nat.World()
        self.hub = self.world.server("hub")
        self.hosts = [self.world.host(name, self.world.router(kind))
            for name, kind in (("a", kind_a), ("b", kind_b))]
        for host, kind in zip(self.hosts, (kind_a, kind_b)):
            prove(host, self.hub, kind)
        if furnish:
            furnish(self.hosts[0].router)
        self.nodes = [node.Node(host.ns, port=PORT, args=listening(kind))
            for host, kind in zip(self.hosts, (kind_a, kind_b))]
        for one, host in zip(self.nodes, self.hosts):
            one.address4 = host.address
        self.facilitator = (introduce_static if static else introduce)(self.hub, *self.nodes, two=two)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(node.Node.start, self.nodes))
        self.zero = time.monotonic_ns()

    def pings(self, **kw):
        """A pings B, live."""
        return load.Pings(self.hosts[0].ns, self.nodes[1].address, live=True, **kw)

    def is_all_direct(self, pings):
        """For a second: does every ping and every answer pass between the sites, none through the
        hub? pings: those of PAYLOAD and INTERVAL_MS, which are counted."""
        def counts():
            relayed = sum(sum(self.world.carried(x, self.hub)) for x in self.hosts)
            return (len(pings.so_far()), *self.world.carried(*self.hosts), relayed)
        before = counts()
        time.sleep(SETTLE_S)
        answered, there, back, relayed = (n - m for n, m in zip(counts(), before))
        least = SETTLE_S * 1000 / INTERVAL_MS - 2  # one each may be on its way at either end
        return min(answered, there, back) >= least and relayed == 0

    def direct_ns(self, patience_s):
        """When the two speak directly, and go on to: the time at which both directions were first seen
        at the core, or None. Waits for that so long, then for a second in which all is direct."""
        pings = self.pings(interval_ms=INTERVAL_MS, payload=PAYLOAD)
        before = self.world.carried(*self.hosts)
        seen = wait(patience_s, lambda: all(n > m for n, m in
            zip(self.world.carried(*self.hosts), before)) and time.monotonic_ns())
        # Both sides choose their path by themselves: give the slower one two more windows.
        direct = seen and any(self.is_all_direct(pings) for _ in range(3))
        pings.stop()
        return seen if direct else None

    def gap(self, event, after_s=3.0, megabit=20):
        """Runs event() under a 100 Hz ping and a TCP transfer from A to B; it hands back the time from
        which the network could be used again (nat.py). Fails when TCP breaks or a byte differs."""
        pings = self.pings(interval_ms=10)
        transfer = load.Transfer(self.hosts[0].ns, self.hosts[1].ns, self.nodes[1].address,
            megabit / 8 * (0.4 + after_s), rate_mbit=megabit)
        time.sleep(0.4)
        at = event()
        time.sleep(after_s)
        transfer.finish()
        return {"gap_ms": pings.stop().gap_ms(at, after_s), "tcp_stall_ms": transfer.stall_ms(at)}


def cell(kind_a, kind_b, static=False):
    """Builds, starts, measures; the row of the table."""
    meeting = Meeting(kind_a, kind_b, static)
    row = {"a": kind_a, "b": kind_b, "possible": is_possible(kind_a, kind_b), "connected": False,
        "direct": False, "first_ms": None, "direct_ms": None}
    pings = meeting.pings(interval_ms=INTERVAL_MS)
    answers = wait(CONNECT_S if expected(kind_a, kind_b, static)[0] else SILENT_S, pings.so_far)
    pings.stop()
    if answers:
        row.update(connected=True, first_ms=round((answers[0][1] - meeting.zero) / 1e6, 1))
        direct = meeting.direct_ns(patience_s(kind_a, kind_b))
        if direct:
            row.update(direct=True, direct_ms=round((direct - meeting.zero) / 1e6, 1))
    return row


def case(kind_a, kind_b, static=False):
    """A case for lab.main: fails when the pair does not connect, or not directly though it could."""
    def run():
        row = cell(kind_a, kind_b, static)
        connected, direct = expected(kind_a, kind_b, static)
        lab.check(row["connected"] == connected, f"connected={row['connected']}, expected {connected}")
        lab.check(row["direct"] == direct, f"direct={row['direct']}, expected {direct}: {row}")
        return {k: v for k, v in row.items() if k.endswith("_ms") and v is not None}
    return run


def third_of(cells, index=None):
    """Every third cell, along the diagonals, so that each kind is on each side twice; another third
    every day, three days see all."""
    index = datetime.date.today().toordinal() if index is None else index
    return [(a, b) for a, b in cells if (KINDS.index(a) + KINDS.index(b) + index) % 3 == 0]


def third_cases():
    """Today's third of the cells as cases for lab.main."""
    return {f"{a} / {b}": case(a, b) for a, b in third_of(CELLS)}


# --- the program -------------------------------------------------------------------------------

def measured(kind_a, kind_b, static, path):
    """One cell in a sandbox of its own; its row comes back through a file."""
    def inside():
        try:
            lab.enter()
        except lab.Skip as skip:
            return lab.skipped(str(skip))
        try:
            row = cell(kind_a, kind_b, static)
        except lab.Failed as failed:
            row = {"a": kind_a, "b": kind_b, "error": f"{failed}\n{node.logs()}"}
        path.write_text(json.dumps(row))
        return 0
    path.write_text("")
    status = lab.isolated(inside)
    if status == lab.SKIP:
        sys.exit(lab.SKIP)
    text = path.read_text()
    return json.loads(text) if text else {"a": kind_a, "b": kind_b, "error": f"ended with {status}"}


def text_of(row):
    """A cell in ten characters: first answer and time to direct, or what is missing."""
    if "error" in row:
        return "error"
    if not row["connected"]:
        return "-"
    direct = f"{row['direct_ms']:.0f}" if row["direct"] else "relay"
    return f"{row['first_ms']:.0f}/{direct}"


def print_table(rows):
    found = {(r["a"], r["b"]): text_of(r) for r in rows}
    print("\nfirst answer / direct in ms after both daemons were ready; relay: connected, not direct")
    # All six, or only what was asked for.
    sides = [KINDS, KINDS] if set(found) <= set(CELLS) else [list(dict.fromkeys(k)) for k in zip(*found)]
    wide = max(len(kind) for side in sides for kind in side)
    print(f"{'A / B':<{wide}}" + "".join(f"  {b:>{wide}}" for b in sides[1]))
    for a in sides[0]:
        print(f"{a:<{wide}}" + "".join(f"  {found.get((a, b), ''):>{wide}}" for b in sides[1]))


def summary(rows, static):
    """The sums that the gates are about; true when every cell is as expected."""
    fine = [r for r in rows if "error" not in r]
    firsts = sorted(r["first_ms"] for r in fine if r["connected"])
    wrong = [r for r in rows if "error" in r or
        (r["connected"], r["direct"]) != expected(r["a"], r["b"], static)]
    print(f"cells={len(rows)} connected={len(firsts)} direct={sum(r['direct'] for r in fine)} "
        f"possible={sum(is_possible(r['a'], r['b']) for r in rows)}" +
        (f" first_median_ms={load.quantile(firsts, 0.5):.0f} first_worst_ms={firsts[-1]:.0f}"
        if firsts else ""))
    for row in wrong:
        print(f"not as expected: {row['a']}/{row['b']}: {row.get('error', text_of(row))}")
    return not wrong


def is_cell(kinds):
    try:
        return len(kinds) == 2 and all(nat.natrules.kind_of(kind) for kind in kinds)
    except (KeyError, ValueError):
        return False


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--all", action="store_true")
    which.add_argument("--third", nargs="?", type=int, const=-1, metavar="N")
    which.add_argument("--cells", metavar="A/B,...")
    parser.add_argument("--static", action="store_true")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    args = parser.parse_args()
    if args.cells:
        args.chosen = [tuple(c.split("/")) for c in args.cells.split(",")]
        for chosen in args.chosen:
            if not is_cell(chosen):
                parser.error(f"no such cell: {'/'.join(chosen)}; kinds: {' '.join(nat.natrules.KINDS)}; "
                    f"words: {' '.join(nat.natrules.WORDS)}")
    else:
        args.chosen = CELLS if args.all else third_of(CELLS, None if args.third == -1 else args.third)
    return args


def main():
    args = arguments()
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        for a, b in args.chosen:
            row = measured(a, b, args.static, pathlib.Path(directory) / "row")
            rows.append(row)
            print(f"{a + '/' + b:<32} {text_of(row)}", flush=True)
            if args.json:
                with open(args.json, "a", encoding="utf-8") as out:
                    out.write(json.dumps(row) + "\n")
    print_table(rows)
    return 0 if summary(rows, args.static) else 1


if __name__ == "__main__":
    sys.exit(main())
