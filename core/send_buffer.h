#pragma once
/* send_buffer - one direction of a stream, at its sender: bytes that the app wrote and the peer has
 * not acknowledged, which of them were sent, and which are lost and go first (RFC 9000 2.2, 3.1).
 */
#include "core/byte_ring.h"
#include "core/ranges.h"

#define SEND_RANGES_MAX 4096 /* beyond it, what is between two is sent again for nothing */

struct send_buffer {
	struct byte_ring ring;
	uint64_t base;                    /* all below is acknowledged */
	uint64_t next;                    /* never sent from here on */
	uint64_t end;                     /* what the app wrote */
	struct ranges acknowledged, lost; /* at or above base; lost: to be sent again */
	bool fin;                         /* the app has ended it: end is the final size */
	bool fin_sent, fin_lost, fin_acknowledged;
};

struct send_part { /* what goes into one frame */
	uint64_t offset;
	size_t len;
	bool fin;
};

void send_buffer_fini(struct send_buffer *b);
/* Takes what fits while at most `max` bytes wait; returns how many. 0: full, ended, or no memory.
 */
size_t send_buffer_write(struct send_buffer *b, const uint8_t *data, size_t len, size_t max);
/* Room for `*len` bytes to be written in place, maybe fewer: *len is set; NULL: none. Then commit.
 */
uint8_t *send_buffer_reserve(struct send_buffer *b, size_t *len, size_t max);
void send_buffer_commit(struct send_buffer *b, size_t len);
void send_buffer_end(struct send_buffer *b); /* no more will be written */
/* Something to send? `limit`: offset that flow control allows. */
bool send_buffer_wants(const struct send_buffer *b, uint64_t limit);
/* What to send next, at most max bytes (may be 0 with fin): what was lost first. It counts as sent.
 * False: nothing. */
bool send_buffer_take(struct send_buffer *b, uint64_t limit, size_t max, struct send_part *out);
void send_buffer_copy(const struct send_buffer *b, const struct send_part *p, uint8_t *out);
void send_buffer_acknowledge(struct send_buffer *b, const struct send_part *p);
void send_buffer_lose(struct send_buffer *b, const struct send_part *p);
/* All of it, and its end, was acknowledged (RFC 9000 3.1, "Data Recvd"). */
bool send_buffer_is_done(const struct send_buffer *b);
