#pragma once
/* store_file_sql - overlay.db as a file: opening with the settings that make SQLite safe against
 * crashes and hostile files, schema versions, setting a damaged one aside, and the reserve against
 * a full disk. Functions return SQLite's extended codes. */
#include "core/base.h"

#include <sqlite3.h>

#define STORE_PATH_MAX 1200
#define STORE_SCHEMA   3 /* current user_version */

/* Opens (creates 0600) the database. On failure *db is NULL. */
int store_file_open(const char *path, sqlite3 **db);
/* PRAGMA quick_check, given up (as good) after limit_ms. SQLITE_OK, SQLITE_CORRUPT, or an error. */
int store_file_check(sqlite3 *db, unsigned limit_ms);
/* Brings an empty or older database to STORE_SCHEMA, one transaction per step. *newer is the
 * version found if this program is too old for it (then SQLITE_ERROR), else 0. */
int store_file_migrate(sqlite3 *db, int *newer);
/* Leaves the log beside the file, as evidence, when it is damaged. */
void store_file_close(sqlite3 *db, bool damaged);

/* Does the code say that the content is bad (rather than the disk, the permissions, or us)? */
bool store_file_is_damage(const char *path, int rc);
bool store_file_is_full(sqlite3 *db, int rc);
/* Ends the process if rc is a failed fsync; returns rc. */
int store_file_judge(int rc);
/* "disk full: ..." and so on: what, where, what to do. */
void store_file_explain(sqlite3 *db, const char *path, int rc, char *why, size_t why_size);

/* Renames overlay.db (and its log) to overlay.db.corrupt-N, N the first free one. Returns N; 0: the
 * rename failed. */
unsigned store_file_set_aside(const char *path);
/* Undoes it. */
void store_file_restore(const char *path, unsigned n);

/* 1 MiB beside the database that can be given back, so that removals commit on a full disk
 * (security.md P7). False: no space for it. */
bool store_reserve_make(const char *path);
void store_reserve_drop(const char *path);
