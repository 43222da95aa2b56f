#include "overlay/arena_os.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka needs the ones above first */
#include <cmocka.h>

#define BLOCK 3500
#define MAX   64

static bool all_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] != 0)
			return false;
	}
	return true;
}

static void test_blocks_are_aligned_zeroed_and_apart(void **state)
{
	(void)state;
	struct arena *a = arena_new(BLOCK, MAX);
	assert_non_null(a);
	assert_int_equal(arena_info(a).used_bytes, 0); /* nothing until the first block */
	uint8_t *p[MAX];
	for (size_t i = 0; i < MAX; i++) {
		p[i] = arena_take(a);
		assert_non_null(p[i]);
		assert_int_equal((uintptr_t)p[i] % ARENA_ALIGN, 0);
		assert_true(all_zero(p[i], BLOCK));
		memset(p[i], (int)i + 1, BLOCK);
	}
	assert_null(arena_take(a));
	for (size_t i = 0; i < MAX; i++) {
		assert_int_equal(p[i][0], i + 1);
		assert_int_equal(p[i][BLOCK - 1], i + 1);
	}
	assert_int_equal(arena_info(a).taken, MAX);
	arena_free(a);
}

static void test_release_wipes_and_reuses(void **state)
{
	(void)state;
	struct arena *a = arena_new(BLOCK, 2);
	struct blocks b = arena_blocks(a);
	uint8_t *p = blocks_alloc(&b), *q = blocks_alloc(&b);
	assert_null(blocks_alloc(&b));
	memset(p, 0xa5, BLOCK);
	memset(q, 0x5a, BLOCK);
	blocks_free(&b, p);
	assert_true(all_zero(p + sizeof(void *), BLOCK - sizeof(void *)));
	blocks_free(&b, q);
	blocks_free(&b, NULL);
	assert_int_equal(arena_info(a).taken, 0);
	assert_ptr_equal(blocks_alloc(&b), q); /* last in, first out: still in cache */
	uint8_t *again = blocks_alloc(&b);
	assert_ptr_equal(again, p);
	assert_true(all_zero(again, BLOCK));
	arena_free(a);
}

static void test_grows_in_chunks(void **state)
{
	(void)state;
	struct arena *a = arena_new(BLOCK, 20000);
	assert_non_null(arena_take(a));
	struct arena_info i = arena_info(a);
	assert_true(i.used_bytes >= BLOCK && i.used_bytes <= 64 * 1024);
	assert_int_equal(i.max, 20000);
	arena_free(a);
}

/* Runs fn(a) in a child; returns its wait status. */
static int in_child(void (*fn)(struct arena *a, uint8_t *p), struct arena *a, uint8_t *p)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit none = { 0, 0 };
		(void)setrlimit(RLIMIT_CORE, &none);
		(void)close(STDERR_FILENO); /* the assert's message is expected */
		fn(a, p);
		_exit(0);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void release_twice(struct arena *a, uint8_t *p)
{
	arena_release(a, p);
	arena_release(a, p);
}

static void release_inside(struct arena *a, uint8_t *p)
{
	arena_release(a, p + ARENA_ALIGN);
}

static void look_for_secret(struct arena *a, uint8_t *p)
{
	(void)a;
	_exit(all_zero(p, BLOCK) ? 0 : 9);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): one of the functions that in_child() runs */
static void work_unlocked(struct arena *a, uint8_t *p)
{
	(void)p;
	for (size_t i = 0; i < 40; i++) {
		uint8_t *q = arena_take(a);
		if (q == NULL)
			_exit(9);
		memset(q, 1, BLOCK);
	}
	struct arena_info i = arena_info(a);
	_exit(i.taken == 40 && i.locked_bytes <= i.used_bytes ? 0 : 8);
}

static void test_misuse_stops_the_process(void **state)
{
	(void)state;
	struct arena *a = arena_new(BLOCK, MAX);
	uint8_t *p = arena_take(a);
	assert_non_null(arena_take(a));
	assert_true(WIFSIGNALED(in_child(release_twice, a, p)));
	assert_true(WIFSIGNALED(in_child(release_inside, a, p)));
	arena_free(a);
}

static void test_forked_child_sees_no_keys(void **state)
{
	(void)state;
	struct arena *a = arena_new(BLOCK, MAX);
	uint8_t *p = arena_take(a);
	memset(p, 0x77, BLOCK);
	int status = in_child(look_for_secret, a, p);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(p[0], 0x77);
	arena_free(a);
}

static void test_works_when_locking_is_refused(void **state)
{
	(void)state;
	struct rlimit saved, none;
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &saved), 0);
	none = (struct rlimit){ 0, saved.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &none), 0);
	struct arena *a = arena_new(BLOCK, MAX);
	int status = in_child(work_unlocked, a, NULL);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &saved), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks_are_aligned_zeroed_and_apart),
		cmocka_unit_test(test_release_wipes_and_reuses),
		cmocka_unit_test(test_grows_in_chunks),
		cmocka_unit_test(test_misuse_stops_the_process),
		cmocka_unit_test(test_forked_child_sees_no_keys),
		cmocka_unit_test(test_works_when_locking_is_refused),
	};
	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
