#pragma once
/* json_line - where in a JSON text a value stands. jansson tells positions only of syntax errors;
 * messages about keys want a line, too. */
#include "core/base.h"

#define JSON_STEPS_MAX 4

struct json_path { /* steps from the root: a key of an object, or (key NULL) an index of an array */
	struct {
		const char *key;
		size_t index;
	} steps[JSON_STEPS_MAX];
	size_t count;
};

/* Line (from 1) of the key or element that the path names in `text`, which a JSON parser has
 * accepted. When the path's tail is not found (keys written with escapes): line of the part that
 * is.
 */
unsigned json_line(const char *text, size_t len, const struct json_path *path);
/* Lines of the first `count` elements of the array that the path names, in one pass; 0 where there
 * is none. */
void json_element_lines(
	const char *text, size_t len, const struct json_path *array, unsigned *lines, size_t count);
