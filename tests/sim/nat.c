/* State is a list of sessions (inside endpoint, remote endpoint, outside port). A mapping is the
 * set of live sessions whose inside endpoint is the same and whose remote agrees as far as the
 * mapping behaviour looks (RFC 4787 4.1); filtering asks the same question of the sessions behind
 * one outside port (section 5). So both behaviours are one comparison, and expiry is one field. */
#include "tests/sim/nat.h"

#define PORT_FIRST 20000
#define PORT_COUNT 40000
#define MARK_LIFE  (30 * OV_SEC) /* conntrack: an unanswered UDP flow */

void nat_init(struct nat *n, const struct nat_config *config)
{
	n->config = *config;
	n->count = 0;
	n->next_port = PORT_FIRST;
}

void nat_reboot(struct nat *n, struct seed *s)
{
	n->count = 0;
	n->next_port = (uint16_t)(PORT_FIRST + seed_below(s, PORT_COUNT));
}

static void expire(struct nat *n, ov_time now)
{
	for (size_t i = 0; i < n->count;)
		if (n->sessions[i].expire_at <= now)
			n->sessions[i] = n->sessions[--n->count];
		else
			i++;
}

static bool agrees(enum nat_behaviour b, const struct ov_addr *x, const struct ov_addr *y)
{
	switch (b) {
	case NAT_ENDPOINT_INDEPENDENT: return true;
	case NAT_ADDRESS_DEPENDENT: return addr_same_ip(x, y);
	case NAT_ADDRESS_PORT_DEPENDENT: return addr_equal(x, y);
	}
	assert(false);
	return false;
}

static bool port_in_use(const struct nat *n, uint16_t port)
{
	for (size_t i = 0; i < n->count; i++)
		if (n->sessions[i].outside_port == port)
			return true;
	return false;
}

static uint16_t allocate(struct nat *n, struct seed *s, uint16_t inside_port)
{
	if (!n->config.translate)
		return inside_port;
	if (n->config.ports == NAT_PORT_PRESERVE && inside_port && !port_in_use(n, inside_port))
		return inside_port;
	uint16_t port;
	do {
		if (n->config.ports == NAT_PORT_RANDOM)
			port = (uint16_t)(PORT_FIRST + seed_below(s, PORT_COUNT));
		else
			port = n->next_port++;
		if (n->next_port >= PORT_FIRST + PORT_COUNT)
			n->next_port = PORT_FIRST;
	} while (port < PORT_FIRST || port_in_use(n, port));
	return port;
}

static void mark(struct nat *n, ov_time now, const struct ov_addr *source, uint16_t port)
{
	n->marks[n->next_mark++ % NAT_MARKS_MAX] = (struct nat_session){
		.remote = *source, .outside_port = port, .expire_at = now + MARK_LIFE
	};
}

static bool is_marked(const struct nat *n, ov_time now, const struct ov_addr *remote, uint16_t port)
{
	for (size_t i = 0; i < NAT_MARKS_MAX; i++)
		if (n->marks[i].expire_at > now && n->marks[i].outside_port == port &&
			addr_equal(&n->marks[i].remote, remote))
			return true;
	return false;
}

/* The session of (inside, remote), made if needed under the mapping it belongs to. NULL: full. */
static struct nat_session *session(struct nat *n, ov_time now, struct seed *s,
	const struct ov_addr *inside, const struct ov_addr *remote)
{
	const struct nat_session *mapping = NULL;
	for (size_t i = 0; i < n->count; i++) {
		struct nat_session *x = &n->sessions[i];
		if (!addr_equal(&x->inside, inside))
			continue;
		if (addr_equal(&x->remote, remote))
			return x;
		if (!mapping && agrees(n->config.mapping, &x->remote, remote))
			mapping = x;
	}
	if (n->count == NAT_SESSIONS_MAX)
		return NULL;
	uint16_t port = mapping ? mapping->outside_port : allocate(n, s, inside->port);
	while (n->config.translate && is_marked(n, now, remote, port))
		port = allocate(n, s, 0);
	struct nat_session *x = &n->sessions[n->count++];
	*x = (struct nat_session){ .inside = *inside, .remote = *remote, .outside_port = port };
	return x;
}

static bool is_outside_ip(const struct nat *n, const struct ov_addr *a)
{
	return n->config.translate && addr_same_ip(a, &n->config.outside);
}

enum nat_verdict nat_outbound(struct nat *n, ov_time now, struct seed *s, struct ov_addr *source,
	struct ov_addr *destination)
{
	expire(n, now);
	struct nat_session *x = session(n, now, s, source, destination);
	if (!x)
		return NAT_FULL;
	x->expire_at = now + n->config.lifetime;
	if (n->config.translate) {
		*source = n->config.outside;
		source->port = x->outside_port;
	}
	if (!is_outside_ip(n, destination))
		return NAT_PASS;
	if (!n->config.hairpin)
		return NAT_NO_MAPPING;
	enum nat_verdict v = nat_inbound(n, now, source, destination);
	return v == NAT_PASS ? NAT_HAIRPIN : v;
}

static bool owns(const struct nat *n, const struct nat_session *x, const struct ov_addr *to)
{
	if (n->config.translate)
		return x->outside_port == to->port;
	return addr_equal(&x->inside, to);
}

enum nat_verdict nat_inbound(
	struct nat *n, ov_time now, const struct ov_addr *source, struct ov_addr *destination)
{
	expire(n, now);
	const struct nat_session *mapping = NULL, *allowed = NULL;
	for (size_t i = 0; i < n->count; i++) {
		struct nat_session *x = &n->sessions[i];
		if (!owns(n, x, destination))
			continue;
		mapping = x;
		if (!agrees(n->config.filtering, &x->remote, source))
			continue;
		allowed = x;
		if (n->config.refresh_inbound)
			x->expire_at = now + n->config.lifetime;
	}
	if (!allowed && n->config.marks && n->config.translate)
		mark(n, now, source, destination->port);
	if (!mapping)
		return NAT_NO_MAPPING;
	if (!allowed)
		return NAT_FILTERED;
	*destination = allowed->inside;
	return NAT_PASS;
}

const char *nat_verdict_name(enum nat_verdict v)
{
	switch (v) {
	case NAT_PASS: return "pass";
	case NAT_HAIRPIN: return "hairpin";
	case NAT_NO_MAPPING: return "no mapping";
	case NAT_FILTERED: return "filtered";
	case NAT_FULL: return "nat full";
	}
	assert(false);
	return "?";
}
