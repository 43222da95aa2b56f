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
 * Arguments and results are JSON texts; ops and fields: docs/socket.md.
 *
 * A stream to a service of a peer is a descriptor, a plain connected socket:
 *
 *   int fd = overlay_dial(o, "laptop", "echo", NULL, &why);
 *   if (fd >= 0 && write(fd, "hello", 5) == 5)
 *           shutdown(fd, SHUT_WR), n = read(fd, buffer, sizeof(buffer));
 *
 * and there, for whoever has the grant service:echo (`overlay peer allow desk service:echo`):
 *
 *   struct overlay_stream from;
 *   overlay_set_timeout(o, -1);
 *   if (overlay_listen(o, "echo", &why) == 0)
 *           while ((fd = overlay_accept(o, "echo", &from, &why)) >= 0)
 *                   serve(fd, from.name);
 */
#include <stddef.h>

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

/* ---- streams: docs/socket.md 2, dial to refuse ---- */

struct overlay_stream {
	char peer[64]; /* PeerId of the other side */
	char name[80]; /* our name for it */
	char service[64];
	unsigned long long number; /* the same in events service.opened and service.closed */
};

/* A stream to a service of a peer (name or PeerId). Returns its descriptor, close-on-exec, when the
 * other side has accepted it; -1: *why. It lives on without `o`. got may be NULL. The time that a
 * call may take (overlay_set_timeout; -1: 30 s) less a seventh is for the peer to be reached and to
 * accept.
 */
int overlay_dial(struct overlay *o, const char *peer, const char *service,
	struct overlay_stream *got, struct overlay_error *why);
/* The same with a socket of yours (TCP or unix stream, connected) as its local end: overlayd moves
 * the bytes. Close fd afterwards, whatever came out. 0 or -1. */
int overlay_dial_with(struct overlay *o, const char *peer, const char *service, int fd,
	struct overlay_stream *got, struct overlay_error *why);

/* Streams to `service` come here as long as `o` is open. `busy`: another program has the name. */
int overlay_listen(struct overlay *o, const char *service, struct overlay_error *why);
/* Waits for the next stream and accepts it: its descriptor, or -1. After `timeout` or an
 * interruption call it again: a stream that came meanwhile is kept. Any connection of the same user
 * may accept. */
int overlay_accept(struct overlay *o, const char *service, struct overlay_stream *got,
	struct overlay_error *why);
/* The same, but the peer has no answer yet; it must be attached or refused within 30 s. */
int overlay_accept_held(struct overlay *o, const char *service, struct overlay_stream *got,
	struct overlay_error *why);
/* Accepts with fd as local end; close fd afterwards. `expired`: the peer has given up. */
int overlay_attach(struct overlay *o, unsigned long long number, int fd, struct overlay_error *why);
int overlay_refuse(struct overlay *o, unsigned long long number, struct overlay_error *why);

/* ---- for event loops: many operations under way on one connection ---- */

/* Readable: call overlay_next_answer with timeout 0 until it gives 0, then overlay_next_event. */
int overlay_descriptor(const struct overlay *o);
/* Sends an operation and does not wait. fd: goes with it and stays yours; -1: none. Returns its id,
 * or -1 with *why (`busy`: 1,024 are under way). */
long long overlay_request(
	struct overlay *o, const char *op, const char *args, int fd, struct overlay_error *why);

struct overlay_answer {
	long long id;
	char *result;             /* free it; NULL: it failed */
	int fd;                   /* that came with it, yours to close; -1: none */
	struct overlay_error why; /* without result */
};
/* The answer to a request, in any order. 1: *answer is set, 0: timeout or a signal, -1: *why. */
int overlay_next_answer(struct overlay *o, int timeout_ms, struct overlay_answer *answer,
	struct overlay_error *why);

/* After the answer to an operation with "inline": the connection is the stream now. Returns its
 * descriptor, non-blocking no more than before, and closes `o`. What came behind the answer is put
 * into `first` (room for OVERLAY_LINE_MAX bytes), *len of it. */
#define OVERLAY_LINE_MAX 65536
int overlay_take_inline(struct overlay *o, void *first, size_t *len);

#ifdef __cplusplus
}
#endif
#endif
