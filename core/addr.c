/* Addresses in one form for both families. inet_pton and inet_ntop are pure functions; they are the
 * only thing used from the system here. */
#include "core/addr.h"

#include "core/bytes.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

struct ov_addr addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
	struct ov_addr out = { .port = port };
	memcpy(out.ip, mapped_prefix, sizeof(mapped_prefix));
	out.ip[12] = a;
	out.ip[13] = b;
	out.ip[14] = c;
	out.ip[15] = d;
	return out;
}

bool addr_is_v4(const struct ov_addr *a)
{
	return memcmp(a->ip, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

bool addr_is_any(const struct ov_addr *a)
{
	static const uint8_t zero[16];
	if (addr_is_v4(a))
		return memcmp(a->ip + 12, zero, 4) == 0;
	return memcmp(a->ip, zero, 16) == 0;
}

bool addr_equal(const struct ov_addr *a, const struct ov_addr *b)
{
	return addr_same_ip(a, b) && a->port == b->port;
}

bool addr_same_ip(const struct ov_addr *a, const struct ov_addr *b)
{
	return memcmp(a->ip, b->ip, sizeof(a->ip)) == 0 && a->scope == b->scope;
}

static enum addr_scope scope_of_v4(const uint8_t ip[4])
{
	if (ip[0] == 127)
		return ADDR_LOOPBACK;
	if (ip[0] == 0 || ip[0] >= 224)
		return ADDR_UNUSABLE;
	if (ip[0] == 169 && ip[1] == 254)
		return ADDR_LINK_LOCAL;
	if (ip[0] == 10 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) ||
		(ip[0] == 192 && ip[1] == 168) || (ip[0] == 100 && (ip[1] & 0xc0) == 64))
		return ADDR_PRIVATE;
	return ADDR_GLOBAL;
}

enum addr_scope addr_scope(const struct ov_addr *a)
{
	static const uint8_t loopback[16] = { [15] = 1 };
	if (addr_is_v4(a))
		return scope_of_v4(a->ip + 12);
	if (memcmp(a->ip, loopback, 16) == 0)
		return ADDR_LOOPBACK;
	if (a->ip[0] == 0xff || memcmp(a->ip, loopback, 12) == 0) /* multicast; ::/96 */
		return ADDR_UNUSABLE;
	if (a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80)
		return ADDR_LINK_LOCAL;
	if ((a->ip[0] & 0xfe) == 0xfc)
		return ADDR_PRIVATE;
	return ADDR_GLOBAL;
}

void addr_pack(const struct ov_addr *a, uint8_t out[ADDR_PACKED])
{
	memcpy(out, a->ip, 16);
	store_le16(out + 16, a->port);
}

struct ov_addr addr_unpack(const uint8_t in[ADDR_PACKED])
{
	struct ov_addr a = { .port = load_le16(in + 16) };
	memcpy(a.ip, in, 16);
	return a;
}

const char *addr_format(const struct ov_addr *a, char out[ADDR_TEXT_MAX])
{
	char ip[INET6_ADDRSTRLEN];
	if (addr_is_v4(a)) {
		inet_ntop(AF_INET, a->ip + 12, ip, sizeof(ip));
		if (a->port)
			snprintf(out, ADDR_TEXT_MAX, "%s:%u", ip, (unsigned)a->port);
		else
			snprintf(out, ADDR_TEXT_MAX, "%s", ip);
		return out;
	}
	inet_ntop(AF_INET6, a->ip, ip, sizeof(ip));
	char scope[12] = "";
	if (a->scope)
		snprintf(scope, sizeof(scope), "%%%u", (unsigned)a->scope);
	if (a->port)
		snprintf(out, ADDR_TEXT_MAX, "[%s%s]:%u", ip, scope, (unsigned)a->port);
	else
		snprintf(out, ADDR_TEXT_MAX, "%s%s", ip, scope);
	return out;
}

/* Decimal without sign or leading blanks, at most max. */
static bool parse_number(const char *text, unsigned long max, unsigned long *out)
{
	if (text[0] < '0' || text[0] > '9')
		return false;
	char *end;
	*out = strtoul(text, &end, 10);
	return *end == '\0' && *out <= max && strlen(text) <= 10;
}

static bool parse_ip(char *text, struct ov_addr *out)
{
	uint8_t v4[4];
	if (inet_pton(AF_INET, text, v4) == 1) {
		*out = addr_v4(v4[0], v4[1], v4[2], v4[3], 0);
		return true;
	}
	char *percent = strchr(text, '%');
	unsigned long scope = 0;
	if (percent) {
		*percent = '\0';
		if (!parse_number(percent + 1, UINT32_MAX, &scope))
			return false;
	}
	*out = (struct ov_addr){ .scope = (uint32_t)scope };
	return inet_pton(AF_INET6, text, out->ip) == 1 && !(scope && addr_is_v4(out));
}

int addr_parse(const char *text, uint16_t default_port, struct ov_addr *out)
{
	char copy[ADDR_TEXT_MAX];
	size_t len = strlen(text);
	if (len == 0 || len >= sizeof(copy))
		return OV_EFORMAT;
	memcpy(copy, text, len + 1);

	char *ip = copy, *port_text = NULL;
	if (copy[0] == '[') {
		char *close = strchr(copy, ']');
		if (!close || (close[1] != '\0' && close[1] != ':'))
			return OV_EFORMAT;
		port_text = close[1] ? close + 2 : NULL;
		*close = '\0';
		ip = copy + 1;
	} else {
		char *colon = strchr(copy, ':');
		if (colon && !strchr(colon + 1, ':')) { /* two colons: a bare IPv6 address */
			*colon = '\0';
			port_text = colon + 1;
		}
	}
	unsigned long port = default_port;
	if (port_text && !parse_number(port_text, 65535, &port))
		return OV_EFORMAT;
	if (!parse_ip(ip, out))
		return OV_EFORMAT;
	out->port = (uint16_t)port;
	return OV_OK;
}
