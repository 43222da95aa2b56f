#!/bin/bash
# check-trail.sh - the figure in docs/architecture.md is the code: in its ```trail block each line is
# a function, indented below the one that calls it. Both exist, and the caller's body names the callee.
# `[.open]` says that the call goes through that member: the caller calls ->open(, the callee's file
# says .open = callee. check-trail.sh FILE reads the figure from FILE (for the self-test).
set -uo pipefail
cd "$(dirname "$0")/.."
figure=${1:-docs/architecture.md}
lines=0 offences=0
offence() {
	echo "$1"
	offences=$((offences + 1))
}

# body FILE FUNCTION - from its opening brace to its closing one; a declaration has none.
body() {
	awk -v f="$2" '
		!on && $0 ~ "^[a-z].*[ *]" f "\\(" { sig = 1 }
		sig && /;$/ { sig = 0 }
		sig && /^\{/ { on = 1; sig = 0 }
		on { print }
		on && /^\}/ { exit }' "$1"
}

calls() { # NUMBER CALLER-FILE CALLER CALLEE-FILE CALLEE MEMBER
	local text
	text=$(body "$2" "$3")
	if [ -z "$6" ]; then
		grep -qE "(^|[^A-Za-z0-9_])$5\(" <<<"$text" || offence "$figure:$1: $3 does not call $5"
	elif ! grep -qF -- "->$6(" <<<"$text"; then
		offence "$figure:$1: $3 does not call ->$6()"
	elif ! grep -qE "\.$6 = $5\b" "$4"; then
		offence "$figure:$1: $4 does not say .$6 = $5"
	fi
}

files=() functions=()
while IFS= read -r line; do
	number=${line%%:*} line=${line#*:}
	[[ $line =~ ^(\ *)([a-z_/0-9]+\.[ch]):([a-z_0-9]+)(\ +\[\.([a-z_]+)\])?(\ .*)?$ ]] || {
		offence "$figure:$number: cannot be read: $line"
		continue
	}
	depth=$((${#BASH_REMATCH[1]} / 2)) file=${BASH_REMATCH[2]} function=${BASH_REMATCH[3]} member=${BASH_REMATCH[5]}
	lines=$((lines + 1))
	if [ ! -f "$file" ] || [ -z "$(body "$file" "$function")" ]; then
		offence "$figure:$number: no function $function in $file"
	elif [ $depth -gt ${#files[@]} ] || [ $((${#BASH_REMATCH[1]} % 2)) -ne 0 ]; then
		offence "$figure:$number: indented too far"
	elif [ $depth -gt 0 ]; then
		calls "$number" "${files[depth - 1]}" "${functions[depth - 1]}" "$file" "$function" "$member"
	fi
	files=("${files[@]:0:depth}" "$file") functions=("${functions[@]:0:depth}" "$function")
done < <(awk '/^```/ { on = $0 == "```trail"; next } on && NF { print NR ":" $0 }' "$figure")

[ $lines -gt 0 ] || offence "$figure: no \`\`\`trail block"
echo "figure=$lines steps, $offences wrong"
exit $((offences > 0))
