/* Layers, each useful without the others: no new privileges; no descriptor that overlayd forgot to
 * close; another user and no capabilities, where we are root; bounds on memory and files; no file
 * at all (Landlock); and a filter against system calls that reach other programs and processes. The
 * last one is a list of what is forbidden, not of what is allowed: a C library may change what it
 * uses, and what matters is that whoever takes over this process can neither start a program, nor
 * look into overlayd (which may run as the same user), nor open anything but IP sockets. */
#include "tools/portmap.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY     65534
#define MEMORY_MAX (64UL << 20) /* of addresses: libraries take 15 MiB of it */
#define FILES_MAX  16

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH 0 /* numbers of its calls were not checked: no filter */
#endif

static void limit(int what, rlim_t most)
{
	setrlimit((__rlimit_resource_t)what, &(struct rlimit){ most, most });
}

static void drop_user(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };
	if (geteuid() == 0 && setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0)
		(void)!setresuid(NOBODY, NOBODY, NOBODY); /* a user namespace may not know it */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	(void)syscall(SYS_capset, &header, none);
}

static void close_files(void)
{
	struct landlock_ruleset_attr all = { .handled_access_fs =
						     (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
	if (ruleset < 0)
		return;
	(void)syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(ruleset);
}

#define FORBID(call)                                           \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

static void filter_calls(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), /* x32 */
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
#ifdef SYS_fork
		FORBID(fork),
		FORBID(vfork),
#endif
		FORBID(clone),
		FORBID(clone3),
		FORBID(execve),
		FORBID(execveat),
		FORBID(ptrace),
		FORBID(process_vm_readv),
		FORBID(process_vm_writev),
		FORBID(pidfd_open),
		FORBID(pidfd_getfd),
		FORBID(pidfd_send_signal),
		FORBID(kill),
		FORBID(unshare),
		FORBID(setns),
		FORBID(mount),
		FORBID(bpf),
		FORBID(perf_event_open),
		FORBID(userfaultfd),
		FORBID(io_uring_setup),
		FORBID(add_key),
		FORBID(keyctl),
		FORBID(socketpair),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };
	if (ARCH)
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

void portmap_confine(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)syscall(SYS_close_range, PORTMAP_OUT_FD + 1, ~0U, 0);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_FSIZE, 0);
	limit(RLIMIT_NOFILE, FILES_MAX);
	drop_user();
	close_files();
	if (SANITIZED) /* its shadow is larger, and it starts a thread at exit */
		return;
	limit(RLIMIT_AS, MEMORY_MAX);
	filter_calls();
}
