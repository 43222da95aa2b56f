#!/bin/bash
# edge_bench.sh FORWARDER [ROUNDS] [SECONDS] - kernel TCP through the edge alone (no crypto), against
# the prototype (PROTOTYPE=path of tunfwd) in the same run, interleaved; ping while it saturates.
# Needs root. Both ends run on this machine; SEGMENT=1 switches the veth's UDP GSO pass-through off.
set -u
forwarder=$(realpath "$1"); rounds=${2:-2}; seconds=${3:-3}
[ "$(id -u)" = 0 ] || { echo "skip: needs root"; exit 77; }
work=$(mktemp -d)
clean() {
	[ -n "${pids:-}" ] && kill $pids 2>/dev/null
	ip netns del edge-a 2>/dev/null
	ip netns del edge-b 2>/dev/null
	rm -rf "$work"
}
trap clean EXIT
ip netns add edge-a && ip netns add edge-b || exit 1
ip link add edge0 netns edge-a type veth peer name edge0 netns edge-b
for end in a:1 b:2; do
	ip -n "edge-${end%:*}" addr add "10.78.0.${end#*:}/24" dev edge0
	ip -n "edge-${end%:*}" link set edge0 up
	ip -n "edge-${end%:*}" link set lo up
	if [ -n "${SEGMENT:-}" ]; then
		ip netns exec "edge-${end%:*}" ethtool -K edge0 tx-udp-segmentation off gro on >/dev/null
	fi
done

# run LABEL COMMAND-OF-A COMMAND-OF-B ADDRESS-OF-B
run() {
	ip netns exec edge-a $2 2>"$work/a.log" & local a=$!
	ip netns exec edge-b $3 2>"$work/b.log" & local b=$!
	pids="$a $b"
	sleep 0.4
	if [ "$1" = prototype ]; then
		ip -n edge-a addr add fd77::1/64 dev edge-tun nodad; ip -n edge-a link set edge-tun mtu 1420 up
		ip -n edge-b addr add fd77::2/64 dev edge-tun nodad; ip -n edge-b link set edge-tun mtu 1420 up
	fi
	ip netns exec edge-b iperf3 -s -1 >/dev/null 2>&1 & local s=$!
	pids="$pids $s"
	sleep 0.3
	ip netns exec edge-a ping -6 -q -c 40 -i 0.02 "$4" >"$work/idle.log"
	(sleep 0.7; ip netns exec edge-a ping -6 -c 150 -i 0.01 "$4" >"$work/busy.log") &
	ip netns exec edge-a timeout $((seconds + 10)) iperf3 -c "$4" -t "$seconds" -J ${IPERF:-} >"$work/iperf.json"
	kill $a $b $s 2>/dev/null; wait $a $b $s 2>/dev/null
	pids=
	python3 - "$1" "$work" <<'P'
import json, re, sys
label, work = sys.argv[1:]
try:
    end = json.load(open(work + '/iperf.json'))['end']
    rate = end['sum_received']['bits_per_second'] / 1e9
    again = end['sum_sent'].get('retransmits', -1)
except Exception as e:
    rate, again = -1, e
busy = sorted(float(t) for t in re.findall(r'time=([\d.]+)', open(work + '/busy.log').read()))
p = lambda q: busy[min(len(busy) - 1, int(q * len(busy)))] if busy else -1
idle = re.search(r'= ([\d./]+)', open(work + '/idle.log').read())
print(f'{label:24s} {rate:6.2f} Gbit/s  retransmits {again}  ping idle {idle and idle[1].split("/")[1]} ms, '
      f'loaded median {p(.5)} p99 {p(.99)} ms ({len(busy)}/150)', flush=True)
P
	[ -n "${V:-}" ] && cat "$work/a.log" "$work/b.log"
}

for ((r = 0; r < rounds; r++)); do
	if [ -n "${PROTOTYPE:-}" ]; then
		run prototype "$PROTOTYPE -i edge-tun -p 6000 -r 10.78.0.2:6000 -m gso -c none -t 1" \
			"$PROTOTYPE -i edge-tun -p 6000 -r 10.78.0.1:6000 -m gso -c none -t 1" fd77::2
	fi
	while read -r options; do
		run "edge $options" "$forwarder edge-tun 1 10.78.0.2:2 $options" \
			"$forwarder edge-tun 2 10.78.0.1:1 $options" fd77::2
	done <<<"${VARIANTS:-}"
done
