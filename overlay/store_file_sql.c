/* The settings, and why (security.md 3, "SQLite rules"):
 *
 *   locking_mode=EXCLUSIVE  no second connection, hence no shared-memory index: nothing is mapped,
 *                           so a full disk or a truncated file is an error code and not SIGBUS
 *   journal_mode=WAL, synchronous=FULL   a commit is one append and one fsync, durable on return
 *   wal_autocheckpoint=0    the store thread checkpoints when it is idle
 *   cell_size_check, trusted_schema=0, DEFENSIVE, no double-quoted strings   hostile files
 *   secure_delete           a revoked grant must not come back out of a damaged tree's free pages
 *
 * user_version is repeated in the table meta: a bit flip in the one then reads as damage and not
 * as "written by a newer version". */
#include "overlay/store_file_sql.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RESERVE_BYTES (1024 * 1024)
#define VALUE_MAX     (64 * 1024 * 1024) /* bytes of one value: a damaged length stops here */

static const char settings[] = "PRAGMA locking_mode = EXCLUSIVE;"
			       "PRAGMA mmap_size = 0;"
			       "PRAGMA cell_size_check = ON;"
			       "PRAGMA secure_delete = ON;"
			       "PRAGMA temp_store = MEMORY;"
			       "PRAGMA cache_size = -512;" /* KiB */
			       "PRAGMA journal_mode = WAL;"
			       "PRAGMA synchronous = FULL;"
			       "PRAGMA wal_autocheckpoint = 0;"
			       "PRAGMA journal_size_limit = 1048576;";

/* migrations[i] leads from schema i to i + 1. Released entries never change: add another. */
static const char *const migrations[STORE_SCHEMA] = {
	"CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL)"
	" STRICT, WITHOUT ROWID;"
	"CREATE TABLE contacts ("
	" peer BLOB PRIMARY KEY NOT NULL CHECK (length(peer) = 32),"
	" name TEXT NOT NULL COLLATE NOCASE UNIQUE," /* becomes a host name */
	" source INTEGER NOT NULL,"
	" grants TEXT NOT NULL,"
	" endpoints TEXT NOT NULL," /* JSON array */
	" added_at INTEGER NOT NULL,"
	" sum BLOB NOT NULL" /* over the row: store_sql.c */
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE last_endpoints ("
	" peer BLOB PRIMARY KEY NOT NULL,"
	" address TEXT NOT NULL,"
	" seen_at INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"INSERT INTO meta VALUES ('schema', 0), ('boot_epoch', 0);"
	"PRAGMA application_id = 0x4f564c59;", /* "OVLY", for file(1) */

	"CREATE TABLE invites ("
	" hash BLOB PRIMARY KEY NOT NULL CHECK (length(hash) = 32)," /* of the secret */
	" name TEXT NOT NULL,"
	" grants TEXT NOT NULL,"
	" expires_at INTEGER NOT NULL,"
	" created_at INTEGER NOT NULL,"
	" sum BLOB NOT NULL" /* over the row: store_pairing_sql.c */
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE joins ("
	" peer BLOB PRIMARY KEY NOT NULL,"
	" line TEXT NOT NULL," /* has a sum of its own */
	" expires_at INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE facilitators ("
	" peer BLOB PRIMARY KEY NOT NULL,"
	" endpoint TEXT NOT NULL,"
	" voucher BLOB NOT NULL,"
	" token BLOB NOT NULL,"
	" expires_at INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;",

	"ALTER TABLE contacts ADD COLUMN lan_only INTEGER NOT NULL DEFAULT 0;",
};

static int exec(sqlite3 *db, const char *sql)
{
	return store_file_judge(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

/* One integer of one row. SQLITE_OK, or SQLITE_CORRUPT when there is none. */
static int query(sqlite3 *db, const char *sql, int64_t *out)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
	if (rc == SQLITE_OK) {
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW && sqlite3_column_type(st, 0) == SQLITE_INTEGER) {
			*out = sqlite3_column_int64(st, 0);
			rc = SQLITE_OK;
		} else if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
			rc = SQLITE_CORRUPT;
		}
	}
	sqlite3_finalize(st);
	return store_file_judge(rc);
}

/* SQLite creates files 0644 less umask; ours exists before, 0600, and its log inherits the mode. */
static int make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return errno == ENOSPC || errno == EDQUOT ? SQLITE_FULL : SQLITE_CANTOPEN;
	struct stat st;
	bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && fchmod(fd, 0600) == 0;
	(void)close(fd);
	return ok ? SQLITE_OK : SQLITE_CANTOPEN;
}

