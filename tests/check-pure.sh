#!/bin/bash
# check-pure.sh [OBJECTS] - proves from includes and object files that what decides is pure (design 2):
#   1. only *_uv.* includes <uv.h>, only *_sql.* <sqlite3.h>, only these, *_os.* and liboverlay*
#      headers of the operating system;
#   2. core <- discovery, scanner <- overlay <- tools; discovery and scanner not each other; pure
#      files do not include the headers of the edge;
#   3. pure objects name no function of loop, store, clock, socket, file, process, thread, OS
#      randomness or stdio stream, and none that a file of the edge defines.
# check-pure.sh --self-test - plants one offence of each kind and demands that it is found.
set -uo pipefail
cd "$(dirname "$0")/.."
self=$PWD/tests/check-pure.sh
folders=(core discovery scanner overlay)

# The X/Open and Linux headers that lead out of the process. stdio.h stays for snprintf; rule 3
# finds whoever writes to a stream. sys/types.h and sys/queue.h declare no function.
os_headers='sys/(auxv|cdefs|epoll|eventfd|file|inotify|ioctl|ipc|mman|mount|param|poll|prctl|ptrace|random|resource|select|sendfile|shm|signalfd|socket|stat|statvfs|syscall|sysinfo|time|timerfd|times|uio|un|utsname|wait|xattr)|(net|netinet|linux|asm|arpa|netpacket|rdma)/.*|time|unistd|fcntl|dlfcn|pthread|threads|semaphore|signal|poll|netdb|ifaddrs|sched|spawn|pwd|grp|syslog|dirent|termios|ftw|glob|mqueue|aio|resolv|execinfo|openssl/.*|intel-ipsec-mb'

# Exact names, after @VERSION, __ and _chk are taken off. A trailing .* is a prefix.
forbidden='uv_.*|sqlite3_.*|uvwasi_.*
clock|clock_.*|time|gettimeofday|timespec_get|localtime.*|gmtime.*|mktime|strftime|nanosleep|usleep|sleep|alarm|timer_.*|timerfd_.*|setitimer
socket|socketpair|bind|listen|accept|accept4|connect|send|sendto|sendmsg|sendmmsg|recv|recvfrom|recvmsg|recvmmsg|setsockopt|getsockopt|getsockname|getpeername|shutdown|getaddrinfo|freeaddrinfo|getifaddrs|if_.*|gethost.*|res_.*
open|open64|openat.*|creat.*|close|read|write|pread.*|pwrite.*|readv|writev|lseek.*|stat|stat64|fstat.*|lstat.*|fopen.*|fdopen|freopen.*|fclose|fread.*|fwrite.*|fgets.*|fgetc|getc|getchar|getline|getdelim|fseek.*|ftell.*|unlink.*|rename.*|mkdir.*|rmdir|opendir|readdir.*|mkstemp.*|fsync|fdatasync|ioctl|fcntl.*|poll|ppoll|select|pselect|epoll_.*|eventfd.*|inotify_.*|mmap.*|munmap|mlock.*|madvise|mprotect|pipe|pipe2|dup|dup2|dup3|access|flock
json_load_file|json_loadf|json_loadfd|json_load_callback|json_dump_file|json_dumpf|json_dumpfd
fork|vfork|clone|exec.*|posix_spawn.*|system|popen|pclose|wait|waitpid|kill|raise|signal|sigaction|syscall|prctl|getenv|secure_getenv|setenv|getpid|getuid|sysconf
getrandom|getentropy|randombytes.*|crypto_box_keypair|crypto_box_curve.*_keypair|crypto_box_seal.*|crypto_kx_keypair|crypto_sign_keypair|crypto_sign_ed25519_keypair|crypto_.*_keygen|crypto_core_ed25519_scalar_random|crypto_core_ristretto255_.*random|crypto_pwhash_str.*|rand|rand_r|srand|random|srandom|drand48|lrand48|arc4random.*
dlopen|dlmopen|dlsym|pthread_.*|thrd_.*|mtx_.*|sem_.*
printf|vprintf|fprintf|vfprintf|dprintf|vdprintf|puts|putchar|putc|fputs.*|fputc.*|perror|psignal|fflush.*|setvbuf|stdout|stderr|stdin|syslog|vsyslog'
forbidden_re="^($(paste -sd '|' <<<"$forbidden"))\$"

offences=0
offence() {
	printf '%s\n' "$1"
	offences=$((offences + 1))
}

is_edge() {
	case ${1##*/} in
	*_uv.[ch] | *_os.[ch] | *_sql.[ch] | liboverlay*.[ch]) return 0 ;;
	*) return 1 ;;
	esac
}

