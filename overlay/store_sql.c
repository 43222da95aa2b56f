/* Opening: check, migrate, load. If anything of that shows damage, the rows whose sum holds
 * (store_row_sql.h) are kept, the file is set aside, and a new one is filled with them. A lowered
 * boot epoch is no harm: the protocol lifts it (security.md 2.2).
 *
 * Commit: SQLITE_FULL or an I/O error may undo a whole transaction, so a group that fails is run
 * again one by one; then each result is the request's own. On a full disk only removals go on,
 * with the space of the reserve file; nothing else is written until the reserve is whole again. */
#include "overlay/store_sql.h"

#include "overlay/store_file_sql.h"
#include "overlay/store_pairing_sql.h"
#include "overlay/store_row_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#define CHECK_LIMIT_MS 1000
#define WAL_PAGES_MAX  1000 /* SQLite's own default for a checkpoint */

/* clang-format off */
enum statement {
	ST_BEGIN,
	ST_COMMIT,
	ST_ROLLBACK,
	ST_SAVE,
	ST_KEEP,
	ST_UNDO,
	ST_PUT,
	ST_REMOVE,
	ST_FORGET,
	ST_LAST,
	ST_LOAD,
	ST_EPOCH_GET,
	ST_EPOCH_SET,
	ST_COUNT,
};
/* clang-format on */

static const char *const statements[ST_COUNT] = {
	[ST_BEGIN] = "BEGIN IMMEDIATE",
	[ST_COMMIT] = "COMMIT",
	[ST_ROLLBACK] = "ROLLBACK",
	[ST_SAVE] = "SAVEPOINT job",
	[ST_KEEP] = "RELEASE job",
	[ST_UNDO] = "ROLLBACK TO job",
	[ST_PUT] =
		"INSERT INTO contacts (peer, name, source, grants, endpoints, added_at, sum,"
		" lan_only) VALUES (?1, ?2, ?3, ?4, ?5, unixepoch(), ?6, ?7)"
		" ON CONFLICT (peer) DO UPDATE SET name = excluded.name, source = excluded.source,"
		" grants = excluded.grants, endpoints = excluded.endpoints, sum = excluded.sum,"
		" lan_only = excluded.lan_only",
	[ST_REMOVE] = "DELETE FROM contacts WHERE peer = ?1",
	[ST_FORGET] = "DELETE FROM last_endpoints WHERE peer = ?1",
	[ST_LAST] = "INSERT INTO last_endpoints (peer, address, seen_at)"
		    " SELECT peer, ?2, ?3 FROM contacts WHERE peer = ?1"
		    " ON CONFLICT (peer) DO UPDATE SET address = excluded.address,"
		    " seen_at = excluded.seen_at",
	[ST_LOAD] =
		"SELECT c.peer, c.name, c.source, c.grants, c.endpoints, c.sum, l.address,"
		" l.seen_at, c.lan_only FROM contacts c LEFT JOIN last_endpoints l ON l.peer = c.peer"
		" ORDER BY c.added_at, c.name",
	[ST_EPOCH_GET] = "SELECT value FROM meta WHERE key = 'boot_epoch'",
	[ST_EPOCH_SET] = "UPDATE meta SET value = ?1 WHERE key = 'boot_epoch'",
};

struct store_sql {
	char path[STORE_PATH_MAX];
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
	struct store_pairing_sql pairing;
	struct store_pairing loaded; /* until store_sql_take_pairing */
	uint32_t boot_epoch;
	struct contact *contacts;
	size_t contact_count, contact_cap;
	int wal_pages; /* in the log, by SQLite's hook */
	bool has_reserve;
	bool lost_rows; /* some row's sum did not hold */
};

/* ---- statements ---- */

static int first_error(int first, int second)
{
	return first != SQLITE_OK ? first : second;
}

static int finish(struct store_sql *s, enum statement which, int rc)
{
	int reset = sqlite3_reset(s->st[which]);
	(void)sqlite3_clear_bindings(s->st[which]);
	if (rc == SQLITE_DONE || rc == SQLITE_ROW || rc == SQLITE_OK)
		rc = reset;
	return store_file_judge(rc);
}

/* Runs a statement whose parameters are bound and that returns no rows. */
static int run(struct store_sql *s, enum statement which)
{
	return finish(s, which, sqlite3_step(s->st[which]));
}

static int bind_peer(struct store_sql *s, enum statement which, const struct peer_id *id)
{
	return sqlite3_bind_blob(s->st[which], 1, id->bytes, sizeof(id->bytes), SQLITE_STATIC);
}

