/* `overlay why`: one sentence from the state, with the reason codes of nat.md part 1, step 12. */
#include "overlay/association.h"
#include "overlay/burst.h"
#include "overlay/meet.h"
#include "overlay/reach.h"

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 3, 4))) static void say(
	struct why *w, const char *code, const char *format, ...)
{
	va_list args;
	w->code = code;
	va_start(args, format);
	(void)vsnprintf(w->text, sizeof(w->text), format, args);
	va_end(args);
}

static size_t facilitators_serving(const struct node *n)
{
	size_t count = 0;
	for (size_t i = 0; i < n->facilitator_count; i++)
		count += n->facilitators[i]->registration->registered;
	return count;
}

static long long seconds(ov_time span)
{
	return (span + OV_SEC - 1) / OV_SEC;
}

static void why_direct(struct why *w, const struct path *path)
{
	char addr[ADDR_TEXT_MAX];
	addr_format(&path->remote, addr);
	if (path->carrier == CARRIER_TCP)
		say(w, "udp-blocked", "by TCP: it answers at %s, and nowhere by UDP", addr);
	else if (path_mtu(path) < PMTU_BASE && path->pmtu.validated)
		say(w, "mtu",
			"direct: it answers at %s, but the network between loses datagrams above %u "
			"bytes, so packets are cut",
			addr, path_mtu(path));
	else
		say(w, "direct", "direct: it answers at %s after %.1f ms%s", addr,
			(double)path->rtt.smoothed / (double)OV_MS,
			path->natted ? ", through our NAT" : "");
}

/* No path between two such NATs is worth looking for. */
static bool is_double_hard(const struct node *n, const struct peer *p)
{
	enum nat_method method = burst_method(n, p);
	return method == NAT_RELAY || method == NAT_PREDICT_BOTH;
}

static bool is_guessed(const struct node *n, const struct peer *p)
{
	enum nat_method method = burst_method(n, p);
	return method == NAT_BIRTHDAY || method == NAT_PREDICT;
}

static void why_relayed(const struct node *n, const struct peer *p, ov_time now, struct why *w)
{
	ov_time until;
	ov_time next = p->association->meeting.round_at;
	char again[64] = "tried again when it is wanted";
	if (next != OV_NEVER)
		(void)snprintf(again, sizeof(again), "tried again in %lld s",
			next > now ? seconds(next - now) : 0);
	if (p->candidates.count == 0)
		say(w, "no-candidates",
			"by relay: it told no address that this machine may try; %s", again);
	else if (is_double_hard(n, p))
		say(w, "double-hard",
			"by relay: its NAT and ours both choose another port for each destination, and "
			"neither can be guessed");
	else if (is_guessed(n, p) && burst_must_wait(n, now, p, &until))
		say(w, "budget",
			"by relay: two searches for the port of a NAT were in vain, the next one may "
			"begin in %lld s",
			seconds(until - now));
	else if (meet_is_all_foreign(n, p))
		say(w, "policy",
			"by relay: its %u addresses are private ones of another network, which this "
			"machine does not probe; %s",
			p->candidates.count, again);
	else
		say(w, "peer-silent", "by relay: none of its %u addresses answered yet; %s",
			p->candidates.count, again);
}

static bool is_refused(const struct node *n)
{
	bool refused = false;
	for (size_t i = 0; i < n->facilitator_count; i++) {
		uint8_t reason = n->facilitators[i]->registration->refused;
		refused |= reason == RELAY_REASON_DENIED || reason == RELAY_REASON_QUOTA;
	}
	return refused;
}

static void why_forbidden(const struct node *n, const struct peer *p, struct why *w)
{
	const char *of = n->config.lan_only ? "of this machine" : "of this contact";
	unsigned here = 0;
	for (size_t i = 0; i < p->candidates.count; i++)
		here += reach_allows_addr(n, p, &p->candidates.list[i].addr);
	if (here == 0)
		say(w, "policy",
			"not connected: lan_only %s, and none of its %u addresses is on a network of "
			"ours",
			of, p->candidates.count);
	else
		say(w, "policy",
			"not connected: lan_only %s, and it does not answer on a network of ours "
			"(addresses there: %u of %u)",
			of, here, p->candidates.count);
}

static void why_not(const struct node *n, ov_time now, const struct peer *p, struct why *w)
{
	const struct call *c = p->association ? p->association->call : NULL;
	size_t relays = facilitators_serving(n);
	struct ov_addr by;
	char addr[ADDR_TEXT_MAX];
	bool captive = node_captive(n, now, &by);
	if (!c && !p->away && !(captive && peer_is_wanted(p, now)))
		say(w, "idle", "not connected: nothing has wanted it yet");
	else if (n->locals_known && n->local_count == 0)
		say(w, "no-route", "not connected: this machine has no address to send from");
	else if (captive)
		say(w, "captive",
			"not connected: at %s something else answers in place of the facilitator, as "
			"networks do that want a login first: sign in with a browser",
			addr_format(&by, addr));
	else if (relays == 0 && is_refused(n))
		say(w, "policy",
			"not connected: %u addresses gave no answer, and the facilitator refuses to "
			"serve this machine ('overlay facilitator status' says why)",
			p->candidates.count);
	else if (relays == 0 && meet_is_all_foreign(n, p))
		say(w, "policy",
			"not connected: its %u addresses are private ones of another network, which "
			"this machine does not probe, and no facilitator serves it",
			p->candidates.count);
	else if (p->candidates.count == 0 && relays == 0)
		say(w, "no-candidates",
			"not connected: no address of it is known, and no facilitator serves this "
			"machine");
	else if (c)
		say(w, "peer-silent",
			"not connected: %u addresses and %zu facilitators asked for %lld s, no answer",
			p->candidates.count, relays, seconds(now - c->started_at));
	else
		say(w, "peer-silent",
			"not connected: %u addresses and %zu facilitators gave no answer; tried again "
			"in %lld s",
			p->candidates.count, relays,
			p->retry_at == OV_NEVER || p->retry_at < now ? 0
								     : seconds(p->retry_at - now));
}

bool node_why(const struct node *n, ov_time now, const struct peer_id *id, struct why *out)
{
	const struct peer *p = node_peer(n, id);
	if (!p)
		return false;
	*out = (struct why){ 0 };
	bool reaches = association_reaches(p->association, now);
	if (reach_is_lan_only(n, p) && !(reaches && p->association->active->state != PATH_SUSPECT))
		why_forbidden(n, p, out);
	else if (!reaches)
		why_not(n, now, p, out);
	else if (p->association->active->carrier == CARRIER_RELAY)
		why_relayed(n, p, now, out);
	else
		why_direct(out, p->association->active);
	return true;
}
