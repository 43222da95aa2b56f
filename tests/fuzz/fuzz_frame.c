/* The plaintext of a CONTROL packet. What decodes is encoded again and must give the same bytes,
 * because there is one encoding of each known frame. */
#include "core/frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(struct wr *w, const struct frame *f)
{
	switch ((enum frame_type)f->type) {
	case FRAME_PATH_CHALLENGE: frame_put_challenge(w, &f->as.challenge); break;
	case FRAME_PATH_RESPONSE: frame_put_response(w, &f->as.response); break;
	case FRAME_PATH_STATUS: frame_put_status(w, &f->as.status); break;
	case FRAME_ENDPOINTS:
	case FRAME_TCP_ENDPOINTS:
		frame_put_endpoints(w, (enum frame_type)f->type, &f->as.endpoints);
		break;
	case FRAME_PUNCH: frame_put_punch(w, &f->as.punch); break;
	case FRAME_NUMBER: frame_put_number(w, &f->as.number); break;
	case FRAME_ACK: frame_put_ack(w, &f->as.ack); break;
	case FRAME_STREAM: frame_put_stream(w, &f->as.stream); break;
	case FRAME_RESET_STREAM: frame_put_reset(w, &f->as.reset); break;
	case FRAME_STOP_SENDING: frame_put_stop(w, &f->as.stop); break;
	case FRAME_MAX_DATA:
	case FRAME_MAX_STREAM_DATA:
	case FRAME_MAX_STREAMS: frame_put_max(w, (enum frame_type)f->type, &f->as.max); break;
	case FRAME_RELAY_OPEN: frame_put_relay_open(w, &f->as.relay_open); break;
	case FRAME_RELAY_OK: frame_put_relay_ok(w, &f->as.relay_ok); break;
	case FRAME_RELAY_NO: frame_put_relay_no(w, &f->as.relay_no); break;
	case FRAME_RELAY_IN: frame_put_relay_in(w, &f->as.relay_in); break;
	case FRAME_RELAY_CLOSE: frame_put_relay_close(w, &f->as.relay_close); break;
	case FRAME_RELAY_OFFER: frame_put_relay_offer(w, &f->as.relay_offer); break;
	case FRAME_REGISTER:
	case FRAME_WATCH: frame_put_register(w, (enum frame_type)f->type, &f->as.reg); break;
	case FRAME_REGISTERED: frame_put_registered(w, &f->as.registered); break;
	case FRAME_FILTER_TEST:
	case FRAME_FILTER_ANSWER:
		frame_put_filter(w, (enum frame_type)f->type, &f->as.filter_test);
		break;
	case FRAME_PRESENCE: frame_put_presence(w, &f->as.presence); break;
	case FRAME_PRESENCE_SEEN: frame_put_presence_seen(w, &f->as.presence_seen); break;
	case FRAME_LIFETIME_TEST: frame_put_lifetime_test(w, &f->as.lifetime_test); break;
	case FRAME_LIFETIME_ANSWER: frame_put_lifetime_answer(w, &f->as.lifetime_answer); break;
	case FRAME_PADDING: abort(); /* frame_next skips it */
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_init(data, size);
	struct frame f;
	int got;
	while ((got = frame_next(&r, &f)) == 1) {
		static uint8_t again[UINT16_MAX + 3];
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
