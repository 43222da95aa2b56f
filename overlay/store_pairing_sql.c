/* An invite row carries a sum as a contact's does (store_row_sql.c): a flipped bit must not turn
 * "tcp/22" into "tcp/23". The line of a join has its own. What has expired is deleted when
 * something is added and never loaded; the clock is SQLite's, the one of the machine. */
#include "overlay/store_pairing_sql.h"

#include "core/bytes.h"
#include "overlay/store_file_sql.h"
#include "overlay/store_row_sql.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const char *const statements[PAIRING_STATEMENTS] = {
	[PAIRING_PRUNE_INVITES] = "DELETE FROM invites WHERE expires_at <= unixepoch()",
	[PAIRING_PRUNE_JOINS] = "DELETE FROM joins WHERE expires_at <= unixepoch()",
	[PAIRING_PRUNE_FACILITATORS] = "DELETE FROM facilitators WHERE expires_at <= unixepoch()",
	[PAIRING_ADD] = "INSERT INTO invites (hash, name, grants, expires_at, created_at, sum)"
			" VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[PAIRING_TAKE] = "DELETE FROM invites WHERE hash = ?1 AND expires_at > unixepoch()",
	[PAIRING_REVOKE] = "DELETE FROM invites WHERE hash = ?1",
	[PAIRING_JOIN] =
		"INSERT OR REPLACE INTO joins (peer, line, expires_at) VALUES (?1, ?2, ?3)",
	[PAIRING_FACILITATOR] = "INSERT INTO facilitators"
				" (peer, endpoint, voucher, token, expires_at)"
				" VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET"
				" endpoint = ?2, voucher = ?3, token = ?4, expires_at = ?5"
				" WHERE expires_at < ?5",
	[PAIRING_CLEAR_FACILITATORS] = "DELETE FROM facilitators",
	[PAIRING_FORGET_FACILITATOR] = "DELETE FROM facilitators WHERE peer = ?1",
	[PAIRING_FORGET] = "DELETE FROM joins WHERE peer = ?1",
	[PAIRING_LOAD_INVITES] = "SELECT hash, name, grants, expires_at, created_at, sum"
				 " FROM invites WHERE expires_at > unixepoch() ORDER BY created_at",
	[PAIRING_LOAD_JOINS] = "SELECT peer, line FROM joins WHERE expires_at > unixepoch()",
	[PAIRING_LOAD_FACILITATORS] = "SELECT peer, endpoint, voucher, token FROM facilitators"
				      " WHERE expires_at > unixepoch()",
};

int store_pairing_sql_prepare(struct store_pairing_sql *p, sqlite3 *db)
{
	int rc = SQLITE_OK;
	for (size_t i = 0; i < PAIRING_STATEMENTS && rc == SQLITE_OK; i++)
		rc = sqlite3_prepare_v3(
			db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &p->st[i], NULL);
	return rc;
}

void store_pairing_sql_finalize(struct store_pairing_sql *p)
{
	for (size_t i = 0; i < PAIRING_STATEMENTS; i++)
		(void)sqlite3_finalize(p->st[i]);
	*p = (struct store_pairing_sql){ 0 };
}

/* ---- statements ---- */

static int finish(sqlite3_stmt *st, int rc)
{
	int reset = sqlite3_reset(st);
	(void)sqlite3_clear_bindings(st);
	if (rc == SQLITE_DONE || rc == SQLITE_ROW || rc == SQLITE_OK)
		rc = reset;
	return store_file_judge(rc);
}

/* rc: of binding. */
static int run(sqlite3_stmt *st, int rc)
{
	return finish(st, rc == SQLITE_OK ? sqlite3_step(st) : rc);
}

static int first_error(int first, int second)
{
	return first != SQLITE_OK ? first : second;
}

static int bind_bytes(sqlite3_stmt *st, int at, const void *data, size_t len)
{
	return sqlite3_bind_blob(st, at, data, (int)len, SQLITE_STATIC);
}

