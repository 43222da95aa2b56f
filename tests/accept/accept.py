#!/usr/bin/env python3
"""accept.py AREA [SECTION...] - prints one row per line of an issue: what, command, bound, figure, verdict.

The lines stand in tests/accept/AREA.tsv, five columns separated by tabs:

    section  what  gate  goal  command

`gate` and `goal` are words for the reader; `command` measures and judges. It runs in the top folder
with bash, exits 0 for a pass and anything else for a miss, and what it says in its last line

    figure=TEXT [goal]

goes into the table; `goal` tells that the goal is reached as well. tests/accept/bound prints that line
from a figure and its bounds. A line of the table without a command is a miss. A command that several
lines share runs once. Lines that begin with # are comments. Areas that came earlier are run as well:
they must still pass. QUICK=1: the benches make one short round; figures of such a run prove nothing.
"""
import os
import re
import shutil
import subprocess
import sys
import time

ORDER = ["foundation", "discovery", "transport", "messages", "apps", "scan", "everyday"]
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
TIMEOUT_S = 3600
COLUMNS = ["section", "what", "gate", "goal", "command"]


class Row:
    def __init__(self, place, fields):
        if len(fields) != len(COLUMNS):
            sys.exit(f"{place}: {len(fields)} columns, need {len(COLUMNS)}: {' '.join(COLUMNS)}")
        self.section, self.what, self.gate, self.goal, self.command = (f.strip() for f in fields)
        self.figure, self.verdict, self.output = "-", "miss", "no command yet"

    def bound(self):
        return self.gate + (f" (goal {self.goal})" if self.goal not in ("", "-") else "")


def read(area):
    path = os.path.join(HERE, area + ".tsv")
    with open(path, encoding="utf-8") as f:
        lines = [(i, l.rstrip("\n")) for i, l in enumerate(f, 1)]
    return [Row(f"{path}:{i}", l.split("\t")) for i, l in lines if l.strip() and not l.startswith("#")]


def run(command):
    """Returns (exit code, output) of a command, whatever it does."""
    try:
        done = subprocess.run(["bash", "-c", command], cwd=TOP, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        return 124, (late.stdout or b"").decode(errors="replace") + f"\nno end after {TIMEOUT_S} s"


def judge(row, code, output):
    row.output = output
    lines = [l for l in output.splitlines() if l.strip()]
    found = re.match(r"figure=(.*?)( goal)?$", lines[-1]) if lines else None
    if found:
        row.figure = found.group(1).strip()
    # Exit code 0 alone is not enough: a row must say what it saw.
    if code == 0 and found:
        row.verdict = "pass, goal" if found.group(2) else "pass"


def cell(text):
    return text.replace("|", "\\|") or "-"


def print_row(cells):
    print("| " + " | ".join(cell(c) for c in cells) + " |", flush=True)


def print_failures(rows):
    for row in rows:
        if row.verdict == "miss" and row.command:
            print(f"\n{row.section} {row.what}\n$ {row.command}")
            print("\n".join("    " + l for l in row.output.splitlines()[-40:]))


def accept(area, sections, results):
    rows = [r for r in read(area) if not sections or r.section.split(".")[0] in sections]
    print(f"\n## {area}\n")
    print_row(["section", "line", "command", "bound", "figure", "verdict"])
    print_row(["---"] * 6)
    for row in rows:
        if row.command:
            if row.command not in results:
                results[row.command] = run(row.command)
            judge(row, *results[row.command])
        command = f"`{row.command}`" if row.command else "none"
        print_row([row.section, row.what, command, row.bound(), row.figure, row.verdict])
    print_failures(rows)
    return rows


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in ORDER:
        sys.exit(f"usage: accept.py {'|'.join(ORDER)} [SECTION...]")
    area, sections = sys.argv[1], sys.argv[2:]
    start, results, rows = time.monotonic(), {}, []
    shutil.rmtree(os.path.join(TOP, "build", "accept"), ignore_errors=True)  # tests/accept/measure measures anew
    for each in ORDER[:ORDER.index(area) + 1]:
        rows += accept(each, sections if each == area else [], results)
    missed = sum(r.verdict == "miss" for r in rows)
    minutes = (time.monotonic() - start) / 60
    subprocess.run([os.path.join(TOP, "tools", "runs.sh"), "accept", f"{minutes:.1f} min", area,
                    f"{len(rows) - missed} pass, {missed} miss"], check=False, stdout=subprocess.DEVNULL)
    print(f"\n{len(rows) - missed} passed, {missed} failed")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
