/* The key file is text, so that it survives mail, terminals and backups: "overlay-identity-1",
 * a space, 64 lower-case hexadecimal digits, a newline (which may be missing). The number is the
 * version of the file's form.
 *
 * All names are resolved relative to the open directory, and permissions are asked of the open
 * descriptor: there is no moment between check and use. O_NONBLOCK keeps a planted FIFO from
 * stopping the start. */
#include "overlay/key_os.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_NAME     "identity.key"
#define KEY_TMP      "identity.key.tmp"
#define KEY_PREFIX   "overlay-identity-1 "
#define KEY_TEXT_LEN (sizeof(KEY_PREFIX) - 1 + 2 * (size_t)IDENTITY_SEED_LEN) /* no newline */

struct why {
	char *text;
	size_t size;
};

__attribute__((format(printf, 3, 4))) static int fail(struct why w, int err, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(w.text, w.size, fmt, args);
	va_end(args);
	return err;
}

/* mkdir -p with mode 0700 (XDG base directory specification). */
static int make_directories(const char *path)
{
	char part[STATE_PATH_MAX];
	size_t len = strlen(path);
	memcpy(part, path, len + 1);
	for (size_t i = 1; i <= len; i++) {
		if (part[i] != '/' && part[i] != '\0')
			continue;
		part[i] = '\0';
		if (mkdir(part, 0700) != 0 && errno != EEXIST)
			return OV_EIO;
		part[i] = path[i];
	}
	return OV_OK;
}

static int check_directory(const struct state_dir *s, struct why w)
{
	struct stat st;
	if (fstat(s->fd, &st) != 0)
		return fail(w, OV_EIO, "%s: %s", s->path, strerror(errno));
	if (st.st_uid != geteuid())
		return fail(w, OV_EPERM,
			"%s belongs to user %u, but overlayd runs as user %u: run it as that user, "
			"or chown %u %s",
			s->path, (unsigned)st.st_uid, (unsigned)geteuid(), (unsigned)geteuid(),
			s->path);
	if ((st.st_mode & 077) != 0)
		return fail(w, OV_EPERM,
			"%s is accessible to others (%04o) and will hold the identity key: "
			"chmod 700 %s",
			s->path, (unsigned)(st.st_mode & 07777), s->path);
	return OV_OK;
}

/* Who holds the lock, for the message only. 0: unknown. */
static long lock_holder(int fd)
{
	char text[24] = { 0 };
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	return n > 0 ? strtol(text, NULL, 10) : 0;
}

static int take_lock(struct state_dir *s, struct why w)
{
	s->lock_fd =
		openat(s->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (s->lock_fd < 0)
		return fail(w, OV_EIO, "%s/lock: cannot open: %s", s->path, strerror(errno));
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK)
			return fail(
				w, OV_EIO, "%s/lock: cannot lock: %s", s->path, strerror(errno));
		return fail(w, OV_EEXIST,
			"another overlayd (pid %ld) uses %s: stop it, or give this one its own "
			"directory with --state DIR",
			lock_holder(s->lock_fd), s->path);
	}
	/* Informative only, so a full disk must not keep the daemon from starting. Padded, so that
	 * it overwrites whatever was there. */
	char pid[24];
	int len = snprintf(pid, sizeof(pid), "%-20ld\n", (long)getpid());
	ssize_t written = pwrite(s->lock_fd, pid, (size_t)len, 0);
	(void)written;
	return OV_OK;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): fail() writes there, through w */
int state_open(struct state_dir *s, const char *path, char *why, size_t why_size)
{
	struct why w = { why, why_size };
	*s = (struct state_dir){ .fd = -1, .lock_fd = -1 };
	size_t len = strlen(path);
	if (len == 0 || len >= sizeof(s->path))
		return fail(w, OV_EINVAL, "state directory: its path must have 1 to %zu bytes",
			sizeof(s->path) - 1);
	memcpy(s->path, path, len + 1);
	if (make_directories(path) != OV_OK)
		return fail(w, OV_EIO,
			"%s: cannot create: %s: choose another directory with --state DIR", path,
			strerror(errno));
	s->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fd < 0)
		return fail(w, errno == EACCES ? OV_EPERM : OV_EIO,
			"%s: cannot open: %s: choose another directory with --state DIR", path,
			strerror(errno));
	int err = check_directory(s, w);
	if (err == OV_OK)
		err = take_lock(s, w);
	if (err != OV_OK)
		state_close(s);
	return err;
}

void state_close(struct state_dir *s)
{
	/* The lock file stays: removing it would race with the next instance's open. */
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd);
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = s->lock_fd = -1;
}

/* ---- identity.key ---- */

