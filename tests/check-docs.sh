#!/bin/bash
# check-docs.sh - the trail in docs/architecture.md is walkable: every `folder/file.c:function` (or .h)
# named in docs/*.md is a function defined or declared in that file. The three documents exist.
set -uo pipefail
cd "$(dirname "$0")/.."
offences=0 count=0
offence() {
	echo "$1"
	offences=$((offences + 1))
}

for doc in architecture protocol decisions; do
	[ -s "docs/$doc.md" ] || offence "docs/$doc.md is missing"
done
while IFS=: read -r doc number file function; do
	count=$((count + 1))
	if [ ! -f "$file" ]; then
		offence "$doc:$number: no file $file"
	elif ! grep -qE "^[a-z].*[ *]$function\(" "$file"; then
		offence "$doc:$number: no function $function in $file"
	fi
done < <(grep -noE '\b(core|discovery|scanner|overlay|tools|tests)/[a-z0-9_/]+\.[ch]:[a-z_][a-z0-9_]*' \
	/dev/null docs/*.md 2>/dev/null)
[ ! -s docs/architecture.md ] || [ $count -gt 0 ] || offence 'docs/architecture.md names no file:function'

echo "figure=$count places, $offences wrong"
exit $((offences > 0))
