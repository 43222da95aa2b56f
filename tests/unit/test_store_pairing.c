/* Invites on disk: used once and with the contact or not at all, never as a secret, and what was
 * asked of an older database. */
#include "tests/unit/seeded.h"

#include "overlay/store_file_sql.h"
#include "overlay/store_sql.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SOON 3600

struct place {
	char dir[64], db[96], why[512];
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/overlay-pairing-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->db, sizeof(p->db), "%s/overlay.db", p->dir);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", p->dir);
	int rc = system(command);
	free(p);
	return rc;
}

static struct identity identity(uint8_t number)
{
	uint8_t seed[32] = { 91, number };
	struct identity id;
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	return id;
}

static struct store_sql *must_open(struct place *p)
{
	struct store_sql *s = store_sql_open(p->dir, p->why, sizeof(p->why));
	if (s == NULL)
		fail_msg("%s", p->why);
	return s;
}

/* One request in a group of its own; the status. Takes r. */
static int commit(struct store_sql *s, struct store_request r)
{
	struct store_job j = { .request = r }, *list = &j;
	store_sql_commit(s, &list, 1);
	store_request_fini(&j.request);
	return j.result.status;
}

static void secret_of(uint8_t number, uint8_t secret[INVITE_SECRET_LEN])
{
	memset(secret, 0xc0 + number, INVITE_SECRET_LEN);
}

static struct store_invite *invite(uint8_t number, int64_t lives_s)
{
	struct store_invite *i = calloc(1, sizeof(*i));
	uint8_t secret[INVITE_SECRET_LEN];
	secret_of(number, secret);
	invite_hash(i->hash, secret);
	(void)snprintf(i->name, sizeof(i->name), "guest-%u", number);
	i->grants = grants_default();
	assert_int_equal(grants_add(&i->grants, "tcp/22"), OV_OK);
	i->created_at_s = time(NULL);
	i->expires_at_s = i->created_at_s + lives_s;
	return i;
}

static struct contact guest(uint8_t number, const char *name)
{
	struct contact c = { .id = identity(number).id, .grants = grants_default() };
	(void)snprintf(c.name, sizeof(c.name), "%s", name);
	return c;
}

static int add(struct store_sql *s, uint8_t number, int64_t lives_s)
{
	return commit(s, (struct store_request){
				 .op = STORE_INVITE_ADD, .invite = invite(number, lives_s) });
}

static int use(struct store_sql *s, uint8_t number, struct contact c)
{
	return commit(
		s, (struct store_request){
			   .op = STORE_INVITE_USE, .invite = invite(number, 0), .contact = c });
}

/* Closes, opens, and counts what is there. */
static void expect(struct place *p, struct store_sql **s, size_t contacts, size_t invites)
{
	struct contact *list;
	struct store_pairing found;
	store_sql_close(*s);
	*s = must_open(p);
	assert_string_equal(p->why, "");
	size_t count = store_sql_take_contacts(*s, &list);
	assert_int_equal(count, contacts);
	for (size_t i = 0; i < count; i++)
		contact_fini(&list[i]);
	free(list);
	store_sql_take_pairing(*s, &found);
	assert_int_equal(found.invite_count, invites);
	store_pairing_fini(&found);
}

static void an_invite_is_used_once_and_with_its_contact(void **state)
{
	struct place *p = *state;
	struct store_sql *s = must_open(p);
	assert_int_equal(add(s, 1, SOON), OV_OK);
	assert_int_equal(add(s, 2, SOON), OV_OK);
	expect(p, &s, 0, 2);
	assert_int_equal(use(s, 1, guest(1, "one")), OV_OK);
	expect(p, &s, 1, 1);
	assert_int_equal(use(s, 1, guest(2, "two")), OV_ENOENT);
	assert_int_equal(use(s, 3, guest(2, "two")), OV_ENOENT);
	expect(p, &s, 1, 1);
	assert_int_equal(use(s, 2, (struct contact){ .name = "" }), OV_OK); /* only the invite */
	expect(p, &s, 1, 0);
	store_sql_close(s);
}

