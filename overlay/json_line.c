/* A scanner, not a parser: the text is known to be JSON, so strings, brackets, commas and colons
 * are all that needs telling apart. It never recurses (nesting is a counter) and never reads beyond
 * `end`, whatever the text is. */
#include "overlay/json_line.h"

#include <string.h>

struct scan {
	const char *next, *end;
	unsigned line;
};

static void skip_space(struct scan *s)
{
	while (s->next < s->end && strchr(" \t\r\n", *s->next) != NULL && *s->next != '\0')
		s->line += *s->next++ == '\n';
}

/* At a quote: moves behind the string. */
static void skip_string(struct scan *s)
{
	for (s->next++; s->next < s->end && *s->next != '"'; s->next++) {
		if (*s->next == '\\' && s->next + 1 < s->end)
			s->next++;
	}
	if (s->next < s->end)
		s->next++;
}

/* Moves to the comma or closing bracket that ends the value. */
static void skip_value(struct scan *s)
{
	size_t depth = 0;
	while (s->next < s->end) {
		char c = *s->next;
		if (c == '"') {
			skip_string(s);
			continue;
		}
		if (depth == 0 && (c == ',' || c == '}' || c == ']'))
			return;
		depth += c == '{' || c == '[';
		depth -= c == '}' || c == ']';
		s->line += c == '\n';
		s->next++;
	}
}

static bool at(const struct scan *s, char c)
{
	return s->next < s->end && *s->next == c;
}

/* In an object: moves to the value of `key`; *line is the key's. */
static bool enter_key(struct scan *s, const char *key, unsigned *line)
{
	const size_t len = strlen(key);
	if (!at(s, '{'))
		return false;
	do {
		s->next++; /* { or , */
		skip_space(s);
		if (!at(s, '"'))
			return false;
		const char *name = s->next + 1;
		unsigned name_line = s->line;
		skip_string(s);
		bool found = (size_t)(s->next - name) == len + 1 && memcmp(name, key, len) == 0;
		skip_space(s);
		if (!at(s, ':'))
			return false;
		s->next++;
		skip_space(s);
		if (found) {
			*line = name_line;
			return true;
		}
		skip_value(s);
	} while (at(s, ','));
	return false;
}

static bool enter_index(struct scan *s, size_t index, unsigned *line)
{
	if (!at(s, '['))
		return false;
	for (size_t i = 0;; i++) {
		s->next++; /* [ or , */
		skip_space(s);
		if (i == index) {
			*line = s->line;
			return true;
		}
		skip_value(s);
		if (!at(s, ','))
			return false;
	}
}

/* Moves to the value that the path names, as far as it is found. */
static bool follow(struct scan *s, const struct json_path *path, unsigned *line)
{
	skip_space(s);
	for (size_t i = 0; i < path->count; i++) {
		const char *key = path->steps[i].key;
		bool found = key != NULL ? enter_key(s, key, line)
					 : enter_index(s, path->steps[i].index, line);
		if (!found)
			return false;
	}
	return true;
}

unsigned json_line(const char *text, size_t len, const struct json_path *path)
{
	struct scan s = { .next = text, .end = text + len, .line = 1 };
	unsigned line = 1;
	(void)follow(&s, path, &line);
	return line;
}

void json_element_lines(
	const char *text, size_t len, const struct json_path *array, unsigned *lines, size_t count)
{
	struct scan s = { .next = text, .end = text + len, .line = 1 };
	unsigned line = 1;
	bool more = follow(&s, array, &line) && at(&s, '[');
	for (size_t i = 0; i < count; i++) {
		lines[i] = 0;
		if (!more)
			continue;
		s.next++; /* [ or , */
		skip_space(&s);
		lines[i] = s.line;
		skip_value(&s);
		more = at(&s, ',');
	}
}
