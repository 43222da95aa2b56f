#pragma once
/* Two fixed identities and the pieces of a handshake between them, for the fuzz targets. */
#include "core/aead.h"
#include "core/drop.h"
#include "core/handshake.h"

#include <sodium.h>
#include <stdlib.h>

struct pair {
	struct identity initiator, responder;
	struct handshake_network network;
	uint8_t initiator_mac1_key[32], responder_mac1_key[32];
};

/* Always the same bytes: a corpus entry means the same in every run. */
static inline void pair_fill(void *context, void *out, size_t len)
{
	(void)context;
	memset(out, 0x5a, len);
}

static inline const struct pair *pair_get(void)
{
	static struct pair p;
	static bool ready;
	uint8_t seed[32] = { 1 };
	if (ready)
		return &p;
	ready = true;
	if (sodium_init() < 0 || identity_from_seed(&p.initiator, seed))
		abort();
	seed[0] = 2;
	if (identity_from_seed(&p.responder, seed))
		abort();
	handshake_mac1_key(p.initiator_mac1_key, p.initiator.dh_public);
	handshake_mac1_key(p.responder_mac1_key, p.responder.dh_public);
	return &p;
}

/* Noise as handshake.c starts it, for payloads that it would never write. */
static inline void pair_noise(struct noise *n, const struct pair *p, bool initiator)
{
	static const uint8_t prologue[24] = "overlay\1";
	const struct identity *self = initiator ? &p->initiator : &p->responder;
	struct noise_config cfg = {
		.pattern = &noise_IKpsk2,
		.initiator = initiator,
		.prologue = prologue,
		.prologue_len = sizeof(prologue),
		.s_secret = self->dh_secret,
		.s_public = self->dh_public,
		.s_remote = initiator ? p->responder.dh_public : NULL,
	};
	noise_init(n, &cfg);
}

/* The HS1 that is in flight. */
static inline void pair_start(struct handshake *h, const struct pair *p, uint32_t index)
{
	static struct handshake cached; /* the same every time */
	struct rng rng = { .fill = pair_fill };
	struct hs1_payload payload = { .peer = p->initiator.id, .suites = 3, .mtu = 1452 };
	struct hs1_config config = { .net = &p->network,
		.self = &p->initiator,
		.remote_dh = p->responder.dh_public,
		.index = index,
		.payload = &payload };
	if (!cached.index && handshake_start(&cached, &config, &rng))
		abort();
	*h = cached;
}

static inline void pair_mac1(uint8_t *data, size_t len, const uint8_t key[32])
{
	struct hash_key mac = { "OVL mac1 tag", key, 32 };
	ov_hash_keyed(data + len - 2 * MAC_LEN, MAC_LEN, &mac, data, len - 2 * MAC_LEN);
	memset(data + len - MAC_LEN, 0, MAC_LEN);
}