static int prepare_all(struct store_sql *s)
{
	for (size_t i = 0; i < ST_COUNT; i++) {
		int rc = sqlite3_prepare_v3(
			s->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &s->st[i], NULL);
		if (rc != SQLITE_OK)
			return rc;
	}
	return store_pairing_sql_prepare(&s->pairing, s->db);
}

/* ---- contacts ---- */

static int bind_text(struct store_sql *s, enum statement which, int at, const char *text)
{
	return sqlite3_bind_text(s->st[which], at, text, -1, SQLITE_STATIC);
}

/* The last endpoint stays as it is. */
static int put_contact(struct store_sql *s, const struct contact *c)
{
	struct store_row r;
	if (store_row_make(&r, c) != OV_OK)
		return SQLITE_NOMEM;
	int rc = bind_peer(s, ST_PUT, &c->id);
	rc = first_error(rc, bind_text(s, ST_PUT, 2, c->name));
	rc = first_error(rc, sqlite3_bind_int(s->st[ST_PUT], 3, c->source));
	rc = first_error(rc, bind_text(s, ST_PUT, 4, r.grants));
	rc = first_error(rc, bind_text(s, ST_PUT, 5, r.endpoints));
	rc = first_error(
		rc, sqlite3_bind_blob(s->st[ST_PUT], 6, r.sum, sizeof(r.sum), SQLITE_STATIC));
	rc = first_error(rc, sqlite3_bind_int(s->st[ST_PUT], 7, c->lan_only));
	rc = rc == SQLITE_OK ? run(s, ST_PUT) : finish(s, ST_PUT, rc);
	free(r.endpoints);
	return rc;
}

static int put_last(struct store_sql *s, const struct contact *c)
{
	char address[ADDR_TEXT_MAX];
	int rc = bind_peer(s, ST_LAST, &c->id);
	rc = first_error(rc, bind_text(s, ST_LAST, 2, addr_format(&c->last_endpoint, address)));
	rc = first_error(rc, sqlite3_bind_int64(s->st[ST_LAST], 3, c->last_seen_at_s));
	return rc == SQLITE_OK ? run(s, ST_LAST) : finish(s, ST_LAST, rc);
}

/* The contact last, so that sqlite3_changes tells whether there was one. */
static int remove_contact(struct store_sql *s, const struct peer_id *id)
{
	int rc = store_pairing_sql_forget(&s->pairing, id);
	rc = first_error(rc, bind_peer(s, ST_FORGET, id));
	rc = rc == SQLITE_OK ? run(s, ST_FORGET) : rc;
	rc = first_error(rc, bind_peer(s, ST_REMOVE, id));
	return rc == SQLITE_OK ? run(s, ST_REMOVE) : rc;
}

/* ---- opening ---- */

static int add_contact(struct store_sql *s, const struct contact *c)
{
	if (s->contact_count == s->contact_cap) {
		size_t cap = s->contact_cap > 0 ? 2 * s->contact_cap : 16;
		struct contact *more = realloc(s->contacts, cap * sizeof(*more));
		if (more == NULL)
			return SQLITE_NOMEM;
		s->contacts = more;
		s->contact_cap = cap;
	}
	s->contacts[s->contact_count++] = *c;
	return SQLITE_OK;
}

/* Everything that can be read; the result tells whether that was all. */
static int load_contacts(struct store_sql *s)
{
	sqlite3_stmt *st = s->st[ST_LOAD];
	int rc;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct contact c;
		if (!store_row_read(&c, st)) {
			s->lost_rows = true;
			continue;
		}
		int err = add_contact(s, &c);
		if (err != SQLITE_OK) {
			contact_fini(&c);
			return finish(s, ST_LOAD, err);
		}
	}
	rc = finish(s, ST_LOAD, rc);
	return rc == SQLITE_OK && s->lost_rows ? SQLITE_CORRUPT : rc;
}

static int read_epoch(struct store_sql *s)
{
	int rc = sqlite3_step(s->st[ST_EPOCH_GET]);
	int64_t epoch = rc == SQLITE_ROW ? sqlite3_column_int64(s->st[ST_EPOCH_GET], 0) : -1;
	rc = finish(s, ST_EPOCH_GET, rc);
	if (rc != SQLITE_OK)
		return rc;
	if (epoch < 0 || epoch >= UINT32_MAX)
		return SQLITE_CORRUPT; /* 2^32 starts do not happen */
	s->boot_epoch = (uint32_t)epoch;
	return SQLITE_OK;
}

