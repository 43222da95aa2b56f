/* Standard error may be a pipe whose reader sleeps; a write would then stop the loop and with it
 * every session. Making it O_NONBLOCK would change the terminal for the shell as well, as the flag
 * belongs to the shared file description. So ask poll first: a pipe that polls writable takes
 * PIPE_BUF (4096) bytes without blocking (pipe(7)), and a line is shorter. Lost lines are counted
 * and reported.
 *
 * JOURNAL_STREAM holds device and inode of the journal's socket (systemd.exec(5)); comparing them
 * with what standard error is tells a redirection from the real thing. */
#include "overlay/log_os.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat st;
	unsigned long long device, inode;
	return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static const char *priority(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR: return "<3>";
	case LOG_LEVEL_WARN: return "<4>";
	case LOG_LEVEL_INFO: return "<6>";
	case LOG_LEVEL_DEBUG: return "<7>";
	}
	assert(false); /* memory is corrupt */
	return "";
}

/* One writev, so that lines of several processes do not mix. */
static bool write_line(const char *prefix, size_t prefix_len, const char *line, size_t len)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	if (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0)
		return false;
	struct iovec parts[] = {
		{ (void *)(uintptr_t)prefix, prefix_len },
		{ (void *)(uintptr_t)line, len },
		{ (void *)(uintptr_t) "\n", 1 },
	};
	ssize_t n;
	do {
		n = writev(STDERR_FILENO, parts, 3);
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

static void stderr_sink(void *context, enum log_level level, const char *line, size_t len)
{
	struct log_stderr *s = context;
	if (s->lost > 0) {
		char text[96];
		int n = snprintf(text, sizeof(text),
			s->log->format == LOG_FORMAT_JSON
				? "{\"level\":\"warn\",\"module\":\"log\",\"fact\":\"lost\",\"lines\":%llu}"
				: "warn log lost lines=%llu",
			(unsigned long long)s->lost);
		if (write_line("<4>", s->journal ? 3 : 0, text, (size_t)n))
			s->lost = 0;
	}
	if (!write_line(priority(level), s->journal ? 3 : 0, line, len))
		s->lost++;
}

void log_stderr_init(struct log_stderr *s, struct log *l)
{
	*s = (struct log_stderr){ .log = l, .journal = stderr_is_journal() };
	l->sink = stderr_sink;
	l->context = s;
	l->with_time = !s->journal;
	log_wall_refresh(l);
}

void log_wall_refresh(struct log *l)
{
	struct timespec wall, boot;
	if (clock_gettime(CLOCK_REALTIME, &wall) != 0 || clock_gettime(CLOCK_BOOTTIME, &boot) != 0)
		return;
	l->wall_offset = (wall.tv_sec - boot.tv_sec) * OV_SEC + (wall.tv_nsec - boot.tv_nsec);
}
