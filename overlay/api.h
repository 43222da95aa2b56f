#pragma once
/* api - the language of the overlay socket: a request object in, a response object out. Pure: it
 * works on the node, on facts that the daemon states, and on a hook that posts to the store; the
 * socket itself is control_uv. docs/socket.md.
 *
 *   {"id":1,"op":"peer.add","args":{...}}  ->  {"id":1,"ok":true,"result":{...}}
 *                                          ->  {"id":1,"ok":false,"error":{"code","text","hint"}}
 *
 * An operation that must wait (ping; a contact change until it is durable) is answered later,
 * through api_poll. Requests and lines of answer are at most API_LINE_MAX bytes; long lists come in
 * pages: a result with "next":N is continued with "from":N. */
#include "discovery/portmap.h"
#include "overlay/lan.h"
#include "overlay/node.h"
#include "overlay/services.h"
#include "overlay/store.h"
#include "overlay/tcp_gate.h"

#include <jansson.h>

#define API_VERSION            1
#define API_LINE_MAX           65536 /* bytes of a line with its newline, both directions; design 6 */
#define API_PENDING_MAX        1024 /* requests that wait for the store or a peer */
#define API_PENDING_PER_CLIENT 16
#define API_INVITES_MAX        64   /* of ours that wait to be used */
#define API_EVENTS_MAX         1024 /* lines that wait for api_poll; more become event.lost */

enum api_permission {
	API_READ,   /* looks */
	API_CHANGE, /* changes contacts or grants */
};

enum api_stage {
	API_SPEAKS, /* lines come */
	API_LEAVES, /* what comes is for the stream that the connection becomes: kept, not read */
	API_ENDS,   /* its last line was said: it is closed */
};

/* What the api knows of one connection; embedded in the connection by the caller. */
struct api_client {
	uint64_t id; /* never 0, never used again */
	enum api_permission permission;
	uint32_t uid;
	bool greeted;  /* `hello` has been answered */
	uint8_t stage; /* enum api_stage */
	/* What came with the line that is handled: a handler that takes it says so by
	 * has_descriptor. lost: it came, and we had no room for it. */
	bool has_descriptor, lost_descriptor;
	int descriptor;
	uint32_t events; /* subscribed kinds, 1 << enum api_event; 0: none */
};

/* Facts of the running daemon; borrowed, may change between calls. */
struct api_facts {
	const char *version;
	const char *state_dir;
	const char *config_path; /* NULL: no configuration file */
	const char *tun_name;    /* NULL: no interface */
	const char *tun_why;     /* why there is no interface; NULL: there is one, or not wanted */
	uint16_t tun_mtu;
	uint16_t udp_port;
	bool pairing;
	bool lan_only;                           /* of all contacts */
	const struct tcp_counters *tcp;          /* of its connections; NULL: has none */
	const struct portmap_status *portmap[2]; /* IPv4, IPv6; NULL: port mapping is off */
	const struct lan_counters *lan;          /* NULL: switched off */
	struct lan *neighbours;                  /* the same */
	const json_t *features; /* object of probed features, {"udp_gso":true,...}; may be NULL */
};

/* Local ends of streams (conduit_uv.h); all with the context of the hooks. */
struct api_ends {
	int (*join)(void *context, struct service_stream *s, int descriptor);
	int (*pair)(void *context, struct service_stream *s, int *theirs);
	bool (*say)(void *context, struct service_stream *s, const char *text, size_t len);
	void (*start)(void *context, struct service_stream *s);
	void (*cut)(void *context, struct service_stream *s);
	void (*count)(
		void *context, const struct service_stream *s, uint64_t *sent, uint64_t *received);
	void (*close)(void *context, int descriptor); /* of a client, that nobody took */
};

