#include "core/bytes.h"
#include "overlay/store_file_sql.h"
#include "overlay/store_sql.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>
/* cmocka needs the ones above first */
#include <cmocka.h>

struct place {
	char dir[64], db[96], why[512];
};

static int set_up_in(void **state, const char *parent)
{
	struct place *p = calloc(1, sizeof(*p));
	assert_non_null(p);
	(void)snprintf(p->dir, sizeof(p->dir), "%s/overlay-store-XXXXXX", parent);
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->db, sizeof(p->db), "%s/overlay.db", p->dir);
	*state = p;
	return 0;
}

static int set_up(void **state)
{
	return set_up_in(state, "/tmp");
}

/* Where fsync costs nothing: 300 databases are made. */
static int set_up_in_memory(void **state)
{
	return set_up_in(state, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char command[128];
	(void)umount2(p->dir, MNT_DETACH); /* of test_disk_full; elsewhere it fails */
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", p->dir);
	int rc = system(command);
	free(p);
	return rc;
}

static struct peer_id peer(uint32_t n)
{
	struct peer_id id;
	memset(&id, 0x5a, sizeof(id));
	store_le32(id.bytes, n);
	return id;
}

/* Peer n with one endpoint that carries `value`. */
static struct contact contact(uint32_t n, uint32_t value)
{
	struct contact c = { .id = peer(n), .grants = grants_default() };
	char endpoint[64];
	(void)snprintf(c.name, sizeof(c.name), "peer-%u", n);
	(void)snprintf(endpoint, sizeof(endpoint), "host-%u.example:4021", value);
	assert_int_equal(contact_add_endpoint(&c, endpoint), OV_OK);
	assert_int_equal(grants_add(&c.grants, "tcp/22"), OV_OK);
	return c;
}

static uint32_t value_of(const struct contact *c)
{
	unsigned value = UINT32_MAX;
	assert_int_equal(c->endpoint_count, 1);
	assert_int_equal(sscanf(c->endpoints[0], "host-%u.example:4021", &value), 1);
	return value;
}

static void free_contacts(struct contact *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		contact_fini(&list[i]);
	free(list);
}

static const struct contact *find(const struct contact *list, size_t count, uint32_t n)
{
	struct peer_id id = peer(n);
	for (size_t i = 0; i < count; i++) {
		if (memcmp(list[i].id.bytes, id.bytes, PEER_ID_LEN) == 0)
			return &list[i];
	}
	return NULL;
}

/* One request in a group of its own; the status. */
static int commit(struct store_sql *s, enum store_op op, struct contact c)
{
	struct store_job j = { .request = { .op = op, .contact = c, .ticket = 7 } }, *list = &j;
	store_sql_commit(s, &list, 1);
	assert_int_equal(j.result.ticket, 7);
	contact_fini(&j.request.contact);
	return j.result.status;
}

static struct store_sql *must_open(struct place *p)
{
	struct store_sql *s = store_sql_open(p->dir, p->why, sizeof(p->why));
	if (s == NULL)
		fail_msg("%s", p->why);
	return s;
}

/* Fills a database with `count` contacts and closes it. */
static void fill(struct place *p, uint32_t count)
{
	struct store_sql *s = must_open(p);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(commit(s, STORE_CONTACT_PUT, contact(i, i)), OV_OK);
	store_sql_close(s);
}

static void test_new_database(void **state)
{
	struct place *p = *state;
	struct store_sql *s = must_open(p);
	struct contact *list;
	struct stat st;
	assert_string_equal(p->why, "");
	assert_int_equal(store_sql_boot_epoch(s), 1);
	assert_int_equal(store_sql_take_contacts(s, &list), 0);
	free(list);
	assert_int_equal(stat(p->db, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	char other[128];
	(void)snprintf(other, sizeof(other), "%s-wal", p->db);
	assert_int_equal(stat(other, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	(void)snprintf(other, sizeof(other), "%s-shm", p->db);
	assert_int_equal(access(other, F_OK), -1); /* nothing is mapped */
	store_sql_close(s);
	s = must_open(p);
	assert_int_equal(store_sql_boot_epoch(s), 2);
	store_sql_close(s);
}

static void test_contacts_survive(void **state)
{
	struct place *p = *state;
	struct store_sql *s = must_open(p);
	struct contact c = contact(1, 10), *list;
	c.source = CONTACT_CONFIG;
	assert_int_equal(contact_add_endpoint(&c, "[2001:db8::1]:27182"), OV_OK);
	assert_int_equal(commit(s, STORE_CONTACT_PUT, c), OV_OK);
	assert_int_equal(commit(s, STORE_CONTACT_PUT, contact(2, 20)), OV_OK);
	c = contact(1, 0);
	c.last_endpoint = addr_v4(198, 51, 100, 7, 4021);
	c.last_seen_at_s = 1795259085;
	assert_int_equal(commit(s, STORE_LAST_ENDPOINT, c), OV_OK);
	store_sql_close(s);

	s = must_open(p);
	assert_string_equal(p->why, "");
	assert_int_equal(store_sql_take_contacts(s, &list), 2);
	const struct contact *one = find(list, 2, 1), *two = find(list, 2, 2);
	assert_non_null(one);
	assert_non_null(two);
	assert_string_equal(one->name, "peer-1");
	assert_int_equal(one->source, CONTACT_CONFIG);
	assert_int_equal(one->endpoint_count, 2);
	assert_string_equal(one->endpoints[1], "[2001:db8::1]:27182");
	assert_true(grants_tcp(&one->grants, 22));
	assert_false(grants_tcp(&one->grants, 23));
	assert_true((one->grants.bits & GRANT_ICMP) != 0);
	struct ov_addr last = addr_v4(198, 51, 100, 7, 4021);
	assert_true(addr_equal(&one->last_endpoint, &last));
	assert_int_equal(one->last_seen_at_s, 1795259085);
	assert_true(addr_is_any(&two->last_endpoint));
	free_contacts(list, 2);

	assert_int_equal(commit(s, STORE_CONTACT_PUT, contact(1, 11)), OV_OK); /* keeps the last */
	assert_int_equal(commit(s, STORE_CONTACT_REMOVE, contact(2, 0)), OV_OK);
	assert_int_equal(commit(s, STORE_CONTACT_REMOVE, contact(2, 0)), OV_ENOENT);
	assert_int_equal(commit(s, STORE_LAST_ENDPOINT, contact(2, 0)), OV_ENOENT);
	store_sql_close(s);
	s = must_open(p);
	assert_int_equal(store_sql_take_contacts(s, &list), 1);
	assert_int_equal(value_of(&list[0]), 11);
	assert_true(addr_equal(&list[0].last_endpoint, &last));
	free_contacts(list, 1);
	store_sql_close(s);
}

static void test_one_failure_undoes_nothing_else(void **state)
{
	struct place *p = *state;
	struct store_sql *s = must_open(p);
	struct store_job jobs[5], *list[5];
	static const enum store_op ops[] = { STORE_CONTACT_PUT, STORE_CONTACT_PUT,
		STORE_CONTACT_REMOVE, STORE_CONTACT_PUT, STORE_LAST_ENDPOINT };
	for (uint32_t i = 0; i < 5; i++) {
		jobs[i] =
			(struct store_job){ .request = { .op = ops[i], .contact = contact(i, i) } };
		list[i] = &jobs[i];
	}
	(void)snprintf(jobs[1].request.contact.name, CONTACT_NAME_MAX, "PEER-0"); /* taken */
	store_sql_commit(s, list, 5);
	static const int want[] = { OV_OK, OV_EEXIST, OV_ENOENT, OV_OK, OV_ENOENT };
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(jobs[i].result.status, want[i]);
		contact_fini(&jobs[i].request.contact);
	}
	assert_non_null(strstr(jobs[1].result.text, "PEER-0 belongs to another contact"));
	store_sql_close(s);
	struct contact *loaded;
	s = must_open(p);
	assert_int_equal(store_sql_take_contacts(s, &loaded), 2);
	assert_non_null(find(loaded, 2, 0));
	assert_non_null(find(loaded, 2, 3));
	free_contacts(loaded, 2);
	store_sql_close(s);
}

static void test_second_opener_and_bad_directory(void **state)
{
	struct place *p = *state;
	struct store_sql *s = must_open(p);
	assert_null(store_sql_open(p->dir, p->why, sizeof(p->why)));
	assert_non_null(strstr(p->why, "in use by another program"));
	store_sql_close(s);
	assert_null(store_sql_open("/nonexistent/overlay", p->why, sizeof(p->why)));
	assert_non_null(strstr(p->why, "/nonexistent/overlay"));
}

static void sql(struct place *p, const char *text)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(p->db, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static bool is_lan_only(struct place *p, size_t expected, uint32_t n)
{
	struct contact *list;
	struct store_sql *s = must_open(p);
	assert_int_equal(store_sql_take_contacts(s, &list), expected);
	const struct contact *c = find(list, expected, n);
	bool lan_only = c && c->lan_only;
	free_contacts(list, expected);
	store_sql_close(s);
	return lan_only;
}

static void test_lan_only_survives(void **state)
{
	struct place *p = *state;
	fill(p, 2);
	struct store_sql *s = must_open(p);
	struct contact c = contact(1, 1);
	c.lan_only = true;
	assert_int_equal(commit(s, STORE_CONTACT_PUT, c), OV_OK);
	store_sql_close(s);
	assert_true(is_lan_only(p, 2, 1));
	assert_false(is_lan_only(p, 2, 0));
	sql(p, "UPDATE contacts SET lan_only = 0"); /* a flipped bit must not let it out */
	assert_false(is_lan_only(p, 1, 0));
}

/* A database of before there was such a column. */
static void test_schema_2_is_taken_over(void **state)
{
	struct place *p = *state;
	fill(p, 2);
	sql(p, "ALTER TABLE contacts DROP COLUMN lan_only;"
	       "PRAGMA user_version = 2; UPDATE meta SET value = 2 WHERE key = 'schema'");
	assert_false(is_lan_only(p, 2, 1));
	assert_string_equal(p->why, "");
	struct store_sql *s = must_open(p);
	struct contact c = contact(1, 1);
	c.lan_only = true;
	assert_int_equal(commit(s, STORE_CONTACT_PUT, c), OV_OK);
	store_sql_close(s);
	assert_true(is_lan_only(p, 2, 1));
}

static void test_newer_schema_is_left_alone(void **state)
{
	struct place *p = *state;
	fill(p, 3);
	sql(p, "PRAGMA user_version = 7; UPDATE meta SET value = 7 WHERE key = 'schema'");
	assert_null(store_sql_open(p->dir, p->why, sizeof(p->why)));
	assert_non_null(strstr(p->why, "schema 7"));
	sql(p, "PRAGMA user_version = 3; UPDATE meta SET value = 3 WHERE key = 'schema'");
	struct store_sql *s = must_open(p);
	struct contact *list;
	assert_int_equal(store_sql_take_contacts(s, &list), 3);
	free_contacts(list, 3);
	store_sql_close(s);
}

static void test_changed_row_is_noticed_and_the_rest_saved(void **state)
{
	struct place *p = *state;
	struct contact *list;
	char aside[128];
	for (unsigned round = 1; round <= 2; round++) {
		fill(p, 5);
		sql(p, "UPDATE contacts SET grants = 'all' WHERE name = 'peer-3'");
		struct store_sql *s = must_open(p);
		(void)snprintf(aside, sizeof(aside), "overlay.db.corrupt-%u;", round);
		assert_non_null(strstr(p->why, aside));
		assert_non_null(strstr(p->why, "4 contacts could be saved"));
		assert_int_equal(store_sql_boot_epoch(s), 2 + 2 * (round - 1));
		assert_int_equal(store_sql_take_contacts(s, &list), 4);
		assert_null(find(list, 4, 3));
		free_contacts(list, 4);
		store_sql_close(s);
		(void)snprintf(aside, sizeof(aside), "%s.corrupt-%u", p->db, round);
		assert_int_equal(access(aside, F_OK), 0);
		s = must_open(p); /* once is enough */
		assert_string_equal(p->why, "");
		assert_int_equal(store_sql_take_contacts(s, &list), 4);
		free_contacts(list, 4);
		assert_int_equal(commit(s, STORE_CONTACT_PUT, contact(3, 3)), OV_OK);
		store_sql_close(s);
		if (round == 1)
			sql(p, "UPDATE meta SET value = 2 WHERE key = 'boot_epoch'");
	}
}

/* ---- damage ---- */

static uint32_t rng_state = 1;

static uint32_t next_random(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 17;
	rng_state ^= rng_state << 5;
	return rng_state;
}

static size_t read_file(const char *path, uint8_t *out, size_t cap)
{
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	ssize_t n = read(fd, out, cap);
	assert_true(n >= 0 && (size_t)n < cap);
	(void)close(fd);
	return (size_t)n;
}

static void write_file(const char *path, const uint8_t *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	(void)close(fd);
}

static void remove_asides(struct place *p)
{
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -f %s*", p->db);
	assert_int_equal(system(command), 0);
}

/* Whatever the damage: the store opens, works, and shows no contact that never was. */
static void check_damaged(struct place *p, unsigned round)
{
	struct contact *list;
	struct store_sql *s = store_sql_open(p->dir, p->why, sizeof(p->why));
	if (s == NULL)
		fail_msg("round %u: %s", round, p->why);
	size_t count = store_sql_take_contacts(s, &list);
	for (size_t i = 0; i < count; i++) {
		uint32_t n = load_le32(list[i].id.bytes);
		struct peer_id id = peer(n);
		assert_memory_equal(list[i].id.bytes, id.bytes, PEER_ID_LEN);
		assert_true(n < 40);
		assert_int_equal(value_of(&list[i]), n);
		assert_true(grants_tcp(&list[i].grants, 22));
		assert_int_equal(list[i].grants.bits, GRANT_ICMP | GRANT_MESSAGE);
	}
	free_contacts(list, count);
	int status = commit(s, STORE_CONTACT_PUT, contact(100, 100));
	assert_true(status == OV_OK || status == OV_EIO);
	store_sql_close(s);
}

static void test_random_damage(void **state)
{
	struct place *p = *state;
	static uint8_t good[1 << 18], bad[1 << 18];
	unsigned set_aside = 0;
	fill(p, 40);
	size_t len = read_file(p->db, good, sizeof(good));
	for (unsigned round = 0; round < 300; round++) {
		size_t bad_len = len;
		memcpy(bad, good, len);
		rng_state = round + 1;
		if (round % 4 == 3)
			bad_len = next_random() % len;
		for (unsigned i = 0; i < 1 + round % 8; i++) {
			size_t range = round % 3 == 0 ? 100 : len; /* often in the header */
			bad[next_random() % range] ^= (uint8_t)(1u << next_random() % 8);
		}
		remove_asides(p);
		write_file(p->db, bad, bad_len);
		check_damaged(p, round);
		set_aside += strstr(p->why, "set aside") != NULL;
	}
	assert_true(set_aside > 100);
}

/* ---- disk full ---- */

static void fill_disk(const char *dir)
{
	char path[128];
	static uint8_t block[4096];
	(void)snprintf(path, sizeof(path), "%s/filler", dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		continue;
	(void)close(fd);
}

static void put_until_full(struct store_sql *s, uint32_t *n)
{
	while (*n < 5000 && commit(s, STORE_CONTACT_PUT, contact(*n, *n)) == OV_OK)
		(*n)++;
	assert_true(*n < 5000);
}

static void check_contacts(struct store_sql *s, uint32_t first, uint32_t end)
{
	struct contact *list;
	size_t count = end - first;
	assert_int_equal(store_sql_take_contacts(s, &list), count);
	for (uint32_t i = first; i < end; i++)
		assert_non_null(find(list, count, i));
	free_contacts(list, count);
}

static void test_disk_full(void **state)
{
	struct place *p = *state;
	char filler[96];
	uint32_t n = 0;
	if (geteuid() != 0 || mount("tmpfs", p->dir, "tmpfs", 0, "size=3m,mode=0700") != 0)
		skip();
	(void)snprintf(filler, sizeof(filler), "%s/filler", p->dir);
	struct store_sql *s = must_open(p);
	for (; n < 20; n++)
		assert_int_equal(commit(s, STORE_CONTACT_PUT, contact(n, n)), OV_OK);
	fill_disk(p->dir);
	put_until_full(s, &n);
	struct store_job j = { .request = { .op = STORE_CONTACT_PUT, .contact = contact(n, n) } },
			 *one = &j;
	store_sql_commit(s, &one, 1);
	assert_int_equal(j.result.status, OV_EIO);
	assert_non_null(strstr(j.result.text, "disk full: "));
	contact_fini(&j.request.contact);
	store_sql_close(s);

	s = must_open(p); /* starts on a full disk: the epoch gets the reserve */
	assert_string_equal(p->why, "");
	assert_int_equal(store_sql_boot_epoch(s), 2);
	check_contacts(s, 0, n);
	assert_int_equal(unlink(filler), 0); /* space again: it all works again by itself */
	store_sql_idle(s);
	assert_int_equal(commit(s, STORE_CONTACT_PUT, contact(n, n)), OV_OK);
	n++;
	fill_disk(p->dir);
	put_until_full(s, &n);
	for (uint32_t i = 0; i < 10; i++) /* removals go on */
		assert_int_equal(commit(s, STORE_CONTACT_REMOVE, contact(i, i)), OV_OK);
	assert_int_equal(commit(s, STORE_CONTACT_PUT, contact(n, n)), OV_EIO); /* nothing else */
	store_sql_close(s);

	s = must_open(p);
	assert_string_equal(p->why, "");
	check_contacts(s, 10, n);
	store_sql_close(s);
}

/* ---- the thread ---- */

struct ear {
	uv_loop_t loop;
	struct store *store;
	size_t ok, failed, want;
	uint64_t last;
	int pipe_fd;
	uint32_t next;
};

static void on_count(void *context, const struct store_result *r)
{
	struct ear *e = context;
	e->ok += r->status == OV_OK;
	e->failed += r->status != OV_OK;
	assert_int_equal(r->ticket, e->last + 1); /* in the order posted */
	e->last = r->ticket;
	if (e->ok + e->failed == e->want)
		uv_stop(&e->loop);
}

static void test_thread_delivers_in_order_and_bounds_its_queue(void **state)
{
	struct place *p = *state;
	struct ear e = { .want = 1000 };
	assert_int_equal(uv_loop_init(&e.loop), 0);
	e.store = store_open(p->dir, p->why, sizeof(p->why));
	assert_non_null(e.store);
	assert_int_equal(store_boot_epoch(e.store), 1);
	assert_int_equal(store_start(e.store, &e.loop, on_count, &e), OV_OK);
	for (uint32_t i = 0; i < 1000; i++) {
		struct store_request r = { STORE_CONTACT_PUT, .contact = contact(i, i),
			.ticket = i + 1 };
		assert_int_equal(store_post_take(e.store, &r), OV_OK);
		assert_null(r.contact.endpoints);
	}
	(void)uv_run(&e.loop, UV_RUN_DEFAULT);
	assert_int_equal(e.ok, 1000);
	size_t full = 0; /* the loop does not run: nothing is delivered, so nothing is freed */
	for (uint32_t i = 0; i < STORE_QUEUE_MAX + 10; i++) {
		struct store_request r = { STORE_CONTACT_REMOVE, .contact = contact(i % 1000, 0),
			.ticket = 0 };
		int err = store_post_take(e.store, &r);
		assert_true(err == OV_OK || err == OV_EFULL);
		full += err == OV_EFULL;
	}
	assert_int_equal(full, 10);
	store_close(e.store); /* finishes what was posted */
	(void)uv_run(&e.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&e.loop), 0);
	struct store_sql *s = must_open(p);
	struct contact *list;
	assert_int_equal(store_sql_take_contacts(s, &list), 0);
	free(list);
	store_sql_close(s);
}

static void test_close_delivers_what_was_posted(void **state)
{
	struct place *p = *state;
	struct ear e = { .want = SIZE_MAX };
	assert_int_equal(uv_loop_init(&e.loop), 0);
	e.store = store_open(p->dir, p->why, sizeof(p->why));
	assert_int_equal(store_start(e.store, &e.loop, on_count, &e), OV_OK);
	for (uint32_t i = 0; i < 300; i++) {
		struct store_request r = { STORE_CONTACT_PUT, .contact = contact(i, i),
			.ticket = i + 1 };
		assert_int_equal(store_post_take(e.store, &r), OV_OK);
	}
	store_close(e.store);
	assert_int_equal(e.ok, 300);
	(void)uv_run(&e.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&e.loop), 0);
	e.store = store_open(p->dir, p->why, sizeof(p->why)); /* never started: closes as well */
	assert_non_null(e.store);
	store_close(e.store);
	store_close(NULL);
}

/* ---- kill -9 ---- */

#define CRASH_PEERS 20

static void crash_post(struct ear *e)
{
	uint32_t value = ++e->next;
	struct store_request r = { STORE_CONTACT_PUT,
		.contact = contact(value % CRASH_PEERS, value), .ticket = value };
	if (store_post_take(e->store, &r) != OV_OK)
		_exit(3);
}

static void on_crash_result(void *context, const struct store_result *r)
{
	struct ear *e = context;
	uint32_t value = (uint32_t)r->ticket;
	if (r->status != OV_OK || write(e->pipe_fd, &value, sizeof(value)) != sizeof(value))
		_exit(4);
	crash_post(e);
}

/* Posts for ever, eight at a time; tells each acknowledgement through the pipe. */
static void crash_child(struct place *p, int pipe_fd, uint32_t start)
{
	struct ear e = { .pipe_fd = pipe_fd, .next = start };
	if (uv_loop_init(&e.loop) != 0)
		_exit(2);
	e.store = store_open(p->dir, p->why, sizeof(p->why));
	if (e.store == NULL || store_start(e.store, &e.loop, on_crash_result, &e) != OV_OK)
		_exit(2);
	for (unsigned i = 0; i < 8; i++)
		crash_post(&e);
	(void)uv_run(&e.loop, UV_RUN_DEFAULT);
	_exit(5);
}

/* One life and its violent end (patient: after it did something, however slow the machine is);
 * fills acked[] and returns the largest value acknowledged. */
static uint32_t crash_round(
	struct place *p, uint32_t acked[CRASH_PEERS], uint32_t start, bool patient)
{
	int pipe_fd[2], status = 0;
	assert_int_equal(pipe(pipe_fd), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void)close(pipe_fd[0]);
		crash_child(p, pipe_fd[1], start);
	}
	(void)close(pipe_fd[1]);
	if (patient)
		(void)poll(&(struct pollfd){ .fd = pipe_fd[0], .events = POLLIN }, 1, 10000);
	struct timespec pause = { 0, (long)(next_random() % 25000) * 1000 };
	(void)nanosleep(&pause, NULL);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	uint32_t value, top = start;
	while (read(pipe_fd[0], &value, sizeof(value)) == sizeof(value)) {
		acked[value % CRASH_PEERS] = value;
		top = value;
	}
	(void)close(pipe_fd[0]);
	return top;
}

static void test_nothing_acknowledged_is_lost(void **state)
{
	struct place *p = *state;
	uint32_t acked[CRASH_PEERS] = { 0 }, top = 0, epoch = 0, lives = 0;
	rng_state = 20261121;
	for (unsigned round = 0; round < 200; round++) {
		uint32_t before = top;
		top = crash_round(p, acked, top, round % 4 == 0) +
		      8 * CRASH_PEERS; /* above what was in flight */
		lives += top > before + 8 * CRASH_PEERS;
		struct store_sql *s = must_open(p);
		assert_string_equal(p->why, "");
		assert_true(store_sql_boot_epoch(s) > epoch);
		epoch = store_sql_boot_epoch(s);
		struct contact *list;
		size_t count = store_sql_take_contacts(s, &list);
		for (uint32_t i = 0; i < CRASH_PEERS; i++) {
			const struct contact *c = find(list, count, i);
			assert_true(acked[i] == 0 || (c != NULL && value_of(c) >= acked[i]));
		}
		free_contacts(list, count);
		store_sql_close(s);
	}
	assert_true(lives > 20); /* else the test tested nothing */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_new_database),
		T(test_contacts_survive),
		T(test_one_failure_undoes_nothing_else),
		T(test_second_opener_and_bad_directory),
		T(test_lan_only_survives),
		T(test_schema_2_is_taken_over),
		T(test_newer_schema_is_left_alone),
		T(test_changed_row_is_noticed_and_the_rest_saved),
		cmocka_unit_test_setup_teardown(test_random_damage, set_up_in_memory, tear_down),
		T(test_disk_full),
		T(test_thread_delivers_in_order_and_bounds_its_queue),
		T(test_close_delivers_what_was_posted),
		T(test_nothing_acknowledged_is_lost),
	};
#undef T
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
