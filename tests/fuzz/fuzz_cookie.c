/* COOKIE in answer to a real HS1. Only what cookie_packet_encode made may open. */
#include "tests/fuzz/handshake_pair.h"

#define INDEX 0x01020304u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct cookie_packet wanted = { .cookie = { 1, 2, 3 } };
	const struct pair *p = pair_get();
	struct rng rng = { .fill = pair_fill };
	struct handshake h;
	struct cookie_packet got;
	uint8_t packet[COOKIE_PACKET_LEN];
	pair_start(&h, p, INDEX);
	if (cookie_packet_decode(&h, data, len, &got) == DROP_NONE &&
		memcmp(got.cookie, wanted.cookie, COOKIE_LEN) != 0)
		abort(); /* only the seed in the corpus is genuine */
	/* the input as a mask over a genuine packet: accepted if and only if it changes nothing */
	bool changed = false;
	cookie_packet_encode(&wanted, p->responder.dh_public, h.hs1, HS1_LEN, &rng, packet);
	for (size_t i = 0; i < len && i < sizeof(packet); i++) {
		changed = changed || data[i];
		packet[i] ^= data[i];
	}
	enum drop why = cookie_packet_decode(&h, packet, sizeof(packet), &got);
	if ((why == DROP_NONE) == changed)
		abort();
	return 0;
}
