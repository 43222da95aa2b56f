/* "facilitators": [ "PEERID@host:27182" ]: a facilitator is a contact without name and grants. */
#include "overlay/config.h"
#include "overlay/config_option.h"

#include <stdio.h>
#include <string.h>

#define WORD_MAX (PEER_ID_TEXT_LEN + 1 + ENDPOINT_TEXT_MAX)

static int parse(char *word, struct contact *c, char *why, size_t why_size)
{
	char *at = strchr(word, '@');
	*c = (struct contact){ .source = CONTACT_FACILITATOR };
	if (!at)
		return config_fail(why, why_size,
			"facilitators: \"%.80s\" has no endpoint: write PEERID@host:port", word);
	*at = '\0';
	if (peer_id_parse(word, &c->id) != OV_OK)
		return config_fail(why, why_size,
			"facilitators: \"%.60s\" is no PeerId (56 characters, as `overlay id` prints "
			"it there)",
			word);
	int err = contact_add_endpoint(c, at + 1);
	if (err == OV_ENOMEM)
		return err;
	return err == OV_OK ? OV_OK
			    : config_fail(why, why_size,
				      "facilitators: \"%.60s\" is no endpoint: write host:port or "
				      "address:port",
				      at + 1);
}

/* A peer that was named before gets another endpoint. */
static int add_take(struct contact *list, size_t *count, size_t max, struct contact *one)
{
	size_t i = 0;
	while (i < *count && !peer_id_equal(&list[i].id, &one->id))
		i++;
	if (i == max) {
		contact_fini(one);
		return OV_EFULL;
	}
	if (i < *count) {
		assert(one->endpoint_count == 1); /* parse has seen to it */
		int err = contact_add_endpoint(&list[i], one->endpoints[0]);
		contact_fini(one);
		return err;
	}
	(void)snprintf(one->name, sizeof(one->name), "facilitator-%zu", ++*count);
	list[i] = *one;
	return OV_OK;
}

int config_facilitators(
	const struct config *c, struct contact *out, size_t max, char *why, size_t why_size)
{
	size_t count = 0;
	int err = OV_OK;
	for (const char *p = c->facilitators; *p != '\0' && err == OV_OK;) {
		char word[WORD_MAX + 1];
		struct contact one;
		size_t len = strcspn(p, ",");
		if (len > WORD_MAX) {
			err = config_fail(
				why, why_size, "facilitators: \"%.40s...\" is too long", p);
			break;
		}
		memcpy(word, p, len);
		word[len] = '\0';
		err = parse(word, &one, why, why_size);
		if (err == OV_OK)
			err = add_take(out, &count, max, &one);
		if (err == OV_EFULL)
			err = config_fail(why, why_size, "facilitators: at most %zu", max);
		p += len + (p[len] == ',');
	}
	for (size_t i = 0; err != OV_OK && i < count; i++)
		contact_fini(&out[i]);
	return err == OV_OK ? (int)count : err;
}
