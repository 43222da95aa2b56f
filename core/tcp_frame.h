#pragma once
/* tcp_frame - datagrams in a byte stream: u16 length (little endian), then the datagram; nothing
 * else (docs/protocol.md 13.5). Datagrams that lie whole in what was read are handed out where they
 * lie; only one that is cut by the end of a read is copied. */
#include "core/pmtu.h"

#define TCP_FRAME_HEADER 2
#define TCP_FRAME_MAX    PMTU_MAX /* longest datagram; the shortest has one byte */

struct tcp_frame { /* receiving end of one connection; zeroed: at its beginning */
	uint16_t have;
	uint8_t partial[TCP_FRAME_HEADER + TCP_FRAME_MAX];
};

struct tcp_bytes { /* what a read brought; next and left advance */
	uint8_t *next;
	size_t left;
};

/* 1: *data, *len is the next datagram, writable, valid until tcp_frame_keep. 0: no whole one is
 * left; then tcp_frame_keep must be called before the bytes go away. OV_EFORMAT: a length that
 * cannot be: the stream is of no use any more. */
OV_MUST_CHECK int tcp_frame_next(
	struct tcp_frame *f, struct tcp_bytes *in, uint8_t **data, size_t *len);
/* Keeps what is left, the beginning of a datagram. Only after tcp_frame_next returned 0. */
void tcp_frame_keep(struct tcp_frame *f, const struct tcp_bytes *in);
/* Writes the length in front of a datagram: TCP_FRAME_HEADER bytes. 1 <= len <= TCP_FRAME_MAX. */
void tcp_frame_header(uint8_t out[TCP_FRAME_HEADER], size_t len);
