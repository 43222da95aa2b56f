/* Rows carry a sum (BLAKE2b over all fields): SQLite notices a broken tree, but not a flipped bit
 * inside a value, and here such a bit could turn "tcp/22" into "tcp/23" or one peer into another.
 * The sum is no protection against an attacker, who could compute it as well. */
#include "overlay/store_row_sql.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

static void sum_text(crypto_generichash_state *h, const char *text)
{
	/* With its NUL: no two lists of texts give the same bytes. */
	(void)crypto_generichash_update(h, (const uint8_t *)text, strlen(text) + 1);
}

static void row_sum(const struct contact *c, const char *grants, const char *endpoints,
	uint8_t out[STORE_ROW_SUM_LEN])
{
	crypto_generichash_state h;
	(void)crypto_generichash_init(&h, NULL, 0, STORE_ROW_SUM_LEN);
	sum_text(&h, "OVL contact row 1");
	(void)crypto_generichash_update(&h, c->id.bytes, sizeof(c->id.bytes));
	(void)crypto_generichash_update(&h, &c->source, 1);
	sum_text(&h, c->name);
	sum_text(&h, grants);
	sum_text(&h, endpoints);
	if (c->lan_only) /* rows of before it was there keep their sum */
		sum_text(&h, "lan_only");
	(void)crypto_generichash_final(&h, out, STORE_ROW_SUM_LEN);
}

void store_row_grants(const struct grants *g, char out[STORE_GRANTS_MAX])
{
	char word[GRANT_TEXT_MAX];
	size_t len = 0;
	out[0] = '\0';
	for (size_t i = 0; grants_word(g, i, word); i++) {
		int n = snprintf(out + len, STORE_GRANTS_MAX - len, "%s%s", i > 0 ? "," : "", word);
		len += (size_t)n;
		assert(len < STORE_GRANTS_MAX);
	}
}

int store_row_make(struct store_row *r, const struct contact *c)
{
	json_t *list = json_array();
	for (size_t i = 0; i < c->endpoint_count; i++)
		(void)json_array_append_new(list, json_string(c->endpoints[i]));
	bool whole = json_array_size(list) == c->endpoint_count;
	r->endpoints = whole ? json_dumps(list, JSON_COMPACT) : NULL;
	json_decref(list);
	if (r->endpoints == NULL)
		return OV_ENOMEM;
	store_row_grants(&c->grants, r->grants);
	row_sum(c, r->grants, r->endpoints, r->sum);
	return OV_OK;
}

static bool endpoints_from_json(struct contact *c, const char *text)
{
	json_t *list = json_loads(text, 0, NULL), *item;
	size_t i;
	bool ok = json_is_array(list) && json_array_size(list) <= CONTACT_ENDPOINTS_MAX;
	if (ok) {
		json_array_foreach(list, i, item)
		{
			ok = ok && json_is_string(item) &&
			     contact_add_endpoint(c, json_string_value(item)) == OV_OK;
		}
	}
	json_decref(list);
	return ok;
}

static const char *column_text(sqlite3_stmt *st, int column)
{
	const unsigned char *text = sqlite3_column_text(st, column);
	return text != NULL ? (const char *)text : "";
}

/* The optional hint where the peer was last; nothing depends on it. */
static void load_last(struct contact *c, sqlite3_stmt *st)
{
	if (sqlite3_column_type(st, 6) == SQLITE_NULL)
		return;
	if (addr_parse(column_text(st, 6), 0, &c->last_endpoint) != OV_OK) {
		memset(&c->last_endpoint, 0, sizeof(c->last_endpoint));
		return;
	}
	c->last_seen_at_s = sqlite3_column_int64(st, 7);
}

bool store_row_read(struct contact *c, sqlite3_stmt *st)
{
	uint8_t sum[STORE_ROW_SUM_LEN];
	*c = (struct contact){ .source = (uint8_t)sqlite3_column_int(st, 2),
		.lan_only = sqlite3_column_int(st, 8) != 0 };
	const char *name = column_text(st, 1), *grants = column_text(st, 3);
	const char *endpoints = column_text(st, 4);
	const void *peer = sqlite3_column_blob(st, 0), *stored = sqlite3_column_blob(st, 5);
	if (peer == NULL || sqlite3_column_bytes(st, 0) != PEER_ID_LEN || stored == NULL ||
		sqlite3_column_bytes(st, 5) != STORE_ROW_SUM_LEN || strlen(name) >= sizeof(c->name))
		return false;
	memcpy(c->id.bytes, peer, PEER_ID_LEN);
	memcpy(c->name, name, strlen(name) + 1);
	row_sum(c, grants, endpoints, sum);
	if (memcmp(sum, stored, sizeof(sum)) != 0 || !contact_name_ok(c->name))
		return false;
	if ((grants[0] != '\0' && grants_add_list(&c->grants, grants, NULL) != OV_OK) ||
		!endpoints_from_json(c, endpoints)) {
		contact_fini(c);
		return false;
	}
	load_last(c, st);
	return true;
}
