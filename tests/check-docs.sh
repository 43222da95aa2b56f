#!/bin/bash
# check-docs.sh - what the documents say about files is true: every `folder/file.c:function` named in
# docs/*.md is a function there; the trail of docs/architecture.md is walkable (check-trail.sh, which
# must also find planted errors); every section that code, tests or documents cite (protocol.md 3.4,
# security.md P7) exists; every docs/NAME.md that is cited exists.
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

# ---- the trail ----
scratch=$(mktemp)
trap 'rm -f "$scratch"' EXIT
tests/check-trail.sh >"$scratch" || offence "$(cat "$scratch")"
for error in 's/:input_one$/:input_two/' 's/:from_tun$/:deliver/' 's/\[\.open\]/[.seal]/' 's/:session_seal$/:session_open/'; do
	sed -E "$error" docs/architecture.md >"$scratch"
	cmp -s "$scratch" docs/architecture.md && offence "check-trail: nothing to plant by $error"
	tests/check-trail.sh "$scratch" >/dev/null && offence "check-trail: does not find $error"
done

# ---- sections ----
cited() { # prints FILE:LINE:NAME.md [SECTION [and SECTION]]
	{ git ls-files 2>/dev/null | grep . || find core overlay tests tools docs README.md -type f; } |
		grep -vE '^(docs/bench/|tests/fuzz/corpus/)' |
		xargs grep -nHoE "\b(architecture|protocol|decisions|security|socket|guide)\.md( (P?[0-9]+(\.[0-9]+)?)( and [0-9]+(\.[0-9]+)?)?)?" 2>/dev/null
}
sections=0
while IFS=: read -r file number what; do
	doc=docs/${what%% *}
	[ "$doc" = "docs/$what" ] && what=
	if [ ! -s "$doc" ]; then
		offence "$file:$number: no $doc"
		continue
	fi
	for section in ${what#* }; do
		[ "$section" != and ] || continue
		sections=$((sections + 1))
		grep -qE "^(#+ |\| )${section//./\\.} " "$doc" || offence "$file:$number: no section $section in $doc"
	done
done < <(cited)
[ $sections -gt 0 ] || offence 'nothing cites a section'

echo "figure=$count places, $sections sections cited, $offences wrong"
exit $((offences > 0))
