#pragma once
/* api_impl - what the files of the api share; nobody else includes it. */
#include "overlay/api.h"

#include <stdio.h>

#define PAGE_BYTES      45000 /* of entries; leaves room for the rest of a line of API_LINE_MAX */
#define REQUESTS_LISTED 256   /* fit a line */
#define REQUESTS_MAX    4096  /* searched: what limits.requests may be at most */

#define EXPIRES_MAX_S (365 * INT64_C(86400)) /* an invite, after it is made */

/* One request while it is being handled. */
struct api_call {
	struct api *a;
	ov_time now;
	struct api_client *client;
	const json_t *args; /* an object, or NULL */
	const char *op;
	json_int_t id;
	bool has_id;
	bool later; /* the answer follows through api_poll */
	const char *code;
	char text[320], hint[320];
};

enum pending_kind {
	PENDING_PING,
	PENDING_PUT,
	PENDING_ACCEPT,
	PENDING_REMOVE,
	PENDING_INVITE,
	PENDING_REVOKE,
	PENDING_USE, /* nobody waits for it: a guest showed the secret */
	PENDING_JOIN,
};

struct pending { /* a request that waits for the node or the store */
	struct pending *next;
	uint64_t token;  /* ping token or store ticket */
	uint64_t client; /* 0: nobody waits for the answer any more */
	json_int_t id;
	bool has_id;
	enum pending_kind kind;
	bool call, is_new;           /* PUT: reach it at once; it was no contact before */
	ov_time deadline;            /* of the answer, not of the change */
	ov_time timeout;             /* PING: as asked */
	struct contact contact;      /* PING: only id and name; INVITE, REVOKE: none */
	struct store_invite *invite; /* INVITE, REVOKE, USE: owned */
	struct invite *line;         /* INVITE, JOIN: owned, holds the secret */
	struct ov_addr from;         /* USE */
};

struct api_queued {
	struct api_queued *next;
	struct api_line line;
};

struct api_join { /* a contact that invited us: the store has the line */
	struct peer_id peer;
	int64_t expires_s;
};

struct api_invites {                               /* api_invite.c */
	struct store_invite list[API_INVITES_MAX]; /* as the store has them */
	bool in_use[API_INVITES_MAX];              /* a STORE_INVITE_USE is on its way */
	size_t count;
	struct api_join *joins; /* api_join.c */
	size_t join_count;
	uint64_t refused; /* secrets shown that were none of ours, used or expired */
};

#define API_OFFERED_MAX 4

struct api_offered { /* a facilitator that we use because a contact offers it */
	struct peer_id facilitator, giver;
	int64_t expires_s; /* Unix time, of the voucher */
};

#define API_ENDED_MAX 256

struct api_ended { /* a stream that was open */
	struct peer_id peer;
	char service[SERVICE_NAME_MAX];
	uint64_t number, sent, received;
	int64_t code; /* -1: it ended as it should */
	bool is_outbound;
};

struct api {
	struct api_config cfg;
	struct api_offered offered[API_OFFERED_MAX];
	size_t offered_count;
	struct node_event held[API_OFFERED_MAX]; /* offers that the clock is against: api_offer.c */
	size_t held_count;
	struct api_invites invites;
	struct {               /* api_nearby.c */
		ov_time until; /* 0: not */
		char name[NOTICE_NAME_MAX];
	} visible;
	ov_time started, wall_at;
	int64_t wall_ms; /* Unix time at wall_at */
	uint64_t next_token, next_event;
	struct pending *pending, **pending_tail; /* oldest first */
	size_t pending_count;
	struct api_queued *lines, **lines_tail;
	size_t events_queued;
	uint64_t events_lost;
	struct api_ended *ended; /* the last API_ENDED_MAX, once there was one; api_stream.c */
	size_t ended_count;      /* since the start */
	uint32_t subscribed;     /* kinds that somebody has ever asked for */
};

enum api_event { /* order of api_event_names */
	EVENT_PEER_UP,
	EVENT_PEER_DOWN,
	EVENT_PEER_REQUEST,
	EVENT_PEER_NEARBY,
	EVENT_PATH_CHANGED,
	EVENT_ADDRESS_CHANGED,
	EVENT_PORTMAP_CHANGED,
	EVENT_SLEEP_RESUMED,
	EVENT_SERVICE_OPENED,
	EVENT_SERVICE_CLOSED,
	EVENT_LOST,
	EVENT_COUNT
};
extern const char *const api_event_names[EVENT_COUNT];

/* ---- api.c ---- */
int64_t api_wall_s(const struct api *a, ov_time now); /* Unix time in seconds */
/* Sets the call's error and returns NULL, so that handlers can `return api_fail(...)`. The hint may
 * be empty. */