/* The contact cannot be inserted: the invite must still be there. */
static void a_refused_contact_leaves_the_invite(void **state)
{
	struct place *p = *state;
	struct store_sql *s = must_open(p);
	assert_int_equal(add(s, 1, SOON), OV_OK);
	assert_int_equal(add(s, 2, SOON), OV_OK);
	assert_int_equal(use(s, 1, guest(1, "name")), OV_OK);
	assert_int_equal(use(s, 2, guest(2, "NAME")), OV_EEXIST);
	expect(p, &s, 1, 1);
	assert_int_equal(use(s, 2, guest(2, "other")), OV_OK);
	expect(p, &s, 2, 0);
	store_sql_close(s);
}

static void two_uses_in_one_group(void **state)
{
	struct place *p = *state;
	struct store_sql *s = must_open(p);
	assert_int_equal(add(s, 1, SOON), OV_OK);
	struct store_job jobs[2], *list[2] = { &jobs[0], &jobs[1] };
	for (uint8_t i = 0; i < 2; i++)
		jobs[i] = (struct store_job){ .request = { .op = STORE_INVITE_USE,
						      .invite = invite(1, 0),
						      .contact = guest(i, i ? "b" : "a") } };
	store_sql_commit(s, list, 2);
	assert_int_equal(jobs[0].result.status, OV_OK);
	assert_int_equal(jobs[1].result.status, OV_ENOENT);
	for (size_t i = 0; i < 2; i++)
		store_request_fini(&jobs[i].request);
	expect(p, &s, 1, 0);
	store_sql_close(s);
}

static void expired_and_revoked_ones_are_gone(void **state)
{
	struct place *p = *state;
	struct store_sql *s = must_open(p);
	assert_int_equal(add(s, 1, -1), OV_OK);
	assert_int_equal(use(s, 1, guest(1, "late")), OV_ENOENT);
	assert_int_equal(add(s, 1, SOON), OV_OK); /* the same again: the old row was pruned */
	assert_int_equal(add(s, 2, SOON), OV_OK);
	struct store_request r = { .op = STORE_INVITE_REVOKE, .invite = invite(2, 0) };
	assert_int_equal(commit(s, r), OV_OK);
	assert_int_equal(use(s, 2, guest(2, "revoked")), OV_ENOENT);
	expect(p, &s, 0, 1);
	store_sql_close(s);
}

static size_t read_file(const char *path, uint8_t *out, size_t cap)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd >= 0 ? read(fd, out, cap) : 0;
	if (fd >= 0)
		(void)close(fd);
	return n > 0 ? (size_t)n : 0;
}

static bool file_has(const char *path, const void *needle, size_t len)
{
	static uint8_t data[1 << 20];
	size_t size = read_file(path, data, sizeof(data));
	assert_true(size > 0);
	return memmem(data, size, needle, len) != NULL;
}

static void the_secret_is_not_in_the_file(void **state)
{
	struct place *p = *state;
	struct store_sql *s = must_open(p);
	uint8_t secret[INVITE_SECRET_LEN], hash[INVITE_HASH_LEN];
	char wal[128];
	(void)snprintf(wal, sizeof(wal), "%s-wal", p->db);
	secret_of(1, secret);
	invite_hash(hash, secret);
	assert_int_equal(add(s, 1, SOON), OV_OK);
	assert_true(file_has(wal, hash, sizeof(hash))); /* so the search finds what is there */
	assert_false(file_has(wal, secret, sizeof(secret)));
	store_sql_close(s);
	assert_true(file_has(p->db, hash, sizeof(hash)));
	assert_false(file_has(p->db, secret, sizeof(secret)));
}

/* ---- joins ---- */

static struct store_request join_of(uint8_t host, int64_t lives_s)
{
	struct store_request r = { .op = STORE_JOIN, .contact = guest(host, "host") };
	struct identity inviter = identity(host), facilitator = identity(99);
	struct invite in = { .inviter = inviter.id,
		.expires_s = (uint64_t)(time(NULL) + lives_s),
		.facilitator_count = 1 };
	secret_of(7, in.secret);
	in.facilitators[0].id = facilitator.id;
	in.facilitators[0].endpoint = addr_v4(198, 51, 100, 3, 27182);
	struct voucher v = voucher_draft(&in.inviter, &facilitator.id, in.secret, in.expires_s);
	voucher_sign(&v, &inviter);
	memcpy(in.facilitators[0].signature, v.signature, sizeof(v.signature));
	r.line = calloc(1, INVITE_TEXT_MAX);
	invite_encode(&in, r.line);
	return r;
}

