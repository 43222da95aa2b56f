#!/bin/bash
# runs.sh KIND LENGTH WHAT RESULT - adds a line to docs/runs.tsv, the memory of all long runs.
set -eu
cd "$(dirname "$0")/.."
mkdir -p docs
[ -f docs/runs.tsv ] || printf 'date\tcommit\tkind\tlength\twhat\tresult\n' >docs/runs.tsv
# Outside a clone (an unpacked archive) there is no commit to name.
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
if [ "$commit" != unknown ] && [ -n "$(git status --porcelain -uno 2>/dev/null)" ]; then
	commit=$commit+
fi
printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$(date -u +%FT%TZ)" "$commit" "$@" >>docs/runs.tsv
tail -n 1 docs/runs.tsv
