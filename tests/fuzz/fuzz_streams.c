/* Two whole nodes with an association, apps at both ends, and a wire that the input drives:
 * deliver, drop, copy, reorder, move, restart, sleep. If its first byte is odd, node 0 also says
 * whatever reliable frames the input makes. Whatever it does: tables and buffers stay within their
 * limits, no timer storm, every handle can be closed; and while nobody lies, the bytes of a stream
 * are those that were written, in order, and it ends only by an app or a restart. */
#define WIRE_FLIGHTS 512
#define WIRE_PACKETS 16
#include "tests/unit/node_wire.h"

#include "core/transport_state.h"
#include "overlay/streams.h"

#define HELD  128 /* datagrams on the wire; more are lost */
#define APPS  24
#define STEPS 300

struct app {
	struct node_stream *stream; /* NULL: free */
	size_t at;                  /* node */
	uint64_t tag, heard;        /* of what is written, and read: first byte of each */
	uint64_t wrote, read;
	bool finished;
};

static struct app apps[APPS];
static bool liar;      /* node 0 */
static bool restarted; /* since then codes of the layer are no surprise */
static uint64_t last_tag;

static void check(bool ok, const char *what)
{
	if (!ok)
		wire_broken(what);
}

static bool lose_above(struct wire *w, struct flight *f)
{
	size_t count = 0;
	(void)f;
	for (size_t i = 0; i < w->high; i++)
		count += w->flights[i].used;
	return count <= HELD;
}

static struct flight *pick(struct wire *w, size_t k)
{
	size_t count = 0;
	for (size_t i = 0; i < w->high; i++)
		count += w->flights[i].used;
	if (count == 0)
		return NULL;
	k %= count;
	struct flight *f = w->flights;
	while (!f->used || k-- > 0)
		f++;
	return f;
}

/* ---- apps ---- */

static uint8_t byte_of(uint64_t tag, uint64_t offset)
{
	return offset == 0 ? (uint8_t)tag : (uint8_t)(tag * 31 + offset * 7 + offset / 256);
}

static struct app *free_app(void)
{
	for (size_t i = 0; i < APPS; i++)
		if (!apps[i].stream)
			return &apps[i];
	return NULL;
}

static void close_app(struct wire *w, struct app *a)
{
	node_stream_close(w->nodes[a->at].node, w->now, a->stream, 300);
	*a = (struct app){ 0 };
}

static void read_app(struct wire *w, struct app *a, size_t most)
{
	size_t len;
	const uint8_t *bytes = node_stream_peek(a->stream, &len);
	if (!bytes)
		return;
	if (len > most)
		len = most;
	for (size_t i = 0; i < len && !liar; i++) {
		if (a->read + i == 0)
			a->heard = bytes[0];
		check(bytes[i] == byte_of(a->heard, a->read + i), "other bytes than were written");
	}
	node_stream_consume(w->nodes[a->at].node, w->now, a->stream, len);
	a->read += len;
}

static void write_app(struct wire *w, struct app *a, size_t len)
{
	uint8_t *room = a->finished ? NULL : node_stream_reserve(a->stream, &len);
	if (!room)
		return;
	for (size_t i = 0; i < len; i++)
		room[i] = byte_of(a->tag, a->wrote + i);
	node_stream_commit(w->nodes[a->at].node, a->stream, len);
	a->wrote += len;
}

static void open_app(struct wire *w, size_t from, size_t to)
{
	struct app *a = free_app();
	if (!a)
		return;
	*a = (struct app){ .at = from, .tag = ++last_tag % 251 };
	if (node_stream_open(w->nodes[from].node, w->now, &w->nodes[to].id.id, a, &a->stream) !=
		OV_OK)
		*a = (struct app){ 0 };
	else
		write_app(w, a, 1); /* the peer hears of it: else it may forget us */
}

