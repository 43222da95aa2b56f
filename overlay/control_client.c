/* Limits of one local client, in one place. In: a line is at most API_LINE_MAX bytes and must be
 * whole 5 s after its first byte; while more than CLIENT_PAUSE bytes of answers wait, nothing is
 * read, so whoever does not take answers cannot ask for more. Out: at most CLIENT_BUFFER_MAX, and
 * some progress every 10 s, or the connection is cut; events give way earlier and are counted.
 *
 * Descriptors: the kernel joins no bytes behind those that brought one, so what is fed ends in the
 * line that it belongs to. A second one of a line is closed. A connection that leaves (it becomes a
 * stream) keeps what comes, at most API_LINE_MAX bytes, for its next owner.
 *
 * Invariant: in.len <= API_LINE_MAX + one read; out.len <= CLIENT_BUFFER_MAX. */
#include "overlay/control_client.h"

#include <stdlib.h>
#include <string.h>

static void queue_clear(struct bytes_queue *q)
{
	free(q->data);
	*q = (struct bytes_queue){ .data = NULL };
}

static bool queue_add(struct bytes_queue *q, const void *data, size_t len)
{
	if (q->start > 0 && q->start + q->len + len > q->cap) {
		memmove(q->data, q->data + q->start, q->len);
		q->start = 0;
	}
	size_t cap = q->cap ? q->cap : 512;
	while (cap < q->start + q->len + len)
		cap *= 2;
	if (cap != q->cap) {
		uint8_t *grown = realloc(q->data, cap);
		if (!grown)
			return false;
		q->data = grown;
		q->cap = cap;
	}
	memcpy(q->data + q->start + q->len, data, len);
	q->len += len;
	return true;
}

static void queue_drop(struct bytes_queue *q, size_t len)
{
	assert(len <= q->len);
	q->start += len;
	q->len -= len;
	if (q->len == 0)
		queue_clear(q);
}

void client_init(struct control_client *c, uint64_t id)
{
	*c = (struct control_client){ .api = { .id = id, .permission = API_CHANGE },
		.line_by = OV_NEVER,
		.write_by = OV_NEVER,
		.close_by = OV_NEVER };
}

static void close_descriptor(struct api *api, int number)
{
	if (number >= 0)
		api_close_descriptor(api, number);
}

void client_fini(struct control_client *c, struct api *api)
{
	queue_clear(&c->in);
	queue_clear(&c->out);
	for (size_t i = 0; i < c->came_count; i++)
		close_descriptor(api, c->came[i].number);
	c->came_count = 0;
	while (c->first_out) {
		close_descriptor(api, c->first_out->number);
		client_sent_descriptor(c);
	}
}

/* ---- out ---- */

static void send_text(struct control_client *c, ov_time now, const char *text, size_t len)
{
	if (c->dead)
		return;
	if (c->out.len + len > CLIENT_BUFFER_MAX || !queue_add(&c->out, text, len)) {
		c->dead = true;
		return;
	}
	if (c->write_by == OV_NEVER)
		c->write_by = now + CLIENT_WRITE_BY;
}

void client_answer(struct control_client *c, ov_time now, const json_t *line)
{
	char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	if (!text) {
		c->dead = true; /* out of memory: silence would leave the client waiting */
		return;
	}
	size_t len = strlen(text);
	text[len] = '\n'; /* in place of the NUL */
	send_text(c, now, text, len + 1);
	free(text);
}

void client_answer_descriptor(
	struct control_client *c, ov_time now, struct api *api, const json_t *line, int number)
{
	uint64_t at = c->out_total + c->out.len;
	struct client_descriptor *d = c->dead ? NULL : malloc(sizeof(*d));
	if (d)
		client_answer(c, now, line);
	c->dead |= !d;
	if (c->dead) { /* the answer without it would be a lie */
		free(d);
		close_descriptor(api, number);
		return;
	}
	*d = (struct client_descriptor){ .at = at, .number = number };
	if (c->last_out)
		c->last_out->next = d;
	else
		c->first_out = d;
	c->last_out = d;
}

size_t client_next_write(const struct control_client *c, int *descriptor)
{
	const struct client_descriptor *d = c->first_out;
	*descriptor = -1;
	if (d && d->at == c->out_total) {
		*descriptor = d->number;
		d = d->next;
	}
	return d ? (size_t)(d->at - c->out_total) : c->out.len;
}

void client_sent_descriptor(struct control_client *c)
{
	struct client_descriptor *d = c->first_out;
	c->first_out = d->next;
	if (!c->first_out)
		c->last_out = NULL;
	free(d);
}

void client_event(struct control_client *c, ov_time now, const json_t *line)
{
	if (c->events_lost || c->out.len > CLIENT_EVENT_MAX)
		c->events_lost++;
	else
		client_answer(c, now, line);
}

void client_wrote(struct control_client *c, ov_time now, struct api *api, size_t len)
{
	queue_drop(&c->out, len);
	c->out_total += len;
	c->write_by = c->out.len ? now + CLIENT_WRITE_BY : OV_NEVER;
	if (!c->events_lost || c->out.len > CLIENT_EVENT_MAX / 2)
		return;
	json_t *line = api_lost_line(api, now, c->events_lost);
	c->events_lost = 0;
	client_answer(c, now, line);
	json_decref(line);
}

