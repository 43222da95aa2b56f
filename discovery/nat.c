/* Mapping (RFC 4787 4.1): the same socket towards several targets. Port allocation (4.2): equal to
 * ours, a short sequence, or anything. A single sample cannot tell; two of different observers can.
 */
#include "discovery/nat.h"

#include <stdlib.h>

void nat_add(struct nat *n, const struct nat_sample *s)
{
	for (size_t i = 0; i < n->count; i++)
		if (n->samples[i].local_port == s->local_port &&
			addr_equal(&n->samples[i].observer, &s->observer)) {
			n->samples[i] = *s;
			return;
		}
	n->samples[n->next] = *s;
	n->next = (n->next + 1) % NAT_SAMPLES;
	if (n->count < NAT_SAMPLES)
		n->count++;
}

void nat_set_filtering(struct nat *n, enum nat_filtering filtering, bool is_sure)
{
	if (n->filtering_is_sure && !is_sure)
		return;
	n->filtering = (uint8_t)filtering;
	n->filtering_is_sure = is_sure;
}

void nat_forget(struct nat *n)
{
	*n = (struct nat){ 0 };
}

struct pair_facts { /* of samples of one socket, taken two by two */
	size_t same, other_address,
		other_port; /* equal; different ones, by what the observers differ in */
	size_t pairs;
};

static struct pair_facts compare(const struct nat *n)
{
	struct pair_facts f = { 0 };
	for (size_t i = 0; i < n->count; i++)
		for (size_t k = i + 1; k < n->count; k++) {
			const struct nat_sample *a = &n->samples[i], *b = &n->samples[k];
			if (a->local_port != b->local_port)
				continue;
			f.pairs++;
			if (addr_equal(&a->observed, &b->observed))
				f.same++;
			else if (addr_same_ip(&a->observer, &b->observer))
				f.other_port++;
			else
				f.other_address++;
		}
	return f;
}

static enum nat_mapping mapping_of(const struct nat *n)
{
	bool ours = n->count > 0;
	for (size_t i = 0; i < n->count; i++)
		ours &= n->samples[i].is_local;
	if (ours)
		return NAT_MAPPING_NONE;
	struct pair_facts f = compare(n);
	if (f.pairs == 0)
		return NAT_MAPPING_UNKNOWN;
	if (f.other_port > 0)
		return NAT_MAPPING_ADDRESS_PORT_DEPENDENT;
	if (f.other_address > 0)
		return NAT_MAPPING_ADDRESS_DEPENDENT;
	return NAT_MAPPING_ENDPOINT_INDEPENDENT;
}

/* Samples in the order in which they were taken; index 0 is the oldest. */
static const struct nat_sample *in_order(const struct nat *n, size_t i)
{
	size_t first = n->count < NAT_SAMPLES ? 0 : n->next;
	return &n->samples[(first + i) % NAT_SAMPLES];
}

static bool is_preserved(const struct nat *n)
{
	for (size_t i = 0; i < n->count; i++)
		if (n->samples[i].observed.port != n->samples[i].local_port)
			return false;
	return n->count > 0;
}

/* The step of most neighbours when all lie near to each other; 0: no sequence. */
static int step_of(const struct nat *n)
{
	int lowest = UINT16_MAX, highest = 0, up = 0, down = 0, least = INT32_MAX;
	for (size_t i = 0; i < n->count; i++) {
		int port = in_order(n, i)->observed.port;
		lowest = port < lowest ? port : lowest;
		highest = port > highest ? port : highest;
		if (i == 0)
			continue;
		int step = port - in_order(n, i - 1)->observed.port;
		up += step > 0;
		down += step < 0;
		if (step != 0 && abs(step) < abs(least))
			least = step;
	}
	if (highest - lowest > NAT_FRESH_MAX || up + down == 0 || (up > 0 && down > 0))
		return 0;
	return least;
}

struct nat_class nat_classify(const struct nat *n)
{
	struct nat_class c = { .mapping = mapping_of(n),
		.filtering = (enum nat_filtering)n->filtering };
	if (n->count == 0)
		return c;
	const struct nat_sample *newest = in_order(n, n->count - 1);
	c.external = newest->observed;
	c.last_port = newest->observed.port;
	if (is_preserved(n)) {
		c.ports = NAT_PORTS_PRESERVED;
	} else if (c.mapping >= NAT_MAPPING_ADDRESS_DEPENDENT) {
		c.step = step_of(n);
		c.ports = c.step ? NAT_PORTS_SEQUENTIAL : NAT_PORTS_RANDOM;
	}
	return c;
}

enum nat_side nat_side(const struct nat_class *c)
{
	switch (c->mapping) {
	case NAT_MAPPING_NONE:
		return c->filtering > NAT_FILTERING_OPEN ? NAT_SIDE_EASY : NAT_SIDE_OPEN;
	case NAT_MAPPING_ENDPOINT_INDEPENDENT:
		return c->filtering == NAT_FILTERING_OPEN ? NAT_SIDE_OPEN : NAT_SIDE_EASY;
	case NAT_MAPPING_UNKNOWN: return NAT_SIDE_EASY; /* the cheapest attempt */
	case NAT_MAPPING_ADDRESS_DEPENDENT:
	case NAT_MAPPING_ADDRESS_PORT_DEPENDENT: break;
	}
	return c->ports == NAT_PORTS_SEQUENTIAL ? NAT_SIDE_PREDICTABLE : NAT_SIDE_HARD;
}

enum nat_method nat_method(enum nat_side a, enum nat_side b)
{
	enum nat_side low = a < b ? a : b, high = a < b ? b : a;
	if (low == NAT_SIDE_OPEN)
		return NAT_DIAL;
	if (low == NAT_SIDE_EASY)
		return high == NAT_SIDE_EASY          ? NAT_PUNCH
		       : high == NAT_SIDE_PREDICTABLE ? NAT_PREDICT
						      : NAT_BIRTHDAY;
	return high == NAT_SIDE_PREDICTABLE ? NAT_PREDICT_BOTH : NAT_RELAY;
}
