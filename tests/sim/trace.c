/* Formatting is what costs, so details are hashed as numbers and formatted only for a reader. */
#include "tests/sim/trace.h"

#include "tests/sim/digest.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_LEN 400

void trace_init(struct trace *t)
{
	*t = (struct trace){ .out = stdout };
}

void trace_fini(struct trace *t)
{
	for (size_t i = 0; i < t->tail_max; i++)
		free(t->tail[i]);
	free(t->tail);
	free(t->story);
}

void trace_keep_tail(struct trace *t, size_t n)
{
	t->tail = calloc(n, sizeof(t->tail[0]));
	if (!t->tail)
		abort();
	t->tail_max = n;
}

void trace_print_tail(const struct trace *t, FILE *out)
{
	size_t kept = t->tail_count < t->tail_max ? t->tail_count : t->tail_max;
	for (size_t i = t->tail_count - kept; i < t->tail_count; i++)
		fputs(t->tail[i % t->tail_max], out);
}

void trace_mix(struct trace *t, ov_time now, uint64_t a, uint64_t b)
{
	t->hash = digest_mix(digest_mix(digest_mix(t->hash, (uint64_t)now), a), b);
	t->lines++;
}

bool trace_wants_notes(const struct trace *t)
{
	return t->verbose || t->tail_max > 0;
}

static void keep_story(struct trace *t, const char *line, size_t len)
{
	if (t->story_len + len + 1 > t->story_cap) {
		t->story_cap = 2 * (t->story_len + len + 1);
		t->story = realloc(t->story, t->story_cap);
		if (!t->story)
			abort();
	}
	memcpy(t->story + t->story_len, line, len + 1);
	t->story_len += len;
}

static void show(struct trace *t, const char *line)
{
	if (t->verbose)
		fputs(line, t->out);
	if (t->tail_max == 0)
		return;
	size_t i = t->tail_count++ % t->tail_max;
	free(t->tail[i]);
	t->tail[i] = strdup(line);
}

__attribute__((format(printf, 5, 0))) static size_t format_line(const struct trace *t, char *line,
	ov_time now, const char *who, const char *format, va_list args)
{
	int at = snprintf(
		line, LINE_MAX_LEN, "[%7lldms] %-3s ", (long long)((now - t->epoch) / OV_MS), who);
	int more = vsnprintf(line + at, (size_t)(LINE_MAX_LEN - at - 1), format, args);
	size_t len = (size_t)at + (size_t)more;
	len = len < LINE_MAX_LEN - 2 ? len : LINE_MAX_LEN - 2;
	line[len] = '\n';
	line[len + 1] = '\0';
	return len + 1;
}

void trace_note(struct trace *t, ov_time now, const char *who, const char *format, ...)
{
	if (!trace_wants_notes(t))
		return;
	char line[LINE_MAX_LEN];
	va_list args;
	va_start(args, format);
	format_line(t, line, now, who, format, args);
	va_end(args);
	show(t, line);
}

void trace_tell(struct trace *t, ov_time now, const char *who, const char *format, ...)
{
	char line[LINE_MAX_LEN];
	va_list args;
	va_start(args, format);
	size_t len = format_line(t, line, now, who, format, args);
	va_end(args);
	t->hash = digest_bytes(t->hash, line, len);
	t->lines++;
	if (t->telling)
		keep_story(t, line, len);
	show(t, line);
}
