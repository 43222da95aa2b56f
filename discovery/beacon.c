/* Layout (docs/protocol.md 11), encode and decode side by side:
 *
 *   0 header: type 11, all else 0 | 16 nonce 16 | 32 port u16 | 34 count u8 | 35 zero u8 | 36 tags
 *
 * Syncthing's local discovery sends its device id in the clear; here a tag is all that is said. */
#include "discovery/beacon.h"

#include "core/identity.h"

void beacon_pair_key(uint8_t out[32], const uint8_t static_dh[32])
{
	ov_hash(out, 32, "OVL pair", static_dh, 32);
}

static void tag_of(uint8_t tag[BEACON_TAG_LEN], const uint8_t pair_key[32],
	const uint8_t nonce[BEACON_NONCE_LEN], bool from_lower)
{
	uint8_t data[BEACON_NONCE_LEN + 1], hash[32];
	memcpy(data, nonce, BEACON_NONCE_LEN);
	data[BEACON_NONCE_LEN] = from_lower;
	struct hash_key key = { "OVL lan", pair_key, 32 };
	ov_hash_keyed(hash, sizeof(hash), &key, data, sizeof(data));
	memcpy(tag, hash, BEACON_TAG_LEN);
}

static size_t power_of_two(size_t count)
{
	size_t room = 1;
	while (room < count)
		room *= 2;
	return room;
}

/* Fisher and Yates: a contact must not learn from its place how many stand before it. */
static void shuffle(uint8_t *tags, size_t count, const struct rng *rng)
{
	uint8_t tag[BEACON_TAG_LEN];
	for (size_t i = count; i > 1; i--) {
		uint8_t *last = tags + (i - 1) * BEACON_TAG_LEN;
		uint8_t *other = tags + rng_below(rng, i) * BEACON_TAG_LEN;
		memcpy(tag, last, sizeof(tag));
		memcpy(last, other, sizeof(tag));
		memcpy(other, tag, sizeof(tag));
	}
}

size_t beacon_encode(uint8_t out[BEACON_MAX], uint16_t port, const struct beacon_reader *readers,
	size_t count, const struct rng *rng)
{
	assert(count <= BEACON_TAGS);
	struct header header = { .type = PACKET_BEACON };
	uint8_t *nonce = out + HEADER_LEN, *tags = out + BEACON_FIXED;
	size_t room = power_of_two(count);
	header_encode(&header, out);
	rng_fill(rng, nonce, BEACON_NONCE_LEN);
	store_le16(nonce + BEACON_NONCE_LEN, port);
	nonce[BEACON_NONCE_LEN + 2] = (uint8_t)room;
	nonce[BEACON_NONCE_LEN + 3] = 0;
	for (size_t i = 0; i < count; i++)
		tag_of(tags + i * BEACON_TAG_LEN, readers[i].pair_key, nonce,
			readers[i].we_are_lower);
	rng_fill(rng, tags + count * BEACON_TAG_LEN, (room - count) * BEACON_TAG_LEN);
	shuffle(tags, room, rng);
	return BEACON_FIXED + room * BEACON_TAG_LEN;
}

enum drop beacon_decode(struct beacon *out, const uint8_t *data, size_t len)
{
	struct header header;
	if (len < BEACON_FIXED + BEACON_TAG_LEN)
		return DROP_SHORT;
	if (len > BEACON_MAX)
		return DROP_OVERSIZED;
	if (!header_decode(&header, data, len) || header.flags || header.receiver || header.counter)
		return DROP_HEADER;
	if (header.type != PACKET_BEACON)
		return DROP_TYPE;
	struct rd r = rd_init(data + HEADER_LEN, len - HEADER_LEN);
	const uint8_t *nonce = rd_take(&r, BEACON_NONCE_LEN);
	uint16_t port = rd_u16(&r);
	uint8_t count = rd_u8(&r);
	uint8_t zero = rd_u8(&r);
	bool power = count > 0 && count <= BEACON_TAGS && (count & (count - 1)) == 0;
	if (port == 0 || zero != 0 || !power)
		return DROP_FORMAT;
	const uint8_t *tags = rd_take(&r, (size_t)count * BEACON_TAG_LEN);
	if (!rd_done(&r))
		return DROP_FORMAT;
	*out = (struct beacon){ .nonce = nonce, .tags = tags, .port = port, .count = count };
	return DROP_NONE;
}

bool beacon_is_from(const struct beacon *b, const uint8_t pair_key[32], bool we_are_lower)
{
	uint8_t tag[BEACON_TAG_LEN];
	tag_of(tag, pair_key, b->nonce, !we_are_lower);
	uint64_t ours = load_le64(tag);
	unsigned found = 0; /* all are looked at: as long for one as for none */
	for (size_t i = 0; i < b->count; i++)
		found |= (ours ^ load_le64(b->tags + i * BEACON_TAG_LEN)) == 0;
	return found != 0;
}
