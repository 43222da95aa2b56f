/* "contacts": [ {"name": "laptop", "peer": "...", "endpoints": ["host:27182"], "allow": ["tcp/22"]}
 * ]
 *
 * `name` and `peer` are required; `"lan_only": true` keeps the contact to networks of ours. Without
 * `allow` a contact gets the default grants; with it, exactly what it lists. Duplicates are found
 * by sorting an index, as there may be 16,384. */
#include "overlay/config_option.h"
#include "overlay/json_line.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct place { /* for messages: element `index` of the array, and a key of it or NULL */
	const char *text, *file;
	size_t len, index;
	char *why;
	size_t why_size;
};

__attribute__((format(printf, 3, 4))) static int refuse(
	const struct place *p, const char *key, const char *fmt, ...)
{
	struct json_path path = { .count = 2 };
	path.steps[0].key = "contacts";
	path.steps[1].index = p->index;
	if (key != NULL)
		path.steps[path.count++].key = key;
	int n = snprintf(p->why, p->why_size, "%s:%u: contacts: ", p->file,
		json_line(p->text, p->len, &path));
	if (n < 0 || (size_t)n >= p->why_size)
		return OV_EINVAL;
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(p->why + n, p->why_size - (size_t)n, fmt, args);
	va_end(args);
	return OV_EINVAL;
}

/* Each text of an array; NULL array is an empty one. */
static int each_text(const struct place *p, const char *key, const json_t *list, struct contact *c,
	int (*add)(struct contact *c, const char *text))
{
	size_t i;
	json_t *item;
	if (list != NULL && !json_is_array(list))
		return refuse(p, key, "%s: expected an array of texts", key);
	json_array_foreach(list, i, item)
	{
		const char *text = json_string_value(item);
		if (text == NULL)
			return refuse(p, key, "%s: expected an array of texts", key);
		int err = add(c, text);
		if (err == OV_EFORMAT)
			return refuse(p, key, "%s: \"%.60s\" is not understood", key, text);
		if (err != OV_OK)
			return refuse(p, key, "%s: \"%.60s\": %s", key, text, ov_err_text(err));
	}
	return OV_OK;
}

static int add_grant(struct contact *c, const char *text)
{
	return grants_add(&c->grants, text);
}

static int parse_name_and_peer(const struct place *p, const json_t *object, struct contact *c)
{
	const char *name = json_string_value(json_object_get(object, "name"));
	const char *peer = json_string_value(json_object_get(object, "peer"));
	if (name == NULL)
		return refuse(p, "name", "every contact needs a \"name\" (text)");
	if (!contact_name_ok(name))
		return refuse(p, "name",
			"name: use letters, digits, '-', '_', '.', at most %d, first a letter or "
			"digit",
			CONTACT_NAME_MAX - 1);
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	if (peer == NULL)
		return refuse(p, "peer",
			"%s needs a \"peer\" (text): what `overlay id` prints there", name);
	if (peer_id_parse(peer, &c->id) != OV_OK)
		return refuse(p, "peer",
			"%s: \"%.60s\" is no PeerId (56 characters, as `overlay id` prints it)",
			name, peer);
	return OV_OK;
}

static int parse_contact(const struct place *p, json_t *object, struct contact *c)
{
	static const char *const known[] = { "name", "peer", "endpoints", "allow", "lan_only" };
	const size_t count = sizeof(known) / sizeof(*known);
	const char *key;
	json_t *value;
	if (!json_is_object(object))
		return refuse(p, NULL, "expected an object with name and peer");
	json_object_foreach(object, key, value)
	{
		size_t i = 0;
		while (i < count && strcmp(key, known[i]) != 0)
			i++;
		if (i == count)
			return refuse(p, key,
				"unknown key \"%.40s\": there are name, peer, endpoints, allow, "
				"lan_only",
				key);
	}
	int err = parse_name_and_peer(p, object, c);
	if (err != OV_OK)
		return err;
	const json_t *lan_only = json_object_get(object, "lan_only");
	if (lan_only && !json_is_boolean(lan_only))
		return refuse(p, "lan_only", "lan_only: expected true or false");
	c->lan_only = json_is_true(lan_only);
	const json_t *allow = json_object_get(object, "allow");
	if (allow == NULL)
		c->grants = grants_default();
	err = each_text(p, "allow", allow, c, add_grant);
	if (err == OV_OK)
		err = each_text(p, "endpoints", json_object_get(object, "endpoints"), c,
			contact_add_endpoint);
	return err;
}