struct api_config {
	struct node *node;
	struct services *services; /* NULL, and the next: no streams */
	const struct api_ends *ends;
	struct peer_id self;
	const struct api_facts *facts;
	void *context; /* of the hooks */
	/* Posts to the store, which takes r->contact in every case (store_post_take). OV_OK or a
	 * negative ov_err. The result comes back through api_on_store_result. */
	int (*store_post_take)(void *context, struct store_request *r);
	/* A contact was put into the node (or removed from it) on behalf of a client: set its
	 * route, resolve its host names. May be NULL. */
	void (*contact_changed)(void *context, const struct contact *c, bool removed);
	/* Line of the configuration file that names this contact, 0: not known. May be NULL. */
	unsigned (*config_line)(void *context, const struct peer_id *id);
	/* Somebody showed the secret of an invite: it is a contact now (`name`), or was refused
	 * (NULL) and why. May be NULL. */
	void (*joined)(
		void *context, const struct peer_id *peer, const char *name, const char *why);
	/* The clock of this contact is so far from ours that what it offers must wait: ahead, or
	 * (negative) behind. Not said again before it is right. May be NULL. */
	void (*clock_differs)(void *context, const char *name, int64_t ahead_s);
	const struct identity *identity; /* signs their vouchers */
	struct rng rng;                  /* secrets of invites */
};

struct api; /* one per daemon */

/* cfg is copied, what it points to is borrowed until api_free. NULL: out of memory. */
struct api *api_new(const struct api_config *cfg, ov_time now);
void api_free(struct api *a);
/* What the store knew of invites at the start; p's invites and joins are taken. Contacts that
 * invited us are called. After the contacts are in the node and the wall clock is set. */
void api_invites_take(struct api *a, ov_time now, struct store_pairing *p);
/* Ties the clock to the calendar, for the `_at` fields; whenever the edge likes, at least at start
 * and after sleep. */
void api_set_wall(struct api *a, ov_time now, int64_t unix_ms);

/* One request. Returns the response (caller owns it) or NULL when it follows later through
 * api_poll or memory is exhausted. Anything may come in. */
json_t *api_handle(struct api *a, ov_time now, struct api_client *client, const json_t *request);
/* The same from the bytes of a line, without its newline. */
json_t *api_handle_line(
	struct api *a, ov_time now, struct api_client *client, const char *line, size_t len);
/* An error response without a request: a line too long, a request too slow. */
json_t *api_error_line(const char *code, const char *text, const char *hint);
/* The client has gone: late answers to it are dropped (a change already posted still happens). */
void api_client_gone(struct api *a, ov_time now, uint64_t client);
/* Does an answer to this client still follow? */
bool api_client_waits(const struct api *a, uint64_t client);

/* Facts that arrive: every event of the node, results of the store, the end of a sleep. */
void api_on_event(struct api *a, ov_time now, const struct node_event *e);
void api_on_store_result(struct api *a, ov_time now, const struct store_result *r);
void api_on_resumed(struct api *a, ov_time now, ov_time slept);
void api_on_portmap(struct api *a, ov_time now, size_t family);
/* Somebody shows itself on the LAN. */
void api_on_nearby(struct api *a, ov_time now, const struct nearby_peer *p);
/* facts->pairing changed: the node hears of it, with what else takes requests. */
void api_renew_pairing(struct api *a, ov_time now);
/* Services have something to tell: after each services_on_event, and after conduits_run. */
void api_on_streams(struct api *a, ov_time now);
/* An open stream has ended both ways; code -1: as it should. */
void api_on_stream_closed(struct api *a, ov_time now, const struct service_stream *s, uint64_t sent,
	uint64_t received, int64_t code);
/* The connection of this client is handed over (api_line.becomes): the stream that it becomes.
 * NULL: it has gone meanwhile. After the local end was made: api_became. */
struct service_stream *api_becomes(struct api *a, uint64_t client, uint64_t number);
void api_became(struct api *a, ov_time now, struct service_stream *s);
void api_tick(struct api *a, ov_time now);
ov_time api_deadline(const struct api *a);

/* A line to send: to one client, or (client 0) to all whose `events` contains `event_bit`. */
struct api_line {
	uint64_t client;
	uint32_t event_bit;
	json_t *json;                 /* the taker owns it; NULL: only `becomes` */
	bool has_descriptor, is_last; /* is_last: then the connection is closed */
	int descriptor;               /* goes with the line, and is the taker's */
	uint64_t
		becomes; /* not 0: after this line the connection is the local end of this stream */
};
bool api_poll(struct api *a, struct api_line *out);
bool api_is_ready(const struct api *a); /* would api_poll give one? */
/* The line that tells a slow reader how many events it missed. */
json_t *api_lost_line(struct api *a, ov_time now, uint64_t count);
/* Nobody took it. */
void api_close_descriptor(struct api *a, int descriptor);
