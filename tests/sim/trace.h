#pragma once
/* trace - what happened, three ways at once: a hash of everything (the same seed must give the same
 * one), a story of the few facts a reader wants (golden scenes), and every line on stdout when
 * asked. A line is "[   123ms] a  what": virtual milliseconds, the host, the fact. */
#include "core/base.h"

#include <stdio.h>

struct trace {
	uint64_t hash;
	uint64_t lines;
	bool verbose; /* all lines to out */
	FILE *out;
	ov_time epoch; /* virtual time of the 0 ms of the lines */
	bool telling;  /* keep the story */
	char *story;
	size_t story_len, story_cap;
	char **tail; /* ring of the last lines, kept when tail_max > 0 */
	size_t tail_max, tail_count;
};

void trace_init(struct trace *t);
void trace_fini(struct trace *t);
/* Keep the last n lines for a report. */
void trace_keep_tail(struct trace *t, size_t n);
void trace_print_tail(const struct trace *t, FILE *out);
/* Numbers that belong to the run but to no line. Cheap. */
void trace_mix(struct trace *t, ov_time now, uint64_t a, uint64_t b);
/* True if trace_note would be seen: lets callers skip the formatting of their arguments. */
bool trace_wants_notes(const struct trace *t);
/* A detail: only shown. What it tells must have been mixed in by numbers. */
void trace_note(struct trace *t, ov_time now, const char *who, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* A fact of the story: hashed, shown and kept. */
void trace_tell(struct trace *t, ov_time now, const char *who, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
