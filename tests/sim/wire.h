#pragma once
/* wire - datagrams in flight, ordered by arrival. Equal times leave in the order they entered, so a
 * run depends on nothing but its seed. */
#include "core/addr.h"

#define FLIGHT_MAX    1600 /* longest UDP payload the simulator carries */
#define ORIGIN_FORGED UINT32_MAX

enum hop { HOP_SEGMENT, HOP_IFACE, HOP_GATEWAY };

struct flight {
	ov_time at;
	uint64_t order;
	struct ov_addr source, destination;
	struct ov_addr aimed; /* destination as the origin meant it, before any box */
	enum hop hop;         /* where it arrives next */
	uint32_t hop_id;      /* index of that segment, interface or gateway */
	uint32_t origin;      /* host whose node made the bytes, or ORIGIN_FORGED */
	uint8_t hops;         /* ends loops of badly drawn nets */
	bool near;            /* its TTL lets it pass a few boxes, not the core */
	bool bent;            /* bytes, or source, are not what the origin sent */
	uint16_t len;
	uint8_t data[FLIGHT_MAX];
};

struct wire {
	struct flight **heap;
	size_t count, cap;
	struct flight *spare[256];
	size_t spare_count;
	uint64_t order;
};

void wire_fini(struct wire *w);
/* A blank flight; give it to wire_push or wire_free. Never NULL (a simulator without memory ends).
 */
struct flight *wire_alloc(struct wire *w);
struct flight *wire_copy(struct wire *w, const struct flight *f);
void wire_free(struct wire *w, struct flight *f);
void wire_push(struct wire *w, struct flight *f, ov_time at);
ov_time wire_next(const struct wire *w); /* OV_NEVER: nothing is in flight */
/* Takes the next flight that has arrived by now, or NULL. */
struct flight *wire_pop(struct wire *w, ov_time now);
