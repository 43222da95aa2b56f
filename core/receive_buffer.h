#pragma once
/* receive_buffer - one direction of a stream, at its receiver: bytes by their offset until the app
 * takes them in order (RFC 9000 2.2, 3.2). */
#include "core/byte_ring.h"
#include "core/ranges.h"

#define RECEIVE_RANGES_MAX 1024

struct receive_buffer {
	struct byte_ring ring;
	uint64_t base;       /* the app has taken all below */
	uint64_t highest;    /* end of the highest byte that came */
	uint64_t final_size; /* if has_final */
	struct ranges have;  /* above base */
	bool has_final;
};

void receive_buffer_fini(struct receive_buffer *b);
/* Bytes came. `limit`: the offset up to which we allowed them. OV_OK, also for what was there;
 * OV_EINVAL: beyond the limit, a final size that changes or was exceeded (RFC 9000 4.5), or other
 * bytes than before; OV_EFULL, OV_ENOMEM: no place now, it did not come. After an error nothing is
 * changed. */
OV_MUST_CHECK int receive_buffer_add(
	struct receive_buffer *b, const struct stream_frame *f, uint64_t limit);
/* The stream ends at `size`, by a reset: OV_EINVAL as above. */
OV_MUST_CHECK int receive_buffer_end(struct receive_buffer *b, uint64_t size, uint64_t limit);
/* What can be read in place; *len 0: nothing now. */
const uint8_t *receive_buffer_peek(const struct receive_buffer *b, size_t *len);
/* What follows that, elsewhere in memory. */
const uint8_t *receive_buffer_peek_rest(const struct receive_buffer *b, size_t *len);
void receive_buffer_consume(struct receive_buffer *b, size_t len);
/* The app has taken all there will be. */
bool receive_buffer_is_done(const struct receive_buffer *b);
