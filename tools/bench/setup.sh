#!/bin/sh
# Installs what `make bench` measures with and compares with, and says what it installs.
#   setup.sh         needs root
set -eu

packages='python3 iproute2 nftables ethtool iperf3 gcc libc6-dev pkg-config libsodium-dev libssl-dev
	wireguard-go wireguard-tools nebula fastd tinc ngtcp2-client ngtcp2-server openssl gnuplot-nox'
case $(uname -m) in
x86_64) packages="$packages libipsec-mb-dev" ;;
esac

missing=
for package in $packages; do
	dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
		missing="$missing $package"
done
if [ -n "$missing" ]; then
	echo "bench: installing$missing"
	[ "$(id -u)" = 0 ] || { echo "bench: run this as root: tools/bench/setup.sh" >&2; exit 1; }
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update
	# Their services must not start: the bench starts what it needs itself.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
		trap 'rm -f "$policy"' EXIT
	fi
	apt-get -qq install -y --no-install-recommends $missing >/dev/null
fi

here=$(dirname "$0")
[ -s build/bench/peers/versions ] || "$here/peers.sh" build/bench/peers ||
	echo "bench: no newer peers here, comparing with the system's own" >&2
