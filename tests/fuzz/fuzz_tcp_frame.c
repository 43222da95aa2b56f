/* A stream in reads of any size: the first byte of each says how much the next read brings. What is
 * handed out lies in the stream in order, and a stream that is read at once gives the same. */
#include "core/bytes.h"
#include "core/tcp_frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Digest of the datagrams; -1 in *end when the stream is broken. */
static uint64_t run(const uint8_t *stream, size_t len, bool whole, int *end)
{
	struct tcp_frame f = { 0 };
	uint64_t sum = 0;
	*end = 0;
	for (size_t at = 0; at < len && *end == 0;) {
		size_t cut = whole ? len : (size_t)stream[at] * 8 + 1;
		size_t part = len - at < cut ? len - at : cut, datagram;
		uint8_t *copy = malloc(part), *out;
		memcpy(copy, stream + at, part);
		struct tcp_bytes in = { copy, part };
		while ((*end = tcp_frame_next(&f, &in, &out, &datagram)) == 1) {
			if (datagram == 0 || datagram > TCP_FRAME_MAX)
				abort();
			sum = (sum ^ datagram) * UINT64_C(0x100000001b3);
			for (size_t i = 0; i < datagram; i++)
				sum = (sum ^ out[i]) * UINT64_C(0x100000001b3);
			memset(out, 0xaa, datagram); /* the node opens in place */
		}
		if (*end == 0)
			tcp_frame_keep(&f, &in);
		free(copy);
		at += part;
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int cut_end, whole_end;
	uint64_t cut = run(data, len, false, &cut_end), whole = run(data, len, true, &whole_end);
	if (cut != whole || cut_end != whole_end)
		abort();
	return 0;
}
