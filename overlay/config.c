/* Three readers (file, environment, flags) over one table. A value remembers where it came from and
 * yields only to a source at least as strong, so that the flags can be read first, to learn which
 * file to read. Messages follow one form: place, what is wrong, what to write instead. */
#include "overlay/config.h"

#include "overlay/config_option.h"
#include "overlay/json_line.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 64 /* of a flag or variable as derived from a key */

struct reader { /* of one file */
	struct config *c;
	const char *text, *name;
	size_t len;
	char *why;
	size_t why_size;
};

void config_default(struct config *c)
{
	*c = (struct config){
		.listen_udp = 27182,
		.facilitator_tcp = ENDPOINT_TCP_PORT,
		.facilitator_clients = 10000,
		.facilitator_channels = 64,
		.facilitator_rate = 12500000,
		.facilitator_total_rate = 125000000,
		.tun_mtu = 1420,
		.tun_enabled = true,
		.portmap = true,
		.lan = true,
		.tun_name = "overlay0",
		.aead = "auto",
		.limits_contacts = 16384,
		.limits_handshakes = 1024,
		.limits_flows = 16384,
		.limits_requests = 64,
		.limits_clients = 256,
		.limits_clients_per_uid = 64,
		.limits_streams = 8192,
		.limits_stream_days = 7,
		.log_level = LOG_LEVEL_INFO,
		.log_format = LOG_FORMAT_TEXT,
	};
}

void config_fini(struct config *c)
{
	for (size_t i = 0; i < c->contact_count; i++)
		contact_fini(&c->contacts[i].contact);
	free(c->contacts);
	sodium_memzero(c->network_key, sizeof(c->network_key));
	config_default(c);
}

/* Appends what a person probably meant. */
static void hint_unknown(const char *key, char *why, size_t why_size)
{
	size_t len = strlen(why);
	const char *near = config_key_suggest(key);
	if (near != NULL && len < why_size)
		(void)snprintf(why + len, why_size - len, "; did you mean \"%s\"?", near);
}

/* ---- file ---- */

/* section: NULL, or with a dot between an object and the one inside it; key NULL: the line of the
 * section itself. */
static unsigned key_line(const struct reader *r, const char *section, const char *key)
{
	struct json_path path = { .count = 0 };
	char names[NAME_MAX_LEN];
	(void)snprintf(names, sizeof(names), "%s", section != NULL ? section : "");
	for (char *name = names; *name != '\0' && path.count < JSON_STEPS_MAX - 1;) {
		char *end = name + strcspn(name, ".");
		path.steps[path.count++].key = name;
		name = *end != '\0' ? end + 1 : end;
		*end = '\0';
	}
	if (key != NULL)
		path.steps[path.count++].key = key;
	return json_line(r->text, r->len, &path);
}

static const char *type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT: return "an object";
	case JSON_ARRAY: return "an array";
	case JSON_STRING: return "a text";
	case JSON_INTEGER: return "a number";
	case JSON_REAL: return "a fraction";
	case JSON_TRUE:
	case JSON_FALSE: return "true or false";
	case JSON_NULL: return "null";
	}
	assert(false); /* memory is corrupt */
	return "";
}

/* An array of texts becomes one text with commas. */
static int set_words(const struct reader *r, const struct config_option *o, const json_t *list,
	char *why, size_t why_size)
{
	char joined[CONFIG_FACILITATORS_LEN + 1] = "";
	size_t i, len = 0;
	json_t *item;
	json_array_foreach(list, i, item)
	{
		const char *text = json_string_value(item);
		if (text == NULL)
			return config_fail(why, why_size, "expected an array of texts");
		len += (size_t)snprintf(
			joined + len, sizeof(joined) - len, "%s%s", i ? "," : "", text);
		if (len > o->max)
			return config_fail(why, why_size, "the texts are too long");
	}
	return config_set_text(r->c, o, joined, CONFIG_FROM_FILE, why, why_size);
}

static int set_json(const struct reader *r, const struct config_option *o, const json_t *value,
	char *why, size_t why_size)
{
	bool number = o->type == CONFIG_U16 || o->type == CONFIG_U32;
	bool text = o->type == CONFIG_TEXT || o->type == CONFIG_CHOICE;
	char expected[160];
	if (o->type == CONFIG_BOOL && json_is_boolean(value)) {
		config_set_bool(r->c, o, json_is_true(value), CONFIG_FROM_FILE);
		return OV_OK;
	}
	if (number && json_is_integer(value))
		return config_set_number(
			r->c, o, json_integer_value(value), CONFIG_FROM_FILE, why, why_size);
	if (o->type == CONFIG_WORDS && json_is_array(value))
		return set_words(r, o, value, why, why_size);
	if (text && json_is_string(value))
		return config_set_text(
			r->c, o, json_string_value(value), CONFIG_FROM_FILE, why, why_size);
	return config_fail(why, why_size, "expected %s, not %s",
		config_expected(o, expected, sizeof(expected)), type_name(value));
}