int store_file_open(const char *path, sqlite3 **db)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW |
			  SQLITE_OPEN_EXRESCODE;
	*db = NULL;
	int rc = make_file(path);
	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_open_v2(path, db, flags, NULL);
	if (rc != SQLITE_OK) {
		(void)sqlite3_close(*db);
		*db = NULL;
		return rc;
	}
	(void)sqlite3_db_config(*db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(*db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	(void)sqlite3_db_config(*db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	(void)sqlite3_db_config(*db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	(void)sqlite3_limit(*db, SQLITE_LIMIT_LENGTH, VALUE_MAX);
	rc = exec(*db, settings);
	if (rc != SQLITE_OK) {
		store_file_close(*db, true);
		*db = NULL;
	}
	return rc;
}

static int64_t monotonic_ms(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int past_deadline(void *deadline_ms)
{
	return monotonic_ms() > *(const int64_t *)deadline_ms;
}

int store_file_check(sqlite3 *db, unsigned limit_ms)
{
	int64_t deadline_ms = monotonic_ms() + limit_ms;
	sqlite3_stmt *st = NULL;
	sqlite3_progress_handler(db, 10000, past_deadline, &deadline_ms);
	int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		const unsigned char *text = sqlite3_column_text(st, 0);
		bool ok = text != NULL && strcmp((const char *)text, "ok") == 0;
		rc = ok ? SQLITE_OK : SQLITE_CORRUPT;
	}
	sqlite3_finalize(st);
	sqlite3_progress_handler(db, 0, NULL, NULL);
	if (rc == SQLITE_INTERRUPT)
		rc = SQLITE_OK; /* too large to check at every start; damage shows when it is read
				 */
	return store_file_judge(rc);
}

static int migrate_step(sqlite3 *db, int from)
{
	char note[128];
	(void)snprintf(note, sizeof(note),
		"PRAGMA user_version = %d; UPDATE meta SET value = %d WHERE key = 'schema';",
		from + 1, from + 1);
	int rc = exec(db, "BEGIN IMMEDIATE");
	if (rc == SQLITE_OK)
		rc = exec(db, migrations[from]);
	if (rc == SQLITE_OK)
		rc = exec(db, note);
	if (rc == SQLITE_OK)
		rc = exec(db, "COMMIT");
	if (rc != SQLITE_OK && sqlite3_get_autocommit(db) == 0)
		(void)exec(db, "ROLLBACK");
	return rc;
}

int store_file_migrate(sqlite3 *db, int *newer)
{
	int64_t version = 0, tables = 0, noted = 0;
	*newer = 0;
	int rc = query(db, "PRAGMA user_version", &version);
	if (rc == SQLITE_OK)
		rc = query(db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (rc == SQLITE_OK && tables > 0)
		rc = query(db, "SELECT value FROM meta WHERE key = 'schema'", &noted);
	if (rc != SQLITE_OK)
		return rc;
	if (version != noted)
		return SQLITE_CORRUPT;
	if (version > STORE_SCHEMA) {
		*newer = (int)version;
		return SQLITE_ERROR;
	}
	for (int from = (int)version; from < STORE_SCHEMA && rc == SQLITE_OK; from++)
		rc = migrate_step(db, from);
	return rc;
}

void store_file_close(sqlite3 *db, bool damaged)
{
	if (db == NULL)
		return;
	if (damaged)
		(void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	int rc = sqlite3_close(db);
	assert(rc == SQLITE_OK); /* else a statement was not finalized */
	(void)rc;
}

/* ---- what went wrong ---- */

bool store_file_is_damage(const char *path, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* a table or column of ours is missing */
	case SQLITE_TOOBIG:
	case SQLITE_MISMATCH:
	case SQLITE_CONSTRAINT:
	case SQLITE_SCHEMA: return true;
	case SQLITE_READONLY: return access(path, W_OK) == 0; /* header: unknown write version */
	case SQLITE_IOERR: return rc == SQLITE_IOERR_SHORT_READ || rc == SQLITE_IOERR_CORRUPTFS;
	default: return false; /* SQLite's codes are no enum of ours */
	}
}

bool store_file_is_full(sqlite3 *db, int rc)
{
	if ((rc & 0xff) == SQLITE_FULL)
		return true;
	int err = db != NULL && (rc & 0xff) == SQLITE_IOERR ? sqlite3_system_errno(db) : 0;
	return err == ENOSPC || err == EDQUOT;
}

int store_file_judge(int rc)
{
	if (rc != SQLITE_IOERR_FSYNC && rc != SQLITE_IOERR_DIR_FSYNC)
		return rc;
	(void)fputs(
		"overlay.db: fsync failed, so what is on the disk is unknown: stopping; a restart "
		"recovers what was committed. Check the disk (dmesg).\n",
		stderr);
	abort();
}

void store_file_explain(sqlite3 *db, const char *path, int rc, char *why, size_t why_size)
{
	const char *what = sqlite3_errstr(rc & 0xff);
	if (store_file_is_full(db, rc))
		(void)snprintf(why, why_size,
			"disk full: %s was not changed: free some space there", path);
	else if ((rc & 0xff) == SQLITE_BUSY)
		(void)snprintf(
			why, why_size, "%s is in use by another program: close that one", path);
	else if (store_file_is_damage(path, rc))
		(void)snprintf(why, why_size,
			"%s is damaged: restart overlayd, which sets it aside and saves what it can",
			path);
	else
		(void)snprintf(why, why_size, "%s: %s (%d): check its permissions and the disk",
			path, what, rc);
}

/* ---- setting aside ---- */

static void aside_name(const char *path, unsigned n, const char *suffix, char *out, size_t size)
{
	(void)snprintf(out, size, "%s.corrupt-%u%s", path, n, suffix);
}

static void sync_directory_of(const char *path)
{
	char dir[STORE_PATH_MAX];
	(void)snprintf(dir, sizeof(dir), "%s", path);
	char *slash = strrchr(dir, '/');
	if (slash == NULL)
		return;
	*slash = '\0';
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)fsync(fd);
	(void)close(fd);
}

unsigned store_file_set_aside(const char *path)
{
	char to[STORE_PATH_MAX + 32], wal[STORE_PATH_MAX + 8];
	struct stat st;
	unsigned n = 1;
	for (;; n++) {
		aside_name(path, n, "", to, sizeof(to));
		if (lstat(to, &st) != 0)
			break;
	}
	if (rename(path, to) != 0)
		return 0;
	(void)snprintf(wal, sizeof(wal), "%s-wal", path);
	aside_name(path, n, "-wal", to, sizeof(to));
	if (rename(wal, to) != 0)
		(void)unlink(wal); /* a foreign log must not be replayed into the new database */
	sync_directory_of(path);
	return n;
}

void store_file_restore(const char *path, unsigned n)
{
	char from[STORE_PATH_MAX + 32], wal[STORE_PATH_MAX + 8];
	(void)snprintf(wal, sizeof(wal), "%s-wal", path);
	(void)unlink(wal);
	aside_name(path, n, "-wal", from, sizeof(from));
	(void)rename(from, wal);
	aside_name(path, n, "", from, sizeof(from));
	(void)rename(from, path);
	sync_directory_of(path);
}

/* ---- the reserve ---- */

static void reserve_name(const char *path, char *out, size_t size)
{
	(void)snprintf(out, size, "%s.reserve", path);
}

bool store_reserve_make(const char *path)
{
	char name[STORE_PATH_MAX + 16];
	reserve_name(path, name, sizeof(name));
	int fd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return false;
	bool ok = posix_fallocate(fd, 0, RESERVE_BYTES) == 0;
	(void)close(fd);
	if (!ok)
		(void)unlink(name);
	return ok;
}

void store_reserve_drop(const char *path)
{
	char name[STORE_PATH_MAX + 16];
	reserve_name(path, name, sizeof(name));
	(void)unlink(name);
}
