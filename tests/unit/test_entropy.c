/* entropy: bytes are handed out once, whatever the sizes asked for, and not again by a child. */
#include "overlay/entropy_os.h"

/* cmocka needs these before it */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
/* clang-format on */

#include <sodium.h>
#include <sys/wait.h>
#include <unistd.h>

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void no_word_comes_twice(void **state)
{
	(void)state;
	struct rng r = entropy_rng();
	static uint64_t words[20000];
	uint8_t odd[31];
	for (size_t i = 0; i < 20000; i++) {
		words[i] = rng_u64(&r);
		rng_fill(&r, odd, i % sizeof(odd)); /* shifts the block's use */
	}
	qsort(words, 20000, sizeof(words[0]), compare);
	for (size_t i = 1; i < 20000; i++)
		assert_true(words[i] != words[i - 1]);
}

static void a_child_draws_its_own(void **state)
{
	(void)state;
	struct rng r = entropy_rng();
	int pipes[2];
	uint64_t ours, theirs = 0;
	rng_u32(&r); /* the block is part used */
	assert_int_equal(pipe(pipes), 0);
	pid_t child = fork();
	if (child == 0) {
		uint64_t v = rng_u64(&r);
		_exit(write(pipes[1], &v, sizeof(v)) == sizeof(v) ? 0 : 1);
	}
	ours = rng_u64(&r);
	assert_int_equal(read(pipes[0], &theirs, sizeof(theirs)), sizeof(theirs));
	waitpid(child, NULL, 0);
	assert_true(ours != theirs);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_word_comes_twice),
		cmocka_unit_test(a_child_draws_its_own),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
