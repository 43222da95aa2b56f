/* The ops that look: hello, version, id, status, hosts, peer.list, peer.show, peer.requests. Lists
 * come in pages that fit a line; a page ends by size, not by count, because a contact may carry
 * 80 grants or none. */
#include "overlay/api_impl.h"

#include <stdlib.h>
#include <string.h>

static json_t *json_version(const struct api *a)
{
	return json_pack("{s:i, s:s, s:o}", "api", API_VERSION, "version", a->cfg.facts->version,
		"peer", api_json_peer_id(&a->cfg.self));
}

json_t *api_op_hello(struct api_call *c)
{
	int64_t wanted = API_VERSION;
	if (!api_integer(c, "api", 1, INT32_MAX, &wanted))
		return NULL;
	api_text(c, "client", false);
	if (c->code)
		return NULL;
	if (wanted != API_VERSION)
		return api_fail(c, "bad-argument", "install programs and overlayd of one release",
			"overlayd %s speaks api %d, the program asked for %lld",
			c->a->cfg.facts->version, API_VERSION, (long long)wanted);
	c->client->greeted = true;
	return json_version(c->a);
}

json_t *api_op_version(struct api_call *c)
{
	return json_version(c->a);
}

json_t *api_op_id(struct api_call *c)
{
	char address[ADDR_TEXT_MAX], prefix[ADDR_TEXT_MAX], net[ADDR_TEXT_MAX + 4];
	api_address_text(&c->a->cfg.self, address);
	struct ov_addr p = { .port = 0 };
	peer_id_prefix(&c->a->cfg.self, p.ip);
	snprintf(net, sizeof(net), "%s/64", addr_format(&p, prefix));
	return json_pack("{s:o, s:s, s:s}", "peer", api_json_peer_id(&c->a->cfg.self), "address",
		address, "prefix", net);
}

/* Fills `list` with entries from `from` on until the page is full; sets "next" in result. */
static void fill_page(struct api_call *c, json_t *result, const char *key, size_t from,
	json_t *(*entry)(struct api_call *c, const struct contact *contact))
{
	json_t *list = json_array();
	size_t used = 0;
	const struct contact *at;
	for (; (at = node_contact_at(c->a->cfg.node, from)) != NULL; from++) {
		if (!contact_is_known(at->source))
			continue;
		json_t *e = entry(c, at);
		size_t size = e ? json_dumpb(e, NULL, 0, JSON_COMPACT) + 1 : 0;
		if (used + size > PAGE_BYTES && used > 0) {
			json_decref(e);
			json_object_set_new(result, "next", json_integer((json_int_t)from));
			break;
		}
		used += size;
		json_array_append_new(list, e);
	}
	json_object_set_new(result, key, list);
}

static json_t *status_entry(struct api_call *c, const struct contact *contact)
{
	return api_json_status(c->a, c->now, contact);
}

static json_t *list_entry(struct api_call *c, const struct contact *contact)
{
	return api_json_contact(c->a, contact);
}

static json_t *host_entry(struct api_call *c, const struct contact *contact)
{
	(void)c;
	char address[ADDR_TEXT_MAX];
	api_address_text(&contact->id, address);
	return json_pack("{s:s, s:s}", "name", contact->name, "address", address);
}

static json_t *paged(struct api_call *c, const char *key,
	json_t *(*entry)(struct api_call *c, const struct contact *contact))
{
	int64_t from = 0;
	if (!api_integer(c, "from", 0, UINT32_MAX, &from))
		return NULL;
	json_t *result = json_object();
	fill_page(c, result, key, (size_t)from, entry);
	return result;
}

json_t *api_op_hosts(struct api_call *c)
{
	return paged(c, "hosts", host_entry);
}

json_t *api_op_peer_list(struct api_call *c)
{
	return paged(c, "peers", list_entry);
}

static json_t *json_portmaps(const struct api *a)
{
	const struct api_facts *f = a->cfg.facts;
	return json_pack("{s:b, s:o, s:o}", "enabled", f->portmap[0] != NULL, "ipv4",
		api_json_portmap(a, 0), "ipv6", api_json_portmap(a, 1));
}

