/* A datagram that began in an earlier read is completed in `partial` from the next one and handed
 * out from there; `have` is cleared at once, its bytes stay until tcp_frame_keep. So one read gives
 * at most one datagram from `partial`, its first. */
#include "core/tcp_frame.h"

#include "core/bytes.h"

void tcp_frame_header(uint8_t out[TCP_FRAME_HEADER], size_t len)
{
	assert(len >= 1 && len <= TCP_FRAME_MAX);
	store_le16(out, (uint16_t)len);
}

static bool is_length(size_t len)
{
	return len >= 1 && len <= TCP_FRAME_MAX;
}

/* Moves bytes over until `partial` holds `want`. */
static bool fill(struct tcp_frame *f, struct tcp_bytes *in, size_t want)
{
	size_t missing = want > f->have ? want - f->have : 0;
	size_t take = missing < in->left ? missing : in->left;
	if (take > 0)
		memcpy(f->partial + f->have, in->next, take);
	f->have = (uint16_t)(f->have + take);
	in->next += take;
	in->left -= take;
	return f->have >= want;
}

static int complete(struct tcp_frame *f, struct tcp_bytes *in, uint8_t **data, size_t *len)
{
	if (!fill(f, in, TCP_FRAME_HEADER))
		return 0;
	*len = load_le16(f->partial);
	if (!is_length(*len))
		return OV_EFORMAT;
	if (!fill(f, in, TCP_FRAME_HEADER + *len))
		return 0;
	*data = f->partial + TCP_FRAME_HEADER;
	f->have = 0;
	return 1;
}

int tcp_frame_next(struct tcp_frame *f, struct tcp_bytes *in, uint8_t **data, size_t *len)
{
	if (f->have > 0)
		return complete(f, in, data, len);
	if (in->left < TCP_FRAME_HEADER)
		return 0;
	*len = load_le16(in->next);
	if (!is_length(*len))
		return OV_EFORMAT;
	if (in->left - TCP_FRAME_HEADER < *len)
		return 0;
	*data = in->next + TCP_FRAME_HEADER;
	in->next += TCP_FRAME_HEADER + *len;
	in->left -= TCP_FRAME_HEADER + *len;
	return 1;
}

void tcp_frame_keep(struct tcp_frame *f, const struct tcp_bytes *in)
{
	assert(f->have + in->left <= sizeof(f->partial)); /* else it was no beginning of one */
	if (in->left > 0)
		memcpy(f->partial + f->have, in->next, in->left);
	f->have = (uint16_t)(f->have + in->left);
}
