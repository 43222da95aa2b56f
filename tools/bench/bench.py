#!/usr/bin/env python3
"""bench.py - our daemon beside its peers, in interleaved rounds of one run.

Two machines (network namespaces) joined by one veth, both ends on this computer. Every round runs
every system once, each in a fresh sandbox, so drift of the machine meets all alike; figures are
medians over the rounds with the least and the greatest. Both kinds of veth: `whole` passes GSO
packets uncut, `cut` has tx-udp-segmentation off, as a network card without USO.

  bench.py                                   all, tables and plots to docs/bench
  bench.py --only tcp --systems overlay-aes,wireguard --rounds 1 --seconds 1
  bench.py --only tcp --gate                 figure=... bound=... pass|miss per gate; exit 1 on a miss
  bench.py --only roam --runs 20 --gate

Parts: memory ping tcp tcp4 loaded udp (per system), roam nat mtu (ours, tests/lab).
"""
import argparse
import json
import os
import pathlib
import platform
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lab"))

import lab  # noqa: E402
import measure  # noqa: E402
import moves  # noqa: E402
import report  # noqa: E402
import systems  # noqa: E402


# What a gate of a part compares, when --systems does not say.
NEEDED = {
    "memory": ["overlay-aes"],
    "ping": ["raw", "overlay-aes", "fastd"],
    "tcp": ["tunfwd-aes", "overlay-aes", "overlay-chacha", "wireguard"],
    "tcp4": ["overlay-aes"],
    "loaded": ["overlay-aes"],
    "udp": ["overlay-aes", "wireguard", "nebula", "fastd", "tinc"],
}


def pair_of_machines(whole):
    a, b = lab.Ns("a"), lab.Ns("b")
    lab.veth(a, "eth0", b, "eth0", whole)
    a.address("eth0", f"{systems.OUTER[0]}/24")
    b.address("eth0", f"{systems.OUTER[1]}/24")
    return a, b


def one_system(name, veth, parts, seconds):
    """Everything asked of one system in one round; runs inside a fresh sandbox."""
    a, b = pair_of_machines(veth == "whole")
    system = systems.catalogue()[name]()
    row = {"system": name, "name": system.name, "veth": veth, "cipher": system.cipher,
        "version": system.version(), "figures": {}}
    try:
        system.start(a, b)
        lab.wait_for(f"{system.name}: first answer", 15,
            lambda: measure.load.ping_once(a, system.inner[1], 1))
        for part in parts:
            row["figures"].update(measure.PARTS[part](system, a, b, seconds))
    except (lab.Failed, lab.subprocess.TimeoutExpired) as failed:
        row["error"] = f"{failed} | {system.said()[-400:]}"
    return row


def in_sandbox(function, *args):
    """Calls function in a child with a sandbox of its own; its result comes back as JSON."""
    read, write = os.pipe()

    def child():
        os.close(read)
        try:
            lab.enter()
            result = {"ok": function(*args)}
        except lab.Skip as skip:
            result = {"skip": str(skip)}
        except Exception as error:  # one bad trial must not lose the others
            result = {"error": f"{type(error).__name__}: {error}"}
        with os.fdopen(write, "w") as out:
            json.dump(result, out)
        return 0

    pid = os.fork()
    if not pid:
        status = lab.isolated(child)
        os._exit(status)
    os.close(write)
    try:
        with os.fdopen(read) as pipe:
            text = pipe.read()
        os.waitpid(pid, 0)
    except BaseException:
        os.kill(pid, 15)
        raise
    return json.loads(text) if text else {"error": "the trial was killed"}


def run_systems(args, parts):
    rows = []
    for number in range(args.rounds):
        for veth in args.veth:
            for name in args.systems:
                start = time.monotonic()
                result = in_sandbox(one_system, name, veth, parts, args.seconds)
                row = result.get("ok") or {"system": name, "name": name, "veth": veth, "figures": {},
                    "version": "", "cipher": "", "error": result.get("skip") or result.get("error")}
                row["round"] = number
                rows.append(row)
                tell(args, f"round {number + 1}/{args.rounds} {veth:5} {name:15} "
                    f"{time.monotonic() - start:5.1f} s  " + (row.get("error") or " ".join(
                        f"{k}={v:.2f}" for k, v in row["figures"].items())))
    return rows


def tell(args, text):
    print(text, file=sys.stderr if args.gate else sys.stdout, flush=True)


def environment():
    cpu = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    return {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "cpu": cpu,
        "cores": os.cpu_count(), "kernel": platform.release(),
        "iperf3": lab.run("iperf3", "--version", ok=False).stdout.split("\n")[0]}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PART[,PART]")
    parser.add_argument("--systems", metavar="NAME[,NAME]")
    parser.add_argument("--veth", choices=("whole", "cut", "both"), default="both")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--runs", type=int, default=20, help="moves and NAT resets")
    parser.add_argument("--quick", action="store_true", help="one round of 1 s, 3 moves")
    parser.add_argument("--gate", action="store_true", help="print gate lines only, exit 1 on a miss")
    parser.add_argument("--out", type=pathlib.Path, help="directory of table, plot and raw data")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds, args.runs = 1, 1.0, 3
    known = [*measure.PARTS, *moves.PARTS]
    args.parts = args.only.split(",") if args.only else known
    names = systems.catalogue()
    if args.systems:
        args.systems = args.systems.split(",")
    else:
        wanted = {s for p in args.parts for s in NEEDED.get(p, [])} if args.gate else set(names)
        args.systems = [n for n in names if n in wanted]
    for word, allowed in [(p, known) for p in args.parts] + [(s, names) for s in args.systems]:
        if word not in allowed:
            parser.error(f"{word} is none of {', '.join(allowed)}")
    args.veth = ["whole", "cut"] if args.veth == "both" else [args.veth]
    return args


def main():
    args = arguments()
    parts = [p for p in measure.PARTS if p in args.parts]
    rows = run_systems(args, parts) if parts else []
    lists = {}
    for part in moves.PARTS:
        if part in args.parts:
            result = in_sandbox_per_run(part, args)
            lists[part] = result
    data = {"environment": environment(), "rounds": args.rounds, "seconds": args.seconds,
        "rows": rows, "moves": lists}
    if args.gate:
        return report.gates(data, args.parts)
    text = report.markdown(data)
    print(text)
    if args.out or not (args.quick or args.only):
        report.write(data, text, args.out or ROOT / "docs/bench")
    return 0


def in_sandbox_per_run(part, args):
    """A list of {case, figures | error}, one per move, in worlds of their own."""
    results = []
    for case, function in moves.PARTS[part](args.runs):
        result = in_sandbox(function)
        row = {"case": case, "figures": result.get("ok") or {}}
        if "ok" not in result:
            row["error"] = result.get("skip") or result.get("error")
        results.append(row)
        tell(args, f"{part} {case:16} " + (row.get("error") or " ".join(
            f"{k}={v:.1f}" for k, v in row["figures"].items())))
    return results


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
