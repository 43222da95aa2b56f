#!/bin/sh
# make bench [T=PART]: installs what is compared and measures; all parts write docs/bench.
set -eu
cd "$(dirname "$0")/../.."
tools/bench/setup.sh
exec python3 tools/bench/bench.py ${1:+--only "$1"}
