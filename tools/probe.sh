#!/bin/sh
# probe.sh CC - prints a makefile fragment: where the libraries are, and which of the flags that only
# some compilers have this one accepts. Run by make once per flavour and compiler.
set -eu
cc=$*

lacking() {
	echo "overlay: $1 is missing; 'make setup' installs what the build needs" >&2
	exit 1
}
command -v "${cc%% *}" >/dev/null || lacking "the compiler $cc"
command -v pkg-config >/dev/null || lacking pkg-config

packages='libsodium libuv jansson sqlite3 libcrypto libqrencode'
for package in $packages; do
	pkg-config --exists "$package" || lacking "the library $package"
done

# Clang warns about options it does not know and goes on: -Werror turns that into a no.
accepted() {
	for flag; do
		if echo 'int main(void) { return 0; }' |
			$cc -Werror "$flag" -x c - -o /dev/null 2>/dev/null; then
			printf ' %s' "$flag"
		fi
	done
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
sanitizer=
if echo 'int main(void) { return 0; }' |
	$cc -fsanitize=implicit-conversion -x c - -o "$dir/a" 2>/dev/null; then
	sanitizer=,implicit-conversion
fi

# Objects that hold both forms: only a program that asks for it pays for optimizing at the link.
lto=$(accepted -ffat-lto-objects)
[ -z "$lto" ] || lto="-flto=auto $lto"

# Packages: -isystem would hide warnings of ours in their macros, so -I as pkg-config says it.
# shellcheck disable=SC2086
cat <<END
PKG_CFLAGS := $(pkg-config --cflags $packages)
PKG_LIBS := $(pkg-config --libs $packages)
JANSSON_LIBS := $(pkg-config --libs jansson)
CC_WARN :=$(accepted -Wduplicated-cond -Wduplicated-branches -Wlogical-op)
CC_HARDEN :=$(accepted -fcf-protection -ftrivial-auto-var-init=zero -fstrict-flex-arrays=3)
CC_SAN := $sanitizer
CC_LTO := $lto
END