static int by_peer(const void *a, const void *b)
{
	const struct config_contact *const *x = a, *const *y = b;
	int order = memcmp((*x)->contact.id.bytes, (*y)->contact.id.bytes, PEER_ID_LEN);
	return order != 0 ? order : (*x > *y) - (*x < *y);
}

static int by_name(const void *a, const void *b)
{
	const struct config_contact *const *x = a, *const *y = b;
	int order = strcasecmp((*x)->contact.name, (*y)->contact.name);
	return order != 0 ? order : (*x > *y) - (*x < *y);
}

static int check_duplicates(struct place *p, const struct config *c)
{
	if (c->contact_count < 2)
		return OV_OK;
	const size_t size = sizeof(struct config_contact *);
	const struct config_contact **order = malloc(c->contact_count * size);
	if (order == NULL)
		return OV_ENOMEM;
	for (size_t i = 0; i < c->contact_count; i++)
		order[i] = &c->contacts[i];
	int err = OV_OK;
	qsort(order, c->contact_count, size, by_peer);
	for (size_t i = 1; i < c->contact_count && err == OV_OK; i++) {
		p->index = (size_t)(order[i] - c->contacts);
		if (memcmp(&order[i - 1]->contact.id, &order[i]->contact.id, PEER_ID_LEN) == 0)
			err = refuse(p, "peer", "%s is the same peer as %s in line %u: remove one",
				order[i]->contact.name, order[i - 1]->contact.name,
				order[i - 1]->line);
	}
	qsort(order, c->contact_count, size, by_name);
	for (size_t i = 1; i < c->contact_count && err == OV_OK; i++) {
		p->index = (size_t)(order[i] - c->contacts);
		if (strcasecmp(order[i - 1]->contact.name, order[i]->contact.name) == 0)
			err = refuse(p, "name", "the name %s is taken in line %u: choose another",
				order[i]->contact.name, order[i - 1]->line);
	}
	free(order);
	return err;
}

static void drop_contacts(struct config *c)
{
	for (size_t i = 0; i < c->contact_count; i++)
		contact_fini(&c->contacts[i].contact);
	free(c->contacts);
	c->contacts = NULL;
	c->contact_count = 0;
}

/* The line of each, by one pass over the text (config_contact.line follows from it). */
static int note_lines(const struct place *p, struct config *c, size_t count)
{
	struct json_path path = { .count = 1 };
	unsigned *lines = calloc(count, sizeof(*lines));
	if (lines == NULL)
		return OV_ENOMEM;
	path.steps[0].key = "contacts";
	json_element_lines(p->text, p->len, &path, lines, count);
	for (size_t i = 0; i < count; i++)
		c->contacts[i].line = lines[i];
	free(lines);
	return OV_OK;
}

int config_parse_contacts(struct config *c, const json_t *list, const struct config_text *file,
	char *why, size_t why_size)
{
	struct place p = { file->text, file->name, file->len, 0, why, why_size };
	size_t count = json_array_size(list);
	drop_contacts(c);
	c->source[CONFIG_CONTACTS] = CONFIG_FROM_FILE;
	if (count == 0)
		return OV_OK;
	p.index = count - 1;
	if (count > config_options[CONFIG_LIMITS_CONTACTS].max)
		return refuse(&p, NULL, "%zu are too many", count);
	c->contacts = calloc(count, sizeof(*c->contacts));
	int err = c->contacts != NULL ? note_lines(&p, c, count) : OV_ENOMEM;
	for (p.index = 0; p.index < count && err == OV_OK; p.index++) {
		struct contact *to = &c->contacts[c->contact_count++].contact;
		to->source = CONTACT_CONFIG;
		err = parse_contact(&p, json_array_get(list, p.index), to);
	}
	if (err == OV_ENOMEM)
		(void)snprintf(why, why_size, "%s: out of memory", file->name);
	return err == OV_OK ? check_duplicates(&p, c) : err;
}
