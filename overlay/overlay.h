#ifndef OVERLAY_H
#define OVERLAY_H
/* overlay.h - liboverlay, the thin C wrapper of the overlay socket: a program speaks to the
 * overlayd of its machine. One connection per thread; no locks, no signals, no globals.
 *
 *   struct overlay_error why;
 *   struct overlay *o = overlay_connect(NULL, &why);
 *   char *result;
 *   if (o && overlay_call(o, "ping", "{\"peer\":\"laptop\"}", &result, &why) == 0)
 *           puts(result), free(result);
 *   else
 *           fprintf(stderr, "%s: %s\n", why.code, why.text);
 *   overlay_close(o);
 *
 * Arguments and results are JSON texts; ops and fields: docs/socket.md. */
#ifdef __cplusplus
extern "C" {
#endif

/* Codes: bad-argument unknown-peer peer-away no-such-service not-allowed quota busy timeout expired
 * no-daemon no-permission io. */
struct overlay_error {
	char code[32];
	char text[320]; /* what went wrong */
	char hint[320]; /* what to do; may be empty */
};

struct overlay; /* a connection */

/* Connects and says hello. path NULL: OVERLAY_SOCKET; else, unless we are root, the first that
 * exists of overlay/overlay.sock in $XDG_RUNTIME_DIR, $XDG_STATE_HOME, ~/.local/state; else
 * /run/overlay/overlay.sock.
 * NULL on failure: no-daemon when nobody listens, no-permission when we may not speak to it. */
struct overlay *overlay_connect(const char *path, struct overlay_error *why);
void overlay_close(struct overlay *o); /* NULL is fine */
const char *overlay_socket_path(const struct overlay *o);

/* Milliseconds a call may take, the daemon's work included; default 35,000. -1: for ever. */
void overlay_set_timeout(struct overlay *o, int timeout_ms);

/* One operation. args: a JSON object or NULL. Returns 0 and, unless `result` is NULL, the result
 * (free it); or -1 with *why. A signal handler that ran while it waited ends it with code "io",
 * text "interrupted"; the connection stays usable. */
int overlay_call(struct overlay *o, const char *op, const char *args, char **result,
	struct overlay_error *why);

/* Events from now on; args as of op `subscribe` ({"events":["peer.up"]}) or NULL for all. */
int overlay_subscribe(struct overlay *o, const char *args, struct overlay_error *why);
/* Waits for the next event (free it). 1: *event is set, 0: timeout or a signal, -1: *why.
 * timeout_ms -1: for ever. */
int overlay_next_event(struct overlay *o, int timeout_ms, char **event, struct overlay_error *why);

#ifdef __cplusplus
}
#endif
#endif
