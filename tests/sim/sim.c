/* The run loop: find the earliest event, jump there, let arrivals in, fire deadlines, drain whoever
 * was touched. Nothing else moves the clock. */
#include "tests/sim/sim.h"

#include "tests/sim/hostile.h"
#include "tests/sim/stack.h"

#include <stdlib.h>
#include <string.h>

static void on_loss(void *context, const struct flight *f, struct net_loss loss)
{
	struct sim *s = context;
	trace_mix(&s->trace, s->now, f->len, (uint64_t)f->order);
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];
	if (trace_wants_notes(&s->trace))
		trace_note(&s->trace, s->now, sim_name(s, f->origin),
			"  lost %u B %s -> %s at %s: %s", f->len, addr_format(&f->source, from),
			addr_format(&f->destination, to), loss.where, loss.why);
}

struct sim *sim_new(uint64_t seed, size_t max_hosts)
{
	struct sim *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->hosts = calloc(max_hosts, sizeof(s->hosts[0]));
	if (!s->hosts)
		abort();
	s->host_cap = max_hosts;
	s->now = SIM_EPOCH;
	s->seed = seed;
	net_init(&s->net, seed);
	s->net.on_loss = on_loss;
	s->net.context = s;
	trace_init(&s->trace);
	s->trace.epoch = SIM_EPOCH;
	oracle_init(&s->oracle);
	s->replies = stack_replies_new();
	nonce_book_open(&s->oracle.nonce);
	return s;
}

void sim_free(struct sim *s)
{
	nonce_book_open(NULL);
	for (size_t i = 0; i < s->host_count; i++)
		host_fini(&s->hosts[i]);
	apps_fini(&s->apps);
	free(s->hosts);
	hostile_free(s->hostile);
	free(s->replies);
	net_fini(&s->net);
	oracle_fini(&s->oracle);
	trace_fini(&s->trace);
	free(s);
}

struct host *sim_add_host(struct sim *s)
{
	assert(s->host_count < s->host_cap);
	struct host *h = &s->hosts[s->host_count];
	host_init(s, h, (uint32_t)s->host_count++);
	return h;
}

struct host *sim_find_host(struct sim *s, const struct peer_id *id)
{
	for (size_t i = 0; i < s->host_count; i++)
		if (peer_id_equal(&s->hosts[i].self.id, id))
			return &s->hosts[i];
	return NULL;
}

struct host *sim_host_at(struct sim *s, const uint8_t inner_ip[16])
{
	for (size_t i = 0; i < s->host_count; i++)
		if (memcmp(s->hosts[i].inner_ip, inner_ip, 16) == 0)
			return &s->hosts[i];
	return NULL;
}

const char *sim_name(const struct sim *s, uint32_t host)
{
	return host < s->host_count ? s->hosts[host].name : "?";
}

bool sim_failed(const struct sim *s)
{
	return s->oracle.broken != NULL;
}

static ov_time next_event(struct sim *s)
{
	ov_time next = ov_min(net_next(&s->net), hostile_deadline(s->hostile));
	for (size_t i = 0; i < s->host_count; i++)
		next = ov_min(next, s->hosts[i].deadline);
	return next;
}

static void arrivals(struct sim *s)
{
	struct flight *f;
	while ((f = net_arrived(&s->net, s->now)) != NULL) {
		uint32_t to = s->net.ifaces[f->hop_id]->host;
		if (to == NET_NONE) {
			oracle_on_sink(s, f);
			hostile_on_arrival(s, f);
		} else {
			host_receive(s, &s->hosts[to], f);
		}
		net_free(&s->net, f);
	}
	host_input(s);
}

static void step(struct sim *s, ov_time next)
{
	s->now = ov_max(s->now, next); /* overdue: the script spoke to a node, which wants a tick */
	s->steps++;
	hostile_tick(s);
	arrivals(s);
	for (size_t i = 0; i < s->host_count; i++) {
		struct host *h = &s->hosts[i];
		if (!h->dirty && h->deadline > s->now)
			continue;
		host_tick(s, h);
		host_drain(s, h);
	}
}

void sim_run_until(struct sim *s, ov_time until)
{
	for (size_t i = 0; i < s->host_count; i++) /* the script may have spoken to nodes */
		if (s->hosts[i].dirty)
			host_drain(s, &s->hosts[i]);
	ov_time next;
	while (!sim_failed(s) && (next = next_event(s)) <= until)
		step(s, next);
	s->now = ov_max(s->now, until);
}

void sim_run_for(struct sim *s, ov_time duration)
{
	sim_run_until(s, s->now + duration);
}

bool sim_run_while(
	struct sim *s, bool (*busy)(struct sim *s, void *context), void *context, ov_time limit)
{
	ov_time until = s->now + limit;
	while (!sim_failed(s) && busy(s, context) && s->now < until)
		sim_run_until(s, ov_min(until, ov_max(s->now + 1, next_event(s))));
	return !sim_failed(s) && !busy(s, context);
}
