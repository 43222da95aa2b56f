#pragma once
/* nat64 - IPv4 addresses as a network without IPv4 reaches them: inside a prefix whose packets a
 * router translates (RFC 6146). Finding the prefix (RFC 7050) and writing addresses into it
 * (RFC 6052). */
#include "core/addr.h"

#define NAT64_NAME "ipv4only.arpa" /* has IPv4 addresses only, 192.0.0.170 and .171 */

struct nat64 { /* zeroed: none */
	uint8_t prefix[16];
	uint8_t bits; /* 32, 40, 48, 56, 64 or 96; 0: none */
};

/* What a resolver answered to AAAA of NAT64_NAME, in its order: the first that contains one of the
 * two gives the prefix. False: there is no NAT64. */
bool nat64_find(struct nat64 *out, const struct ov_addr *answers, size_t count);
/* v4 as IPv6, with its port. v4 must be IPv4 and n not none. */
struct ov_addr nat64_from_v4(const struct nat64 *n, const struct ov_addr *v4);
/* False: `a` is not in the prefix. */
bool nat64_to_v4(const struct nat64 *n, const struct ov_addr *a, struct ov_addr *v4);
#define NAT64_TEXT_MAX (ADDR_TEXT_MAX + 4)
const char *nat64_format(const struct nat64 *n, char out[NAT64_TEXT_MAX]); /* "64:ff9b::/96" */