static void a_join_is_kept_until_it_is_done(void **state)
{
	struct place *p = *state;
	struct store_sql *s = must_open(p);
	struct store_pairing found;
	assert_int_equal(commit(s, join_of(1, SOON)), OV_OK);
	expect(p, &s, 1, 0);
	store_sql_close(s);
	s = must_open(p);
	store_sql_take_pairing(s, &found);
	struct identity host = identity(1), facilitator = identity(99);
	assert_int_equal(found.join_count, 1);
	assert_true(peer_id_equal(&found.joins[0].peer, &host.id));
	assert_int_equal(found.facilitator_count, 1);
	struct voucher v;
	assert_int_equal(voucher_decode(&v, found.facilitators[0].voucher, VOUCHER_LEN), OV_OK);
	assert_int_equal(voucher_check(&v, &facilitator.id, found.facilitators[0].token,
				 (uint64_t)time(NULL)),
		OV_OK);
	store_pairing_fini(&found);
	struct store_request done = { .op = STORE_JOIN_DONE, .contact = { .id = host.id } };
	assert_int_equal(commit(s, done), OV_OK);
	assert_int_equal(commit(s, done), OV_ENOENT);
	store_sql_close(s);
	s = must_open(p);
	store_sql_take_pairing(s, &found);
	assert_int_equal(found.join_count, 0);
	assert_int_equal(found.facilitator_count, 1); /* the voucher serves until it expires */
	store_pairing_fini(&found);
	store_sql_close(s);
}

static void a_join_ends_with_its_contact_or_its_time(void **state)
{
	struct place *p = *state;
	struct store_sql *s = must_open(p);
	struct store_pairing found;
	assert_int_equal(commit(s, join_of(1, SOON)), OV_OK);
	struct store_request remove = { .op = STORE_CONTACT_REMOVE, .contact = guest(1, "host") };
	assert_int_equal(commit(s, remove), OV_OK);
	assert_int_equal(commit(s, join_of(2, -1)), OV_OK);
	store_sql_close(s);
	s = must_open(p);
	store_sql_take_pairing(s, &found);
	assert_int_equal(found.join_count, 0);
	store_pairing_fini(&found);
	store_sql_close(s);
}

/* ---- damage, older versions, kill -9 ---- */

static void sql(struct place *p, const char *text)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(p->db, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_changed_row_is_no_invite(void **state)
{
	static const char *const changes[] = { "UPDATE invites SET grants = 'all'",
		"UPDATE invites SET expires_at = expires_at + 1000000",
		"UPDATE invites SET name = 'other'", "UPDATE invites SET grants = ''",
		"UPDATE joins SET line = replace(line, 'aeae', 'aeaf') || 'a'" };
	struct place *p = *state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct store_sql *s = must_open(p);
		struct store_pairing found;
		assert_int_equal(add(s, 1, SOON), OV_OK);
		assert_int_equal(commit(s, join_of(1, SOON)), OV_OK);
		store_sql_close(s);
		sql(p, changes[i]);
		s = must_open(p);
		assert_non_null(strstr(p->why, "was damaged"));
		assert_non_null(strstr(p->why, "1 contacts could be saved"));
		store_sql_take_pairing(s, &found); /* none is saved: a used one must not return */
		assert_int_equal(found.invite_count + found.join_count, 0);
		store_pairing_fini(&found);
		struct store_request remove = { .op = STORE_CONTACT_REMOVE,
			.contact = guest(1, "host") };
		assert_int_equal(commit(s, remove), OV_OK);
		store_sql_close(s);
	}
}

/* Contacts offer it again: everything else stays. */
static void a_changed_facilitator_alone_is_lost(void **state)
{
	static const char *const changes[] = { "UPDATE facilitators SET endpoint = 'x'",
		"UPDATE facilitators SET peer = x'01'", "UPDATE facilitators SET token = x''",
		"UPDATE facilitators SET peer = zeroblob(32)",
		"UPDATE facilitators SET voucher = substr(voucher, 2)" };
	struct place *p = *state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct store_sql *s = must_open(p);
		struct store_pairing found;
		assert_int_equal(add(s, (uint8_t)(i + 1), SOON), OV_OK);
		assert_int_equal(commit(s, join_of(1, SOON + (int64_t)i)), OV_OK);
		store_sql_close(s);
		sql(p, changes[i]);
		s = must_open(p);
		assert_string_equal(p->why, "");
		store_sql_take_pairing(s, &found);
		assert_int_equal(found.facilitators_lost, 1);
		assert_int_equal(found.facilitator_count, 0);
		assert_int_equal(found.invite_count, i + 1);
		assert_int_equal(found.join_count, 1);
		store_pairing_fini(&found);
		store_sql_close(s);
		s = must_open(p);
		store_sql_take_pairing(s, &found);
		assert_int_equal(found.facilitators_lost, 0); /* it is gone */
		store_pairing_fini(&found);
		store_sql_close(s);
	}
}

