#pragma once
/* store_pairing_sql - invites of ours, invites that we took, and the facilitators they named, as
 * tables. Part of store_sql, on its connection and inside its transactions. Functions return
 * SQLite's extended codes. */
#include "overlay/store.h"

#include <sqlite3.h>

enum store_pairing_statement {
	PAIRING_PRUNE_INVITES,
	PAIRING_PRUNE_JOINS,
	PAIRING_PRUNE_FACILITATORS,
	PAIRING_ADD,
	PAIRING_TAKE,
	PAIRING_REVOKE,
	PAIRING_JOIN,
	PAIRING_FACILITATOR,
	PAIRING_CLEAR_FACILITATORS,
	PAIRING_FORGET_FACILITATOR,
	PAIRING_FORGET,
	PAIRING_LOAD_INVITES,
	PAIRING_LOAD_JOINS,
	PAIRING_LOAD_FACILITATORS,
	PAIRING_STATEMENTS,
};

struct store_pairing_sql {
	sqlite3_stmt *st[PAIRING_STATEMENTS];
};

int store_pairing_sql_prepare(struct store_pairing_sql *p, sqlite3 *db);
void store_pairing_sql_finalize(struct store_pairing_sql *p);

/* Everything that can be read and has not expired; SQLITE_CORRUPT when that was not all. */
int store_pairing_sql_load(struct store_pairing_sql *p, struct store_pairing *out);

int store_pairing_sql_add(struct store_pairing_sql *p, const struct store_invite *i);
/* Deletes the invite if it has not expired. sqlite3_changes tells whether there was one. */
int store_pairing_sql_take(struct store_pairing_sql *p, const uint8_t hash[INVITE_HASH_LEN]);
/* Deletes it in any case. */
int store_pairing_sql_revoke(struct store_pairing_sql *p, const uint8_t hash[INVITE_HASH_LEN]);
/* The line is kept for its contact, its facilitators with their vouchers for all. */
int store_pairing_sql_join(
	struct store_pairing_sql *p, const struct peer_id *peer, const char *line);
int store_pairing_sql_facilitator(struct store_pairing_sql *p, const struct store_facilitator *f);
int store_pairing_sql_forget_facilitator(struct store_pairing_sql *p, const struct peer_id *peer);
int store_pairing_sql_forget(struct store_pairing_sql *p, const struct peer_id *peer);
