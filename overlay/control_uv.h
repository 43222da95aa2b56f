#pragma once
/* control_uv - the overlay socket: a Unix stream socket, one JSON object per line. It checks who
 * connects, cuts lines, bounds time and memory of each client, and leaves all meaning to the api.
 *
 * Only root, our own uid and members of the group may speak; anybody else gets one error line. */
#include "overlay/control_client.h"

struct uv_loop_s;
struct control;

struct control_config {
	const char *path;  /* of the socket; its directory is created when missing */
	const char *group; /* "overlay"; a group that does not exist allows nobody more */
	uint32_t max_clients, max_per_uid, root_reserved; /* 256, 64, 4 */
	void *context;                                    /* of the hooks */
	ov_time (*now)(void *context);                    /* the daemon's clock (CLOCK_BOOTTIME) */
	/* A client came, or requests have been handled. Called from the loop, never from inside a
	 * function of this header. May be NULL. */
	void (*changed)(void *context);
	/* The connection of this client becomes the local end of a stream, and is gone from here:
	 * `out` goes to it before all else, `in` came from it. The descriptor is taken in any case.
	 * May be NULL if the api has no streams. */
	void (*becomes)(void *context, uint64_t client, uint64_t stream, int descriptor,
		const struct bytes_queue *in, const struct bytes_queue *out);
};
struct control_config control_config_default(void);

/* Listens. A stale socket is removed, a living one is refused, anything else in its place is left
 * alone. cfg is copied, path and group only used now; loop and api are borrowed until
 * control_close. On failure returns NULL and `why` says what, where and what to do. */
struct control *control_open(struct uv_loop_s *loop, const struct control_config *cfg,
	struct api *api, char *why, size_t why_size);
/* Sends what the api has ready (api_poll). After api_on_event and api_on_store_result, once per
 * loop turn is enough. */
void control_flush(struct control *c, ov_time now);
/* Unlinks the socket, says nothing more to clients, closes all handles; memory is freed while the
 * loop runs on until they are closed. NULL is allowed. */
void control_close(struct control *c);
size_t control_client_count(const struct control *c);
