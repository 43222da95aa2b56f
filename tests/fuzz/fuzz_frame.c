/* The plaintext of a CONTROL packet. What decodes is encoded again and must give the same bytes,
 * because there is one encoding of each known frame. */
#include "core/frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(struct wr *w, const struct frame *f)
{
	switch (f->type) {
	case FRAME_PATH_CHALLENGE: frame_put_challenge(w, &f->as.challenge); break;
	case FRAME_PATH_RESPONSE: frame_put_response(w, &f->as.response); break;
	case FRAME_PATH_STATUS: frame_put_status(w, &f->as.status); break;
	default: abort(); /* frame_next lets nothing else through */
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_init(data, size);
	struct frame f;
	int got;
	while ((got = frame_next(&r, &f)) == 1) {
		uint8_t again[64];
		struct wr w = wr_init(again, sizeof(again));
		encode(&w, &f);
		size_t len = wr_len(&w);
		if (!wr_ok(&w) || memcmp(again, r.next - len, len) != 0)
			abort();
	}
	if (got == 0 && !rd_done(&r))
		abort();
	if (got != 0 && got != OV_EFORMAT && got != OV_ENOENT)
		abort();
	return 0;
}