static int raise_epoch(struct store_sql *s)
{
	int rc = sqlite3_bind_int64(s->st[ST_EPOCH_SET], 1, (int64_t)s->boot_epoch + 1);
	if (rc == SQLITE_OK)
		rc = run(s, ST_EPOCH_SET);
	if (rc == SQLITE_OK)
		s->boot_epoch++;
	return rc;
}

static int count_pages(void *context, sqlite3 *db, const char *name, int pages)
{
	(void)db;
	(void)name;
	*(int *)context = pages;
	return SQLITE_OK;
}

static void close_db(struct store_sql *s, bool damaged)
{
	for (size_t i = 0; i < ST_COUNT; i++) {
		(void)sqlite3_finalize(s->st[i]);
		s->st[i] = NULL;
	}
	store_pairing_sql_finalize(&s->pairing);
	store_file_close(s->db, damaged);
	s->db = NULL;
}

/* One try at the file as it is. On damage s holds what could be read. */
static int open_db(struct store_sql *s, int *newer)
{
	*newer = 0;
	int rc = store_file_open(s->path, &s->db);
	if (rc != SQLITE_OK)
		return rc;
	(void)sqlite3_wal_hook(s->db, count_pages, &s->wal_pages);
	rc = store_file_check(s->db, CHECK_LIMIT_MS);
	rc = first_error(rc, store_file_migrate(s->db, newer));
	if (*newer != 0 || (rc != SQLITE_OK && !store_file_is_damage(s->path, rc)))
		return rc;
	int prepared = prepare_all(s);
	if (prepared != SQLITE_OK)
		return first_error(rc, prepared);
	rc = first_error(rc, read_epoch(s));
	rc = first_error(rc, load_contacts(s));
	return first_error(rc, store_pairing_sql_load(&s->pairing, &s->loaded));
}

/* The contacts that were read before, and the epoch, into the new database. */
static int fill_db(struct store_sql *s)
{
	int rc = run(s, ST_BEGIN);
	for (size_t i = 0; i < s->contact_count && rc == SQLITE_OK; i++) {
		int err = put_contact(s, &s->contacts[i]);
		if (err == SQLITE_OK && !addr_is_any(&s->contacts[i].last_endpoint))
			err = put_last(s, &s->contacts[i]);
		/* A damaged tree may show a row twice: the later name collides. */
		rc = (err & 0xff) == SQLITE_CONSTRAINT ? SQLITE_OK : err;
	}
	if (rc == SQLITE_OK)
		rc = raise_epoch(s);
	if (rc == SQLITE_OK)
		rc = run(s, ST_COMMIT);
	if (rc != SQLITE_OK && sqlite3_get_autocommit(s->db) == 0)
		(void)run(s, ST_ROLLBACK);
	return rc;
}

/* Sets the damaged file aside and starts a new one with what could be saved. */
static int recover(struct store_sql *s, char *why, size_t why_size)
{
	uint32_t epoch = s->boot_epoch;
	int newer;
	s->lost_rows = false;
	close_db(s, true);
	store_pairing_fini(&s->loaded); /* not saved: a used invite must not come back */
	unsigned n = store_file_set_aside(s->path);
	if (n == 0)
		return SQLITE_CORRUPT;
	int rc = open_db(s, &newer);
	s->boot_epoch = epoch;
	if (rc == SQLITE_OK)
		rc = fill_db(s);
	if (rc != SQLITE_OK) {
		close_db(s, true);
		store_file_restore(s->path, n);
		return rc;
	}
	(void)snprintf(why, why_size,
		"%s was damaged: set aside as %s.corrupt-%u; %zu contacts could be saved, others "
		"must be added again",
		s->path, strrchr(s->path, '/') + 1, n, s->contact_count);
	return SQLITE_OK;
}

/* A write-ahead log on a network file system is not safe (sqlite.org/wal.html). Numbers: statfs(2).
 */
static bool on_network(const char *dir)
{
	static const uint32_t types[] = { 0x6969 /* NFS */, 0x517b /* SMB */, 0xff534d42 /* CIFS */,
		0xfe534d42 /* SMB2 */, 0x5346414f /* AFS */, 0x73757245 /* Coda */ };
	struct statfs st;
	if (statfs(dir, &st) != 0)
		return false;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		if ((uint32_t)st.f_type == types[i])
			return true;
	}
	return false;
}

static void drop_contacts(struct store_sql *s)
{
	for (size_t i = 0; i < s->contact_count; i++)
		contact_fini(&s->contacts[i]);
	free(s->contacts);
	s->contacts = NULL;
	s->contact_count = s->contact_cap = 0;
	store_pairing_fini(&s->loaded);
}

