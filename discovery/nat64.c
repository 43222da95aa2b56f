/* RFC 6052 2.2: the four bytes follow the prefix, but byte 8 stays zero; what follows is zero. */
#include "discovery/nat64.h"

#include <stdio.h>
#include <string.h>

#define ZERO_BYTE 8

static const uint8_t lengths[] = { 96, 64, 56, 48, 40, 32 };

static size_t place_of(const struct nat64 *n, size_t i)
{
	size_t at = n->bits / 8u + i;
	bool beyond = n->bits <= 8 * ZERO_BYTE && at >= ZERO_BYTE;
	return beyond ? at + 1 : at;
}

struct ov_addr nat64_from_v4(const struct nat64 *n, const struct ov_addr *v4)
{
	assert(n->bits != 0 && addr_is_v4(v4));
	struct ov_addr a = { .port = v4->port };
	memcpy(a.ip, n->prefix, n->bits / 8u);
	for (size_t i = 0; i < 4; i++)
		a.ip[place_of(n, i)] = v4->ip[12 + i];
	return a;
}

bool nat64_to_v4(const struct nat64 *n, const struct ov_addr *a, struct ov_addr *v4)
{
	if (n->bits == 0)
		return false;
	*v4 = addr_v4(a->ip[place_of(n, 0)], a->ip[place_of(n, 1)], a->ip[place_of(n, 2)],
		a->ip[place_of(n, 3)], a->port);
	struct ov_addr again = nat64_from_v4(n, v4);
	return addr_equal(&again, a);
}

static bool is_well_known(const struct ov_addr *v4)
{
	struct ov_addr first = addr_v4(192, 0, 0, 170, v4->port);
	struct ov_addr second = addr_v4(192, 0, 0, 171, v4->port);
	return addr_equal(v4, &first) || addr_equal(v4, &second);
}

static bool is_prefix_of(struct nat64 *n, const struct ov_addr *answer)
{
	struct ov_addr v4;
	if (addr_is_v4(answer))
		return false;
	for (size_t i = 0; i < sizeof(lengths); i++) {
		*n = (struct nat64){ .bits = lengths[i] };
		memcpy(n->prefix, answer->ip, n->bits / 8u);
		if (n->prefix[ZERO_BYTE] == 0 && nat64_to_v4(n, answer, &v4) && is_well_known(&v4))
			return true;
	}
	return false;
}

bool nat64_find(struct nat64 *out, const struct ov_addr *answers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_prefix_of(out, &answers[i]))
			return true;
	*out = (struct nat64){ 0 };
	return false;
}

const char *nat64_format(const struct nat64 *n, char out[NAT64_TEXT_MAX])
{
	struct ov_addr a = { 0 };
	char text[ADDR_TEXT_MAX];
	memcpy(a.ip, n->prefix, sizeof(a.ip));
	snprintf(out, NAT64_TEXT_MAX, "%s/%u", addr_format(&a, text), (unsigned)n->bits);
	return out;
}
