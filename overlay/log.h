#pragma once
/* log - one line per fact: "TIME LEVEL MODULE FACT key=value ...", or the same as a JSON object.
 * Pure: the time is passed in, lines leave through a sink (overlay/log_os.h).
 *
 *	log_info(l, now, "path", "valid addr=%s rtt_us=%lld", text, rtt);
 *
 * The format is checked by the compiler as printf's. Its first word is the fact; then come words
 * KEY=VALUE, where a value is literal text, one of %s %d %i %u %x (with l, ll, z, h), or a mixture.
 * A value that is one number stays a number in JSON. %s may carry anything a stranger sent: it is
 * escaped, quoted where needed, and cut; it cannot forge a second line or another key. Never pass
 * keys or payload.
 *
 * error: the operator must act; warn: degraded; info: a state change worth a story; debug: the
 * rest. What a stranger can trigger goes through log_stranger at debug, and bumps a counter. */
#include "core/limit.h"

#define LOG_LINE_MAX      1024 /* with NUL; fields that do not fit are left out, then "cut=1" */
#define LOG_VALUE_MAX     160  /* bytes of one string value before escaping */
#define LOG_STRANGER_RATE 2    /* lines per second, after a burst of 20 */

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log {
	enum log_level level; /* lines above it are dropped unformatted */
	enum log_format format;
	bool with_time;      /* false where the reader (the journal) adds its own */
	int64_t wall_offset; /* ns from `now` to Unix time; the edge refreshes it now and then */
	struct limit strangers;
	uint64_t suppressed; /* stranger lines since the last one that passed */
	/* One line without newline, len bytes and NUL, borrowed. NULL: discard. */
	void (*sink)(void *context, enum log_level level, const char *line, size_t len);
	void *context;
};

/* Level info, text, with time, no sink. */
struct log log_default(void);

__attribute__((format(printf, 5, 6))) void log_write(struct log *l, ov_time now,
	enum log_level level, const char *module, const char *format, ...);
/* As log_write, but rate-limited together with all other lines that strangers can cause. What was
 * left out is counted in "suppressed=N" of the next one. */
__attribute__((format(printf, 5, 6))) void log_stranger(struct log *l, ov_time now,
	enum log_level level, const char *module, const char *format, ...);

#define log_error(l, now, module, ...) log_write(l, now, LOG_LEVEL_ERROR, module, __VA_ARGS__)
#define log_warn(l, now, module, ...)  log_write(l, now, LOG_LEVEL_WARN, module, __VA_ARGS__)
#define log_info(l, now, module, ...)  log_write(l, now, LOG_LEVEL_INFO, module, __VA_ARGS__)
#define log_debug(l, now, module, ...) log_write(l, now, LOG_LEVEL_DEBUG, module, __VA_ARGS__)

const char *log_level_name(enum log_level level); /* "error" "warn" "info" "debug" */

/* RFC 3339 in UTC with microseconds, "2026-11-21T11:04:45.123456Z", for any int64_t. Returns out.
 * Also the `_at` times of the overlay socket. */
#define LOG_TIME_MAX 32
const char *log_time(int64_t unix_ns, char out[LOG_TIME_MAX]);