sources() {
	find "${folders[@]}" -maxdepth 1 -name '*.[ch]' 2>/dev/null | sort
}

# ---- 1 and 2: includes ----
system_include() { # FILE WHERE HEADER
	local file=$1 where=$2 header=$3
	case $header in
	uv.h) [[ $file == *_uv.[ch] ]] || offence "$where: only *_uv files include <uv.h>" ;;
	sqlite3.h) [[ $file == *_sql.[ch] ]] || offence "$where: only *_sql files include <sqlite3.h>" ;;
	arpa/inet.h) # inet_pton is arithmetic that happens to live there
		[ "$file" = core/addr.c ] || is_edge "$file" ||
			offence "$where: only core/addr.c and the edge include <arpa/inet.h>" ;;
	*)
		if grep -qxE "($os_headers)\.h" <<<"$header" && ! is_edge "$file"; then
			offence "$where: <$header> in a pure file; move it to a *_os, *_uv or *_sql file"
		fi ;;
	esac
}

own_include() { # FILE WHERE HEADER
	local file=$1 where=$2 header=$3 may
	case ${file%%/*} in
	core) may='core' ;;
	discovery) may='core discovery' ;;
	scanner) may='core scanner' ;;
	overlay) may='core discovery scanner overlay' ;;
	esac
	if [[ " $may " != *" ${header%%/*} "* ]]; then
		offence "$where: ${file%%/*} may include only: $may (say the whole path: \"folder/file.h\")"
	elif is_edge "$header" && ! is_edge "$file"; then
		offence "$where: pure file includes \"$header\" of the edge"
	fi
}

check_includes() {
	local file number line
	while IFS=: read -r file number line; do
		if [[ $line =~ include[[:space:]]*\<([^>]+)\> ]]; then
			system_include "$file" "$file:$number" "${BASH_REMATCH[1]}"
		elif [[ $line =~ include[[:space:]]*\"([^\"]+)\" ]]; then
			own_include "$file" "$file:$number" "${BASH_REMATCH[1]}"
		else
			offence "$file:$number: an include that cannot be read: $line"
		fi
	done < <(sources | xargs -r grep -HnE '^[[:space:]]*#[[:space:]]*include')
}

# ---- 3: undefined symbols ----
check_symbols() {
	local build=$1 file object pure=() edge=()
	while read -r file; do
		object=$build/${file%.c}.o
		if [ ! -f "$object" ]; then
			[[ $file == overlay/liboverlay*.c ]] || offence "$object: not built, nothing to inspect"
		elif is_edge "$file"; then
			edge+=("$object")
		else
			pure+=("$object")
		fi
	done < <(sources | grep '\.c$')
	[ ${#pure[@]} -gt 0 ] || { offence "$build: no pure object"; return; }

	local of_edge of_pure found
	of_edge=$(mktemp)
	of_pure=$(mktemp)
	[ ${#edge[@]} -eq 0 ] || nm --defined-only -g "${edge[@]}" | awk 'NF == 3 { print $3 }' >"$of_edge"
	nm --defined-only -g "${pure[@]}" | awk 'NF == 3 { print $3 }' >"$of_pure"
	found=$(nm -u -A "${pure[@]}" | awk -v re="$forbidden_re" -v of_edge="$of_edge" -v of_pure="$of_pure" '
		BEGIN {
			while ((getline s < of_edge) > 0) edge[s] = 1
			while ((getline s < of_pure) > 0) pure[s] = 1
		}
		{
			object = $1; sub(/:$/, "", object); plain = $NF; sub(/@.*/, "", plain)
			name = plain; sub(/^__/, "", name); sub(/_chk$/, "", name); sub(/^isoc99_/, "", name)
			if (plain in pure) next # a name that a prefix above would hit, but ours
			if (name ~ re) print object ": calls " plain ", which leads out of the process"
			else if (plain in edge) print object ": calls " plain ", which the edge defines"
		}' | sort -u)
	rm -f "$of_edge" "$of_pure"
	while read -r file; do
		[ -z "$file" ] || offence "$file"
	done <<<"$found"
}

