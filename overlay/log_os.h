#pragma once
/* log_os - the sink of overlay/log.h: lines to standard error, with the journal's priority prefix
 * when that is where standard error goes. Never blocks the loop. */
#include "overlay/log.h"

struct log_stderr {
	const struct log *log;
	bool journal;  /* prefix "<N>" (sd-daemon(3)) */
	uint64_t lost; /* lines that a full pipe could not take, since the last that passed */
};

/* Points l at standard error. s must outlive l. In the journal l->with_time becomes false. */
void log_stderr_init(struct log_stderr *s, struct log *l);
/* Sets l->wall_offset from the clocks: at start, after sleep and every minute or so. */
void log_wall_refresh(struct log *l);
