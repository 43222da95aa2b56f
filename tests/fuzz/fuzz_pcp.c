/* Datagrams of a router, the first byte says how each comes: one after the other into the client,
 * whose questions are answered by nobody else. It never holds what no answer could give, and never
 * speaks without end. */
#include "core/bytes.h"
#include "discovery/portmap.h"

#include <stdlib.h>

static void fill(void *context, void *out, size_t len)
{
	(void)context;
	memset(out, 9, len);
}

static void check(struct portmap *p, ov_time now)
{
	struct portmap_action action;
	for (unsigned said = 0; portmap_poll(p, now, &action); said++)
		if (said > 4)
			abort();
	const struct portmap_status *s = &p->status;
	enum addr_scope scope = addr_scope(&s->external);
	if (s->state == PORTMAP_HELD &&
		(s->external.port == 0 || scope == ADDR_UNUSABLE || scope == ADDR_LOOPBACK))
		abort();
	if (portmap_deadline(p) == OV_NEVER)
		abort(); /* there is a router: something is always planned */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t key[32] = { 1 };
	struct portmap_route route = { .local = addr_v4(192, 168, 1, 9, 0),
		.gateway = addr_v4(192, 168, 1, 1, 0),
		.interface = 1,
		.prefix_len = 24 };
	struct portmap p;
	ov_time now = 100 * OV_SEC;
	portmap_init(&p, key, 27182, (struct rng){ .fill = fill });
	portmap_network(&p, now, &route, false);
	check(&p, now);
	struct rd r = rd_init(data, len);
	while (rd_left(&r) > 1) {
		uint8_t how = rd_u8(&r);
		size_t take = rd_u8(&r);
		take = take < rd_left(&r) ? take : rd_left(&r);
		const uint8_t *bytes = rd_take(&r, take);
		uint8_t copy[256];
		memcpy(copy, bytes, take);
		if ((how & 2) && take >= PCP_MAP_LEN) /* one that knows what we asked */
			memcpy(copy + 24, p.nonce, sizeof(p.nonce));
		if (how & 4)
			now = ov_max(now, portmap_deadline(&p));
		portmap_tick(&p, now);
		(void)portmap_input(&p, now, copy, take, how & 1);
		if (how & 8)
			portmap_unreachable(&p, now);
		if (how & 16)
			portmap_child_gone(&p, now);
		check(&p, now);
	}
	portmap_stop(&p, now);
	return 0;
}
