#pragma once
/* netmon - which local addresses can reach others, now: rtnetlink tells of every change, and a full
 * dump is taken shortly after the first event of a burst. Also tells of sleep.
 *
 * The list leaves out loopback, links that are down, our own TUN, tunnels and container bridges,
 * and IPv6 addresses that cannot be used yet or should not be any more. It is about candidates and
 * roaming only: paths over 127.0.0.1 and ::1 (two daemons on one machine) never depend on it. */
#include "discovery/portmap.h"
#include "overlay/node.h"

#include <uv.h>

struct netmon_options {
	const char *own_interface; /* name of our TUN, or NULL */
	/* The list (or a router, or a tunnel that takes all routes) differs from the last one, or
	 * `resumed`: the machine woke up (the list may be the same). at: CLOCK_BOOTTIME of the
	 * first event that led to it. From the loop; valid during the call. Called once from
	 * netmon_open with the first list. */
	void (*on_change)(void *context, ov_time at, const struct local_address *list, size_t count,
		bool resumed);
	void *context;
};

struct netmon; /* handle */

/* NULL: no netlink; `why` says it. */
struct netmon *netmon_open(
	uv_loop_t *loop, const struct netmon_options *o, char *why, size_t why_size);
void netmon_close(struct netmon *m);
/* Where the best default route of a family leads, of the same picture as the last list; on_change
 * is called when it changes, too. Tunnels are no candidates, nor are their routes. */
struct portmap_route netmon_router(const struct netmon *m, bool v6);
/* To be called once per loop turn with both clocks: notices that the machine slept, whatever woke
 * the loop, and calls on_change with resumed. */
void netmon_check_sleep(struct netmon *m, ov_time boot, ov_time monotonic);

/* ---- pure parts, for tests ---- */
/* Detects sleep from the growing difference of CLOCK_BOOTTIME and CLOCK_MONOTONIC. */
struct sleep_watch {
	ov_time difference;
	bool armed;
};
#define SLEEP_MIN OV_SEC
/* True once after the machine slept longer than SLEEP_MIN. */
bool sleep_watch_woke(struct sleep_watch *w, ov_time boot, ov_time monotonic);
