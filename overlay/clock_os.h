#pragma once
/* clock - the two clocks of the edge. The pump reads clock_now once per loop turn. */
#include "core/base.h"

ov_time clock_now(void);       /* CLOCK_BOOTTIME: runs on while the machine sleeps */
ov_time clock_monotonic(void); /* CLOCK_MONOTONIC: stands still while it sleeps */
void clock_sharpen(void);      /* sleeps of this thread end within 1 us, not within the usual 50 */
void clock_sleep(ov_time duration);
