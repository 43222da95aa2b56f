#pragma once
/* fragment - IP packets above a path's PMTU travel as IP_FRAGMENT: id u32, index u8, count u8, then
 * an equal part each (the last may be shorter). docs/protocol.md 6. Reassembly is bounded:
 * REASSEMBLY_PACKETS packets and 1 s. */
#include "core/bytes.h"
#include "core/drop.h"

#define FRAGMENT_HEADER_LEN   6
#define FRAGMENT_COUNT_MAX    8 /* 1420 B over a path of 548 B needs 3 */
#define REASSEMBLY_PACKETS    64
#define REASSEMBLY_TIMEOUT    OV_SEC
#define REASSEMBLY_PACKET_MAX 1500

struct fragment {
	uint32_t id;
	uint8_t index, count;
	const uint8_t *data;
	size_t len;
};

/* How many equal parts for a packet of len when each plaintext (with fragment header) may have max
 * bytes; 0: too many. */
size_t fragment_count(size_t len, size_t max);
/* Writes part `index` of `count` (header and bytes) to out. Returns its length. Parts are ceil(len
 * / count), the last the rest. */
size_t fragment_encode(
	uint8_t *out, uint32_t id, uint8_t index, uint8_t count, const uint8_t *packet, size_t len);
/* DROP_SHORT (no byte of the packet) or DROP_FRAGMENT (index, count or length cannot be). */
enum drop fragment_decode(struct fragment *f, const uint8_t *plain, size_t len);

/* Buffers are made as they are needed, up to REASSEMBLY_PACKETS (about 96 KiB), and reused. An
 * owner may free an idle one (deadline OV_NEVER). */
struct reassembly;
struct reassembly *reassembly_new(void);
void reassembly_free(struct reassembly *r);
/* Adds a part. DROP_NONE and *packet == NULL: waiting for more. *packet != NULL: complete, borrowed
 * until the next call. DROP_FRAGMENT: duplicate, or disagrees with the parts before (which stay);
 * DROP_FULL: out of memory. `partial` is the header's PACKET_FLAG_PARTIAL and must agree between
 * parts. Full: the oldest incomplete packet makes room. */
enum drop reassembly_add(struct reassembly *r, ov_time now, const struct fragment *f, bool partial,
	uint8_t **packet, size_t *len);
/* Gives up what is older than 1 s; returns how many packets were given up. */
size_t reassembly_expire(struct reassembly *r, ov_time now);
ov_time reassembly_deadline(const struct reassembly *r); /* OV_NEVER when empty */
