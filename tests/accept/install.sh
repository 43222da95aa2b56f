#!/bin/bash
# install.sh - installs into an empty folder, then builds and starts a client of the installed library as
# a stranger would: through pkg-config, once shared, once static.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
make --no-print-directory -s install DESTDIR="$dir/root" PREFIX=/usr
root=$dir/root/usr
"$root/bin/overlay" version
"$root/bin/overlayd" --help >/dev/null
[ -x "$root/libexec/overlay/overlay-portmap" ] # where overlayd looks when it is not beside it

export PKG_CONFIG_PATH=$root/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dir/root
printf '#include <overlay.h>\nint main(void) { return 0; }\n' >"$dir/client.c"
read -ra flags < <(pkg-config --cflags --libs overlay)
gcc -std=c11 -Wall -Wextra -Wpedantic -Werror "$dir/client.c" -Wl,--no-as-needed "${flags[@]}" -o "$dir/shared"
LD_LIBRARY_PATH=$root/lib "$dir/shared"
readelf -d "$dir/shared" | grep -q 'NEEDED.*liboverlay\.so\.'
read -ra flags < <(pkg-config --static --cflags --libs overlay | sed 's/-loverlay/-l:liboverlay.a/')
gcc -std=c11 -Wall -Wextra -Wpedantic -Werror "$dir/client.c" "${flags[@]}" -o "$dir/static"
"$dir/static"
exports=$(nm -D --defined-only "$root/lib/liboverlay.so" | awk '{ print $3 }')
foreign=$(grep -vc '^overlay_' <<<"$exports" || true)
echo "figure=$(grep -c '' <<<"$exports") functions exported, $foreign of them not overlay_*"
[ "$foreign" -eq 0 ]
