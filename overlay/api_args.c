/* Arguments of a request. Every message names the op and the argument, says what would be right,
 * and repeats foreign text only printable and short. */
#include "overlay/api_impl.h"

#include "overlay/suggest.h"

#include <string.h>

const char *api_quote(char out[72], const char *text)
{
	size_t len = 0;
	for (; text[len] && len < 64; len++) {
		out[len] = '?';
		if (text[len] >= ' ' && text[len] <= '~')
			out[len] = text[len];
	}
	memcpy(out + len, text[len] ? "..." : "", text[len] ? 4 : 1);
	return out;
}

const char *api_text(struct api_call *c, const char *key, bool required)
{
	const json_t *value = json_object_get(c->args, key);
	if (json_is_string(value))
		return json_string_value(value);
	if (value)
		api_fail(c, "bad-argument", "", "%s: %s must be a string", c->op, key);
	else if (required)
		api_fail(c, "bad-argument", "", "%s: %s is missing", c->op, key);
	return NULL;
}

bool api_integer(struct api_call *c, const char *key, int64_t low, int64_t high, int64_t *value)
{
	const json_t *j = json_object_get(c->args, key);
	if (!j)
		return true;
	int64_t v = json_integer_value(j);
	if (!json_is_integer(j) || v < low || v > high) {
		api_fail(c, "bad-argument", "", "%s: %s must be an integer from %lld to %lld",
			c->op, key, (long long)low, (long long)high);
		return false;
	}
	*value = v;
	return true;
}

bool api_flag(struct api_call *c, const char *key, bool *value)
{
	const json_t *j = json_object_get(c->args, key);
	if (j && !json_is_boolean(j))
		api_fail(c, "bad-argument", "", "%s: %s must be true or false", c->op, key);
	*value = json_is_true(j);
	return json_is_boolean(j);
}

const json_t *api_list(struct api_call *c, const char *key)
{
	const json_t *list = json_object_get(c->args, key);
	if (!list)
		return NULL;
	bool good = json_is_array(list);
	for (size_t i = 0; good && i < json_array_size(list); i++)
		good = json_is_string(json_array_get(list, i));
	if (!good) {
		api_fail(c, "bad-argument", "", "%s: %s must be an array of strings", c->op, key);
		return NULL;
	}
	return list;
}

static void fail_unknown(struct api_call *c, const char *text)
{
	char quoted[72], hint[160] = "add it: overlay peer add NAME PEERID [IP:PORT]";
	struct suggest near;
	suggest_init(&near, text);
	const struct contact *at;
	for (size_t i = 0; (at = node_contact_at(c->a->cfg.node, i)) != NULL; i++) {
		if (!contact_is_known(at->source))
			continue;
		suggest_offer(&near, at->name);
		snprintf(hint, sizeof(hint), "see: overlay peer list");
	}
	if (near.best)
		snprintf(hint, sizeof(hint), "did you mean %s? see: overlay peer list", near.best);
	else if (strlen(text) >= 40) /* meant as a PeerId, it seems */
		snprintf(hint, sizeof(hint),
			"a PeerId has %d characters; copy it from `overlay id`", PEER_ID_TEXT_LEN);
	api_fail(c, "unknown-peer", hint, "no peer \"%s\"", api_quote(quoted, text));
}

const struct contact *api_contact(struct api_call *c, const char *key)
{
	const char *text = api_text(c, key, true);
	if (!text)
		return NULL;
	struct peer_id id;
	if (peer_id_decode(text, &id) == OV_OK) {
		const struct contact *found = node_contact(c->a->cfg.node, &id);
		if (found && !contact_is_known(found->source))
			found = NULL;
		if (!found)
			api_fail(c, "unknown-peer",
				"add it: overlay peer add NAME PEERID [IP:PORT]",
				"this PeerId is not a contact");
		return found;
	}
	const struct contact *at;
	for (size_t i = 0; (at = node_contact_at(c->a->cfg.node, i)) != NULL; i++)
		if (contact_is_known(at->source) && strcmp(at->name, text) == 0)
			return at;
	fail_unknown(c, text);
	return NULL;
}
