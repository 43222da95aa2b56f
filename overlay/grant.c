/* What a contact may do, as a small value. Deny by default: nothing here widens a grant but an
 * explicit word. `all` covers every packet on the interface (tcp, udp, icmp and what has neither),
 * and only that; services, relay and the rest are asked for by name.
 *
 * Ports are kept sorted, so that equal grants print alike. */
#include "overlay/grant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *word;
	enum grant_bit bit;
} words[] = {
	{ "all", GRANT_ALL },
	{ "icmp", GRANT_ICMP },
	{ "message", GRANT_MESSAGE },
	{ "relay", GRANT_RELAY },
	{ "introduce", GRANT_INTRODUCE },
	{ "store", GRANT_STORE },
	{ "exit", GRANT_EXIT },
};
#define WORDS (sizeof(words) / sizeof(words[0]))

enum kind { KIND_BAD, KIND_BIT, KIND_TCP, KIND_UDP, KIND_SERVICE };

struct parsed {
	enum kind kind;
	uint32_t bit;
	uint16_t port;
	const char *service;
	size_t service_len;
};

struct grants grants_default(void)
{
	return (struct grants){ .bits = GRANT_ICMP | GRANT_MESSAGE };
}

/* Decimal 1 to 65535 without leading zero, so that each port has one spelling. */
static bool parse_port(const char *text, size_t len, uint16_t *port)
{
	uint32_t v = 0;
	if (len == 0 || len > 5 || text[0] == '0')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (uint32_t)(text[i] - '0');
	}
	*port = (uint16_t)v;
	return v <= UINT16_MAX;
}

/* Printable ASCII without blank, comma, quote and backslash: safe in lists, logs and JSON. */
bool grant_service_ok(const char *name, size_t len)
{
	if (len == 0 || len >= GRANT_SERVICE_LEN)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name[i] <= ' ' || name[i] > '~' || strchr(",\"\\", name[i]))
			return false;
	}
	return true;
}

static struct parsed parse(const char *word, size_t len)
{
	struct parsed p = { .kind = KIND_BAD };
	for (size_t i = 0; i < WORDS; i++) {
		if (strlen(words[i].word) == len && memcmp(words[i].word, word, len) == 0)
			return (struct parsed){ .kind = KIND_BIT, .bit = words[i].bit };
	}
	if (len > 4 && memcmp(word, "tcp/", 4) == 0 && parse_port(word + 4, len - 4, &p.port))
		p.kind = KIND_TCP;
	else if (len > 4 && memcmp(word, "udp/", 4) == 0 && parse_port(word + 4, len - 4, &p.port))
		p.kind = KIND_UDP;
	else if (len > 8 && memcmp(word, "service:", 8) == 0 && grant_service_ok(word + 8, len - 8))
		p = (struct parsed){
			.kind = KIND_SERVICE, .service = word + 8, .service_len = len - 8
		};
	return p;
}

static size_t port_at(const uint16_t *ports, size_t count, uint16_t port)
{
	size_t i = 0;
	while (i < count && ports[i] < port)
		i++;
	return i;
}

static bool has_port(const uint16_t *ports, size_t count, uint16_t port)
{
	size_t i = port_at(ports, count, port);
	return i < count && ports[i] == port;
}

static int add_port(uint16_t *ports, uint8_t *count, uint16_t port)
{
	size_t i = port_at(ports, *count, port);
	if (i < *count && ports[i] == port)
		return OV_OK;
	if (*count == GRANT_PORTS_MAX)
		return OV_EFULL;
	memmove(ports + i + 1, ports + i, (*count - i) * sizeof(*ports));
	ports[i] = port;
	++*count;
	return OV_OK;
}

static int remove_port(uint16_t *ports, uint8_t *count, uint16_t port)
{
	size_t i = port_at(ports, *count, port);
	if (i == *count || ports[i] != port)
		return OV_ENOENT;
	--*count;
	memmove(ports + i, ports + i + 1, (*count - i) * sizeof(*ports));
	return OV_OK;
}

static size_t service_at(const struct grants *g, const char *name, size_t len)
{
	size_t i = 0;
	while (i < g->service_count &&
		(strlen(g->services[i]) != len || memcmp(g->services[i], name, len) != 0))
		i++;
	return i;
}

