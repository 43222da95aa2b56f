/* Their difference grows by the time spent asleep (overlay/netmon_uv.h, sleep_watch). */
#include "overlay/clock_os.h"

#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <time.h>

static ov_time clock_read(clockid_t id)
{
	struct timespec t;
	int error = clock_gettime(id, &t);
	assert(error == 0);
	(void)error;
	return (ov_time)t.tv_sec * OV_SEC + t.tv_nsec;
}

ov_time clock_now(void)
{
#ifdef CLOCK_BOOTTIME
	return clock_read(CLOCK_BOOTTIME);
#else
	return clock_read(CLOCK_MONOTONIC);
#endif
}

ov_time clock_monotonic(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

void clock_sharpen(void)
{
#ifdef __linux__
	prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
#endif
}

void clock_sleep(ov_time duration)
{
	struct timespec t = { .tv_sec = duration / OV_SEC, .tv_nsec = duration % OV_SEC };
	clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}
