/* Doubles from 16 KiB; the caller bounds it, since the bound is one over all connections. */
#include "core/tcp_queue.h"

#include "core/tcp_frame.h"

#include <stdlib.h>
#include <string.h>

#define FIRST 16384

static bool reserve(struct tcp_queue *q, size_t more)
{
	size_t cap = q->cap ? q->cap : FIRST;
	while (cap < q->len + more)
		cap *= 2;
	uint8_t *grown = cap == q->cap ? q->data : realloc(q->data, cap);
	if (!grown)
		return false;
	q->data = grown;
	q->cap = cap;
	return true;
}

static void append(struct tcp_queue *q, const uint8_t *bytes, size_t len)
{
	memcpy(q->data + q->len, bytes, len);
	q->len += len;
}

int tcp_queue_add(struct tcp_queue *q, const uint8_t *datagram, size_t len, size_t skip)
{
	uint8_t header[TCP_FRAME_HEADER];
	assert(skip < TCP_FRAME_HEADER + len);
	if (!reserve(q, TCP_FRAME_HEADER + len))
		return OV_ENOMEM;
	tcp_frame_header(header, len);
	if (skip < TCP_FRAME_HEADER) {
		append(q, header + skip, TCP_FRAME_HEADER - skip);
		skip = TCP_FRAME_HEADER;
	}
	append(q, datagram + skip - TCP_FRAME_HEADER, TCP_FRAME_HEADER + len - skip);
	return OV_OK;
}

void tcp_queue_fini(struct tcp_queue *q)
{
	free(q->data);
	*q = (struct tcp_queue){ 0 };
}
