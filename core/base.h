#pragma once
/* base - time, errors and the few macros that every file needs. */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* CLOCK_BOOTTIME in nanoseconds, read once per loop turn by the edge and passed down as `now`.
 * Never stored on disk, never compared between machines. */
typedef int64_t ov_time;

#define OV_US    ((ov_time)1000)
#define OV_MS    ((ov_time)1000000)
#define OV_SEC   ((ov_time)1000000000)
#define OV_NEVER INT64_MAX /* a disarmed deadline */

#define OV_MUST_CHECK __attribute__((warn_unused_result))

static inline ov_time ov_min(ov_time a, ov_time b)
{
	return a < b ? a : b;
}

static inline ov_time ov_max(ov_time a, ov_time b)
{
	return a > b ? a : b;
}

/* Resources and local misuse. Hostile input is `enum drop` (core/drop.h); our bugs are asserts. */
#define OV_ERRORS(X)                                                       \
	X(OV_OK, 0, "ok")                                                  \
	X(OV_EFORMAT, -1, "malformed")                                     \
	X(OV_ENOMEM, -2, "out of memory")                                  \
	X(OV_EFULL, -3, "table is full (see limits in the configuration)") \
	X(OV_EEXIST, -4, "exists already")                                 \
	X(OV_ENOENT, -5, "no such entry")                                  \
	X(OV_EINVAL, -6, "bad argument")                                   \
	X(OV_EPERM, -7, "not permitted")                                   \
	X(OV_EIO, -8, "input or output failed")                            \
	X(OV_EAUTH, -9, "authentication failed")

enum ov_err {
#define X(name, code, text) name = code,
	OV_ERRORS(X)
#undef X
};

/* Static text of an error code; never NULL. */
const char *ov_err_text(int err);
