#pragma once
/* Frozen vectors for unit tests: JSON files under tests/vectors, found from the root of the
 * repository. A missing file, key or odd hex digit fails the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline json_t *vec_load(const char *path)
{
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);
	if (!root)
		fail_msg("%s: %s (run from the root of the repository)", path, error.text);
	return root;
}

static inline const char *vec_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	if (!text)
		fail_msg("vector has no text %s", key);
	return text;
}

/* Decodes hex into out; returns the length. */
static inline size_t vec_hex(const json_t *object, const char *key, uint8_t *out, size_t cap)
{
	const char *text = vec_text(object, key), *end;
	size_t len = 0;
	assert_int_equal(sodium_hex2bin(out, cap, text, strlen(text), NULL, &len, &end), 0);
	assert_int_equal(*end, 0);
	return len;
}

static inline void vec_bytes(const json_t *object, const char *key, uint8_t *out, size_t len)
{
	assert_int_equal(vec_hex(object, key, out, len), len);
}

static inline uint64_t vec_u64(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	assert_true(json_is_integer(value));
	return (uint64_t)json_integer_value(value);
}