static int open_or_recover(struct store_sql *s, int *newer, char *why, size_t why_size)
{
	int rc = open_db(s, newer);
	if (rc == SQLITE_OK)
		rc = raise_epoch(s);
	if (rc == SQLITE_OK || *newer != 0 || !store_file_is_damage(s->path, rc))
		return rc;
	return recover(s, why, why_size);
}

static bool open_checked(struct store_sql *s, char *why, size_t why_size)
{
	int newer;
	int rc = open_or_recover(s, &newer, why, why_size);
	if (store_file_is_full(s->db, rc)) { /* the epoch must be written: use the reserve */
		close_db(s, false);
		drop_contacts(s);
		store_reserve_drop(s->path);
		rc = open_or_recover(s, &newer, why, why_size);
	}
	if (newer != 0)
		(void)snprintf(why, why_size,
			"%s has schema %d, this overlayd knows up to %d: install the newer version "
			"again",
			s->path, newer, STORE_SCHEMA);
	else if (rc != SQLITE_OK)
		store_file_explain(s->db, s->path, rc, why, why_size);
	return rc == SQLITE_OK;
}

struct store_sql *store_sql_open(const char *dir, char *why, size_t why_size)
{
	struct store_sql *s = calloc(1, sizeof(*s));
	char *real = realpath(dir, NULL); /* SQLITE_OPEN_NOFOLLOW refuses links in the whole path */
	bool ok = false;
	if (why_size > 0)
		why[0] = '\0';
	if (s == NULL || real == NULL || strlen(real) + 16 > sizeof(s->path)) {
		(void)snprintf(
			why, why_size, "%s: no such directory, or its path is too long", dir);
	} else if (on_network(real)) {
		(void)snprintf(why, why_size,
			"%s is on a network file system, where the database is not safe: choose a "
			"local directory with --state DIR",
			real);
	} else {
		(void)snprintf(s->path, sizeof(s->path), "%s/overlay.db", real);
		ok = open_checked(s, why, why_size);
	}
	free(real);
	if (!ok) {
		store_sql_close(s);
		return NULL;
	}
	s->has_reserve = store_reserve_make(s->path);
	return s;
}

uint32_t store_sql_boot_epoch(const struct store_sql *s)
{
	return s->boot_epoch;
}

size_t store_sql_take_contacts(struct store_sql *s, struct contact **out)
{
	size_t count = s->contact_count;
	*out = s->contacts;
	s->contacts = NULL;
	s->contact_count = s->contact_cap = 0;
	return count;
}

void store_sql_take_pairing(struct store_sql *s, struct store_pairing *out)
{
	*out = s->loaded;
	s->loaded = (struct store_pairing){ 0 };
}

/* ---- commit ---- */

static void set_result(struct store_job *j, int status, const char *text)
{
	j->result.ticket = j->request.ticket;
	j->result.status = status;
	(void)snprintf(j->result.text, sizeof(j->result.text), "%s", text);
}

static void set_full(struct store_sql *s, struct store_job *j)
{
	char text[200];
	store_file_explain(s->db, s->path, SQLITE_FULL, text, sizeof(text));
	set_result(j, OV_EIO, text);
}

/* Result of a statement that SQLite refused. */
static void set_failed(struct store_sql *s, struct store_job *j, int rc)
{
	char text[200];
	if (rc == SQLITE_CONSTRAINT_UNIQUE) {
		(void)snprintf(text, sizeof(text),
			"the name %s belongs to another contact: choose another name",
			j->request.contact.name);
		set_result(j, OV_EEXIST, text);
	} else if ((rc & 0xff) == SQLITE_NOMEM) {
		set_result(j, OV_ENOMEM, ov_err_text(OV_ENOMEM));
	} else {
		store_file_explain(s->db, s->path, rc, text, sizeof(text));
		set_result(j, OV_EIO, text);
	}
}

/* Both or nothing: the caller's savepoint undoes the first when the second fails. */
static int use_invite(struct store_sql *s, const struct store_request *r)
{
	int rc = store_pairing_sql_take(&s->pairing, r->invite->hash);
	if (rc != SQLITE_OK || sqlite3_changes(s->db) == 0 || r->contact.name[0] == '\0')
		return rc;
	return put_contact(s, &r->contact);
}

static int join(struct store_sql *s, const struct store_request *r)
{
	int rc = store_pairing_sql_join(&s->pairing, &r->contact.id, r->line);
	return rc == SQLITE_OK ? put_contact(s, &r->contact) : rc;
}

