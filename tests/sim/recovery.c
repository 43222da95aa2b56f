/* What a host may send while idle is added up from what its pairs are: NATed and warm, away and
 * called ever more rarely, or nothing at all. The truth about NAT is the drawing's, not the node's.
 */
#include "tests/sim/recovery.h"

#include "tests/sim/fault.h"
#include "tests/sim/hostile.h"
#include "tests/sim/oracle_streams.h"

#define ALIVE_WITHIN   (30 * OV_SEC)
#define STREAMS_WITHIN (30 * OV_SEC) /* after that */
#define SETTLED_WITHIN (5 * OV_SEC)
#define IDLE_AFTER     (10 * 60 * OV_SEC)
#define IDLE_WATCHED   (5 * 60 * OV_SEC)
#define KEEPALIVE      (25 * OV_SEC)
#define REKEY          (120 * OV_SEC)
#define REKEY_COST     8   /* HS1, HS2, a question and its answer each way, and a repetition */
#define CHECKS_COST    20  /* the relay is asked for 30 s after something went through it */
#define REGISTER_COST  4   /* once or twice in that time */
#define AWAY_COST      200 /* two attempts at 16 candidates by two interfaces, and answers */

static void heal(struct swarm *w)
{
	struct sim *s = w->s;
	trace_tell(&s->trace, s->now, "-", "the faults are over");
	if (s->hostile) {
		hostile_configure(s, &(struct hostile_config){ .every = OV_SEC, .until = s->now });
		hostile_forward(s, &(struct forwarder){ .host = NET_NONE });
	}
	for (size_t i = 0; i < s->net.iface_count; i++) {
		struct iface *x = s->net.ifaces[i];
		if (x->host == NET_NONE)
			continue;
		struct link_config clean = world_link(w->delay[x->host]);
		net_link_change(&s->net, (uint32_t)i, &clean);
		x->up = true;
	}
	for (size_t i = 0; i < s->host_count; i++) {
		struct host *h = &s->hosts[i];
		for (size_t k = 0; k < h->talk_count; k++)
			h->talks[k].next_at = OV_NEVER;
		if (!h->node)
			host_start(s, h, 1, true);
		host_wake(s, h);
		fault_tell_addresses(w, h);
	}
}

static bool someone_is_silent(struct sim *s, void *context)
{
	ov_time since = *(ov_time *)context;
	for (size_t i = 0; i < s->host_count; i++)
		for (size_t k = 0; k < s->hosts[i].friend_count; k++) {
			const struct friend *f = &s->hosts[i].friends[k];
			if (f->wanted && (f->received == 0 || f->last_received < since))
				return true;
		}
	return false;
}

static void report_silence(struct sim *s, ov_time since)
{
	for (size_t i = 0; i < s->host_count; i++)
		for (size_t k = 0; k < s->hosts[i].friend_count; k++) {
			const struct friend *f = &s->hosts[i].friends[k];
			if (f->wanted && (f->received == 0 || f->last_received < since))
				oracle_break(s, "alive", "%s hears nothing from %s",
					s->hosts[i].name, sim_name(s, f->host));
		}
}

/* Everybody who wants somebody sends a datagram each second, and the one that knows where the other
 * is asks for it (node_ping calls at once, as a user would). */
static void everybody_talks(struct sim *s)
{
	for (size_t i = 0; i < s->host_count && !sim_failed(s); i++) {
		struct host *h = &s->hosts[i];
		for (size_t k = 0; k < h->friend_count; k++) {
			if (!h->friends[k].wanted)
				continue;
			host_talk(
				s, h, h->friends[k].host, TALK_UDP, OV_SEC, s->now + ALIVE_WITHIN);
			if (h->friends[k].endpoint_count > 0 || h->facilitator_count > 0)
				host_ping(s, h, h->friends[k].host);
		}
	}
}

void recovery_talk(struct sim *s)
{
	ov_time since = s->now;
	everybody_talks(s);
	if (!sim_run_while(s, someone_is_silent, &since, ALIVE_WITHIN))
		report_silence(s, since);
	sim_run_until(s, since + ALIVE_WITHIN + 10 * OV_SEC);
	if (!sim_failed(s))
		oracle_check_agreement(s);
}

/* ---- idle ---- */

