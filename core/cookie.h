#pragma once
/* cookie - the responder's stateless tokens (WireGuard, cookie.c; DTLS 1.3 5.1). A secret renewed
 * every 120 s, the previous one accepted. Address cookies prove that the sender receives at its
 * address (mac2, under load). Liveness cookies prove that the owner of a key is there now (HS1
 * payload, when seq is not fresh); they are bound to the PeerId, not to an address. */
#include "core/addr.h"
#include "core/identity.h"
#include "core/rng.h"

struct cookie_jar {
	uint8_t secret[2][32]; /* current, previous */
	ov_time renewed_at;
};

void cookie_jar_init(struct cookie_jar *j, ov_time now, const struct rng *rng);
void cookie_jar_wipe(struct cookie_jar *j);
/* Renews the secret when it is due; the previous is dropped when it is older than twice the period.
 */
void cookie_jar_renew(struct cookie_jar *j, ov_time now, const struct rng *rng);
void cookie_for_address(const struct cookie_jar *j, const struct ov_addr *from, uint8_t out[16]);
void cookie_for_peer(const struct cookie_jar *j, const struct peer_id *peer, uint8_t out[16]);
/* Both secrets for `from`, so that the caller can check mac2 against each. */
void cookie_each_for_address(
	const struct cookie_jar *j, const struct ov_addr *from, uint8_t out[2][16]);
bool cookie_is_of_peer(
	const struct cookie_jar *j, const struct peer_id *peer, const uint8_t cookie[16]);
