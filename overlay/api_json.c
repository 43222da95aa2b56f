/* Node and contacts as JSON. One function per kind of object, so that a field looks the same
 * wherever it appears (docs/socket.md). Absent facts are null, not left out. */
#include "overlay/api_impl.h"

#include <string.h>

json_t *api_json_peer_id(const struct peer_id *id)
{
	char text[PEER_ID_TEXT_LEN + 1];
	return json_string(peer_id_format(id, text));
}

json_t *api_json_addr(const struct ov_addr *a)
{
	char text[ADDR_TEXT_MAX];
	return addr_is_any(a) ? json_null() : json_string(addr_format(a, text));
}

void api_address_text(const struct peer_id *id, char out[ADDR_TEXT_MAX])
{
	struct ov_addr a = { .port = 0 };
	peer_id_address(id, a.ip);
	addr_format(&a, out);
}

static json_t *json_address(const struct peer_id *id)
{
	char text[ADDR_TEXT_MAX];
	api_address_text(id, text);
	return json_string(text);
}

/* Days since 1970-01-01 to a civil date, without the C library's time zone state
 * (H. Hinnant, "chrono-compatible low-level date algorithms"). */
json_t *api_json_unix(int64_t unix_ms)
{
	if (unix_ms <= 0 || unix_ms > INT64_C(253402300799999)) /* end of year 9999 */
		return json_null();
	int64_t seconds = unix_ms / 1000, day = seconds / 86400 + 719468;
	int64_t era = day / 146097, doe = day % 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	int64_t month = mp < 10 ? mp + 3 : mp - 9;
	int64_t year = yoe + era * 400 + (month <= 2);
	int64_t of_day = seconds % 86400;
	char text[64];
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)year, (int)month,
		(int)(doy - (153 * mp + 2) / 5 + 1), (int)(of_day / 3600), (int)(of_day / 60 % 60),
		(int)(of_day % 60), (int)(unix_ms % 1000));
	return json_string(text);
}

json_t *api_json_at(const struct api *a, ov_time at)
{
	return api_json_unix(a->wall_ms + (at - a->wall_at) / OV_MS);
}

static json_t *json_seen(const struct api *a, ov_time last_heard, const struct contact *c)
{
	if (last_heard)
		return api_json_at(a, last_heard);
	return api_json_unix(c->last_seen_at_s * 1000);
}

json_t *api_json_grants(const struct grants *g)
{
	json_t *list = json_array();
	char word[GRANT_TEXT_MAX];
	for (size_t i = 0; grants_word(g, i, word); i++)
		json_array_append_new(list, json_string(word));
	return list;
}

json_t *api_json_contact(const struct api *a, const struct contact *c)
{
	json_t *endpoints = json_array();
	for (size_t i = 0; i < c->endpoint_count; i++)
		json_array_append_new(endpoints, json_string(c->endpoints[i]));
	struct peer_info info = { .last_heard = 0 };
	if (!node_peer_info(a->cfg.node, a->wall_at, &c->id, &info))
		info.last_heard = 0;
	/* The contact holds what the store knew at the start. */
	bool direct = info.has_active && info.active.carrier == CARRIER_UDP;
	const struct ov_addr *last = direct ? &info.active.remote : &c->last_endpoint;
	return json_pack("{s:o, s:s, s:o, s:s, s:b, s:o, s:o, s:o, s:o}", "peer",
		api_json_peer_id(&c->id), "name", c->name, "address", json_address(&c->id),
		"source", c->source == CONTACT_CONFIG ? "config" : "added", "lan_only", c->lan_only,
		"allow", api_json_grants(&c->grants), "endpoints", endpoints, "last_endpoint",
		api_json_addr(last), "last_seen_at", json_seen(a, info.last_heard, c));
}

const char *api_carrier_name(uint8_t carrier)
{
	switch ((enum carrier)carrier) {
	case CARRIER_UDP: return "udp";
	case CARRIER_TCP: return "tcp";
	case CARRIER_RELAY: return "relay";
	}
	return "unknown";
}