static void schema_1_is_taken_over(void **state)
{
	struct place *p = *state;
	struct store_sql *s = must_open(p);
	assert_int_equal(add(s, 1, SOON), OV_OK);
	assert_int_equal(use(s, 1, guest(1, "kept")), OV_OK);
	store_sql_close(s);
	sql(p, "DROP TABLE invites; DROP TABLE joins; DROP TABLE facilitators;"
	       "ALTER TABLE contacts DROP COLUMN lan_only;"
	       "PRAGMA user_version = 1; UPDATE meta SET value = 1 WHERE key = 'schema'");
	s = must_open(p);
	expect(p, &s, 1, 0);
	assert_int_equal(add(s, 2, SOON), OV_OK);
	expect(p, &s, 1, 1);
	store_sql_close(s);
}

/* Uses invites until it is killed; tells each use that is durable. */
static void use_for_ever(struct place *p, int pipe_fd)
{
	struct store_sql *s = store_sql_open(p->dir, p->why, sizeof(p->why));
	if (s == NULL)
		_exit(2);
	for (uint8_t n = 1; n < 60; n++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "g%u", n);
		if (add(s, n, SOON) != OV_OK || use(s, n, guest(n, name)) != OV_OK ||
			write(pipe_fd, &n, 1) != 1)
			_exit(3);
	}
	(void)pause();
}

static void killed_at_any_moment_it_is_both_or_neither(void **state)
{
	struct place *p = *state;
	uint64_t seed = 5;
	size_t lives = 0;
	for (unsigned round = 0; round < 40; round++) {
		int fds[2], status;
		uint8_t n, acked = 0;
		char command[160];
		(void)snprintf(command, sizeof(command), "rm -f %s*", p->db);
		assert_int_equal(system(command), 0);
		assert_int_equal(pipe(fds), 0);
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0)
			use_for_ever(p, fds[1]);
		(void)close(fds[1]);
		if (round % 4 == 0) /* a loaded machine, too, gets some lives that did something */
			(void)poll(&(struct pollfd){ .fd = fds[0], .events = POLLIN }, 1, 10000);
		struct timespec wait = { 0, (long)seeded_below(&seed, 60000) * 1000 };
		(void)nanosleep(&wait, NULL);
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		while (read(fds[0], &n, 1) == 1)
			acked = n;
		(void)close(fds[0]);
		lives += acked > 0;
		struct store_sql *s = must_open(p);
		struct contact *list;
		struct store_pairing found;
		size_t contacts = store_sql_take_contacts(s, &list);
		store_sql_take_pairing(s, &found);
		assert_true(contacts >= acked && contacts <= (size_t)acked + 1);
		assert_true(found.invite_count <= 1); /* added and not used yet */
		for (size_t i = 0; i < contacts; i++) {
			for (size_t k = 0; k < found.invite_count; k++)
				assert_int_not_equal(
					atoi(list[i].name + 1), atoi(found.invites[k].name + 6));
			contact_fini(&list[i]);
		}
		free(list);
		store_pairing_fini(&found);
		store_sql_close(s);
	}
	assert_true(lives > 5); /* else nothing was tested */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(an_invite_is_used_once_and_with_its_contact),
		T(a_refused_contact_leaves_the_invite),
		T(two_uses_in_one_group),
		T(expired_and_revoked_ones_are_gone),
		T(the_secret_is_not_in_the_file),
		T(a_join_is_kept_until_it_is_done),
		T(a_join_ends_with_its_contact_or_its_time),
		T(a_changed_row_is_no_invite),
		T(a_changed_facilitator_alone_is_lost),
		T(schema_1_is_taken_over),
		T(killed_at_any_moment_it_is_both_or_neither),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