static void on_event(struct wire *w, size_t i, const struct node_stream_event *ev)
{
	struct app *a = ev->user;
	if (!a) {
		check(ev->events & STREAM_OPENED, "an event of a stream that nobody has");
		a = free_app();
		if (!a) {
			node_stream_close(w->nodes[i].node, w->now, ev->stream, STREAM_REFUSED);
			return;
		}
		*a = (struct app){ .stream = ev->stream, .at = i, .tag = ++last_tag % 251 };
		node_stream_set_user(a->stream, a);
	}
	check(a->stream == ev->stream && a->at == i, "an event of another's stream");
	bool ends = ev->events & (STREAM_RESET | STREAM_STOPPED);
	uint32_t code = ev->events & STREAM_RESET ? ev->reset_code : ev->stop_code;
	check(!ends || liar || restarted || code >= 300 || code == STREAM_REFUSED,
		"ended by nobody");
}

static void events(struct wire *w)
{
	struct node_stream_event ev;
	for (size_t i = 0; i < w->count; i++)
		while (node_stream_event(w->nodes[i].node, &ev)) {
			on_event(w, i, &ev);
			wire_drain(w, i); /* makes more, of streams to itself */
		}
}

static void app_step(struct wire *w, struct app *a, uint8_t what)
{
	struct node *n = w->nodes[a->at].node;
	if (!a->stream)
		return;
	switch (what % 8) {
	case 0:
	case 1: write_app(w, a, (size_t)(1 + what / 8) * (what & 64 ? 1500 : 9)); break;
	case 2:
	case 3: read_app(w, a, what & 64 ? SIZE_MAX : 1 + what / 8); break;
	case 4:
		node_stream_finish(n, a->stream);
		a->finished = true;
		break;
	case 5: node_stream_reset(n, a->stream, 300); break;
	case 6: node_stream_stop(n, w->now, a->stream, 301); break;
	case 7: close_app(w, a); break;
	}
}

/* ---- a liar ---- */

static uint64_t any_number(struct rd *in)
{
	uint8_t how = rd_u8(in);
	uint64_t v = rd_u8(in);
	return how & 1 ? v << (how / 4 % 60) : how & 2 ? UINT64_MAX - v : v;
}

static void put_any(struct rd *in, struct wr *f)
{
	static const uint8_t bytes[256];
	struct ack_frame ack = { .space = rd_u8(in) % 4, .count = 1 };
	switch (rd_u8(in) % 8) {
	case 0:
		frame_put_number(
			f, &(struct number_frame){ .space = rd_u8(in), .number = any_number(in) });
		break;
	case 1:
		ack.ranges[0].first = any_number(in) / 2;
		ack.ranges[0].end = ack.ranges[0].first + 1 + rd_u8(in);
		frame_put_ack(f, &ack);
		break;
	case 2:
	case 3: {
		struct stream_frame s = { .stream = any_number(in),
			.offset = any_number(in) / 4,
			.flags = rd_u8(in) % 2,
			.data = bytes,
			.len = rd_u8(in) };
		frame_put_stream_head(f, &s);
		wr_copy(f, s.data, s.len);
		break;
	}
	case 4:
		frame_put_reset(f, &(struct reset_frame){ .stream = rd_u8(in),
					   .final_size = any_number(in),
					   .code = rd_u8(in) });
		break;
	case 5: frame_put_stop(f, &(struct stop_frame){ .stream = rd_u8(in) }); break;
	case 6:
		frame_put_max(f, FRAME_MAX_DATA, &(struct max_frame){ .max = any_number(in) });
		break;
	case 7:
		frame_put_max(f, rd_u8(in) % 2 ? FRAME_MAX_STREAM_DATA : FRAME_MAX_STREAMS,
			&(struct max_frame){ .stream = rd_u8(in), .max = any_number(in) });
		break;
	}
}

static void lie(struct wire *w, struct rd *in, uint8_t count)
{
	uint8_t plain[PMTU_FLOOR - PACKET_OVERHEAD];
	struct wr f = wr_init(plain, sizeof(plain));
	struct peer *p = wire_peer(w, 0, 1);
	for (uint8_t i = 0; i < count % 4 + 1; i++)
		put_any(in, &f);
	if (p && p->association)
		(void)frames_send(w->nodes[0].node, w->now, p, &f, false);
}

/* ---- limits ---- */

