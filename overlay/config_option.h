#pragma once
/* config_option - the table of config.h and the setting of single values. */
#include "overlay/config.h"

enum config_type {
	CONFIG_BOOL,
	CONFIG_U16,
	CONFIG_U32,
	CONFIG_TEXT,
	CONFIG_CHOICE,
	CONFIG_WORDS,
	CONFIG_LIST
};

/* CONFIG_WORDS: an array of texts in the file, one text with commas elsewhere and in the field. */
struct config_option {
	const char *key; /* "tun.mtu" */
	enum config_type type;
	bool outside_file;          /* environment and flags only */
	size_t offset, size;        /* in struct config; size of a text with NUL */
	uint32_t min, max;          /* numbers: value; texts: length */
	const char *const *choices; /* NULL terminated; index = value (uint8_t) */
	const char *value_name;     /* for help */
	const char *help;
};

extern const struct config_option config_options[CONFIG_KEYS];

/* Writes what is wrong into why; OV_EINVAL. */
int config_fail(char *why, size_t why_size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The option of this key, or NULL. */
const struct config_option *config_option_find(const char *key);
/* Is the key documented (design 10) but part of a later version? */
bool config_key_is_reserved(const char *key);
/* Closest key by edit distance, or "SECTION.*" if that is closer; NULL: none is near. */
const char *config_key_suggest(const char *key);

/* Sets from a text (environment, flag). Checks type and range also if a stronger source was first;
 * then the value stays. OV_OK; OV_EINVAL: *why says what was expected (no place). */
OV_MUST_CHECK int config_set_text(struct config *c, const struct config_option *o, const char *text,
	enum config_source from, char *why, size_t why_size);
OV_MUST_CHECK int config_set_number(struct config *c, const struct config_option *o, int64_t value,
	enum config_source from, char *why, size_t why_size);
void config_set_bool(
	struct config *c, const struct config_option *o, bool value, enum config_source from);
/* "a number from 1280 to 1420" and so on. Returns out. */
const char *config_expected(const struct config_option *o, char *out, size_t size);

struct config_text { /* of a file; name is for messages */
	const char *text, *name;
	size_t len;
};
/* config_contacts.c: replaces c->contacts by the array; messages name file and line. */
OV_MUST_CHECK int config_parse_contacts(struct config *c, const struct json_t *list,
	const struct config_text *file, char *why, size_t why_size);
