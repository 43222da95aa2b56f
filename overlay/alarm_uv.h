#pragma once
/* alarm - the one deadline of the loop. On Linux a timerfd: armed once, it stays, while a timer of
 * libuv is the timeout of epoll_wait, which the kernel arms each time the loop falls asleep and
 * takes back when it wakes. Elsewhere a timer of libuv. */
#include "core/base.h"

#include <uv.h>

struct alarm {
	uv_poll_t poll;
	uv_timer_t timer;
	int fd; /* -1: no timerfd */
	void (*ring)(void *context);
	void *context;
};

/* ring is called from the loop when the time has come; before the loop polls or after. */
void alarm_open(struct alarm *a, uv_loop_t *loop, void (*ring)(void *context), void *context);
/* In so long; replaces what was set. */
void alarm_set(struct alarm *a, ov_time wait);
void alarm_close(struct alarm *a);
