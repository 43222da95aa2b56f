/* What the overlay socket tells of facilitators: those that serve us, and whom we serve. */
#include "core/frame.h"
#include "overlay/api_impl.h"
#include "overlay/config.h"

static const char *refusal(uint8_t reason)
{
	switch ((enum relay_reason)reason) {
	case RELAY_REASON_NONE: return NULL;
	case RELAY_REASON_AWAY: return "away";
	case RELAY_REASON_DENIED: return "denied";
	case RELAY_REASON_QUOTA: return "quota";
	}
	return "away"; /* of a later version */
}

json_t *api_json_remote(const struct api *a, const struct ov_addr *remote)
{
	struct peer_id relay;
	char id[PEER_ID_TEXT_LEN + 1];
	if (!node_relay_of(a->cfg.node, remote, &relay))
		return api_json_addr(remote);
	return json_sprintf("relay:%s", peer_id_format(&relay, id));
}

/* Who offered it, and until when its word is good; null: it is of the configuration. */
static json_t *json_offered(const struct api *a, const struct peer_id *facilitator)
{
	for (size_t i = 0; i < a->offered_count; i++) {
		const struct api_offered *o = &a->offered[i];
		const struct contact *giver = node_contact(a->cfg.node, &o->giver);
		if (peer_id_equal(&o->facilitator, facilitator))
			return json_pack("{s:s?, s:o}", "by", giver ? giver->name : NULL, "until",
				api_json_unix(o->expires_s * 1000));
	}
	return json_null();
}

json_t *api_json_facilitators(const struct api *a, ov_time now)
{
	struct facilitator_info found[CONFIG_FACILITATORS_MAX];
	size_t count = node_facilitators(a->cfg.node, now, found, CONFIG_FACILITATORS_MAX);
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list,
			json_pack("{s:o, s:s, s:b, s:b, s:I, s:s?, s:o, s:o, s:I, s:o}", "peer",
				api_json_peer_id(&found[i].id), "state",
				peer_state_name(found[i].state), "registered", found[i].registered,
				"watches", found[i].watches, "contacts_here",
				(json_int_t)found[i].here, "refused", refusal(found[i].refused),
				"remote", api_json_addr(&found[i].remote), "observed",
				api_json_addr(&found[i].observed), "rtt_us",
				(json_int_t)(found[i].srtt / OV_US), "offered",
				json_offered(a, &found[i].id)));
	return list;
}

static json_t *json_refused(const struct facilitator_refusals *r)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "denied", (json_int_t)r->denied,
		"away", (json_int_t)r->away, "clients", (json_int_t)r->clients, "channels",
		(json_int_t)r->channels, "memory", (json_int_t)r->memory, "rate",
		(json_int_t)r->rate, "total_rate", (json_int_t)r->total_rate);
}

static json_t *json_role(const struct api *a, ov_time now)
{
	static const char *const policies[] = { "off", "contacts", "invite", "open" };
	struct facilitator_role role = node_facilitator_role(a->cfg.node, now);
	json_t *limits = json_pack("{s:I, s:i, s:I, s:I}", "clients", (json_int_t)role.max_clients,
		"channels", (int)role.max_channels, "bytes_per_second",
		(json_int_t)role.bytes_per_second, "total_bytes_per_second",
		(json_int_t)role.total_bytes_per_second);
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:o}", "policy",
		policies[role.policy], "clients", (json_int_t)role.clients, "guests",
		(json_int_t)role.guests, "channels", (json_int_t)role.channels, "watched",
		(json_int_t)role.watched, "relayed_bytes", (json_int_t)role.relayed_bytes,
		"refused", json_refused(&role.refused), "vouchers_refused",
		(json_int_t)role.vouchers_refused, "limits", limits);
}

json_t *api_op_facilitator_status(struct api_call *c)
{
	return json_pack("{s:o, s:o}", "serving", json_role(c->a, c->now), "facilitators",
		api_json_facilitators(c->a, c->now));
}

static json_t *seconds_or_null(uint16_t seconds)
{
	return seconds ? json_integer(seconds) : json_null();
}

static json_t *json_lifetime(const struct nat_info *nat)
{
	if (nat->keepalive == 0)
		return json_null(); /* nothing there forgets */
	return json_pack("{s:b, s:o, s:o, s:I}", "measuring", nat->measuring, "survived_s",
		seconds_or_null(nat->survived_s), "lost_s", seconds_or_null(nat->lost_s),
		"keepalive_ms", (json_int_t)(nat->keepalive / OV_MS));
}

static json_t *json_family(const struct api *a, bool ipv6)
{
	struct nat_info nat = node_nat_info(a->cfg.node, ipv6);
	if (addr_is_any(&nat.external))
		return json_null();
	return json_pack("{s:s, s:s, s:b, s:s, s:s, s:o, s:s, s:o}", "mapping", nat.mapping,
		"filtering", nat.filtering, "two_addresses", nat.two_addresses, "ports", nat.ports,
		"side", nat.side, "external", api_json_addr(&nat.external), "hairpin", nat.hairpin,
		"lifetime", json_lifetime(&nat));
}

/* UDP works where a facilitator sees us by it. */
static const char *udp_word(const struct api *a, ov_time now)
{
	struct facilitator_info found[CONFIG_FACILITATORS_MAX];
	size_t count = node_facilitators(a->cfg.node, now, found, CONFIG_FACILITATORS_MAX);
	for (size_t i = 0; i < count; i++)
		if (!addr_is_any(&found[i].observed))
			return "works";
	return count > 0 ? "no-answer" : "unknown";
}

static json_t *json_nat64(const struct api *a)
{
	char text[NAT64_TEXT_MAX];
	const struct nat64 *prefix = node_nat64(a->cfg.node);
	return prefix->bits ? json_string(nat64_format(prefix, text)) : json_null();
}

static json_t *json_captive(const struct api_call *c)
{
	struct ov_addr by;
	return node_captive(c->a->cfg.node, c->now, &by) ? api_json_addr(&by) : json_null();
}

json_t *api_op_netcheck(struct api_call *c)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "udp", udp_word(c->a, c->now), "captive",
		json_captive(c), "nat64", json_nat64(c->a), "ipv4", json_family(c->a, false),
		"ipv6", json_family(c->a, true), "facilitators",
		api_json_facilitators(c->a, c->now));
}
