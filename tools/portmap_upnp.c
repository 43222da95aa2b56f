/* UPnP IGD through libminiupnpc: search, description, then SOAP. Two rules keep a neighbour on the
 * LAN from using us: a device is believed only where the router is (the address that the default
 * route names; for IPv6, where that is link-local, an address of our own prefix), and the same must
 * hold for every URL that its description names. So UPNP_GetValidIGD is not used: it asks whatever
 * URL it finds.
 *
 * The device is kept for the next request: a release must not search for 2 s first. */
#include "tools/portmap.h"

#include "core/bytes.h"

#include <arpa/inet.h>
#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/miniwget.h>
#include <miniupnpc/upnpcommands.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define SEARCH_FIRST_MS 500  /* who answers at once; together 2 s, nat.md part 1 */
#define SEARCH_THEN_MS  1500 /* who takes its time, as the search allows */
#define TTL             2
#define OTHER_PORTS     4 /* tried when the wanted one belongs to somebody else */

enum { /* UPnP error codes: WANIPConnection:2 2.5, WANIPv6FirewallControl:1 2.6 */
	CONFLICT = 718,
	ONLY_PERMANENT = 725,
	CONFLICT_WITH_OTHER = 729,
};

struct igd {
	struct UPNPUrls urls;
	struct IGDdatas data;
	struct portmap_request at; /* whose router it is */
	bool known;
};

static struct igd kept[2]; /* IPv4, IPv6 */

static void forget(struct igd *g)
{
	if (g->known)
		FreeUPNPUrls(&g->urls);
	*g = (struct igd){ 0 };
}

static bool same_router(const struct portmap_request *a, const struct portmap_request *b)
{
	return addr_same_ip(&a->gateway, &b->gateway) && addr_same_ip(&a->local, &b->local);
}

/* ---- who may be believed ---- */

static bool host_of(const char *url, struct ov_addr *out)
{
	static const char scheme[] = "http://";
	char text[ADDR_TEXT_MAX];
	if (!url || strncmp(url, scheme, sizeof(scheme) - 1) != 0)
		return false;
	url += sizeof(scheme) - 1;
	size_t len = strcspn(url, "/");
	if (len >= sizeof(text))
		return false;
	memcpy(text, url, len);
	text[len] = '\0';
	return addr_parse(text, 80, out) == OV_OK; /* numbers only: nothing is ever resolved */
}

static bool in_prefix(const struct ov_addr *a, const struct portmap_request *r)
{
	if (addr_scope(a) == ADDR_LINK_LOCAL)
		return false;
	for (unsigned bit = 0; bit < r->prefix_len; bit++) {
		uint8_t mask = (uint8_t)(0x80 >> bit % 8);
		if ((a->ip[bit / 8] ^ r->local.ip[bit / 8]) & mask)
			return false;
	}
	return r->prefix_len >= 48;
}

static bool is_believed(const char *url, const struct portmap_request *r)
{
	struct ov_addr host;
	if (!host_of(url, &host))
		return false;
	if (memcmp(host.ip, r->gateway.ip, 16) == 0)
		return true;
	return !addr_is_v4(&r->gateway) && !addr_is_v4(&host) && in_prefix(&host, r);
}

/* ---- search ---- */

static void describe(struct igd *g, const struct UPNPDev *device)
{
	char own[64];
	int size = 0, status = 0;
	char *xml = miniwget_getaddr(
		device->descURL, &size, own, sizeof(own), device->scope_id, &status);
	if (!xml)
		return;
	if (size > 0) {
		parserootdesc(xml, size, &g->data);
		GetUPNPUrls(&g->urls, &g->data, device->descURL, device->scope_id);
		g->known = true;
	}
	free(xml);
}

static bool is_usable(const struct igd *g, const struct portmap_request *r)
{
	if (!g->known)
		return false;
	if (r->op == PORTMAP_OP_UPNP_PINHOLE)
		return g->data.IPv6FC.servicetype[0] && is_believed(g->urls.controlURL_6FC, r);
	return g->data.first.servicetype[0] && is_believed(g->urls.controlURL, r);
}

/* A router may offer a WANIPConnection and a WANPPPConnection, of which one is up. */
static void choose_connection(
	struct igd *g, const struct UPNPDev *device, const struct portmap_request *r)
{
	if (r->op != PORTMAP_OP_UPNP || !g->data.second.servicetype[0] ||
		UPNPIGD_IsConnected(&g->urls, &g->data))
		return;
	struct IGDdatas_service other = g->data.second;
	g->data.second = g->data.first;
	g->data.first = other;
	FreeUPNPUrls(&g->urls);
	GetUPNPUrls(&g->urls, &g->data, device->descURL, device->scope_id);
}

static bool take_first(struct igd *g, const struct UPNPDev *list, const struct portmap_request *r)
{
	for (const struct UPNPDev *d = list; d; d = d->pNext) {
		if (!is_believed(d->descURL, r))
			continue;
		forget(g);
		describe(g, d);
		if (!is_usable(g, r))
			continue;
		choose_connection(g, d, r);
		g->at = *r;
		if (is_usable(g, r))
			return true;
	}
	forget(g);
	return false;
}

static bool search(struct igd *g, const struct portmap_request *r)
{
	/* version 1 is answered by devices of version 2 too (UPnP device architecture 1.3.2) */
	static const char *const types[] = { "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
		NULL };
	static const int waits[] = { SEARCH_FIRST_MS, SEARCH_THEN_MS };
	char interface[ADDR_TEXT_MAX];
	bool v6 = r->op == PORTMAP_OP_UPNP_PINHOLE, found = false;
	struct ov_addr local = r->local;
	local.port = 0;
	addr_format(&local, interface);
	if (v6 && !if_indextoname(r->gateway.scope, interface))
		return false;
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]) && !found; i++) {
		int error = 0;
		struct UPNPDev *list = upnpDiscoverDevices(
			types, waits[i], interface, NULL, UPNP_LOCAL_PORT_ANY, v6, TTL, &error, 0);
		found = take_first(g, list, r);
		freeUPNPDevlist(list);
	}
	return found;
}