static int unknown_key(const struct reader *r, const char *full, unsigned line)
{
	if (config_key_is_reserved(full))
		return config_fail(r->why, r->why_size,
			"%s:%u: \"%.40s\" is not available in this version yet: remove it", r->name,
			line, full);
	(void)config_fail(r->why, r->why_size, "%s:%u: unknown key \"%.40s\"", r->name, line, full);
	hint_unknown(full, r->why, r->why_size);
	return OV_EINVAL;
}

static int parse_value(
	const struct reader *r, const char *section, const char *key, const json_t *value)
{
	char full[NAME_MAX_LEN], reason[256];
	unsigned line = key_line(r, section, key);
	(void)snprintf(full, sizeof(full), "%s%s%s", section != NULL ? section : "",
		section != NULL ? "." : "", key);
	const struct config_option *o = config_option_find(full);
	if (o == NULL)
		return unknown_key(r, full, line);
	if (o->outside_file)
		return config_fail(r->why, r->why_size,
			"%s:%u: \"%s\" cannot be set in the file: use the flag --%s", r->name, line,
			full, full);
	if (section == NULL && strchr(key, '.') != NULL)
		return config_fail(r->why, r->why_size,
			"%s:%u: write \"%s\" as an object: {\"%.*s\": {\"%s\": ...}}", r->name,
			line, key, (int)strcspn(key, "."), key, strchr(key, '.') + 1);
	if (o->type == CONFIG_LIST && json_is_array(value))
		return config_parse_contacts(r->c, value,
			&(struct config_text){ r->text, r->name, r->len }, r->why, r->why_size);
	if (set_json(r, o, value, reason, sizeof(reason)) == OV_OK)
		return OV_OK;
	return config_fail(r->why, r->why_size, "%s:%u: %s: %s", r->name, line, full, reason);
}

/* Is "key." the beginning of an option's key? */
static bool is_section(const char *key)
{
	size_t len = strlen(key);
	for (size_t i = 0; i < CONFIG_KEYS; i++) {
		const char *full = config_options[i].key;
		if (strncmp(full, key, len) == 0 && full[len] == '.')
			return true;
	}
	return false;
}

/* As deep as the keys of the table. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static int parse_section(const struct reader *r, const char *section, json_t *values)
{
	const char *key;
	json_t *value;
	if (!json_is_object(values))
		return config_fail(r->why, r->why_size, "%s:%u: %s: expected an object, not %s",
			r->name, key_line(r, section, NULL), section, type_name(values));
	json_object_foreach(values, key, value)
	{
		char full[NAME_MAX_LEN];
		(void)snprintf(full, sizeof(full), "%s.%s", section, key);
		bool deeper = strchr(key, '.') == NULL && is_section(full);
		int err = deeper ? parse_section(r, full, value)
				 : parse_value(r, section, key, value);
		if (err != OV_OK)
			return err;
	}
	return OV_OK;
}

int config_parse(struct config *c, const char *text, size_t len, const char *file_name, char *why,
	size_t why_size)
{
	struct reader r = { c, text, file_name, len, why, why_size };
	json_error_t error;
	const char *key;
	json_t *value, *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (root == NULL)
		return config_fail(why, why_size, "%s:%d: not valid JSON: %s", file_name,
			error.line > 0 ? error.line : 1, error.text);
	int err = OV_OK;
	if (!json_is_object(root))
		err = config_fail(why, why_size, "%s:1: expected one JSON object { ... }, not %s",
			file_name, type_name(root));
	json_object_foreach(root, key, value)
	{
		bool object = strchr(key, '.') == NULL && is_section(key);
		err = object ? parse_section(&r, key, value) : parse_value(&r, NULL, key, value);
		if (err != OV_OK)
			break;
	}
	json_decref(root);
	return err;
}

/* ---- environment and flags ---- */