static int add_service(struct grants *g, const char *name, size_t len)
{
	if (service_at(g, name, len) < g->service_count)
		return OV_OK;
	if (g->service_count == GRANT_SERVICES_MAX)
		return OV_EFULL;
	char(*services)[GRANT_SERVICE_LEN] =
		realloc(g->services, (g->service_count + 1U) * sizeof(*services));
	if (!services)
		return OV_ENOMEM;
	g->services = services;
	memset(services[g->service_count], 0, sizeof(*services));
	memcpy(services[g->service_count++], name, len);
	return OV_OK;
}

static int remove_service(struct grants *g, const char *name, size_t len)
{
	size_t i = service_at(g, name, len);
	if (i == g->service_count)
		return OV_ENOENT;
	g->service_count--;
	memmove(g->services + i, g->services + i + 1,
		(g->service_count - i) * sizeof(*g->services));
	return OV_OK;
}

static int add(struct grants *g, const char *word, size_t len)
{
	struct parsed p = parse(word, len);
	switch (p.kind) {
	case KIND_BAD: return OV_EFORMAT;
	case KIND_BIT: g->bits |= p.bit; return OV_OK;
	case KIND_TCP: return add_port(g->tcp, &g->tcp_count, p.port);
	case KIND_UDP: return add_port(g->udp, &g->udp_count, p.port);
	case KIND_SERVICE: return add_service(g, p.service, p.service_len);
	}
	assert(false);
	return OV_EFORMAT;
}

int grants_add(struct grants *g, const char *word)
{
	return add(g, word, strlen(word));
}

int grants_remove(struct grants *g, const char *word)
{
	struct parsed p = parse(word, strlen(word));
	switch (p.kind) {
	case KIND_BAD: return OV_EFORMAT;
	case KIND_TCP: return remove_port(g->tcp, &g->tcp_count, p.port);
	case KIND_UDP: return remove_port(g->udp, &g->udp_count, p.port);
	case KIND_SERVICE: return remove_service(g, p.service, p.service_len);
	case KIND_BIT: break;
	}
	if (!(g->bits & p.bit))
		return OV_ENOENT;
	g->bits &= ~p.bit;
	return OV_OK;
}

int grants_add_list(struct grants *g, const char *list, const char **bad)
{
	for (const char *word = list;;) {
		size_t len = strcspn(word, ",");
		int err = add(g, word, len);
		if (err != OV_OK) {
			if (bad)
				*bad = word;
			return err;
		}
		if (word[len] == '\0')
			return OV_OK;
		word += len + 1;
	}
}

bool grants_tcp(const struct grants *g, uint16_t port)
{
	return (g->bits & GRANT_ALL) || has_port(g->tcp, g->tcp_count, port);
}

bool grants_udp(const struct grants *g, uint16_t port)
{
	return (g->bits & GRANT_ALL) || has_port(g->udp, g->udp_count, port);
}

bool grants_service(const struct grants *g, const char *name)
{
	return service_at(g, name, strlen(name)) < g->service_count;
}

bool grants_word(const struct grants *g, size_t i, char out[GRANT_TEXT_MAX])
{
	for (size_t k = 0; k < WORDS; k++) {
		if ((g->bits & words[k].bit) && i-- == 0) {
			snprintf(out, GRANT_TEXT_MAX, "%s", words[k].word);
			return true;
		}
	}
	if (i < g->tcp_count) {
		snprintf(out, GRANT_TEXT_MAX, "tcp/%u", (unsigned)g->tcp[i]);
		return true;
	}
	i -= g->tcp_count;
	if (i < g->udp_count) {
		snprintf(out, GRANT_TEXT_MAX, "udp/%u", (unsigned)g->udp[i]);
		return true;
	}
	i -= g->udp_count;
	if (i >= g->service_count)
		return false;
	snprintf(out, GRANT_TEXT_MAX, "service:%s", g->services[i]);
	return true;
}

int grants_copy(struct grants *to, const struct grants *from)
{
	struct grants copy = *from;
	copy.services = NULL;
	if (from->service_count) {
		copy.services = calloc(from->service_count, sizeof(*copy.services));
		if (!copy.services)
			return OV_ENOMEM;
		memcpy(copy.services, from->services, from->service_count * sizeof(*copy.services));
	}
	*to = copy;
	return OV_OK;
}

void grants_fini(struct grants *g)
{
	free(g->services);
	*g = (struct grants){ 0 };
}
