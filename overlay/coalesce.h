#pragma once
/* coalesce - the reverse of offload: inner packets of one TCP or UDP flow that arrive in a batch
 * become one super packet for the TUN, without copying payload (an iovec per segment). Pure; the
 * shape of the kernel's GRO. Order within a flow is kept. */
#include "overlay/offload.h"

#define COALESCE_FLOWS    16
#define COALESCE_SEGMENTS 48 /* per super packet; 48 x 1360 B < 64 KiB */

struct slice {
	uint8_t *data;
	size_t len;
};

struct super_packet { /* one write to the TUN */
	struct ip_packet
		meta; /* gso, segment, partial, csum_*; data = first slice, len = total bytes */
	struct slice slices[COALESCE_SEGMENTS + 1];
	size_t slice_count;
};

struct coalesce; /* one per TUN; holds nothing between batches after coalesce_flush has been drained
		  */
struct coalesce *coalesce_new(bool udp); /* udp: the TUN takes USO. NULL: out of memory */
void coalesce_free(struct coalesce *c);
/* Offers a packet (borrowed until it has been taken). Anything that cannot wait goes to the ready
 * queue. */
void coalesce_add(struct coalesce *c, const struct ip_packet *p);
/* No more packets in this batch: everything becomes ready, oldest first. */
void coalesce_flush(struct coalesce *c);
/* Takes the next ready super packet, valid until the next call on c; NULL: none. Call after each
 * add and after flush. */
const struct super_packet *coalesce_take(struct coalesce *c);