# ---- proof that it can fail ----
# plant FILE TEXT... writes one offence into a small healthy tree; the check must go red for it, and
# the tree without it must be green.
plant() {
	local file=$1 tree
	shift
	tree=$(mktemp -d)
	mkdir -p "$tree"/{core,discovery,scanner,overlay,tests,build}
	cp "$self" "$tree/tests/"
	printf '#include <arpa/inet.h>\n#include <stdio.h>\nint addr_parse(char *s, void *to);\nint addr_parse(char *s, void *to)\n{\n\treturn snprintf(s, 9, "%%p", to) + inet_pton(AF_INET, s, to);\n}\n' >"$tree/core/addr.c"
	printf '#include <time.h>\nint wall_os(void);\nint wall_os(void)\n{\n\treturn (int)time(0);\n}\n' >"$tree/core/wall_os.c"
	: >"$tree/core/wall_os.h"
	[ -z "$file" ] || printf '%s\n' "$@" >"$tree/$file"
	(
		cd "$tree" || exit 1
		for c in */*.c; do
			# Headers of packages may be absent here: an include offence is found without an object.
			mkdir -p "build/${c%/*}"
			"${CC:-cc}" -std=c11 -D_GNU_SOURCE -w -O2 -I. -c "$c" -o "build/${c%.c}.o" 2>/dev/null ||
				echo 'int nothing;' | "${CC:-cc}" -x c -c - -o "build/${c%.c}.o"
		done
		tests/check-pure.sh build >found 2>&1
	)
	local rc=$?
	found=$(cat "$tree/found")
	rm -rf "$tree"
	return $rc
}

planted=0
must_find() { # WORDS FILE TEXT...
	local words=$1
	shift
	if plant "$@"; then
		offence "self-test: not found in $1: $2"
	elif ! grep -qF -- "$words" <<<"$found"; then
		offence "self-test: $1: expected '$words', got: $found"
	fi
	planted=$((planted + 1))
}

self_test() {
	plant '' || offence "self-test: a clean tree is refused: $found"
	must_find 'only *_uv' core/a.c '#include <uv.h>'
	must_find 'only *_uv' overlay/a_sql.c '#include <uv.h>'
	must_find 'only *_sql' overlay/a_uv.c '#include <sqlite3.h>'
	must_find '<sys/socket.h>' core/a.h '#include <sys/socket.h>'
	must_find '<time.h>' overlay/a.c '#  include <time.h>'
	must_find '<linux/if_tun.h>' overlay/a.c '#include <linux/if_tun.h>'
	must_find 'arpa/inet.h' overlay/a.c '#include <arpa/inet.h>'
	must_find 'may include only: core' core/a.c '#include "overlay/node.h"'
	must_find 'may include only' discovery/a.c '#include "scanner/scan.h"'
	must_find 'may include only' scanner/a.c '#include "discovery/lan.h"'
	must_find 'may include only' overlay/a.c '#include "tools/cmd.h"'
	must_find 'may include only' core/a.c '#include "base.h"'
	must_find 'of the edge' core/a.c '#include "core/wall_os.h"'
	must_find 'an include that cannot be read' core/a.c '#include HEADER'
	must_find 'calls time' core/a.c 'long time(long *); long a(void) { return time(0); }'
	must_find 'calls clock_gettime' core/a.c 'int clock_gettime(int, void *); int a(void *t) { return clock_gettime(1, t); }'
	must_find 'calls sendmsg' overlay/a.c 'long sendmsg(); long a(void) { return sendmsg(1, 0, 0); }'
	must_find 'calls uv_now' overlay/a.c 'long uv_now(); long a(void) { return uv_now(0); }'
	must_find 'calls randombytes_buf' core/a.c 'void randombytes_buf(); void a(void *p) { randombytes_buf(p, 1); }'
	must_find 'calls crypto_box_keypair' core/a.c 'int crypto_box_keypair(); int a(void *p) { return crypto_box_keypair(p, p); }'
	must_find 'calls crypto_aead_chacha20poly1305_keygen' core/a.c 'void crypto_aead_chacha20poly1305_keygen(); void a(void *p) { crypto_aead_chacha20poly1305_keygen(p); }'
	must_find 'calls printf' core/a.c 'int printf(const char *, ...); int a(int v) { return printf("%d", v); }'
	must_find 'calls __fprintf_chk' core/a.c 'int __fprintf_chk(); int a(void) { return __fprintf_chk(0, 1, "x"); }'
	must_find 'calls wall_os, which the edge defines' core/a.c 'int wall_os(void); int a(void) { return wall_os(); }'
}

if [ "${1:-}" = --self-test ]; then
	self_test
	[ $offences -eq 0 ] && echo "layers: finds all $planted planted offences"
else
	check_includes
	check_symbols "${1:-build/release/obj}"
	[ $offences -eq 0 ] && echo "layers: $(sources | wc -l) files are where they belong"
fi
exit $((offences > 0))
