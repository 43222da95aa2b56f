#!/bin/bash
# run.sh - starts the daemon just built, in the foreground, with a state directory of its own.
# An ordinary user with sudo gets CAP_NET_ADMIN for the interface and keeps the own uid, so that
# nothing under build/ ever belongs to root. Without sudo: no interface, and overlayd says so.
set -eu
cd "$(dirname "$0")/.."
daemon=(build/release/overlayd --state build/run-state)
# Without a login session the socket goes where `overlay` looks next.
if [ "$(id -u)" -ne 0 ] && [ -z "${XDG_RUNTIME_DIR:-}" ] && [ -z "${OVERLAY_SOCKET:-}" ]; then
	mkdir -p -m 700 "${XDG_STATE_HOME:-$HOME/.local/state}/overlay"
	daemon+=(--socket "${XDG_STATE_HOME:-$HOME/.local/state}/overlay/overlay.sock")
fi

if [ "$(id -u)" -eq 0 ] || ! command -v sudo setpriv >/dev/null || ! sudo -v 2>/dev/null; then
	exec "${daemon[@]}"
fi
keep=()
while IFS='=' read -r name value; do
	keep+=("$name=$value")
done < <(env | grep -E '^(OVERLAY_[A-Z_]*|XDG_[A-Z_]*|HOME)=')
exec sudo setpriv --reuid="$(id -u)" --regid="$(id -g)" --init-groups \
	--inh-caps=+net_admin --ambient-caps=+net_admin --no-new-privs \
	env "${keep[@]}" "${daemon[@]}"
