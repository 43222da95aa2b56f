#!/usr/bin/env python3
"""Runs all programs test_*.py of the lab, one after the other (they measure times), and ends with a
summary. Budget in `make check`: 150 s for all together.

  run.py [--json FILE] [NAME...]      run.py roam mtu
"""
import argparse
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
SKIP = 77


def main():
    parser = argparse.ArgumentParser(description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    programs = [HERE / f"test_{n}.py" for n in args.names] or sorted(HERE.glob("test_*.py"))
    start, failed, skipped = time.monotonic(), [], []
    for program in programs:
        print(f"--- {program.name}", flush=True)
        extra = ["--json", str(args.json.resolve())] if args.json else []
        status = subprocess.run([sys.executable, str(program), *extra], check=False).returncode
        if status == SKIP:
            skipped.append(program.stem)
        elif status != 0:
            failed.append(program.stem)
    print(f"lab: {len(programs) - len(failed) - len(skipped)} passed, {len(failed)} failed, "
        f"{len(skipped)} skipped, {time.monotonic() - start:.0f} s" +
        (f"; failed: {' '.join(failed)}" if failed else ""))
    if failed:
        return 1
    if skipped and os.environ.get("OVERLAY_NO_SKIP") == "1":
        return 1
    return SKIP if len(skipped) == len(programs) else 0


if __name__ == "__main__":
    sys.exit(main())