static void check_transport(const struct transport *t)
{
	size_t held = 0, streams = 0;
	for (const struct stream *s = t->first_open; s; s = s->next_open, streams++) {
		held += s->in.ring.room;
		check(s->out.ring.room <= (32u << 20), "a ring of bytes to send");
		check(s->in.have.count <= RECEIVE_RANGES_MAX, "ranges");
	}
	check(streams == table_count(t->streams), "streams in the table");
	check(streams <= 3 * TRANSPORT_STREAMS, "streams");
	check(held <= 4 * (size_t)WINDOW_MAX + streams * BYTE_RING_LEAST + KEPT_MAX,
		"bytes of the peer");
	check(t->got - t->taken <= WINDOW_MAX, "credit");
}

static void check_node(struct wire *w, size_t i)
{
	struct node *n = w->nodes[i].node;
	for (size_t k = 0; k < n->peer_count; k++) {
		const struct association *a = n->peers[k]->association;
		if (a && a->streams)
			check_transport(a->streams->t);
	}
	check(!n->first_told && !n->ended, "events that were not taken");
}

/* ---- the input ---- */

static void restart(struct wire *w, size_t i)
{
	for (size_t k = 0; k < APPS; k++)
		if (apps[k].stream && apps[k].at == i)
			close_app(w, &apps[k]);
	wire_stop(w, i);
	wire_start(w, i);
	wire_know(w, i, !i, &w->nodes[!i].addr, "all");
	restarted = true;
}

static void change(struct wire *w, size_t i, uint8_t arg)
{
	switch (arg % 4) {
	case 0: wire_set_address(w, i, addr_v4(203, 0, 113, arg, 1000)); break;
	case 1: wire_set_address(w, i, wire_addr(i)); break;
	case 2:
		if (arg >= 192)
			restart(w, i);
		break;
	case 3: node_streams_hold(w->nodes[i].node, arg & 4); break;
	}
}

static void step(struct wire *w, struct rd *in)
{
	static const ov_time spans[] = { OV_MS, 10 * OV_MS, 30 * OV_MS, 100 * OV_MS, OV_SEC,
		5 * OV_SEC, 125 * OV_SEC, 3600 * OV_SEC };
	uint8_t op = rd_u8(in), arg = rd_u8(in);
	struct flight *f = pick(w, arg);
	size_t i = op / 16 % 2;
	switch (op % 11) {
	case 0:
		if (f)
			wire_deliver(w, f);
		break;
	case 1:
		if (f)
			f->used = false;
		break;
	case 2:
		if (f)
			wire_put(w, (arg % 7) * 3 * OV_MS, f->from, f->to, f->data, f->len);
		break;
	case 3: open_app(w, i, arg % 8 == 0 ? i : !i); break;
	case 4:
	case 5:
	case 6: app_step(w, &apps[op / 11 % APPS], arg); break;
	case 7:
	case 8:
		for (size_t k = 0; k < w->count; k++)
			node_streams_hold(w->nodes[k].node, false);
		wire_run(w, spans[arg % 8]);
		break;
	case 9: change(w, i, arg); break;
	case 10:
		if (liar)
			lie(w, in, arg);
		break;
	}
	for (size_t k = 0; k < w->count; k++)
		wire_drain(w, k);
}

static void close_all(struct wire *w)
{
	for (size_t i = 0; i < APPS; i++)
		if (apps[i].stream)
			close_app(w, &apps[i]);
	events(w);
	for (size_t i = 0; i < w->count; i++)
		check(w->nodes[i].node->stream_count == 0, "handles that nobody has");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rd in = rd_init(data, len);
	struct wire *w = wire_new(2);
	memset(apps, 0, sizeof(apps));
	liar = rd_u8(&in) & 1;
	restarted = false;
	last_tag = 0;
	w->hook = lose_above;
	wire_acquaint(w, 0, 1);
	open_app(w, 0, 1);
	wire_drain(w, 0);
	wire_run(w, 100 * OV_MS);
	events(w);
	for (int i = 0; i < STEPS && rd_left(&in) > 1; i++) {
		step(w, &in);
		events(w);
		for (size_t k = 0; k < 2; k++)
			check_node(w, k);
	}
	close_all(w);
	wire_free(w);
	return 0;
}
