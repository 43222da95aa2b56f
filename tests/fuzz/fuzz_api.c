/* Lines of the overlay socket into the api. The input is cut at newlines, as the socket does; the
 * store answers what waits at the end, so that changes reach the node too.
 *
 * Four control characters are what else happens: 0x1e a descriptor came with the bytes before, 0x1c
 * a contact opens a stream, 0x1d the other side of the last stream says yes, 0x1b resets it. Each
 * descriptor is closed once, or a local end has it. */
#include "overlay/control_client.h"

#include "tests/unit/fake_node.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define POSTED_MAX      32
#define DESCRIPTORS_MAX 4096

struct scene {
	struct node node;
	struct services *services;
	bool is_open[DESCRIPTORS_MAX];
	int next_descriptor;
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

/* ---- descriptors and local ends ---- */

static int new_descriptor(struct scene *s)
{
	if (s->next_descriptor == DESCRIPTORS_MAX)
		return -1;
	s->is_open[s->next_descriptor] = true;
	return s->next_descriptor++;
}

static void on_close(void *context, int descriptor)
{
	struct scene *s = context;
	if (descriptor < 0 || descriptor >= s->next_descriptor || !s->is_open[descriptor])
		abort();
	s->is_open[descriptor] = false;
}

static int on_join(void *context, struct service_stream *one, int descriptor)
{
	if (descriptor % 5 == 4)
		return OV_EINVAL;
	on_close(context, descriptor); /* the local end has it now */
	one->local = context;
	return OV_OK;
}

static int on_pair(void *context, struct service_stream *one, int *theirs)
{
	*theirs = new_descriptor(context);
	if (*theirs < 0)
		return OV_EFULL;
	one->local = context;
	return OV_OK;
}

static bool on_say(void *context, struct service_stream *one, const char *text, size_t len)
{
	(void)context;
	(void)text;
	(void)len;
	return one->local != NULL;
}

static void on_start(void *context, struct service_stream *one)
{
	(void)context;
	if (!one->local || one->state != SERVICE_OPEN)
		abort();
}

static void on_cut(void *context, struct service_stream *one)
{
	(void)context;
	one->local = NULL;
}

static void on_count(
	void *context, const struct service_stream *one, uint64_t *sent, uint64_t *received)
{
	(void)context;
	(void)one;
	*sent = *received = 0;
}

static const struct api_ends ends = { .join = on_join,
	.pair = on_pair,
	.say = on_say,
	.start = on_start,
	.cut = on_cut,
	.count = on_count,
	.close = on_close };

static void stream_event(struct scene *s, struct api *api, uint8_t what)
{
	struct node_stream_event e = { .events = STREAM_READABLE };
	if (what == 0x1c) {
		struct peer_id friend = s->node.contacts[0].id;
		if (s->node.count == 0 ||
			node_stream_open(&s->node, OV_SEC, &friend, NULL, &e.stream) != OV_OK)
			return;
		memcpy(e.stream->in, "\4echo", 5);
		e.stream->in_len = 5;
		e.events |= STREAM_OPENED;
	} else {
		if (fake_stream_count == 0)
			return;
		e.stream = &fake_streams[fake_stream_count - 1];
		if (!e.stream->user || e.stream->is_closed || e.stream->in_len > 100)
			return;
		e.stream->in[e.stream->in_len++] = 0;
		if (what == 0x1b)
			e = (struct node_stream_event){ .stream = e.stream,
				.events = STREAM_RESET | STREAM_STOPPED,
				.reset_code = (uint32_t)e.stream->in_len };
	}
	e.user = e.stream->user;
	(void)services_on_event(s->services, OV_SEC, &e);
	api_on_streams(api, OV_SEC);
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

static void hand_out(struct scene *s, struct control_client *client, struct api *api)
{
	struct api_line line;
	while (api_poll(api, &line)) {
		struct service_stream *one =
			line.becomes ? api_becomes(api, line.client, line.becomes) : NULL;
		if (line.has_descriptor)
			client_answer_descriptor(client, OV_SEC, api, line.json, line.descriptor);
		else if (line.json)
			client_answer(client, OV_SEC, line.json);
		if (one) {
			one->local = s;
			api_became(api, OV_SEC, one);
		}
		json_decref(line.json);
	}
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
		.ends = &ends,
		.identity = &self,
		.rng = { .fill = fill } };
	struct contact known = { .id = make_peer(2), .name = "laptop" };
	if (node_contact_put(&s->node, 0, &known, false) != OV_OK)
		abort();
	s->node.requests[0].id = make_peer(3);
	s->node.request_count = 1;
	if (grants_add(&s->node.contacts[0].grants, "service:echo") != OV_OK)
		abort();
	fake_stream_count = 0;
	cfg.services = s->services = services_new(&s->node, &self.id, 8);
	struct api *api = api_new(&cfg, OV_SEC);
	struct control_client client;
	client_init(&client, 1);
	client.api.greeted = true;
	while (size > 0 && client.close_by == OV_NEVER && !client.dead) {
		size_t len = 0;
		while (len < size && (data[len] < 0x1b || data[len] > 0x1e))
			len++;
		client_feed(&client, OV_SEC, data, len);
		if (len < size && data[len] == 0x1e)
			client_feed_descriptor(&client, api, new_descriptor(s));
		while (client.close_by == OV_NEVER && client_work(&client, OV_SEC, api, 8))
			answer_store(s, api);
		if (len < size && data[len] != 0x1e)
			stream_event(s, api, data[len]);
		hand_out(s, &client, api);
		len += len < size;
		data += len;
		size -= len;
	}
	answer_store(s, api);
	client_tick(&client, 7 * OV_SEC);
	api_tick(api, 100 * OV_SEC);
	hand_out(s, &client, api);
	if (client.out.len > CLIENT_BUFFER_MAX)
		abort();
	client_fini(&client, api);
	api_client_gone(api, 100 * OV_SEC, 1);
	api_free(api);
	services_free(s->services, 100 * OV_SEC);
	for (int i = 0; i < s->next_descriptor; i++)
		if (s->is_open[i])
			abort();
	fake_node_fini(&s->node);
	free(s);
	return 0;
}
