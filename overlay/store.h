#pragma once
/* store - what survives a restart: contacts and grants, boot epoch, last endpoints. The database
 * belongs to one thread (store_uv.c runs it, store_sql.c is the SQL); the loop posts requests and
 * hears of results. Group commit: all requests that wait are one transaction. A write is durable
 * (WAL, synchronous=FULL) before its result is posted. */
#include "discovery/invite.h"
#include "overlay/contact.h"

enum store_op {
	STORE_CONTACT_PUT, /* insert or replace by PeerId, but for the last endpoint; OV_EEXIST
			      when the name (any case) belongs to another PeerId */
	STORE_CONTACT_REMOVE,
	STORE_LAST_ENDPOINT, /* only last_endpoint and last_seen_at_s of `contact` */
	STORE_INVITE_ADD,    /* `invite`; forgets those that have expired */
	STORE_INVITE_REVOKE, /* the hash of `invite` */
	STORE_INVITE_USE, /* in one step: the invite with the hash of `invite` is there and has not
			     expired, and is no more; `contact` is one now. A contact without
			     name: only the invite goes. OV_ENOENT: nothing was changed */
	STORE_JOIN,       /* in one step: `contact`, and `line`, until */
	STORE_JOIN_DONE,  /* the session with `contact` is up */
	STORE_FACILITATOR_PUT,    /* `facilitator`, until its voucher expires */
	STORE_FACILITATOR_REMOVE, /* the PeerId of `contact` */
};

struct store_invite {                  /* one of ours that nobody has used */
	uint8_t hash[INVITE_HASH_LEN]; /* of its secret, which is not kept */
	char name[CONTACT_NAME_MAX];   /* for who joins; "": none was given */
	struct grants grants;
	int64_t expires_at_s, created_at_s; /* Unix time */
};
/* Frees; NULL is fine. */
void store_invite_free(struct store_invite *i);

struct store_join { /* a contact that invited us and with which there was no session yet */
	struct peer_id peer;
	char line[INVITE_TEXT_MAX]; /* holds the secret: wipe it */
};

struct store_facilitator { /* offered by a contact; forgotten when the voucher expires */
	struct peer_id id;
	struct ov_addr endpoint; /* any: those of the contact that it is */
	uint8_t voucher[VOUCHER_LEN];
	uint8_t token[VOUCHER_TOKEN_LEN]; /* what is shown beside it */
};

struct store_pairing { /* what is known of invites at the start, none expired */
	struct store_invite *invites;
	struct store_join *joins;
	struct store_facilitator *facilitators;
	size_t invite_count, join_count, facilitator_count;
	size_t facilitators_lost; /* damaged rows: deleted, contacts offer them again */
};
/* Wipes and frees the lists. */
void store_pairing_fini(struct store_pairing *p);

struct store_request {
	enum store_op op;
	struct contact contact;      /* taken: the store frees it */
	uint64_t ticket;             /* returned with the result; 0: no result wanted */
	struct store_invite *invite; /* STORE_INVITE_*; taken */
	char *line;                  /* STORE_JOIN: allocated, of INVITE_TEXT_MAX; taken */
	struct store_facilitator *facilitator; /* STORE_FACILITATOR_PUT; taken */
};
/* Wipes and frees what it owns; leaves zeros there. */
void store_request_fini(struct store_request *r);

struct store_result {
	uint64_t ticket;
	int status;
	char text[200]; /* status: OV_OK or ov_err; text says what to do */
};

#define STORE_QUEUE_MAX 4096 /* requests posted whose result has not been delivered */

struct store; /* handle of the thread */

/* Opens DIR/overlay.db (created 0600), migrates, checks, raises the boot epoch durably, loads all
 * contacts: synchronously, before the loop starts. A corrupt database is set aside as
 * overlay.db.corrupt-N and the store starts with the contacts that could be saved; `why` says so
 * (it is "" otherwise: log it as a warning when it is not). On failure returns NULL and `why` says
 * what, where and what to do. */
struct store *store_open(const char *dir, char *why, size_t why_size);
uint32_t store_boot_epoch(const struct store *s);
/* Contacts as loaded by store_open; the caller takes them (frees array and contents). */
size_t store_take_contacts(struct store *s, struct contact **out);
/* The same for invites. Those of a damaged database are not saved: a used one must not come back.
 */
void store_take_pairing(struct store *s, struct store_pairing *out);

struct uv_loop_s;
/* Starts the thread; `on_result` is called on the loop's thread. */
OV_MUST_CHECK int store_start(struct store *s, struct uv_loop_s *loop,
	void (*on_result)(void *context, const struct store_result *r), void *context);
/* Never blocks; OV_EFULL when STORE_QUEUE_MAX requests wait. Takes what r owns also on failure (it
 * is zeroed). Statuses of results: OV_OK; OV_EEXIST; OV_ENOENT (no such contact, no such invite);
 * OV_ENOMEM; OV_EIO ("disk full: ..."; then only removals go on until there is space again). */
OV_MUST_CHECK int store_post_take(struct store *s, struct store_request *r);
/* Finishes what was posted, delivers the results, joins the thread, closes. At most ~1 s. The loop
 * must run once more (a handle closes). NULL is allowed. */
void store_close(struct store *s);
