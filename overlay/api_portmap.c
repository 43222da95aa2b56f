/* What the router forwards to us, for `status` and the event portmap.changed. */
#include "overlay/api_impl.h"

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

json_t *api_json_portmap(const struct api *a, size_t family)
{
	const struct portmap_status *s = a->cfg.facts->portmap[family];
	if (!s)
		return json_null();
	bool held = s->state == PORTMAP_HELD, ends = held && s->expires_at != OV_NEVER;
	bool told = held || s->state == PORTMAP_NONE; /* else it is of an earlier search */
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:i}", "family",
		family == 0 ? "ipv4" : "ipv6", "state", portmap_state_name(s->state), "protocol",
		held ? json_string(portmap_protocol_name(s->protocol)) : json_null(), "router",
		api_json_addr(&s->route.gateway), "external",
		told ? api_json_addr(&s->external) : json_null(), "lease_s",
		held ? json_integer(s->lease_s) : json_null(), "expires_at",
		ends ? api_json_at(a, s->expires_at) : json_null(), "double_nat", s->double_nat,
		"error", text_or_null(told ? portmap_error_name(s->error) : NULL), "error_code",
		(int)s->code);
}
