#pragma once
/* store_sql - the statements behind overlay/store.h, on one SQLite connection that one thread at a
 * time uses: first store_open's caller, then the store thread. */
#include "overlay/store.h"

struct store_sql;

struct store_job { /* a request on its way through the thread and back */
	struct store_job *next;
	struct store_request request;
	struct store_result result;
};

/* As store_open. Raises the boot epoch durably; `why` is "" or a warning when it succeeds. */
struct store_sql *store_sql_open(const char *dir, char *why, size_t why_size);
uint32_t store_sql_boot_epoch(const struct store_sql *s);
size_t store_sql_take_contacts(struct store_sql *s, struct contact **out);
void store_sql_take_pairing(struct store_sql *s, struct store_pairing *out);

/* One transaction for all jobs, a savepoint for each: one that fails undoes nothing of the others.
 * Fills every result; OV_OK means durable. A failed fsync ends the process: what reached the disk
 * is unknown then, and only a restart reads it back (security.md P8). */
void store_sql_commit(struct store_sql *s, struct store_job **jobs, size_t count);
/* Nothing waits: moves the log into the database and restores the reserve against a full disk. */
void store_sql_idle(struct store_sql *s);
void store_sql_close(struct store_sql *s);
