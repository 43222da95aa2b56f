/* Lines of the overlay socket into the api. The input is cut at newlines, as the socket does; the
 * store answers what waits at the end, so that changes reach the node too. */
#include "overlay/control_client.h"

#include "tests/unit/fake_node.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define POSTED_MAX 32

struct scene {
	struct node node;
	uint64_t tickets[POSTED_MAX];
	size_t posted;
};

static int post_take(void *context, struct store_request *r)
{
	struct scene *s = context;
	store_request_fini(r);
	if (s->posted == POSTED_MAX)
		return OV_EFULL;
	s->tickets[s->posted++] = r->ticket;
	return OV_OK;
}

static struct peer_id make_peer(uint8_t number)
{
	uint8_t seed[32] = { number };
	struct identity id;
	if (identity_from_seed(&id, seed) != OV_OK)
		abort();
	return id.id;
}

static void fill(void *context, void *out, size_t len)
{
	(void)context;
	memset(out, 0x5a, len);
}

static void answer_store(struct scene *s, struct api *api)
{
	for (size_t i = 0; i < s->posted; i++) {
		struct store_result r = { .ticket = s->tickets[i],
			.status = i % 5 == 4 ? OV_EIO : OV_OK };
		api_on_store_result(api, OV_SEC, &r);
	}
	s->posted = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scene *s = calloc(1, sizeof(*s));
	static struct identity self;
	static const uint8_t seed[32] = { 1 };
	if (self.sign_secret[0] == 0 && identity_from_seed(&self, seed) != OV_OK)
		abort();
	struct api_facts facts = { .version = "0", .state_dir = "/", .pairing = true };
	struct api_config cfg = { .node = &s->node,
		.self = self.id,
		.facts = &facts,
		.context = s,
		.store_post_take = post_take,
		.identity = &self,
		.rng = { .fill = fill } };
	struct contact known = { .id = make_peer(2), .name = "laptop" };
	if (node_contact_put(&s->node, 0, &known, false) != OV_OK)
		abort();
	s->node.requests[0].id = make_peer(3);
	s->node.request_count = 1;
	struct api *api = api_new(&cfg, OV_SEC);
	struct control_client client;
	client_init(&client, 1);
	client.api.greeted = true;
	client_feed(&client, OV_SEC, data, size);
	while (client.close_by == OV_NEVER && client_work(&client, OV_SEC, api, 8))
		answer_store(s, api);
	answer_store(s, api);
	client_tick(&client, 7 * OV_SEC);
	api_tick(api, 100 * OV_SEC);
	struct api_line line;
	while (api_poll(api, &line)) {
		client_answer(&client, OV_SEC, line.json);
		json_decref(line.json);
	}
	if (client.out.len > CLIENT_BUFFER_MAX)
		abort();
	client_fini(&client, api);
	api_free(api);
	fake_node_fini(&s->node);
	free(s);
	return 0;
}
