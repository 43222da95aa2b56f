#pragma once
/* addr - an IP address with port. IPv4 is kept in its IPv4-mapped form (RFC 4291 2.5.5.2), so that
 * one comparison serves both families. */
#include "core/base.h"

struct ov_addr {
	uint8_t ip[16];
	uint32_t scope; /* interface index of an IPv6 link-local address, else 0 */
	uint16_t port;  /* host order; 0: none */
	uint16_t zero;  /* keeps memcmp honest */
};

#define ADDR_TEXT_MAX 72 /* "[ffff:...:255.255.255.255%4294967295]:65535" and NUL */
#define ADDR_PACKED   18 /* on the wire: ip 16, port le16 */

enum addr_scope { ADDR_LOOPBACK, ADDR_LINK_LOCAL, ADDR_PRIVATE, ADDR_GLOBAL, ADDR_UNUSABLE };

struct ov_addr addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port);
bool addr_is_v4(const struct ov_addr *a);
bool addr_is_any(const struct ov_addr *a); /* unspecified ip of either family, or all zero */
bool addr_equal(const struct ov_addr *a, const struct ov_addr *b);
bool addr_same_ip(const struct ov_addr *a, const struct ov_addr *b); /* ignores port */
/* ADDR_UNUSABLE: multicast, broadcast, 0/8, unspecified, v4-compatible; PRIVATE: RFC 1918,
 * 100.64/10, fc00::/7; LINK_LOCAL: 169.254/16, fe80::/10. */
enum addr_scope addr_scope(const struct ov_addr *a);

void addr_pack(const struct ov_addr *a, uint8_t out[ADDR_PACKED]);
struct ov_addr addr_unpack(const uint8_t in[ADDR_PACKED]);

/* "1.2.3.4:5", "[v6%2]:5" (RFC 5952); without ":port" when port is 0. Returns out. */
const char *addr_format(const struct ov_addr *a, char out[ADDR_TEXT_MAX]);
/* Parses what addr_format prints (a missing port gives default_port). OV_OK or OV_EFORMAT. */
OV_MUST_CHECK int addr_parse(const char *text, uint16_t default_port, struct ov_addr *out);
