#pragma once
/* session - the keys of one handshake: seal, open, replay window and age. A peer has several at a
 * time (overlay/keys.c). */
#include "core/aead.h"
#include "core/drop.h"
#include "core/handshake.h"
#include "core/packet.h"
#include "core/replay.h"

#define SESSION_REKEY_AFTER (120 * OV_SEC) /* WireGuard 6.1; docs/protocol.md 3.6 */
#define SESSION_REKEY_RESPONDER \
	(SESSION_REKEY_AFTER + 15 * OV_SEC) /* the initiator gets the first try */
#define SESSION_REJECT_AFTER (180 * OV_SEC)
/* The initiator's keys are younger than the responder's, and its packets take a while: what it sent
 * until the last moment would come too late. Who speaks once a minute lost every third packet. */
#define SESSION_SEND_FOR       (SESSION_REJECT_AFTER - 5 * OV_SEC)
#define SESSION_REKEY_PACKETS  ((uint64_t)1 << 27)
#define SESSION_REJECT_PACKETS ((uint64_t)1 << 28) /* RFC 9001 B.1 for packets up to 2^11 bytes */
#define SESSION_REKEY_FAILURES ((uint64_t)1 << 20)
#define SESSION_DROP_FAILURES  ((uint64_t)1 << 36) /* RFC 9001 6.6 */

struct session {
	struct aead_state seal_state, open_state; /* first: they want their alignment */
	const struct aead *aead;
	ov_time created_at;
	ov_time heard_at;      /* first packet opened under these keys; OV_NEVER before */
	uint64_t next_counter; /* nonce of the next packet sealed */
	uint64_t failures;     /* packets that did not verify */
	uint32_t index, remote_index;
	bool initiator; /* we sent the HS1 */
	struct replay replay;
};

/* What a handshake has agreed. */
struct session_config {
	const struct handshake_keys *keys; /* borrowed for the call */
	uint32_t index, remote_index;
	bool initiator;
};

/* s is 64-byte aligned memory of the caller. False: the crypto library is out of memory. */
bool session_init(
	struct session *s, ov_time now, const struct aead *aead, const struct session_config *c);
/* Wipes the keys. */
void session_fini(struct session *s);

bool session_can_send(const struct session *s, ov_time now);
bool session_can_receive(const struct session *s, ov_time now);
/* Is it time for new keys, if we have something to send? */
bool session_wants_rekey(const struct session *s, ov_time now);

/* Writes header, ciphertext and tag (len + PACKET_OVERHEAD) to out; returns that length.
 * session_can_send must hold. */
size_t session_seal(struct session *s, enum packet_type type, uint8_t flags, const uint8_t *plain,
	size_t len, uint8_t *out);
/* Opens a datagram in place: plaintext at data + HEADER_LEN, len - PACKET_OVERHEAD bytes. The
 * header was decoded from data. DROP_SHORT, DROP_EXPIRED, DROP_REPLAY, DROP_AUTH. The window moves
 * only after the tag verified (RFC 6479). */
enum drop session_open(
	struct session *s, ov_time now, const struct header *h, uint8_t *data, size_t len);
