#!/usr/bin/env bash
# Unpacks newer builds of the peers that we compare with, beside the system: nothing is installed
# and the system's apt configuration stays as it is. They come from the mirror that this machine
# already uses for Debian, verified with Debian's keyring, from the suite in SUITE (sid).
#
#   peers.sh [DIRECTORY [PACKAGE...]]      default: build/bench/peers wireguard-go nebula fastd
#
# DIRECTORY then has bin/NAME, small wrappers that start the program with the libraries of its own
# suite, and `versions` with a line "NAME VERSION" each. A program that does not start here gets no
# wrapper: bench.py then takes the system's own and labels it.
set -euo pipefail

dir=${1:-build/bench/peers}
shift || true
packages=("$@")
[ $# -gt 0 ] || packages=(wireguard-go nebula fastd)
suite=${SUITE:-sid}
# What the C programs of that suite link to, with their own C library.
libraries=(libc6 libgcc-s1 libsodium26 libjson-c5 libuecc0 libcap2 libssl3t64 libzstd1 libmnl0 zlib1g)

mkdir -p "$dir"/{bin,debs,root,lib} "$dir"/apt/{lists/partial,cache/archives/partial}
cd "$dir"
dir=$PWD

uri=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' |
	awk '$1 == "Debian" && $2 !~ /security/ { print $2; exit }')
[ -n "$uri" ] || { echo "peers.sh: this system has no Debian package source" >&2; exit 1; }
key=$(dpkg -L debian-archive-keyring | grep -m1 'debian-archive-keyring\.[a-z]*$')
echo "deb [signed-by=$key] $uri $suite main" >apt/sources.list
: >apt/status
options=(-o Dir::Etc::sourcelist="$dir/apt/sources.list" -o Dir::Etc::sourceparts=-
	-o Dir::State::lists="$dir/apt/lists" -o Dir::Cache="$dir/apt/cache"
	-o Dir::State::status="$dir/apt/status" -o APT::Sandbox::User=root)
apt-get "${options[@]}" -qq update

for package in "${packages[@]}" "${libraries[@]}"; do
	(cd debs && apt-get "${options[@]}" -qq download "$package") ||
		echo "peers.sh: no $package in $suite" >&2
done

: >versions
for deb in debs/*.deb; do
	name=$(dpkg-deb -f "$deb" Package)
	case " ${libraries[*]} " in
	*" $name "*) dpkg -x "$deb" lib ;;
	*)
		dpkg -x "$deb" "root/$name"
		echo "$name $(dpkg-deb -f "$deb" Version)" >>versions
		;;
	esac
done

loader=$(find "$dir/lib" -name 'ld-linux-*.so.*' -o -name 'ld-*.so.1' | head -1)
path=$(find "$dir/lib" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
for package in "${packages[@]}"; do
	program=$(find "root/$package" -type f -path '*bin/*' -name "$package" 2>/dev/null | head -1)
	[ -n "$program" ] || continue
	if ldd "$program" >/dev/null 2>&1; then
		start="exec '$loader' --library-path '$path' '$dir/$program'"
	else
		start="exec '$dir/$program'" # static: needs nothing of its suite
	fi
	printf '#!/bin/sh\n%s "$@"\n' "$start" >"bin/$package"
	chmod +x "bin/$package"
	code=0
	timeout 5 "bin/$package" --version >/dev/null 2>&1 || timeout 5 "bin/$package" -version >/dev/null 2>&1 || code=$?
	if [ $code -gt 1 ]; then
		echo "peers.sh: $package of $suite does not start here (exit $code), left out" >&2
		rm "bin/$package"
	fi
done
cat versions
