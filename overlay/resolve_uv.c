/* A lookup belongs to nobody but itself: when it ends it reports, unless the resolver was closed
 * meanwhile. Host names are at most 253 bytes when they come here (endpoint_check), which also
 * keeps clear of libuv's truncation bug CVE-2024-24806. */
#include "overlay/resolve_uv.h"

#include "core/bytes.h"
#include "discovery/nat64.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

struct resolver {
	uv_loop_t *loop;
	void (*on_addr)(void *context, const struct peer_id *peer, enum carrier carrier,
		const struct ov_addr *a);
	void *context;
	size_t running;
	bool closed;
};

struct lookup {
	uv_getaddrinfo_t request;
	struct resolver *resolver;
	struct peer_id peer;
	enum carrier carrier;
	uint16_t port;
	void (*on_nat64)(void *context, const struct ov_addr *answers, size_t count); /* or NULL */
};

#define NAT64_ANSWERS 16

struct resolver *resolver_new(uv_loop_t *loop,
	void (*on_addr)(void *context, const struct peer_id *peer, enum carrier carrier,
		const struct ov_addr *a),
	void *context)
{
	struct resolver *r = calloc(1, sizeof(*r));
	if (r)
		*r = (struct resolver){ .loop = loop, .on_addr = on_addr, .context = context };
	return r;
}

static void unref(struct resolver *r)
{
	if (r->closed && r->running == 0)
		free(r);
}

static bool to_addr(const struct addrinfo *ai, uint16_t port, struct ov_addr *out)
{
	if (ai->ai_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, ai->ai_addr, sizeof(in));
		const uint8_t *b = (const uint8_t *)&in.sin_addr;
		*out = addr_v4(b[0], b[1], b[2], b[3], port);
		return true;
	}
	if (ai->ai_family != AF_INET6)
		return false;
	struct sockaddr_in6 in6;
	memcpy(&in6, ai->ai_addr, sizeof(in6));
	*out = (struct ov_addr){ .port = port, .scope = in6.sin6_scope_id };
	memcpy(out->ip, &in6.sin6_addr, 16);
	return true;
}

static void on_done(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
	struct lookup *l = (struct lookup *)request;
	struct resolver *r = l->resolver;
	struct ov_addr a, answers[NAT64_ANSWERS];
	size_t count = 0;
	for (const struct addrinfo *ai = list; status == 0 && ai && !r->closed; ai = ai->ai_next) {
		if (!to_addr(ai, l->port, &a))
			continue;
		if (!l->on_nat64)
			r->on_addr(r->context, &l->peer, l->carrier, &a);
		else if (count < NAT64_ANSWERS)
			answers[count++] = a;
	}
	bool known = status == 0 || status == UV_EAI_NONAME || status == UV_EAI_NODATA;
	if (l->on_nat64 && known && !r->closed)
		l->on_nat64(r->context, answers, count);
	uv_freeaddrinfo(list);
	free(l);
	r->running--;
	unref(r);
}

static void start(
	struct resolver *r, const struct contact *c, const char *text, uint16_t default_port)
{
	char host[ENDPOINT_TEXT_MAX];
	struct ov_addr literal;
	bool is_name;
	const char *tcp = endpoint_tcp(text);
	if (tcp) {
		text = tcp;
		default_port = ENDPOINT_TCP_PORT;
	}
	if (r->running == RESOLVE_AT_ONCE ||
		!endpoint_check(text, default_port, &literal, &is_name) || !is_name)
		return;
	struct lookup *l = calloc(1, sizeof(*l));
	if (!l)
		return;
	snprintf(host, sizeof(host), "%s", text);
	char *colon = strrchr(host, ':');
	l->port = default_port;
	if (colon) {
		*colon = '\0';
		l->port = (uint16_t)strtoul(colon + 1, NULL, 10);
	}
	l->resolver = r;
	l->peer = c->id;
	l->carrier = tcp ? CARRIER_TCP : CARRIER_UDP;
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG };
	if (uv_getaddrinfo(r->loop, &l->request, on_done, host, NULL, &hints) != 0) {
		free(l);
		return;
	}
	r->running++;
}

void resolver_nat64(struct resolver *r,
	void (*on_nat64)(void *context, const struct ov_addr *answers, size_t count))
{
	struct addrinfo hints = { .ai_family = AF_INET6, .ai_socktype = SOCK_DGRAM };
	struct lookup *l = r->running < RESOLVE_AT_ONCE ? calloc(1, sizeof(*l)) : NULL;
	if (!l)
		return;
	l->resolver = r;
	l->on_nat64 = on_nat64;
	if (uv_getaddrinfo(r->loop, &l->request, on_done, NAT64_NAME, NULL, &hints) != 0) {
		free(l);
		return;
	}
	r->running++;
}

void resolver_contact(struct resolver *r, const struct contact *c, uint16_t default_port)
{
	for (size_t i = 0; i < c->endpoint_count; i++)
		start(r, c, c->endpoints[i], default_port);
}

void resolver_close(struct resolver *r)
{
	if (!r)
		return;
	r->closed = true;
	unref(r);
}
