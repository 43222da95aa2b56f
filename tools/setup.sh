#!/bin/bash
# setup.sh build|check ... - installs the Debian packages that building or testing needs and that are
# not there yet, saying which and why. Silent when nothing is missing. Root installs directly,
# anybody else through sudo; everything else in the tree stays in the caller's name.
set -euo pipefail

# package: why. Version 14 of the clang tools, because their opinions differ between versions.
declare -A why_build=(
	[gcc]='compiler' [libc6-dev]='C library headers' [make]='runs the build'
	[pkg-config]='finds libraries' [libsodium-dev]='cryptography' [libuv1-dev]='event loop'
	[libjansson-dev]='JSON' [libsqlite3-dev]='store' [libssl-dev]='AES-GCM of OpenSSL'
	[libqrencode-dev]='QR codes of invites'
	[libnatpmp-dev]='port mapping by NAT-PMP' [libminiupnpc-dev]='port mapping by UPnP'
)
declare -A why_check=(
	[clang-14]='second compiler, sanitizers' [clang]='its plain name'
	[libclang-rt-14-dev]='sanitizer and fuzzer runtimes'
	[llvm-14]='names functions in sanitizer reports' [clang-format-14]='style'
	[clang-tidy-14]='static checks' [libcmocka-dev]='unit tests' [binutils]='nm, for make layers'
	[nftables]='NATs of the lab' [iproute2]='namespaces of the lab' [iperf3]='traffic'
	[ethtool]='offloads of the lab' [iputils-ping]='ping' [python3]='lab and accept'
	[procps]='process figures' [openssl]='second opinion on vectors' [util-linux]='unshare'
	[openssh-client]='ssh through a stream' [openssh-server]='what it meets there, started by tests only'
	[patch]='seeded mutants' [miniupnpd-nftables]='router of the lab with port mapping'
)

# libipsec-mb exists for amd64 only; without it AES-GCM comes from OpenSSL.
if command -v dpkg >/dev/null && [ "$(dpkg --print-architecture)" = amd64 ]; then
	why_build[libipsec-mb-dev]='AES-GCM, fastest backend'
fi

declare -A why=()
for set in "${@:-build}"; do
	case $set in
	build) for p in "${!why_build[@]}"; do why[$p]=${why_build[$p]}; done ;;
	check) for p in "${!why_check[@]}"; do why[$p]=${why_check[$p]}; done ;;
	*) echo "usage: tools/setup.sh [build] [check]" >&2; exit 2 ;;
	esac
done

if ! command -v dpkg-query >/dev/null; then
	echo "overlay: not a Debian system; it needs what these packages carry:" "${!why[@]}" >&2
	exit 0
fi

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
missing=()
for p in "${!why[@]}"; do
	grep -qxF "$p" <<<"$installed" || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "overlay: installing what is missing:"
for p in "${missing[@]}"; do
	printf '  %-20s %s\n' "$p" "${why[$p]}"
done | sort

sudo=()
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "overlay: as root: apt-get install -y ${missing[*]}" >&2
		exit 1
	fi
	sudo=(sudo)
fi
# A terminal or a pipe of the caller is none of apt's business; its words are shown only on failure.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" </dev/null >>"$log" 2>&1
}
# Tests start sshd themselves. A machine that had none shall not get one by running them: the unit is
# masked while the package comes in, and stays disabled.
own_sshd=
if [[ " ${missing[*]} " == *' openssh-server '* ]] && [ -d /run/systemd/system ]; then
	own_sshd=yes
	"${sudo[@]}" systemctl --quiet mask ssh.service ssh.socket 2>/dev/null || true
fi
release_sshd() {
	rm -f "$log"
	[ -n "$own_sshd" ] || return 0
	"${sudo[@]}" systemctl --quiet unmask ssh.service ssh.socket 2>/dev/null || true
	"${sudo[@]}" systemctl --quiet disable ssh.service ssh.socket 2>/dev/null || true
}
trap release_sshd EXIT
# Lists may be old or absent: then one update, and again.
if ! apt install -y --no-install-recommends "${missing[@]}"; then
	apt update || true
	if ! apt install -y --no-install-recommends "${missing[@]}"; then
		cat "$log" >&2
		echo "overlay: apt-get could not install: ${missing[*]}" >&2
		exit 1
	fi
fi