static bool is_behind_nat(const struct sim *s, const struct host *h)
{
	for (size_t i = 0; i < s->net.iface_count; i++) {
		const struct iface *x = s->net.ifaces[i];
		for (size_t k = 0;
			x->host == h->id && x->segment != NET_CORE && k < x->address_count; k++)
			if (addr_is_v4(&x->addresses[k]))
				return true;
	}
	return false;
}

static uint64_t pair_allowance(struct sim *s, struct host *a, struct host *b)
{
	struct peer_info x = { 0 }, y = { 0 };
	bool known = node_peer_info(a->node, s->now, &b->self.id, &x) &&
		     node_peer_info(b->node, s->now, &a->self.id, &y);
	if (!known || x.state == PEER_AWAY || x.state == PEER_CALLING || y.state == PEER_AWAY ||
		y.state == PEER_CALLING)
		return AWAY_COST;
	bool natted = (x.has_active && x.active.natted) || (y.has_active && y.active.natted);
	if (!natted || (!is_behind_nat(s, a) && !is_behind_nat(s, b)))
		return 0;
	bool checks = a->facilitator_count > 0 || b->facilitator_count > 0;
	uint64_t rekey = REKEY_COST + (checks ? CHECKS_COST : 0);
	return 2 * (IDLE_WATCHED / KEEPALIVE + 1) + rekey * (IDLE_WATCHED / REKEY + 1);
}

/* A client and its facilitator, each way: the NAT is kept open whether there is one or not, the
 * registration is renewed, and when pairs that it relays for renew their keys it is asked. */
static uint64_t service_allowance(struct sim *s, const struct host *h)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < s->host_count; i++)
		if (host_uses(h, (uint32_t)i) || host_uses(&s->hosts[i], h->id))
			sum += 2 * (IDLE_WATCHED / KEEPALIVE + 1) +
			       (REKEY_COST + CHECKS_COST) * (IDLE_WATCHED / REKEY + 1) +
			       REGISTER_COST;
	return sum;
}

static uint64_t host_allowance(struct sim *s, struct host *h)
{
	uint64_t sum = service_allowance(s, h);
	for (size_t i = 0; i < h->friend_count; i++)
		sum += pair_allowance(s, h, &s->hosts[h->friends[i].host]);
	return sum;
}

void recovery_hush(struct sim *s)
{
	for (size_t i = 0; i < s->host_count; i++) {
		struct host *h = &s->hosts[i];
		memset(h->flows, 0, sizeof(h->flows));
		for (size_t k = 0; k < h->talk_count; k++)
			h->talks[k].next_at = OV_NEVER;
	}
	sim_run_for(s, IDLE_AFTER);
	for (size_t i = 0; i < s->host_count; i++) {
		struct host *h = &s->hosts[i];
		h->idle_allowance = host_allowance(s, h);
		h->idle_from = h->emitted;
	}
}

void recovery_watch(struct sim *s)
{
	sim_run_for(s, IDLE_WATCHED);
	for (size_t i = 0; i < s->host_count && !sim_failed(s); i++) {
		struct host *h = &s->hosts[i];
		if (h->emitted - h->idle_from > h->idle_allowance)
			oracle_break(s, "idle",
				"%s: %llu datagrams within 5 idle minutes, %llu are due", h->name,
				(unsigned long long)(h->emitted - h->idle_from),
				(unsigned long long)h->idle_allowance);
	}
}

void recovery_finish_streams(struct sim *s)
{
	apps_hasten(s);
	if (!sim_run_while(s, oracle_streams_are_busy, NULL, STREAMS_WITHIN))
		oracle_check_streams_over(s);
}

void recovery_run(struct swarm *w)
{
	struct sim *s = w->s;
	heal(w);
	apps_hasten(s);
	recovery_talk(s);
	recovery_finish_streams(s);
	if (sim_failed(s))
		return;
	recovery_hush(s);
	recovery_watch(s);
	if (sim_failed(s))
		return;
	for (size_t i = 0; i < s->apps.count; i++)
		apps_release(s, s->apps.streams[i]);
	recovery_talk(s);
	recovery_finish_streams(s);
	sim_run_for(s, SETTLED_WITHIN);
	if (!sim_failed(s))
		oracle_check_streams_freed(s);
}
