#!/bin/bash
# clean.sh - removes build/, but the keys and databases of `make run` stay: they are somebody's name.
set -eu
cd "$(dirname "$0")/.."
[ -d build ] || exit 0
find build -mindepth 1 -maxdepth 1 ! -name run-state ! -name bare -exec rm -rf {} +
