#pragma once
/* local_end - where a stream meets this machine, as people type it: TARGET of `overlay serve`,
 * LOCAL of `overlay forward`. Pure; docs/guide.md 5. */
#include "core/base.h"
#include "overlay/grant.h"

enum local_kind { LOCAL_TCP, LOCAL_UNIX };

#define LOCAL_HOST_MAX 256
#define LOCAL_PATH_MAX 108 /* sun_path, with its NUL */

struct local_end {
	enum local_kind kind;
	char host[LOCAL_HOST_MAX]; /* "": loopback of both families */
	uint16_t port;             /* 0: any free one, where one listens */
	char path[LOCAL_PATH_MAX];
};

/* "PORT", "HOST:PORT", "[v6]:PORT", each also with "tcp:" in front, "unix:PATH", or a path with a
 * slash in it. NULL: it is good; else what is wrong with it, in words that follow the quoted text.
 */
const char *local_end_parse(const char *text, struct local_end *out);

#define LOCAL_TEXT_MAX (LOCAL_HOST_MAX + 16)
/* "localhost:22", "[::1]:22", "unix:/run/x". Returns out. */
const char *local_end_text(const struct local_end *e, char out[LOCAL_TEXT_MAX]);

#define AT_PEER_MAX 80

struct service_at { /* "PEER:SERVICE" */
	char peer[AT_PEER_MAX];
	char service[GRANT_SERVICE_LEN];
};
/* The service stands behind the last colon. As local_end_parse. */
const char *service_at_parse(const char *text, struct service_at *out);
