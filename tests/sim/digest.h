#pragma once
/* digest - a fast 64-bit hash of bytes for the simulator's books (which plaintext went under which
 * nonce, which inner packet was sent, the hash of a trace). Not cryptographic: the simulator looks
 * for accidents of our code, not for forgers. The mixer is that of splitmix64 (Steele et al. 2014).
 */
#include "core/bytes.h"

static inline uint64_t digest_mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) + 0x9e3779b97f4a7c15u;
	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
	h = (h ^ h >> 27) * 0x94d049bb133111ebu;
	return h ^ h >> 31;
}

static inline uint64_t digest_bytes(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;
	h = digest_mix(h, len);
	for (; len >= 8; p += 8, len -= 8)
		h = digest_mix(h, load_le64(p));
	if (len == 0)
		return h;
	uint8_t rest[8] = { 0 };
	memcpy(rest, p, len);
	return digest_mix(h, load_le64(rest));
}