static json_t *json_lan(const struct lan_counters *l)
{
	if (!l)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
		"interfaces", (json_int_t)l->interfaces, "sent", (json_int_t)l->sent, "received",
		(json_int_t)l->received, "heard", (json_int_t)l->heard, "strangers",
		(json_int_t)l->strangers, "own", (json_int_t)l->own, "copies",
		(json_int_t)l->copies, "malformed", (json_int_t)l->malformed, "off_link",
		(json_int_t)l->off_link, "limited", (json_int_t)l->limited, "notices",
		(json_int_t)l->notices, "forged", (json_int_t)l->forged, "crowded",
		(json_int_t)l->crowded);
}

static json_t *json_daemon(struct api_call *c)
{
	const struct api *a = c->a;
	const struct api_facts *f = a->cfg.facts;
	struct peer_request some[1];
	char address[ADDR_TEXT_MAX];
	api_address_text(&a->cfg.self, address);
	json_t *tun = json_null();
	if (f->tun_name)
		tun = json_pack("{s:s, s:i}", "name", f->tun_name, "mtu_bytes", (int)f->tun_mtu);
	json_t *features = f->features ? json_deep_copy(f->features) : json_object();
	return json_pack(
		"{s:s, s:o, s:s, s:s?, s:s?, s:i, s:o, s:s?, s:b, s:b, s:o, s:o, s:o, s:o, s:I, s:I, s:o}",
		"version", f->version, "peer", api_json_peer_id(&a->cfg.self), "address", address,
		"state_dir", f->state_dir, "config", f->config_path, "udp_port", (int)f->udp_port,
		"tun", tun, "tun_why", f->tun_why, "pairing", api_takes_requests(a, c->now),
		"has_requests", node_requests(a->cfg.node, some, 1) > 0, "lan", json_lan(f->lan),
		"portmap", json_portmaps(a), "features", features, "started_at",
		api_json_at(a, a->started), "uptime_ms",
		(json_int_t)((c->now - a->started) / OV_MS), "peer_count",
		(json_int_t)node_known_count(a->cfg.node), "counters",
		api_json_counters(node_counters(a->cfg.node)));
}

json_t *api_op_status(struct api_call *c)
{
	json_t *result = paged(c, "peers", status_entry);
	if (!result || json_integer_value(json_object_get(c->args, "from")) > 0)
		return result;
	json_t *daemon = json_daemon(c);
	json_object_set_new(daemon, "tcp", api_json_tcp(c->a->cfg.facts->tcp));
	json_object_set_new(daemon, "facilitators", api_json_facilitators(c->a, c->now));
	json_object_set_new(daemon, "lan_only", json_boolean(c->a->cfg.facts->lan_only));
	json_object_set_new(daemon, "clock", api_json_clock(c->a, c->now));
	json_object_update(result, daemon);
	json_decref(daemon);
	return result;
}

json_t *api_op_peer_show(struct api_call *c)
{
	const struct contact *contact = api_contact(c, "peer");
	if (!contact)
		return NULL;
	json_t *result = api_json_contact(c->a, contact);
	json_t *live = api_json_status(c->a, c->now, contact);
	json_object_update(result, live);
	json_decref(live);
	json_object_set_new(result, "paths", api_json_paths(c->a, &contact->id));
	json_object_set_new(result, "candidates", api_json_candidates(c->a, &contact->id));
	json_object_set_new(result, "streams", api_json_streams(c->a, &contact->id));
	return result;
}

json_t *api_op_why(struct api_call *c)
{
	const struct contact *contact = api_contact(c, "peer");
	struct why why;
	if (!contact || !node_why(c->a->cfg.node, c->now, &contact->id, &why))
		return NULL;
	return json_pack("{s:o, s:s, s:s, s:s}", "peer", api_json_peer_id(&contact->id), "name",
		contact->name, "code", why.code, "text", why.text);
}

struct peer_request *api_requests(const struct api *a, size_t max, size_t *count)
{
	struct peer_request *list = calloc(max, sizeof(*list));
	*count = list ? node_requests(a->cfg.node, list, max) : 0;
	return list;
}

json_t *api_op_peer_requests(struct api_call *c)
{
	size_t count;
	struct peer_request *found = api_requests(c->a, REQUESTS_LISTED, &count);
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list,
			json_pack("{s:o, s:s?, s:o, s:o}", "peer", api_json_peer_id(&found[i].id),
				"name", api_nearby_name(c->a, &found[i].id), "from",
				api_json_addr(&found[i].from), "requested_at",
				api_json_at(c->a, found[i].at)));
	free(found);
	return json_pack(
		"{s:o, s:b}", "requests", list, "pairing", api_takes_requests(c->a, c->now));
}
