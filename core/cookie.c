/* A cookie is a MAC over what it speaks for, under a secret that only we know: nothing is stored
 * per cookie, and forgetting the secret expires all of them at once. Secrets are renewed on a fixed
 * schedule of 120 s, so a cookie is good for 120 to 240 s however rarely renew is called. */
#include "core/cookie.h"

#include <sodium.h>
#include <string.h>

#define PERIOD (120 * OV_SEC) /* WireGuard 5.4.7 */

void cookie_jar_init(struct cookie_jar *j, ov_time now, const struct rng *rng)
{
	/* The previous secret is random too: zeros would be a secret that everybody knows. */
	rng_fill(rng, j->secret, sizeof(j->secret));
	j->renewed_at = now;
}

void cookie_jar_wipe(struct cookie_jar *j)
{
	sodium_memzero(j, sizeof(*j));
}

void cookie_jar_renew(struct cookie_jar *j, ov_time now, const struct rng *rng)
{
	ov_time periods = (now - j->renewed_at) / PERIOD;
	if (periods < 1)
		return;
	if (periods == 1)
		memcpy(j->secret[1], j->secret[0], sizeof(j->secret[1]));
	else
		rng_fill(rng, j->secret[1], sizeof(j->secret[1]));
	rng_fill(rng, j->secret[0], sizeof(j->secret[0]));
	j->renewed_at += periods * PERIOD;
}

static void address_cookie(const uint8_t secret[32], const struct ov_addr *from, uint8_t out[16])
{
	uint8_t packed[ADDR_PACKED];
	addr_pack(from, packed);
	struct hash_key key = { "OVL addr cookie", secret, 32 };
	ov_hash_keyed(out, 16, &key, packed, sizeof(packed));
}

static void peer_cookie(const uint8_t secret[32], const struct peer_id *peer, uint8_t out[16])
{
	struct hash_key key = { "OVL peer cookie", secret, 32 };
	ov_hash_keyed(out, 16, &key, peer->bytes, PEER_ID_LEN);
}

void cookie_for_address(const struct cookie_jar *j, const struct ov_addr *from, uint8_t out[16])
{
	address_cookie(j->secret[0], from, out);
}

void cookie_for_peer(const struct cookie_jar *j, const struct peer_id *peer, uint8_t out[16])
{
	peer_cookie(j->secret[0], peer, out);
}

void cookie_each_for_address(
	const struct cookie_jar *j, const struct ov_addr *from, uint8_t out[2][16])
{
	address_cookie(j->secret[0], from, out[0]);
	address_cookie(j->secret[1], from, out[1]);
}

bool cookie_is_of_peer(
	const struct cookie_jar *j, const struct peer_id *peer, const uint8_t cookie[16])
{
	uint8_t expected[2][16];
	peer_cookie(j->secret[0], peer, expected[0]);
	peer_cookie(j->secret[1], peer, expected[1]);
	int current = sodium_memcmp(cookie, expected[0], 16);
	int previous = sodium_memcmp(cookie, expected[1], 16);
	sodium_memzero(expected, sizeof(expected));
	return current == 0 || previous == 0;
}
