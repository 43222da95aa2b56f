#pragma once
/* voucher - an inviter's word to its facilitator: "let whoever shows this in, until then"
 * (docs/protocol.md 14.2). Signed by the inviter; it admits nobody but who knows the token, which
 * is derived from the secret of the invite. The facilitator learns the token and not the secret: it
 * could not join in the guest's place. */
#include "core/identity.h"

#define VOUCHER_SECRET_LEN    16 /* of the invite */
#define VOUCHER_TOKEN_LEN     16
#define VOUCHER_SIGNATURE_LEN 64
#define VOUCHER_LEN           (4 + 2 * PEER_ID_LEN + 32 + 8 + VOUCHER_SIGNATURE_LEN)

struct voucher {
	struct peer_id inviter, facilitator;
	uint8_t token_hash[32];
	uint64_t expires_s; /* Unix time */
	uint8_t signature[VOUCHER_SIGNATURE_LEN];
};

/* What the guest shows beside the voucher. A secret as well: wipe it. */
void voucher_token(uint8_t token[VOUCHER_TOKEN_LEN], const uint8_t secret[VOUCHER_SECRET_LEN]);
/* The voucher for this invite to this facilitator, without signature: the inviter signs it, the
 * guest fills in the signature that the line carries. */
struct voucher voucher_draft(const struct peer_id *inviter, const struct peer_id *facilitator,
	const uint8_t secret[VOUCHER_SECRET_LEN], uint64_t expires_s);
/* Makes self the inviter and signs. */
void voucher_sign(struct voucher *v, const struct identity *self);

/* What the guest shows: all that the facilitator does not know already. A secret, as the token is.
 */
#define VOUCHER_PASS_LEN (PEER_ID_LEN + VOUCHER_TOKEN_LEN + 8 + VOUCHER_SIGNATURE_LEN)
void voucher_pass(const struct voucher *v, const uint8_t token[VOUCHER_TOKEN_LEN],
	uint8_t out[VOUCHER_PASS_LEN]);
/* The voucher and token of a pass that is shown to this facilitator. Nothing is checked yet. */
void voucher_pass_read(struct voucher *out, uint8_t token[VOUCHER_TOKEN_LEN],
	const uint8_t pass[VOUCHER_PASS_LEN], const struct peer_id *facilitator);

void voucher_encode(const struct voucher *v, uint8_t out[VOUCHER_LEN]);
/* OV_OK or OV_EFORMAT. The signature is not checked yet. */
OV_MUST_CHECK int voucher_decode(struct voucher *out, const uint8_t *data, size_t len);
/* Does it admit who shows this token to the facilitator `self` at this wall-clock time? OV_OK;
 * OV_EINVAL: it is for another facilitator; OV_ENOENT: expired; OV_EAUTH: signature or token wrong.
 * Whether v->inviter may vouch is the caller's to know. */
OV_MUST_CHECK int voucher_check(const struct voucher *v, const struct peer_id *self,
	const uint8_t token[VOUCHER_TOKEN_LEN], uint64_t wall_s);