/* ---- a port of an IPv4 address ---- */

struct texts {
	char local[ADDR_TEXT_MAX], port[8], external[8], lifetime[12], pinhole[8];
};

static struct texts texts_of(const struct portmap_request *r)
{
	struct texts t;
	struct ov_addr local = r->local;
	local.port = 0;
	addr_format(&local, t.local);
	snprintf(t.port, sizeof(t.port), "%u", r->local.port);
	snprintf(t.external, sizeof(t.external), "%u", r->external_port);
	snprintf(t.lifetime, sizeof(t.lifetime), "%u", (unsigned)r->lifetime_s);
	snprintf(t.pinhole, sizeof(t.pinhole), "%u", r->pinhole);
	return t;
}

static int add(const struct igd *g, struct texts *t)
{
	int rc = UPNP_AddPortMapping(g->urls.controlURL, g->data.first.servicetype, t->external,
		t->port, t->local, "overlay", "UDP", NULL, t->lifetime);
	if (rc != ONLY_PERMANENT)
		return rc;
	snprintf(t->lifetime, sizeof(t->lifetime), "0");
	return UPNP_AddPortMapping(g->urls.controlURL, g->data.first.servicetype, t->external,
		t->port, t->local, "overlay", "UDP", NULL, t->lifetime);
}

static bool other_port(struct texts *t)
{
	uint16_t random;
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return false;
	snprintf(t->external, sizeof(t->external), "%u", 1024 + random % (65536 - 1024));
	return true;
}

static int map_port(struct igd *g, struct texts *t, struct portmap_answer *a)
{
	char outside[40] = "";
	struct ov_addr ip = { 0 };
	if (UPNP_GetExternalIPAddress(g->urls.controlURL, g->data.first.servicetype, outside) ==
			0 &&
		addr_parse(outside, 0, &ip) == OV_OK)
		a->external = ip;
	int rc = add(g, t);
	for (int i = 0; i < OTHER_PORTS && (rc == CONFLICT || rc == CONFLICT_WITH_OTHER); i++)
		rc = other_port(t) ? add(g, t) : rc;
	bool none = addr_is_v4(&a->external) && addr_is_any(&a->external);
	if (rc > 0 && none && !UPNPIGD_IsConnected(&g->urls, &g->data))
		a->external = (struct ov_addr){ 0 }; /* no line, rather than a private address */
	if (rc != UPNPCOMMAND_SUCCESS)
		return rc;
	a->external.port = (uint16_t)strtoul(t->external, NULL, 10);
	a->lifetime_s = (uint32_t)strtoul(t->lifetime, NULL, 10);
	return addr_is_any(&a->external) ? UPNPCOMMAND_INVALID_RESPONSE : rc;
}

/* ---- a hole in the IPv6 firewall ---- */

static int open_pinhole(const struct igd *g, const struct portmap_request *r, const struct texts *t,
	struct portmap_answer *a)
{
	const char *url = g->urls.controlURL_6FC, *type = g->data.IPv6FC.servicetype;
	char id[8] = "";
	int rc = UPNPCOMMAND_UNKNOWN_ERROR;
	if (r->pinhole) {
		rc = UPNP_UpdatePinhole(url, type, t->pinhole, t->lifetime);
		a->pinhole = r->pinhole;
	}
	if (rc != UPNPCOMMAND_SUCCESS) { /* new, or the router forgot it; "17": UDP */
		rc = UPNP_AddPinhole(
			url, type, "empty", "0", t->local, t->port, "17", t->lifetime, id);
		a->pinhole = (uint16_t)strtoul(id, NULL, 10);
	}
	a->external = r->local;
	a->lifetime_s = r->lifetime_s;
	return rc;
}

static int work(struct igd *g, const struct portmap_request *r, struct portmap_answer *a)
{
	struct texts t = texts_of(r);
	if (r->op == PORTMAP_OP_UPNP_PINHOLE)
		return r->lifetime_s ? open_pinhole(g, r, &t, a)
				     : UPNP_DeletePinhole(g->urls.controlURL_6FC,
					       g->data.IPv6FC.servicetype, t.pinhole);
	return r->lifetime_s ? map_port(g, &t, a)
			     : UPNP_DeletePortMapping(g->urls.controlURL, g->data.first.servicetype,
				       t.external, "UDP", NULL);
}

void portmap_upnp(const struct portmap_request *r, struct portmap_answer *a)
{
	struct igd *g = &kept[r->op == PORTMAP_OP_UPNP_PINHOLE];
	int rc = UPNPCOMMAND_HTTP_ERROR;
	if (g->known && same_router(&g->at, r))
		rc = work(g, r, a);
	if (rc < 0) { /* not known, or not there any more: it may have another port now */
		if (!search(g, r)) {
			a->result = PORTMAP_SILENT;
			return;
		}
		rc = work(g, r, a);
	}
	a->code = rc > 0 && rc <= UINT16_MAX ? (uint16_t)rc : 0;
	a->result = rc == 0 ? PORTMAP_DONE : rc > 0 ? PORTMAP_REFUSED : PORTMAP_FAILED;
	if (rc != 0 && r->op == PORTMAP_OP_UPNP_PINHOLE)
		a->external = (struct ov_addr){ 0 };
}