void client_end(struct control_client *c, ov_time now)
{
	c->close_by = now + CLIENT_LINGER;
	c->line_by = OV_NEVER;
	c->api.events = 0;
	queue_clear(&c->in);
}

void client_last_words(
	struct control_client *c, ov_time now, const char *code, const char *text, const char *hint)
{
	if (c->close_by != OV_NEVER)
		return;
	json_t *line = api_error_line(code, text, hint);
	client_answer(c, now, line);
	json_decref(line);
	client_end(c, now);
}

/* ---- in ---- */

bool client_wants_read(const struct control_client *c)
{
	if (c->close_by != OV_NEVER)
		return true;
	if (c->api.stage == API_LEAVES)
		return c->in.len < API_LINE_MAX;
	return c->out.len <= CLIENT_PAUSE;
}

bool client_feed(struct control_client *c, ov_time now, const uint8_t *data, size_t len)
{
	if (c->close_by != OV_NEVER)
		return true; /* read and forgotten */
	if (c->in.len == 0 && c->api.stage == API_SPEAKS)
		c->line_by = now + CLIENT_LINE_BY;
	c->dead |= !queue_add(&c->in, data, len);
	return !c->dead;
}

/* Does the last one belong to the line that holds byte `at` as well? */
static bool line_has_one(const struct control_client *c, uint64_t at)
{
	if (c->came_count == 0)
		return false;
	uint64_t last = c->came[c->came_count - 1].at;
	const uint8_t *from = c->in.data + c->in.start + (last - c->in_total);
	return !memchr(from, '\n', (size_t)(at - last));
}

void client_feed_descriptor(struct control_client *c, struct api *api, int number)
{
	uint64_t at = c->in_total + c->in.len - 1;
	if (c->close_by != OV_NEVER || c->api.stage != API_SPEAKS || c->in.len == 0 ||
		line_has_one(c, at) || c->came_count == CLIENT_DESCRIPTORS_IN) {
		close_descriptor(api, number);
		return;
	}
	c->came[c->came_count++] = (struct client_descriptor){ .at = at, .number = number };
}

static void take_descriptor(struct control_client *c, uint64_t end_of_line)
{
	if (c->came_count == 0 || c->came[0].at >= end_of_line)
		return;
	c->api.descriptor = c->came[0].number;
	c->api.has_descriptor = c->came[0].number >= 0;
	c->api.lost_descriptor = c->came[0].number < 0;
	c->came[0] = c->came[1];
	c->came_count--;
}

static bool next_line(const struct control_client *c, size_t *len)
{
	if (c->in.len == 0)
		return false;
	const uint8_t *start = c->in.data + c->in.start;
	const uint8_t *end = memchr(start, '\n', c->in.len);
	if (end)
		*len = (size_t)(end - start);
	return end != NULL;
}

static void handle_line(struct control_client *c, ov_time now, struct api *api, size_t len)
{
	const char *text = (const char *)c->in.data + c->in.start;
	size_t used = len > 0 && text[len - 1] == '\r' ? len - 1 : len;
	take_descriptor(c, c->in_total + len + 1);
	if (used == 0 && c->api.has_descriptor)
		close_descriptor(api, c->api.descriptor);
	if (used == 0)
		c->api.has_descriptor = c->api.lost_descriptor = false;
	if (used > 0) { /* empty lines are nothing */
		json_t *answer = api_handle_line(api, now, &c->api, text, used);
		if (answer)
			client_answer(c, now, answer);
		json_decref(answer);
	}
	queue_drop(&c->in, len + 1);
	c->in_total += len + 1;
	c->line_by = c->in.len && c->api.stage == API_SPEAKS ? now + CLIENT_LINE_BY : OV_NEVER;
	if (c->api.stage == API_ENDS)
		client_end(c, now);
}

bool client_work(struct control_client *c, ov_time now, struct api *api, size_t lines)
{
	size_t len = 0;
	while (!c->dead && c->api.stage == API_SPEAKS && c->out.len <= CLIENT_PAUSE &&
		next_line(c, &len) && len < API_LINE_MAX) {
		if (lines-- == 0)
			return true;
		handle_line(c, now, api, len);
	}
	if (c->api.stage != API_SPEAKS)
		return false;
	bool whole = next_line(c, &len);
	if (!whole)
		len = c->in.len;
	if (len >= API_LINE_MAX)
		client_last_words(c, now, "bad-argument", "a request is at most 65536 bytes",
			"one JSON object per line; send long lists in parts");
	else if (whole)
		c->line_by = OV_NEVER; /* it waits for us, not for the client */
	return false;
}

/* ---- time ---- */

void client_tick(struct control_client *c, ov_time now)
{
	if (now >= c->write_by || now >= c->close_by)
		c->dead = true;
	else if (now >= c->line_by && !client_wants_read(c))
		c->line_by = now + CLIENT_LINE_BY; /* it is we who do not read */
	else if (now >= c->line_by)
		client_last_words(c, now, "timeout", "the request was not whole within 5 s",
			"end a request with a newline");
}

ov_time client_deadline(const struct control_client *c)
{
	return ov_min(c->line_by, ov_min(c->write_by, c->close_by));
}