/* "tun.mtu" -> "OVERLAY_TUN_MTU" or "tun-mtu" */
static void derive_name(const char *key, bool env, char out[NAME_MAX_LEN])
{
	int len = snprintf(out, NAME_MAX_LEN, "%s%s", env ? "OVERLAY_" : "", key);
	assert(len > 0 && len < NAME_MAX_LEN);
	for (char *p = out; *p != '\0'; p++) {
		if (*p == '.' || *p == '_')
			*p = (char)(env ? '_' : '-');
		else if (env && *p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
	}
}

static const struct config_option *find_derived(const char *name, size_t len, bool env)
{
	char derived[NAME_MAX_LEN];
	for (size_t i = 0; i < CONFIG_KEYS; i++) {
		derive_name(config_options[i].key, env, derived);
		if (strlen(derived) == len && memcmp(derived, name, len) == 0 &&
			config_options[i].type != CONFIG_LIST)
			return &config_options[i];
	}
	return NULL;
}

int config_apply_env(struct config *c, const char *const *env, char *why, size_t why_size)
{
	char reason[256];
	for (; *env != NULL; env++) {
		const char *equals = strchr(*env, '=');
		if (equals == NULL || strncmp(*env, "OVERLAY_", 8) != 0)
			continue;
		size_t len = (size_t)(equals - *env);
		const struct config_option *o = find_derived(*env, len, true);
		if (o == NULL)
			continue;
		if (config_set_text(c, o, equals + 1, CONFIG_FROM_ENV, reason, sizeof(reason)) !=
			OV_OK)
			return config_fail(
				why, why_size, "environment: %.*s: %s", (int)len, *env, reason);
	}
	return OV_OK;
}

static int unknown_flag(const char *arg, char *why, size_t why_size)
{
	char key[NAME_MAX_LEN];
	size_t len = strncmp(arg, "--", 2) == 0 ? strcspn(arg + 2, "=") : 0;
	if (len == 0)
		return config_fail(why, why_size, "\"%.40s\" is no option: see --help", arg);
	len = len < sizeof(key) - 1 ? len : sizeof(key) - 1;
	memcpy(key, arg + 2, len);
	key[len] = '\0';
	for (char *p = key; *p != '\0'; p++)
		if (*p == '-')
			*p = '.';
	if (config_key_is_reserved(key))
		return config_fail(
			why, why_size, "%.40s is not available in this version yet", arg);
	if (config_option_find(key) != NULL) /* a list */
		return config_fail(
			why, why_size, "%.40s is no flag: write \"%s\" into the file", arg, key);
	char near_flag[NAME_MAX_LEN];
	const char *near = config_key_suggest(key);
	if (near == NULL)
		return config_fail(why, why_size, "unknown option %.40s: see --help", arg);
	derive_name(near, false, near_flag);
	return config_fail(
		why, why_size, "unknown option %.40s; did you mean --%s?", arg, near_flag);
}

/* --help, --version, --no-tun, and --no-X for a switch X. */
static bool apply_word(struct config *c, const char *arg)
{
	if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
		c->show_help = true;
		return true;
	}
	if (strcmp(arg, "--version") == 0) {
		c->show_version = true;
		return true;
	}
	if (strcmp(arg, "--facilitator") == 0) {
		if (c->source[CONFIG_FACILITATOR_POLICY] < CONFIG_FROM_FLAG)
			c->facilitator_policy = FACILITATOR_CONTACTS;
		c->source[CONFIG_FACILITATOR_POLICY] = CONFIG_FROM_FLAG;
		return true;
	}
	bool no = strncmp(arg, "--no-", 5) == 0;
	const char *name = no ? arg + 5 : arg + 2;
	const struct config_option *o = strcmp(arg, "--no-tun") == 0
						? &config_options[CONFIG_TUN_ENABLED]
						: find_derived(name, strlen(name), false);
	if (o == NULL || o->type != CONFIG_BOOL)
		return false;
	config_set_bool(c, o, !no, CONFIG_FROM_FLAG);
	return true;
}

int config_apply_flags(
	struct config *c, int argc, const char *const *argv, char *why, size_t why_size)
{
	char reason[256];
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		if (arg[0] != '-' || (arg[1] != '-' && strcmp(arg, "-h") != 0))
			return unknown_flag(arg, why, why_size);
		if (apply_word(c, arg))
			continue;
		size_t len = strcspn(arg + 2, "=");
		const struct config_option *o = find_derived(arg + 2, len, false);
		if (o == NULL)
			return unknown_flag(arg, why, why_size);
		const char *value = arg[2 + len] == '=' ? arg + 3 + len : NULL;
		if (value == NULL && i + 1 < argc)
			value = argv[++i];
		if (value == NULL)
			return config_fail(
				why, why_size, "%s needs a value: %s %s", arg, arg, o->value_name);
		if (config_set_text(c, o, value, CONFIG_FROM_FLAG, reason, sizeof(reason)) != OV_OK)
			return config_fail(why, why_size, "--%.*s: %s", (int)len, arg + 2, reason);
	}
	return OV_OK;
}

/* ---- check, print, help ---- */

static bool aead_word_ok(const char *word, size_t len)
{
	static const char *const words[] = { "auto", "ipsec-mb", "openssl", "sodium", "aes-256-gcm",
		"chacha20-poly1305" };
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strlen(words[i]) == len && memcmp(words[i], word, len) == 0)
			return true;
	}
	return false;
}