static int check_key_file(const struct state_dir *s, int fd, struct why w)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return fail(w, OV_EIO, "%s/" KEY_NAME ": %s", s->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(w, OV_EPERM,
			"%s/" KEY_NAME
			" is not a plain file: move it away and restore the key there",
			s->path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return fail(w, OV_EPERM,
			"%s/" KEY_NAME " belongs to user %u, but overlayd runs as user %u: "
			"chown %u %s/" KEY_NAME,
			s->path, (unsigned)st.st_uid, (unsigned)geteuid(), (unsigned)geteuid(),
			s->path);
	if ((st.st_mode & 077) != 0)
		return fail(w, OV_EPERM,
			"%s/" KEY_NAME " is accessible to others (%04o): chmod 600 %s/" KEY_NAME
			"; if someone may have read it, move it away to get a new identity",
			s->path, (unsigned)(st.st_mode & 07777), s->path);
	return OV_OK;
}

static bool parse_key(const char *text, size_t len, uint8_t seed[IDENTITY_SEED_LEN])
{
	const size_t prefix = sizeof(KEY_PREFIX) - 1;
	if (len == KEY_TEXT_LEN + 1 && text[KEY_TEXT_LEN] == '\n')
		len--;
	if (len != KEY_TEXT_LEN || memcmp(text, KEY_PREFIX, prefix) != 0)
		return false;
	size_t got = 0;
	return sodium_hex2bin(seed, IDENTITY_SEED_LEN, text + prefix, len - prefix, NULL, &got,
		       NULL) == 0 &&
	       got == IDENTITY_SEED_LEN;
}

static ssize_t read_all(int fd, char *out, size_t cap)
{
	size_t len = 0;
	while (len < cap) {
		ssize_t n = read(fd, out + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static int read_key(
	const struct state_dir *s, int fd, uint8_t seed[IDENTITY_SEED_LEN], struct why w)
{
	char text[KEY_TEXT_LEN + 2]; /* one more than allowed shows that it is too long */
	int err = check_key_file(s, fd, w);
	if (err != OV_OK)
		return err;
	ssize_t len = read_all(fd, text, sizeof(text));
	if (len < 0) {
		err = fail(w, OV_EIO, "%s/" KEY_NAME ": cannot read: %s", s->path, strerror(errno));
	} else if (!parse_key(text, (size_t)len, seed)) {
		sodium_memzero(seed, IDENTITY_SEED_LEN);
		err = fail(w, OV_EFORMAT,
			"%s/" KEY_NAME
			" is damaged (expected one line: overlay-identity-1 and 64 hexadecimal "
			"digits): restore it from a backup, or move it away to get a new identity",
			s->path);
	}
	sodium_memzero(text, sizeof(text));
	return err;
}

static bool write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

/* Durable before it is visible: no crash leaves a half key under the real name. */
static bool write_key(int dir, const uint8_t seed[IDENTITY_SEED_LEN])
{
	char text[KEY_TEXT_LEN + 2] = KEY_PREFIX;
	char *hex = text + sizeof(KEY_PREFIX) - 1;
	(void)sodium_bin2hex(hex, 2 * IDENTITY_SEED_LEN + 1, seed, IDENTITY_SEED_LEN);
	text[KEY_TEXT_LEN] = '\n';
	(void)unlinkat(dir, KEY_TMP, 0); /* of a start that crashed; we hold the lock */
	int fd = openat(dir, KEY_TMP, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && fchmod(fd, 0600) == 0 && write_all(fd, text, KEY_TEXT_LEN + 1) &&
		  fsync(fd) == 0;
	sodium_memzero(text, sizeof(text));
	int saved = errno;
	if (fd >= 0 && close(fd) != 0 && ok) {
		saved = errno;
		ok = false;
	}
	if (ok && renameat(dir, KEY_TMP, dir, KEY_NAME) == 0 && fsync(dir) == 0)
		return true;
	if (ok)
		saved = errno;
	if (fd >= 0)
		(void)unlinkat(dir, KEY_TMP, 0);
	errno = saved;
	return false;
}

int identity_load(const struct state_dir *s, uint8_t seed[IDENTITY_SEED_LEN], bool *created,
	/* NOLINTNEXTLINE(readability-non-const-parameter): fail() writes there, through w */
	char *why, size_t why_size)
{
	struct why w = { why, why_size };
	*created = false;
	int fd = openat(s->fd, KEY_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0) {
		int err = read_key(s, fd, seed, w);
		(void)close(fd);
		return err;
	}
	if (errno == ELOOP)
		return fail(w, OV_EPERM,
			"%s/" KEY_NAME
			" is a symbolic link: replace it by the key file itself (mode 0600)",
			s->path);
	if (errno != ENOENT)
		return fail(w, errno == EACCES ? OV_EPERM : OV_EIO,
			"%s/" KEY_NAME ": cannot open: %s", s->path, strerror(errno));
	randombytes_buf(seed, IDENTITY_SEED_LEN);
	if (!write_key(s->fd, seed)) {
		sodium_memzero(seed, IDENTITY_SEED_LEN);
		return fail(w, OV_EIO, "%s/" KEY_NAME ": cannot create: %s%s", s->path,
			strerror(errno), errno == ENOSPC ? ": free some space there" : "");
	}
	*created = true;
	return OV_OK;
}
