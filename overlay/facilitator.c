/* Others at us: who may use this machine as facilitator and relay, and by which tags each lets
 * others in. State is bounded per client and in all; it ends with the client's session. */
#include "overlay/node_state.h"

#include <stdlib.h>

#define LIFETIME_S      600
#define ASKS_PER_SECOND 20 /* a call opens six times in 10 s */
#define ASKS_BURST      128

bool facilitator_hears(struct peer *p, ov_time now)
{
	return limit_take(&p->asks, now, ASKS_PER_SECOND, ASKS_BURST, 1);
}

bool facilitator_admits(const struct node *n, const struct peer *p)
{
	if (p->contact.grants.bits & GRANT_RELAY)
		return true; /* any overlayd relays for whom its owner says so */
	return n->config.facilitator == FACILITATOR_OPEN || p->guest ||
	       (n->config.facilitator != FACILITATOR_OFF && contact_is_known(p->contact.source));
}

void client_free(struct peer *p)
{
	if (!p->client)
		return;
	for (size_t i = 0; i < REGISTER_PAGES_MAX; i++)
		free(p->client->tags[i]);
	free(p->client);
	p->client = NULL;
}

static enum relay_reason keep_tags(struct client *c, const struct register_frame *f)
{
	uint64_t *tags = f->count ? malloc(f->count * sizeof(*tags)) : NULL;
	if (f->count && !tags)
		return RELAY_REASON_QUOTA;
	for (size_t i = 0; i < f->count; i++)
		tags[i] = load_le64(f->tags + i * RELAY_TAG_LEN);
	free(c->tags[f->page]);
	c->tags[f->page] = tags;
	c->counts[f->page] = (uint8_t)f->count;
	for (size_t i = f->pages; i < REGISTER_PAGES_MAX; i++) { /* it has fewer contacts now */
		free(c->tags[i]);
		c->tags[i] = NULL;
		c->counts[i] = 0;
	}
	return RELAY_REASON_NONE;
}

static enum relay_reason take(
	struct node *n, ov_time now, struct peer *p, const struct register_frame *f)
{
	if (!facilitator_admits(n, p))
		return RELAY_REASON_DENIED;
	if (!p->client)
		p->client = calloc(1, sizeof(*p->client));
	if (!p->client)
		return RELAY_REASON_QUOTA;
	p->client->expires_at = now + LIFETIME_S * OV_SEC;
	return keep_tags(p->client, f);
}

enum drop facilitator_on_register(
	struct node *n, ov_time now, struct peer *p, const struct register_frame *f)
{
	if (f->pages == 0 || f->pages > REGISTER_PAGES_MAX || f->page >= f->pages)
		return DROP_FORMAT;
	if (!facilitator_hears(p, now))
		return DROP_RATE;
	enum relay_reason why = take(n, now, p, f);
	uint8_t plain[16];
	struct wr w = wr_init(plain, sizeof(plain));
	frame_put_registered(&w, &(struct registered_frame){ .request = f->request,
					 .page = f->page,
					 .reason = (uint8_t)why,
					 .lifetime_s = LIFETIME_S,
					 .second_port = n->config.second_port });
	(void)frames_send(n, now, p, &w, false);
	return why == RELAY_REASON_NONE ? DROP_NONE : DROP_GRANT;
}

/* From the second port to where the client's NAT is known to be open for the first: does it let us
 * in? No larger than the question, and only to an address that answered a challenge. */
enum drop facilitator_on_filter_test(struct node *n, ov_time now, struct peer *p,
	const struct path *path, const struct filter_test *f)
{
	struct keys *k = keys_sending(p->association, now);
	if (!p->client || n->config.second_port == 0)
		return DROP_TYPE;
	if (!k || !facilitator_hears(p, now))
		return DROP_RATE;
	if (!path->validated || path->carrier != CARRIER_UDP)
		return DROP_NONE;
	uint8_t plain[16];
	struct wr w = wr_init(plain, sizeof(plain));
	frame_put_filter(&w, FRAME_FILTER_ANSWER, f);
	size_t len = wr_len(&w) + PACKET_OVERHEAD;
	uint8_t *room = output_room(&n->output, len, false);
	if (!room || k->session.next_counter >= SESSION_REJECT_PACKETS)
		return DROP_CONGESTION;
	session_seal(&k->session, PACKET_CONTROL, 0, plain, wr_len(&w), room);
	struct dgram where = route_where(path);
	where.local.port = n->config.second_port;
	output_add(&n->output, &where, NULL, len);
	return DROP_NONE;
}

bool facilitator_lets_in(const struct node *n, ov_time now, const struct peer *destination,
	const uint8_t tag[RELAY_TAG_LEN])
{
	(void)n;
	const struct client *c = destination->client;
	uint64_t wanted = load_le64(tag);
	if (!c || now >= c->expires_at || !association_reaches(destination->association, now))
		return false;
	for (size_t page = 0; page < REGISTER_PAGES_MAX; page++)
		for (size_t i = 0; i < c->counts[page]; i++)
			if (c->tags[page][i] == wanted)
				return true;
	return false;
}