int config_check(const struct config *c, char *why, size_t why_size)
{
	size_t len = strcspn(c->aead, ":");
	bool pair = c->aead[len] == ':';
	if (!aead_word_ok(c->aead, len) ||
		(pair && !aead_word_ok(c->aead + len + 1, strlen(c->aead + len + 1))))
		return config_fail(why, why_size,
			"aead: \"%s\" is unknown: use auto, ipsec-mb, openssl, sodium, aes-256-gcm, "
			"chacha20-poly1305, or BACKEND:CIPHER",
			c->aead);
	for (const char *p = c->tun_name; *p != '\0'; p++) {
		if (*p <= ' ' || *p > '~' || *p == '/' || *p == ':' || *p == '%')
			return config_fail(why, why_size,
				"tun.name: an interface cannot be called so: use letters and digits, "
				"for example overlay0");
	}
	if (strcmp(c->tun_name, ".") == 0 || strcmp(c->tun_name, "..") == 0)
		return config_fail(
			why, why_size, "tun.name: \"%s\" is no interface name", c->tun_name);
	struct contact facilitators[CONFIG_FACILITATORS_MAX];
	int count = config_facilitators(c, facilitators, CONFIG_FACILITATORS_MAX, why, why_size);
	if (count < 0)
		return count;
	for (int i = 0; i < count; i++)
		contact_fini(&facilitators[i]);
	if (c->contact_count > c->limits_contacts)
		return config_fail(why, why_size,
			"contacts: %zu are more than limits.contacts (%u) allows", c->contact_count,
			(unsigned)c->limits_contacts);
	if (c->limits_clients_per_uid > c->limits_clients)
		return config_fail(why, why_size,
			"limits.clients_per_uid (%u) must not exceed limits.clients (%u)",
			(unsigned)c->limits_clients_per_uid, (unsigned)c->limits_clients);
	return OV_OK;
}

static json_t *value_json(const struct config *c, const struct config_option *o)
{
	const uint8_t *field = (const uint8_t *)c + o->offset;
	uint16_t u16;
	uint32_t u32;
	switch (o->type) {
	case CONFIG_BOOL: return json_boolean(*field != 0);
	case CONFIG_U16: memcpy(&u16, field, sizeof(u16)); return json_integer(u16);
	case CONFIG_U32: memcpy(&u32, field, sizeof(u32)); return json_integer(u32);
	case CONFIG_TEXT:
		if (o == &config_options[CONFIG_NETWORK_KEY])
			return json_boolean(field[0] != '\0');
		return json_string((const char *)field);
	case CONFIG_WORDS: return json_string((const char *)field);
	case CONFIG_CHOICE: return json_string(o->choices[*field]);
	case CONFIG_LIST: return json_integer((json_int_t)c->contact_count);
	}
	assert(false); /* no case matched: memory is corrupt */
	return NULL;
}

json_t *config_print(const struct config *c)
{
	static const char *const sources[] = { "default", "file", "environment", "flag" };
	json_t *root = json_object();
	for (size_t i = 0; i < CONFIG_KEYS && root != NULL; i++) {
		const struct config_option *o = &config_options[i];
		json_t *entry = json_pack(
			"{s:o,s:s}", "value", value_json(c, o), "source", sources[c->source[i]]);
		if (json_object_set_new(root, o->key, entry) != 0) {
			json_decref(root);
			root = NULL;
		}
	}
	return root;
}

const char *config_help(char *out, size_t size)
{
	size_t len = 0;
	for (size_t i = 0; i < CONFIG_KEYS && len < size; i++) {
		const struct config_option *o = &config_options[i];
		char name[NAME_MAX_LEN], left[NAME_MAX_LEN + 16];
		if (o->type == CONFIG_LIST)
			continue;
		derive_name(o->key, false, name);
		(void)snprintf(left, sizeof(left), "--%s%s%s",
			o->type == CONFIG_BOOL ? "[no-]" : "", name, "");
		if (o->value_name != NULL)
			(void)snprintf(left, sizeof(left), "--%s %s", name, o->value_name);
		/* the text of a long one stands below it, so that the column stays */
		len += (size_t)snprintf(out + len, size - len, "  %-28s%s%*s%s\n", left,
			strlen(left) > 28 ? "\n" : "", strlen(left) > 28 ? 31 : 1, "", o->help);
	}
	if (len < size)
		(void)snprintf(out + len, size - len,
			"  %-28s %s\n  %-28s %s\n  %-28s %s\n  %-28s %s\n", "--facilitator",
			"same as --facilitator-policy contacts", "--no-tun",
			"same as --no-tun-enabled", "--version", "print the version", "--help",
			"print this");
	return out;
}