static int bind_text(sqlite3_stmt *st, int at, const char *text)
{
	return sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

static bool column_bytes(sqlite3_stmt *st, int column, void *out, size_t len)
{
	const void *data = sqlite3_column_blob(st, column);
	if (data == NULL || (size_t)sqlite3_column_bytes(st, column) != len)
		return false;
	memcpy(out, data, len);
	return true;
}

static const char *column_text(sqlite3_stmt *st, int column)
{
	const unsigned char *text = sqlite3_column_text(st, column);
	return text != NULL ? (const char *)text : "";
}

/* ---- invites ---- */

static void row_sum(
	const struct store_invite *i, const char *grants, uint8_t out[STORE_ROW_SUM_LEN])
{
	static const char label[] = "OVL invite row 1";
	uint8_t times[16];
	store_le64(times, (uint64_t)i->expires_at_s);
	store_le64(times + 8, (uint64_t)i->created_at_s);
	crypto_generichash_state h;
	(void)crypto_generichash_init(&h, NULL, 0, STORE_ROW_SUM_LEN);
	(void)crypto_generichash_update(&h, (const uint8_t *)label, sizeof(label));
	(void)crypto_generichash_update(&h, i->hash, sizeof(i->hash));
	(void)crypto_generichash_update(&h, times, sizeof(times));
	(void)crypto_generichash_update(&h, (const uint8_t *)i->name, strlen(i->name) + 1);
	(void)crypto_generichash_update(&h, (const uint8_t *)grants, strlen(grants) + 1);
	(void)crypto_generichash_final(&h, out, STORE_ROW_SUM_LEN);
}

int store_pairing_sql_add(struct store_pairing_sql *p, const struct store_invite *i)
{
	sqlite3_stmt *st = p->st[PAIRING_ADD];
	char grants[STORE_GRANTS_MAX];
	uint8_t sum[STORE_ROW_SUM_LEN];
	store_row_grants(&i->grants, grants);
	row_sum(i, grants, sum);
	int rc = run(p->st[PAIRING_PRUNE_INVITES], SQLITE_OK);
	rc = first_error(rc, bind_bytes(st, 1, i->hash, sizeof(i->hash)));
	rc = first_error(rc, bind_text(st, 2, i->name));
	rc = first_error(rc, bind_text(st, 3, grants));
	rc = first_error(rc, sqlite3_bind_int64(st, 4, i->expires_at_s));
	rc = first_error(rc, sqlite3_bind_int64(st, 5, i->created_at_s));
	rc = first_error(rc, bind_bytes(st, 6, sum, sizeof(sum)));
	return run(st, rc);
}

int store_pairing_sql_take(struct store_pairing_sql *p, const uint8_t hash[INVITE_HASH_LEN])
{
	sqlite3_stmt *st = p->st[PAIRING_TAKE];
	return run(st, bind_bytes(st, 1, hash, INVITE_HASH_LEN));
}

int store_pairing_sql_revoke(struct store_pairing_sql *p, const uint8_t hash[INVITE_HASH_LEN])
{
	sqlite3_stmt *st = p->st[PAIRING_REVOKE];
	return run(st, bind_bytes(st, 1, hash, INVITE_HASH_LEN));
}

/* ---- joins ---- */

static int put(struct store_pairing_sql *p, const struct store_facilitator *f)
{
	sqlite3_stmt *st = p->st[PAIRING_FACILITATOR];
	struct voucher v;
	char text[ADDR_TEXT_MAX];
	if (voucher_decode(&v, f->voucher, sizeof(f->voucher)) != OV_OK)
		return SQLITE_MISUSE; /* the api has encoded it */
	const char *endpoint = addr_is_any(&f->endpoint) ? "" : addr_format(&f->endpoint, text);
	int rc = bind_bytes(st, 1, f->id.bytes, PEER_ID_LEN);
	rc = first_error(rc, bind_text(st, 2, endpoint));
	rc = first_error(rc, bind_bytes(st, 3, f->voucher, sizeof(f->voucher)));
	rc = first_error(rc, bind_bytes(st, 4, f->token, sizeof(f->token)));
	rc = first_error(rc, sqlite3_bind_int64(st, 5, (int64_t)v.expires_s));
	return run(st, rc);
}

int store_pairing_sql_facilitator(struct store_pairing_sql *p, const struct store_facilitator *f)
{
	return first_error(run(p->st[PAIRING_PRUNE_FACILITATORS], SQLITE_OK), put(p, f));
}

int store_pairing_sql_forget_facilitator(struct store_pairing_sql *p, const struct peer_id *peer)
{
	sqlite3_stmt *st = p->st[PAIRING_FORGET_FACILITATOR];
	return run(st, bind_bytes(st, 1, peer->bytes, PEER_ID_LEN));
}

static int put_of_invite(struct store_pairing_sql *p, const struct invite *in, size_t i)
{
	struct voucher v = invite_voucher(in, i);
	struct store_facilitator f = { .id = in->facilitators[i].id,
		.endpoint = in->facilitators[i].endpoint };
	voucher_encode(&v, f.voucher);
	voucher_token(f.token, in->secret);
	int rc = put(p, &f);
	sodium_memzero(&f, sizeof(f));
	return rc;
}

int store_pairing_sql_join(
	struct store_pairing_sql *p, const struct peer_id *peer, const char *line)
{
	sqlite3_stmt *st = p->st[PAIRING_JOIN];
	struct invite in;
	if (invite_decode(&in, line) != INVITE_OK)
		return SQLITE_MISUSE; /* the api has decoded it */
	int rc = run(p->st[PAIRING_PRUNE_JOINS], SQLITE_OK);
	rc = first_error(rc, run(p->st[PAIRING_PRUNE_FACILITATORS], SQLITE_OK));
	for (size_t i = 0; i < in.facilitator_count && rc == SQLITE_OK; i++)
		rc = put_of_invite(p, &in, i);
	rc = first_error(rc, bind_bytes(st, 1, peer->bytes, PEER_ID_LEN));
	rc = first_error(rc, bind_text(st, 2, line));
	rc = first_error(rc, sqlite3_bind_int64(st, 3, (int64_t)in.expires_s));
	sodium_memzero(&in, sizeof(in));
	return run(st, rc);
}

int store_pairing_sql_forget(struct store_pairing_sql *p, const struct peer_id *peer)
{
	sqlite3_stmt *st = p->st[PAIRING_FORGET];
	return run(st, bind_bytes(st, 1, peer->bytes, PEER_ID_LEN));
}

/* ---- loading: the entry at `at` from the current row; false: damaged ---- */

static bool read_invite(struct store_pairing *out, size_t at, sqlite3_stmt *st)
{
	struct store_invite *i = &out->invites[at];
	uint8_t sum[STORE_ROW_SUM_LEN], stored[STORE_ROW_SUM_LEN];
	const char *name = column_text(st, 1), *grants = column_text(st, 2);
	*i = (struct store_invite){ .expires_at_s = sqlite3_column_int64(st, 3),
		.created_at_s = sqlite3_column_int64(st, 4) };
	if (!column_bytes(st, 0, i->hash, sizeof(i->hash)) ||
		!column_bytes(st, 5, stored, sizeof(stored)) || strlen(name) >= sizeof(i->name))
		return false;
	memcpy(i->name, name, strlen(name) + 1);
	row_sum(i, grants, sum);
	if (memcmp(sum, stored, sizeof(sum)) != 0)
		return false;
	if (grants[0] != '\0' && grants_add_list(&i->grants, grants, NULL) != OV_OK) {
		grants_fini(&i->grants);
		return false;
	}
	out->invite_count++;
	return true;
}

static bool read_join(struct store_pairing *out, size_t at, sqlite3_stmt *st)
{
	struct store_join *j = &out->joins[at];
	const char *line = column_text(st, 1);
	struct invite in;
	if (!column_bytes(st, 0, j->peer.bytes, PEER_ID_LEN) || strlen(line) >= sizeof(j->line) ||
		invite_decode(&in, line) != INVITE_OK)
		return false;
	bool right = peer_id_equal(&in.inviter, &j->peer);
	sodium_memzero(&in, sizeof(in));
	if (right) {
		memcpy(j->line, line, strlen(line) + 1);
		out->join_count++;
	}
	return right;
}

static bool is_for(const uint8_t voucher[VOUCHER_LEN], const struct peer_id *facilitator)
{
	struct voucher v;
	return voucher_decode(&v, voucher, VOUCHER_LEN) == OV_OK &&
	       peer_id_equal(&v.facilitator, facilitator);
}

static bool read_facilitator(struct store_pairing *out, size_t at, sqlite3_stmt *st)
{
	struct store_facilitator *f = &out->facilitators[at];
	const char *endpoint = column_text(st, 1);
	f->endpoint = (struct ov_addr){ 0 };
	bool good = column_bytes(st, 0, f->id.bytes, PEER_ID_LEN) &&
		    (endpoint[0] == '\0' || addr_parse(endpoint, 0, &f->endpoint) == OV_OK) &&
		    column_bytes(st, 2, f->voucher, sizeof(f->voucher)) &&
		    is_for(f->voucher, &f->id) && column_bytes(st, 3, f->token, sizeof(f->token));
	out->facilitator_count += good;
	return good;
}

/* Room for one more of `size` bytes in a list of count; NULL: out of memory. */
static void *grown(void *list, size_t count, size_t size)
{
	if (count > 0 && (count & (count - 1)) != 0)
		return list; /* not full: it holds a power of two */
	return realloc(list, (count > 0 ? 2 * count : 1) * size);
}

static int load_rows(sqlite3_stmt *st, struct store_pairing *out,
	int (*add)(struct store_pairing *out, sqlite3_stmt *st))
{
	int rc, result = SQLITE_OK;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		int err = add(out, st);
		if (err == SQLITE_NOMEM)
			return finish(st, err);
		result = first_error(result, err);
	}
	return first_error(finish(st, rc), result);
}

