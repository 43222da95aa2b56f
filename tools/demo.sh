#!/bin/sh
# make demo: see demo.py; DEMO=nat make demo: see demo_nat.py.
story="$(dirname "$0")/demo${DEMO:+_$DEMO}.py"
if [ ! -f "$story" ]; then
	echo "demo: there is no demo of that name: $DEMO. Leave DEMO away, or DEMO=nat" >&2
	exit 2
fi
exec python3 "$story"
