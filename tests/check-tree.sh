#!/bin/bash
# check-tree.sh - what is promised about the tree itself: the top level, the two commands of README,
# one place that CI calls, nothing that ties a file to one machine.
set -uo pipefail
cd "$(dirname "$0")/.."
offences=0
offence() {
	echo "$1"
	offences=$((offences + 1))
}

allowed=' Makefile core overlay discovery scanner tests tools docs README.md LICENSE build '
for entry in *; do
	[[ $allowed == *" $entry "* ]] || offence "top level: $entry does not belong there"
done

install='apt-get update && apt-get install -y make'
for goal in run check; do
	for line in "$install && make $goal" "sudo apt-get update && sudo apt-get install -y make && make $goal"; do
		grep -qxF "$line" README.md || offence "README.md: this line is missing: $line"
	done
done
grep -qxF "$install && make check" .ci/run || offence '.ci/run: not the test command of README.md'

# Only what git would ship; outside a clone, what is there.
files() {
	git ls-files -z 2>/dev/null | grep -z . || find . -path ./build -prune -o -type f -print0
}
# Spelled in two parts, or this file would find itself.
hosts='(deb|security|snapshot|ftp)\.debian''\.org|deb\.nodesource''\.com|registry\.npmjs''\.org'
files | xargs -0 grep -nIE "$hosts" 2>/dev/null | while read -r hit; do
	echo "names a package host: $hit"
done | grep . && offences=$((offences + 1))

# tests and scripts that cannot be started
while read -r script; do
	[ -x "$script" ] || offence "$script: not executable"
done < <(ls .ci/run tools/*.sh tests/*.sh 2>/dev/null)
for script in .ci/run $(find tools tests -name '*.sh'); do
	bash -n "$script" || offence "$script: syntax"
done

[ $offences -eq 0 ] && echo 'files: as promised'
exit $((offences > 0))