static int add_invite(struct store_pairing *out, sqlite3_stmt *st)
{
	void *more = grown(out->invites, out->invite_count, sizeof(*out->invites));
	if (more == NULL)
		return SQLITE_NOMEM;
	out->invites = more;
	return read_invite(out, out->invite_count, st) ? SQLITE_OK : SQLITE_CORRUPT;
}

static int add_join(struct store_pairing *out, sqlite3_stmt *st)
{
	void *more = grown(out->joins, out->join_count, sizeof(*out->joins));
	if (more == NULL)
		return SQLITE_NOMEM;
	out->joins = more;
	return read_join(out, out->join_count, st) ? SQLITE_OK : SQLITE_CORRUPT;
}

static int add_facilitator(struct store_pairing *out, sqlite3_stmt *st)
{
	void *more = grown(out->facilitators, out->facilitator_count, sizeof(*out->facilitators));
	if (more == NULL)
		return SQLITE_NOMEM;
	out->facilitators = more;
	out->facilitators_lost += !read_facilitator(out, out->facilitator_count, st);
	return SQLITE_OK;
}

/* Nobody is let in by such a row, and contacts offer what it was about again: it alone goes, not
 * the invites with it. Those that are good are written anew. */
static int drop_lost(struct store_pairing_sql *p, const struct store_pairing *out)
{
	int rc = run(p->st[PAIRING_CLEAR_FACILITATORS], SQLITE_OK);
	for (size_t i = 0; i < out->facilitator_count && rc == SQLITE_OK; i++)
		rc = put(p, &out->facilitators[i]);
	return rc;
}

int store_pairing_sql_load(struct store_pairing_sql *p, struct store_pairing *out)
{
	int rc = load_rows(p->st[PAIRING_LOAD_INVITES], out, add_invite);
	rc = first_error(rc, load_rows(p->st[PAIRING_LOAD_JOINS], out, add_join));
	rc = first_error(rc, load_rows(p->st[PAIRING_LOAD_FACILITATORS], out, add_facilitator));
	return rc == SQLITE_OK && out->facilitators_lost > 0 ? drop_lost(p, out) : rc;
}
