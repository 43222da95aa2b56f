/* What two peers share before any session: the DH of their static keys, and the key derived from it
 * for beacons (docs/protocol.md 11) and relay tags (13.1). Each is computed once, when first asked
 * for, so a contact that nobody talks to costs no DH. */
#include "overlay/pair.h"

#include "discovery/beacon.h"

#include <sodium.h>

bool pair_knows_ss(const struct node *n, struct peer *p)
{
	struct noise_known *k = &p->known.key;
	if (!k->has_ss)
		k->has_ss = crypto_scalarmult(k->ss, n->self->dh_secret, k->s_public) == 0;
	return k->has_ss;
}

const uint8_t *pair_key(const struct node *n, struct peer *p)
{
	if (!p->has_pair_key && pair_knows_ss(n, p)) {
		beacon_pair_key(p->pair_key, p->known.key.ss);
		p->has_pair_key = true;
	}
	return p->has_pair_key ? p->pair_key : NULL;
}

void pair_hash(const char *label, const uint8_t key[32], const struct peer_id *a,
	const struct peer_id *b, uint8_t out[32])
{
	uint8_t in[2 * PEER_ID_LEN];
	struct hash_key k = { .label = label, .bytes = key, .len = 32 };
	memcpy(in, a->bytes, PEER_ID_LEN);
	memcpy(in + PEER_ID_LEN, b->bytes, PEER_ID_LEN);
	ov_hash_keyed(out, 32, &k, in, sizeof(in));
}
