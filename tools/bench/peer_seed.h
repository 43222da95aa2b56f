#pragma once
/* peer_seed - the identities of the benches: peer K of every bench has the same key, so that one
 * program can add it as a contact and another can be it. */
#include "core/bytes.h"
#include "core/identity.h"

static inline struct identity bench_identity(uint32_t k)
{
	uint8_t number[4], seed[32];
	struct identity self;
	store_le32(number, k);
	ov_hash(seed, sizeof(seed), "OVL bench peer", number, sizeof(number));
	int err = identity_from_seed(&self, seed);
	assert(err == OV_OK); /* the seeds are constants, tried once */
	(void)err;
	return self;
}
