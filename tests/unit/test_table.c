/* The hash map against an array indexed by key. */
#include "core/table.h"

#include "tests/unit/seeded.h"

static int box[4096]; /* distinct addresses to store */

static void empty(void **state)
{
	(void)state;
	struct table *t = table_new(10, 1);
	assert_null(table_find(t, 0));
	assert_null(table_remove(t, 0));
	assert_int_equal(table_count(t), 0);
	table_free(t);
	table_free(NULL);
}

static void refuses_twice_and_full(void **state)
{
	(void)state;
	struct table *t = table_new(3, 1);
	assert_int_equal(table_put(t, 0, &box[0]), OV_OK);
	assert_int_equal(table_put(t, UINT64_MAX, &box[1]), OV_OK);
	assert_int_equal(table_put(t, 0, &box[2]), OV_EEXIST);
	assert_ptr_equal(table_find(t, 0), &box[0]);
	assert_int_equal(table_put(t, 1, &box[2]), OV_OK);
	assert_int_equal(table_put(t, 2, &box[3]), OV_EFULL);
	assert_int_equal(table_put(t, 1, &box[3]), OV_EEXIST); /* also when full */
	assert_ptr_equal(table_remove(t, UINT64_MAX), &box[1]);
	assert_int_equal(table_put(t, 2, &box[3]), OV_OK);
	assert_int_equal(table_count(t), 3);
	table_free(t);
}

static void agrees_with_model(void **state)
{
	(void)state;
	for (uint64_t secret = 0; secret < 4; secret++) {
		uint64_t seed = 1 + secret;
		static void *model[4096];
		memset(model, 0, sizeof(model));
		size_t count = 0;
		struct table *t = table_new(3000, secret * UINT64_C(0x123456789abcdef));
		for (int i = 0; i < 100000; i++) {
			/* the load swells and shrinks, so that growth and long chains both occur */
			bool grow = seeded_below(&seed, 100) < (i / 10000 % 2 ? 35U : 65U);
			uint64_t k = seeded_below(&seed, 4096);
			uint64_t key = k << 52 | k; /* low and high bits alike */
			assert_ptr_equal(table_find(t, key), model[k]);
			if (grow) {
				int want = model[k] ? OV_EEXIST : count == 3000 ? OV_EFULL : OV_OK;
				assert_int_equal(table_put(t, key, &box[k]), want);
				if (want == OV_OK) {
					model[k] = &box[k];
					count++;
				}
			} else {
				assert_ptr_equal(table_remove(t, key), model[k]);
				count -= model[k] != NULL;
				model[k] = NULL;
			}
			assert_int_equal(table_count(t), count);
		}
		for (uint64_t k = 0; k < 4096; k++)
			assert_ptr_equal(table_find(t, k << 52 | k), model[k]);
		table_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty),
		cmocka_unit_test(refuses_twice_and_full),
		cmocka_unit_test(agrees_with_model),
	};
	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
