/* HS1 as a stranger may send it: raw bytes, and, so that the payload decoder is reached, the same
 * bytes as payload of a correctly sealed HS1. What is accepted must be answerable. */
#include "tests/fuzz/handshake_pair.h"

static void open_and_answer(const struct pair *p, const uint8_t *data, size_t len)
{
	struct hs1_opened o;
	if (handshake_check_hs1(p->responder_mac1_key, data, len) != DROP_NONE)
		return;
	if (handshake_open_hs1(&o, &p->network, &p->responder, NULL, data, len) != DROP_NONE)
		return;
	struct hs2_payload answer = { .suite = SUITE_CHACHA20_POLY1305 };
	struct hs2_config config = { .payload = &answer, .index = 1 };
	struct handshake_keys keys;
	uint8_t hs2[HS2_LEN];
	struct rng rng = { .fill = pair_fill };
	if (!peer_id_equal(&o.payload.peer, &p->initiator.id) || o.hs1_len != len)
		abort();
	if ((o.payload.suites & 1) && handshake_answer(&o, &config, &rng, hs2, &keys))
		abort();
	hs1_opened_wipe(&o);
}

/* Header, Noise and mac1 around any payload. */
static void open_sealed(const struct pair *p, const uint8_t *payload, size_t len)
{
	uint8_t packet[HS1_MAX], ephemeral[32] = { 7 };
	if (len < 152 || len > HS1_MAX - HS1_LEN + 152)
		return;
	struct header header = { .type = PACKET_HS1, .counter = 5 };
	struct noise n;
	pair_noise(&n, p, true);
	header_encode(&header, packet);
	int sealed = noise_write(&n, ephemeral, payload, len, packet + HEADER_LEN);
	if (sealed < 0)
		abort();
	size_t total = HEADER_LEN + (size_t)sealed + 2 * MAC_LEN;
	pair_mac1(packet, total, p->responder_mac1_key);
	open_and_answer(p, packet, total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct pair *p = pair_get();
	uint8_t copy[HS1_MAX + 16], payload[HS1_MAX];
	open_and_answer(p, data, len);
	if (len >= HEADER_LEN + 2 * MAC_LEN && len <= sizeof(copy)) {
		memcpy(copy, data, len); /* past mac1, into Noise */
		pair_mac1(copy, len, p->responder_mac1_key);
		open_and_answer(p, copy, len);
	}
	open_sealed(p, data, len);
	if (len <= HS1_MAX - 32) { /* past the check of the PeerId */
		memcpy(payload, p->initiator.id.bytes, 32);
		if (len)
			memcpy(payload + 32, data, len);
		open_sealed(p, payload, 32 + len);
	}
	return 0;
}
