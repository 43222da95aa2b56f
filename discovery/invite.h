#pragma once
/* invite - what one person sends another so that their machines become contacts: one line, one word
 * without spaces, also as QR code (docs/protocol.md 14.1). Who has it may join once, until it
 * expires; it must travel as secretly as a password. The inviter keeps only a hash of the secret.
 */
#include "core/addr.h"
#include "discovery/voucher.h"

#define INVITE_SECRET_LEN   VOUCHER_SECRET_LEN
#define INVITE_HASH_LEN     32
#define INVITE_NAME_MAX     64 /* with NUL */
#define INVITE_ENDPOINTS    4
#define INVITE_FACILITATORS 2
#define INVITE_EXPIRES_MAX  INT64_C(253402300799) /* end of year 9999 */
#define INVITE_PREFIX       "overlay:"
#define INVITE_BYTES_MAX    512
#define INVITE_TEXT_MAX     832 /* with NUL: prefix and 820 characters */

struct invite_facilitator {
	struct peer_id id;
	struct ov_addr endpoint;
	uint8_t signature[VOUCHER_SIGNATURE_LEN]; /* of the voucher; the rest of it follows from
						     the invite: invite_voucher */
};

struct invite {
	struct peer_id inviter;
	uint8_t secret[INVITE_SECRET_LEN];
	uint64_t expires_s;         /* Unix time, at most INVITE_EXPIRES_MAX */
	char name[INVITE_NAME_MAX]; /* what the inviter calls itself, printable ASCII; "": nothing
				     */
	struct ov_addr endpoints[INVITE_ENDPOINTS]; /* of the inviter */
	size_t endpoint_count;
	struct invite_facilitator facilitators[INVITE_FACILITATORS];
	size_t facilitator_count;
};

enum invite_verdict {
	INVITE_OK,
	INVITE_NO_INVITE,  /* does not begin with "overlay:" */
	INVITE_BAD_LETTER, /* not the alphabet of base32 */
	INVITE_TRUNCATED,  /* shorter than it says it is */
	INVITE_TRAILING,   /* longer */
	INVITE_MISTYPED,   /* the checksum does not hold */
	INVITE_NEWER,      /* of a version that we do not know */
	INVITE_IMPOSSIBLE, /* intact, but no key, or an address or a time that cannot be */
};
/* What is wrong and what to do, as one sentence without full stop. */
const char *invite_verdict_text(enum invite_verdict v);

/* Writes the line and NUL; returns out. Every field must be possible (asserted). */
const char *invite_encode(const struct invite *in, char out[INVITE_TEXT_MAX]);
/* Upper or lower case. *out is set only with INVITE_OK; wipe it. Whether it has expired is the
 * caller's to ask (invite_expired). */
enum invite_verdict invite_decode(struct invite *out, const char *text);
bool invite_expired(const struct invite *in, uint64_t wall_s);

/* What the inviter keeps of the secret. */
void invite_hash(uint8_t hash[INVITE_HASH_LEN], const uint8_t secret[INVITE_SECRET_LEN]);
/* The voucher for the i-th facilitator, as it must be shown there. */
struct voucher invite_voucher(const struct invite *in, size_t i);
