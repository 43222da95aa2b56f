/* HS2 in answer to a real HS1: raw, with a right mac1, and as payload of a correctly sealed HS2.
 * Refused or not, the initiator's state must stay what it was. */
#include "tests/fuzz/handshake_pair.h"

#define INDEX 0x01020304u

static void finish(const struct pair *p, struct handshake *h, const uint8_t *data, size_t len)
{
	const uint8_t *bytes = (const uint8_t *)h; /* padding included: nothing writes there */
	uint8_t before[sizeof(*h)];
	memcpy(before, bytes, sizeof(before));
	struct hs2_opened o;
	enum drop why = handshake_finish(h, &p->initiator, data, len, &o);
	if (why == DROP_NONE && o.payload.suite != 1 && o.payload.suite != 2)
		abort(); /* never offered */
	if (memcmp(bytes, before, sizeof(before)) != 0)
		abort();
}

static void finish_sealed(
	const struct pair *p, struct handshake *h, const uint8_t *payload, size_t len)
{
	uint8_t packet[HS2_MAX], plain[HS1_MAX], ephemeral[32] = { 9 };
	struct header header = { .type = PACKET_HS2, .receiver = INDEX, .counter = 5 };
	struct noise n;
	if (len > HS2_MAX - HS2_LEN + 32)
		return;
	pair_noise(&n, p, false);
	if (noise_read(&n, h->hs1 + HEADER_LEN, HS1_LEN - HEADER_LEN - 2 * MAC_LEN, plain) < 0)
		abort();
	header_encode(&header, packet);
	int sealed = noise_write(&n, ephemeral, payload, len, packet + HEADER_LEN);
	if (sealed < 0)
		abort();
	size_t total = HEADER_LEN + (size_t)sealed + 2 * MAC_LEN;
	pair_mac1(packet, total, p->initiator_mac1_key);
	finish(p, h, packet, total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct pair *p = pair_get();
	struct handshake h;
	uint8_t copy[HS2_MAX + 16];
	pair_start(&h, p, INDEX);
	finish(p, &h, data, len);
	if (len >= HEADER_LEN + 2 * MAC_LEN && len <= sizeof(copy)) {
		memcpy(copy, data, len);
		store_le32(copy + 4, INDEX);
		pair_mac1(copy, len, p->initiator_mac1_key);
		finish(p, &h, copy, len);
	}
	finish_sealed(p, &h, data, len);
	return 0;
}