static int apply(struct store_sql *s, const struct store_request *r)
{
	switch (r->op) {
	case STORE_CONTACT_PUT: return put_contact(s, &r->contact);
	case STORE_CONTACT_REMOVE: return remove_contact(s, &r->contact.id);
	case STORE_LAST_ENDPOINT: return put_last(s, &r->contact);
	case STORE_INVITE_ADD: return store_pairing_sql_add(&s->pairing, r->invite);
	case STORE_INVITE_REVOKE: return store_pairing_sql_revoke(&s->pairing, r->invite->hash);
	case STORE_INVITE_USE: return use_invite(s, r);
	case STORE_JOIN: return join(s, r);
	case STORE_FACILITATOR_PUT:
		return store_pairing_sql_facilitator(&s->pairing, r->facilitator);
	case STORE_FACILITATOR_REMOVE:
		return store_pairing_sql_forget_facilitator(&s->pairing, &r->contact.id);
	case STORE_JOIN_DONE: return store_pairing_sql_forget(&s->pairing, &r->contact.id);
	}
	assert(false); /* no case matched: memory is corrupt */
	return SQLITE_MISUSE;
}

static const char *nothing_found(enum store_op op)
{
	return op == STORE_INVITE_USE || op == STORE_INVITE_REVOKE
		       ? "no such invite, or it has expired: see overlay invite list"
		       : "no such contact: see overlay peer list";
}

/* What goes on when the disk is full. */
static bool is_removal(enum store_op op)
{
	return op == STORE_CONTACT_REMOVE || op == STORE_INVITE_REVOKE || op == STORE_JOIN_DONE ||
	       op == STORE_FACILITATOR_REMOVE;
}

/* Inside the transaction. Not SQLITE_OK: the whole transaction must be given up. */
static int commit_one(struct store_sql *s, struct store_job *j)
{
	int rc = run(s, ST_SAVE);
	if (rc != SQLITE_OK)
		return rc;
	rc = apply(s, &j->request);
	if (rc == SQLITE_OK && sqlite3_changes(s->db) == 0) {
		set_result(j, OV_ENOENT, nothing_found(j->request.op));
	} else if (rc == SQLITE_OK) {
		set_result(j, OV_OK, "");
	} else {
		if (sqlite3_get_autocommit(s->db) != 0 || (rc & 0xff) != SQLITE_CONSTRAINT)
			return rc;
		set_failed(s, j, rc);
		rc = run(s, ST_UNDO);
	}
	return first_error(rc, run(s, ST_KEEP));
}

static int commit_group(struct store_sql *s, struct store_job **jobs, size_t count)
{
	int rc = run(s, ST_BEGIN);
	for (size_t i = 0; i < count && rc == SQLITE_OK; i++)
		rc = commit_one(s, jobs[i]);
	if (rc == SQLITE_OK)
		rc = run(s, ST_COMMIT);
	if (rc != SQLITE_OK && sqlite3_get_autocommit(s->db) == 0)
		(void)run(s, ST_ROLLBACK);
	return rc;
}

static void commit_alone(struct store_sql *s, struct store_job *j)
{
	int rc = commit_group(s, &j, 1);
	if (store_file_is_full(s->db, rc) && is_removal(j->request.op) && s->has_reserve) {
		store_reserve_drop(s->path);
		s->has_reserve = false;
		rc = commit_group(s, &j, 1);
	}
	if (rc != SQLITE_OK)
		set_failed(s, j, rc);
}

static void checkpoint(struct store_sql *s)
{
	int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	if (store_file_judge(rc) == SQLITE_OK)
		s->wal_pages = 0;
}

void store_sql_commit(struct store_sql *s, struct store_job **jobs, size_t count)
{
	if (!s->has_reserve)
		s->has_reserve = store_reserve_make(s->path);
	if (s->has_reserve && commit_group(s, jobs, count) == SQLITE_OK) {
		if (s->wal_pages >= WAL_PAGES_MAX)
			checkpoint(s);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (!s->has_reserve && !is_removal(jobs[i]->request.op))
			set_full(s, jobs[i]);
		else
			commit_alone(s, jobs[i]);
	}
}

void store_sql_idle(struct store_sql *s)
{
	if (s->wal_pages > 0)
		checkpoint(s);
	if (!s->has_reserve)
		s->has_reserve = store_reserve_make(s->path);
}

void store_sql_close(struct store_sql *s)
{
	if (s == NULL)
		return;
	if (s->db != NULL)
		close_db(s, false);
	drop_contacts(s);
	free(s);
}