json_t *api_fail(struct api_call *c, const char *code, const char *hint, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
json_t *api_result_line(bool has_id, json_int_t id, json_t *result_take);
json_t *api_failure_line(
	bool has_id, json_int_t id, const char *code, const char *text, const char *hint);
void api_queue_take(struct api *a, const struct api_line *line);
/* NULL: too many wait already (the call's error is set). Not yet in the list. */
struct pending *api_pending_new(struct api_call *c, enum pending_kind kind);
void api_pending_add(struct api *a, struct pending *p);
struct pending *api_pending_unlink(struct api *a, uint64_t token); /* NULL: none */
void api_pending_free(struct pending *p);

/* Posts r for p (not yet in the list), both are taken; the answer follows when it is durable.
 * Returns NULL. */
json_t *api_post_take(struct api_call *c, struct pending *p, struct store_request *r);

/* ---- api_peer.c ---- */
/* The contact as it will be when the store has done what waits; NULL: none. */
const struct contact *api_newest(const struct api *a, const struct peer_id *id);
/* These set the error and return false. */
bool api_check_name(struct api_call *c, const char *name, const struct peer_id *id);
#define API_DEFAULT_NAME_MAX 16
/* "peer-" and the first 8 characters of the PeerId. Returns out. */
const char *api_default_name(const struct peer_id *id, char out[API_DEFAULT_NAME_MAX]);
/* The name that is wanted, or the first free one of NAME-2, NAME-3 ... */
void api_choose_name(const struct api *a, const char *wanted, const struct peer_id *id,
	char out[CONTACT_NAME_MAX]);
bool api_check_not_config(struct api_call *c, const struct contact *contact);
bool api_add_grants(struct api_call *c, struct contact *contact, const json_t *words);
/* A contact was put into the node, or removed from it: the daemon hears of it. */
void api_notify(struct api *a, const struct contact *contact, bool removed);
/* The node refused what the store keeps (its /64 collides, or the table is full): takes it back,
 * and says why. */
json_t *api_undo(struct api *a, const struct pending *p, int rc);

/* ---- api_invite.c ---- */
/* The store has done what p asks for. Returns the line for its client; NULL: nobody waits. */
json_t *api_invite_stored(struct api *a, ov_time now, struct pending *p);
/* The store refused what p asks for. */
void api_invite_failed(struct api *a, const struct pending *p, const struct store_result *r);
void api_invite_on_guest(struct api *a, ov_time now, const struct node_event *e);
void api_invite_fini(struct api *a);

/* ---- api_join.c ---- */
/* The store has the line and the contact. Returns the line for the client. */
json_t *api_join_stored(struct api *a, ov_time now, struct pending *p);
void api_join_done(struct api *a, const struct peer_id *peer); /* the inviter knows us */
/* The contact was removed. */
void api_join_forget(struct api *a, const struct peer_id *peer);
/* Facilitators and inviters that the store knew at the start. */
void api_joins_take(struct api *a, ov_time now, const struct store_pairing *p);
void api_join_tick(struct api *a, ov_time now);
ov_time api_join_deadline(const struct api *a);
void api_join_fini(struct api *a);

/* ---- api_nearby.c ---- */
/* Are strangers listed that call? */
bool api_takes_requests(const struct api *a, ov_time now);
void api_nearby_tick(struct api *a, ov_time now);
ov_time api_nearby_deadline(const struct api *a);
json_t *api_json_nearby(const struct api *a, const struct nearby_peer *p);
/* The contact may be called where it shows itself; false: it does not. */
bool api_call_nearby(struct api *a, ov_time now, const struct peer_id *id);
const char *api_nearby_name(const struct api *a, const struct peer_id *id); /* NULL: none */

/* ---- api_offer.c ---- */
/* A session with `to` came up: it hears where we can be reached. */
void api_offer_make(struct api *a, ov_time now, const struct peer_id *to);
void api_offer_take(struct api *a, ov_time now, const struct node_event *e);
/* Uses a facilitator by this voucher; endpoint any: it is a contact. False: it serves us without,
 * a voucher that holds longer is known, or others have its place. */
bool api_offer_use(struct api *a, ov_time now, const struct ov_addr *endpoint,
	const struct voucher *v, const uint8_t token[VOUCHER_TOKEN_LEN]);
/* To all who are here: our clock was set, so what they were told is of a wrong time. */
void api_offer_again(struct api *a, ov_time now);
/* Forgets those that refuse us, have expired, or whose giver is no contact any more; takes what
 * waited for the clock. */
void api_offer_check(struct api *a, ov_time now);
/* Whose clock differs so much from ours that its offers wait, and by how much; null: nobody's. */
json_t *api_json_clock(const struct api *a, ov_time now);

/* ---- api_read.c ---- */
/* The strangers that wait, up to max; the caller frees the list (NULL: out of memory). */
struct peer_request *api_requests(const struct api *a, size_t max, size_t *count);

/* ---- api_args.c ---- */
/* Text argument; NULL when absent. Wrong type, or absent and required: sets the error. */
const char *api_text(struct api_call *c, const char *key, bool required);
/* Integer in [low, high]; `absent` when it is not there. False: error set. */
bool api_integer(struct api_call *c, const char *key, int64_t low, int64_t high, int64_t *value);
/* Array of texts; NULL when absent or wrong (error set). */
/* True: it is there; false: it is not, or no boolean (error set). */
bool api_flag(struct api_call *c, const char *key, bool *value);
const json_t *api_list(struct api_call *c, const char *key);
/* The contact that an argument names, by name or PeerId; NULL: error set, with a suggestion. */
const struct contact *api_contact(struct api_call *c, const char *key);
/* Printable, bounded copy of foreign text for messages. */
const char *api_quote(char out[72], const char *text);

/* ---- api_json.c ---- */
json_t *api_json_peer_id(const struct peer_id *id);
/* Of a path: an address, or "relay:PEERID". */
json_t *api_json_remote(const struct api *a, const struct ov_addr *remote);
json_t *api_json_facilitators(const struct api *a, ov_time now);
json_t *api_json_addr(const struct ov_addr *a); /* null for the unspecified address */
json_t *api_json_grants(const struct grants *g);
json_t *api_json_at(const struct api *a, ov_time at);
json_t *api_json_unix(int64_t unix_ms);
json_t *api_json_contact(const struct api *a, const struct contact *c);
json_t *api_json_status(struct api *a, ov_time now, const struct contact *c);
json_t *api_json_paths(struct api *a, const struct peer_id *id);
json_t *api_json_candidates(struct api *a, const struct peer_id *id);
json_t *api_json_tcp(const struct tcp_counters *t); /* null without */
const char *api_carrier_name(uint8_t carrier);
json_t *api_json_counters(const struct node_counters *n);
json_t *api_json_portmap(const struct api *a, size_t family); /* null: it is off */
void api_address_text(const struct peer_id *id, char out[ADDR_TEXT_MAX]);

/* ---- api_event.c ---- */
json_t *api_event_line(struct api *a, ov_time now, enum api_event kind);
/* Queues an event; when nobody drains the queue the newest are counted instead. */
void api_publish_take(struct api *a, ov_time now, enum api_event kind, json_t *line);

/* ---- api_service.c ---- */
#define API_LISTEN_HINT "first: {\"op\":\"listen\",\"args\":{\"service\":NAME}}"
json_t *api_json_streams(const struct api *a, const struct peer_id *id); /* null: none */
json_t *api_json_names(
	const struct api *a, const struct peer_id *peer, const char *service, uint64_t number);
json_t *api_json_stream(const struct api *a, const struct service_stream *s);
json_t *api_json_counts(uint64_t sent, uint64_t received, int64_t code); /* -1: null */
json_t *api_json_direction(bool is_outbound);
/* Its local end is there: bytes flow. */
void api_open_stream(struct api *a, ov_time now, struct service_stream *s);

/* ---- handlers ---- */
json_t *api_op_dial(struct api_call *c);
json_t *api_op_stream(struct api_call *c);
json_t *api_op_listen(struct api_call *c);
json_t *api_op_accept(struct api_call *c);
json_t *api_op_attach(struct api_call *c);
json_t *api_op_stream_refuse(struct api_call *c);
json_t *api_op_hello(struct api_call *c);
json_t *api_op_version(struct api_call *c);
json_t *api_op_id(struct api_call *c);
json_t *api_op_status(struct api_call *c);
json_t *api_op_hosts(struct api_call *c);
json_t *api_op_netcheck(struct api_call *c);
json_t *api_op_why(struct api_call *c);
json_t *api_op_facilitator_status(struct api_call *c);
json_t *api_op_subscribe(struct api_call *c);
json_t *api_op_ping(struct api_call *c);
json_t *api_op_peer_add(struct api_call *c);
json_t *api_op_peer_list(struct api_call *c);
json_t *api_op_peer_show(struct api_call *c);
json_t *api_op_peer_rename(struct api_call *c);
json_t *api_op_peer_remove(struct api_call *c);
json_t *api_op_peer_allow(struct api_call *c);
json_t *api_op_peer_lan_only(struct api_call *c);
json_t *api_op_peer_deny(struct api_call *c);
json_t *api_op_peer_requests(struct api_call *c);
json_t *api_op_peer_accept(struct api_call *c);
json_t *api_op_peer_refuse(struct api_call *c);
json_t *api_op_invite_create(struct api_call *c);
json_t *api_op_invite_list(struct api_call *c);
json_t *api_op_invite_revoke(struct api_call *c);
json_t *api_op_join(struct api_call *c);
json_t *api_op_visible(struct api_call *c);
json_t *api_op_visible_set(struct api_call *c);
json_t *api_op_nearby(struct api_call *c);
