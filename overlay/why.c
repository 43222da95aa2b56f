/* `overlay why`: one sentence from the state, with the reason codes of nat.md part 1, step 12. */
#include "overlay/node_state.h"

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
	else
		say(w, "direct", "direct: it answers at %s after %.1f ms%s", addr,
			(double)path->rtt.smoothed / (double)OV_MS,
			path->natted ? ", through our NAT" : "");
}

static void why_relayed(const struct peer *p, ov_time now, struct why *w)
{
	ov_time next = p->association->meeting.round_at;
	char again[64] = "tried again when it is wanted";
	if (next != OV_NEVER)
		(void)snprintf(again, sizeof(again), "tried again in %lld s",
			next > now ? seconds(next - now) : 0);
	if (p->candidates.count == 0)
		say(w, "no-candidates",
			"by relay: it told no address that this machine may try; %s", again);
	else
		say(w, "peer-silent", "by relay: none of its %u addresses answered yet; %s",
			p->candidates.count, again);
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
	if (!c && !p->away)
		say(w, "idle", "not connected: nothing has wanted it yet");
	else if (n->locals_known && n->local_count == 0)
		say(w, "no-route", "not connected: this machine has no address to send from");
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
		why_relayed(p, now, out);
	else
		why_direct(out, p->association->active);
	return true;
}
