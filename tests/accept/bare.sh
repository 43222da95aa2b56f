#!/bin/bash
# bare.sh root|sudo run|check [SECONDS] - types the README's command into a bare Debian of this
# machine's release, in its root or its sudo form, and judges what a new user would see. Needs root.
#
# The bare system is debootstrap's smallest, from the mirror of this machine's own apt, kept in
# build/bare/base; each try gets a fresh copy of it and of the tree. Mounts and processes live in
# namespaces of their own and end with them.
set -euo pipefail
cd "$(dirname "$0")/../.."
form=${1:?root or sudo} goal=${2:?run or check} limit=${3:-600}
bare=build/bare
base=$bare/base
root=$bare/$form-$goal

sources() { # apt's own view of where Debian is
	apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' | awk '$1 == "Debian" && $4 == "main" { print "deb", $2, $3, $4 }' | sort -u
}

make_base() {
	local release mirror
	[ ! -f "$base/done" ] || return 0
	command -v debootstrap >/dev/null || DEBIAN_FRONTEND=noninteractive \
		apt-get -q install -y --no-install-recommends debootstrap </dev/null
	release=$(. /etc/os-release && echo "$VERSION_CODENAME")
	mirror=$(sources | awk -v r="$release" '$3 == r { print $2; exit }')
	[ -n "$mirror" ] || { echo "apt knows no mirror for $release"; exit 1; }
	rm -rf "$base"
	mkdir -p "$base"
	debootstrap --variant=minbase "$release" "$base" "$mirror"
	sources >"$base/etc/apt/sources.list"
	# Absent on a bare system, and so here; the bare machine of the sudo form has it and a user.
	[ ! -e "$base/usr/bin/make" ] && [ ! -e "$base/usr/bin/git" ] && [ ! -e "$base/usr/bin/sudo" ]
	touch "$base/done"
}

copy_tree() {
	mkdir -p "$1"
	if git rev-parse --git-dir >/dev/null 2>&1; then
		git ls-files -z | tar --null -T - -cf - | tar -xf - -C "$1"
	else
		tar --exclude=./build -cf - . | tar -xf - -C "$1"
	fi
}

# Inside: a private view of mounts and processes, this machine's network (apt needs it). Not a chroot:
# the kernel refuses user namespaces in one, and the lab of an ordinary user needs them.
inside() {
	unshare --mount --pid --fork --kill-child bash -euc '
		root=$1; shift
		mount --make-rprivate /
		mount --bind "$root" "$root"
		mount -t proc proc "$root/proc"
		mount --rbind /sys "$root/sys"
		mount --rbind /dev "$root/dev"
		mount -t tmpfs tmpfs "$root/run"
		mkdir "$root/run/old"
		cd "$root"
		pivot_root . run/old
		umount -l /run/old
		rmdir /run/old
		exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8 "$@"
		' inside "$root" "$@"
}

prepare() {
	rm -rf --one-file-system "$root"
	cp -a --reflink=auto "$base" "$root"
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	[ ! -f /etc/hosts ] || cp /etc/hosts "$root/etc/hosts"
	if [ "$form" = root ]; then
		home=/root command=$(grep -xE "apt-get update .* make $goal" README.md)
		copy_tree "$root$home/overlay"
		return
	fi
	home=/home/somebody command=$(grep -xE "sudo apt-get update .* make $goal" README.md)
	inside bash -ec 'apt-get -q update; DEBIAN_FRONTEND=noninteractive \
		apt-get -q install -y --no-install-recommends sudo; useradd -m -s /bin/bash somebody
		echo "somebody ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/somebody' </dev/null
	copy_tree "$root$home/overlay"
	inside chown -R somebody: "$home/overlay"
}

# Reads the script to run from its arguments, as whoever the form says.
as_user() {
	if [ "$form" = root ]; then
		inside bash -c "cd $home/overlay && $1"
	else
		inside su somebody -c "cd $home/overlay && $1"
	fi
}

judge_check() {
	local start=$SECONDS rc=0 seconds
	as_user "timeout $limit bash -c '${OVERLAY_NO_SKIP:+export OVERLAY_NO_SKIP=1; }$command'" </dev/null || rc=$?
	seconds=$((SECONDS - start))
	echo "figure=exit $rc after $seconds s"
	[ $rc -eq 0 ] && [ $seconds -le "$limit" ]
}

judge_run() {
	as_user "tests/accept/ready.sh '$command' $limit" </dev/null
}

make_base
# The copy goes, the base stays. One file system: if a mount were ever left, nothing behind it goes.
trap 'rm -rf --one-file-system "$root"' EXIT
prepare
"judge_$goal"
