/* Deadlines are of CLOCK_BOOTTIME, so the alarm rings as soon as a sleep of the machine is over. */
#include "overlay/alarm_uv.h"

#ifdef __linux__
#include <sys/timerfd.h>
#endif
#include <unistd.h>

static void on_timer(uv_timer_t *timer)
{
	struct alarm *a = timer->data;
	a->ring(a->context);
}

#ifdef __linux__
static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct alarm *a = poll->data;
	uint64_t times;
	(void)status;
	(void)events;
	if (read(a->fd, &times, sizeof(times)) == (ssize_t)sizeof(times))
		a->ring(a->context);
}

static bool open_timerfd(struct alarm *a, uv_loop_t *loop)
{
	a->fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (a->fd < 0)
		return false;
	if (uv_poll_init(loop, &a->poll, a->fd) == 0 &&
		uv_poll_start(&a->poll, UV_READABLE, on_readable) == 0)
		return true;
	close(a->fd);
	a->fd = -1;
	return false;
}

static bool set_timerfd(struct alarm *a, ov_time wait)
{
	ov_time in = wait > 0 ? wait : 1; /* 0 would disarm it */
	struct itimerspec t = { .it_value = { .tv_sec = in / OV_SEC, .tv_nsec = in % OV_SEC } };
	return a->fd >= 0 && timerfd_settime(a->fd, 0, &t, NULL) == 0;
}
#else
static bool open_timerfd(struct alarm *a, uv_loop_t *loop)
{
	(void)loop;
	a->fd = -1;
	return false;
}

static bool set_timerfd(struct alarm *a, ov_time wait)
{
	(void)a;
	(void)wait;
	return false;
}
#endif

void alarm_open(struct alarm *a, uv_loop_t *loop, void (*ring)(void *context), void *context)
{
	*a = (struct alarm){ .ring = ring, .context = context };
	a->poll.data = a->timer.data = a;
	uv_timer_init(loop, &a->timer);
	(void)open_timerfd(a, loop); /* without one the timer serves */
}

void alarm_set(struct alarm *a, ov_time wait)
{
	if (set_timerfd(a, wait))
		return;
	uv_update_time(a->timer.loop);
	uv_timer_start(&a->timer, on_timer, (uint64_t)((wait + OV_MS - 1) / OV_MS), 0);
}

void alarm_close(struct alarm *a)
{
	uv_close((uv_handle_t *)&a->timer, NULL);
	if (a->fd < 0)
		return;
	uv_close((uv_handle_t *)&a->poll, NULL);
	close(a->fd);
	a->fd = -1;
}