static json_t *json_path(const struct api *a, const struct path_info *p)
{
	json_t *heard = p->last_heard ? api_json_at(a, p->last_heard) : json_null();
	return json_pack("{s:s, s:s, s:b, s:o, s:o, s:o, s:b, s:I, s:i, s:i, s:I, s:I, s:i, s:o}",
		"carrier", api_carrier_name(p->carrier), "state", p->state, "active", p->active,
		"local", api_json_addr(&p->local), "remote", api_json_remote(a, &p->remote),
		"observed", api_json_addr(&p->observed), "natted", p->natted, "rtt_us",
		(json_int_t)(p->srtt / OV_US), "loss_permille", (int)p->loss_permille, "pmtu_bytes",
		(int)p->pmtu, "sent_bytes", (json_int_t)p->sent_bytes, "received_bytes",
		(json_int_t)p->received_bytes, "interface", (int)p->interface, "last_heard_at",
		heard);
}

json_t *api_json_status(struct api *a, ov_time now, const struct contact *c)
{
	struct peer_info i;
	if (!node_peer_info(a->cfg.node, now, &c->id, &i))
		return NULL;
	json_t *path = i.has_active ? json_path(a, &i.active) : json_null();
	json_t *o = json_pack("{s:o, s:s, s:o, s:s, s:s, s:o, s:s?, s:s?, s:I, s:I, s:I, s:I}",
		"peer", api_json_peer_id(&c->id), "name", c->name, "address", json_address(&c->id),
		"source", c->source == CONTACT_CONFIG ? "config" : "added", "state",
		peer_state_name(i.state), "path", path, "suite", i.suite, "backend", i.backend,
		"sent_bytes", (json_int_t)i.sent_bytes, "received_bytes",
		(json_int_t)i.received_bytes, "sent_packets", (json_int_t)i.sent_packets,
		"received_packets", (json_int_t)i.received_packets);
	json_t *more = json_pack("{s:o, s:I, s:I, s:I, s:I, s:I}", "last_seen_at",
		json_seen(a, i.last_heard, c), "session_age_ms",
		(json_int_t)(i.session_age / OV_MS), "waiting_packets",
		(json_int_t)i.waiting_packets, "path_count", (json_int_t)i.path_count,
		"candidate_count", (json_int_t)i.candidate_count, "handshakes",
		(json_int_t)i.handshakes);
	json_object_update(o, more);
	json_decref(more);
	json_object_set_new(o, "lan_only", json_boolean(c->lan_only));
	if (i.refused[0])
		json_object_set_new(o, "refused", json_string(i.refused));
	return o;
}

json_t *api_json_paths(struct api *a, const struct peer_id *id)
{
	struct path_info paths[16];
	size_t count = node_peer_paths(a->cfg.node, id, paths, 16);
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_path(a, &paths[i]));
	return list;
}

json_t *api_json_candidates(struct api *a, const struct peer_id *id)
{
	struct candidate_info found[16];
	size_t count = node_peer_candidates(a->cfg.node, id, found, 16);
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:o, s:s, s:s, s:o}", "carrier",
				      api_carrier_name(found[i].carrier), "addr",
				      api_json_addr(&found[i].addr), "source",
				      candidate_source_name(found[i].source), "state",
				      found[i].state, "added_at", api_json_at(a, found[i].added)));
	return list;
}

json_t *api_json_counters(const struct node_counters *n)
{
	json_t *drops = json_object();
	for (size_t i = DROP_NONE + 1; i < DROP_REASON_COUNT; i++)
		json_object_set_new(
			drops, drop_name((enum drop)i), json_integer((json_int_t)n->drops[i]));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "datagrams_in",
		(json_int_t)n->datagrams_in, "datagrams_out", (json_int_t)n->datagrams_out,
		"received_bytes", (json_int_t)n->bytes_in, "sent_bytes", (json_int_t)n->bytes_out,
		"packets_in", (json_int_t)n->packets_in, "packets_out", (json_int_t)n->packets_out,
		"handshakes", (json_int_t)n->handshakes, "pending_handshakes",
		(json_int_t)n->pending_handshakes, "under_load", (json_int_t)n->under_load, "drops",
		drops);
}

json_t *api_json_tcp(const struct tcp_counters *t)
{
	if (!t)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "connections",
		(json_int_t)t->connections, "half_open", (json_int_t)t->half_open, "accepted",
		(json_int_t)t->accepted, "dialled", (json_int_t)t->dialled, "failed",
		(json_int_t)t->failed, "refused", (json_int_t)t->refused, "silent",
		(json_int_t)t->silent, "malformed", (json_int_t)t->malformed, "foreign",
		(json_int_t)t->foreign, "idle", (json_int_t)t->idle, "lost", (json_int_t)t->lost);
}
