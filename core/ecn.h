#pragma once
/* ecn - Explicit Congestion Notification for packets that we send (RFC 9000 13.4 and A.4): whether
 * to mark those of one path ECT(0), and whether what comes back can be believed. A path that eats
 * marked packets, clears or makes up marks loses the mark, and nothing else. */
#include "core/base.h"

enum ecn { ECN_NONE, ECN_ECT0, ECN_CE };

enum ecn_state { ECN_OFF, ECN_TESTING, ECN_CAPABLE };

struct ecn_path {
	uint8_t state;     /* enum ecn_state */
	uint64_t marked;   /* packets sent ECT(0) */
	uint64_t lost;     /* of these, while it was tested */
	uint32_t ect0, ce; /* counts of the last ACK that was looked at */
};

struct ecn_counts { /* of one ACK that names a new largest packet */
	uint32_t ect0, ce;
	uint64_t newly_marked; /* newly acknowledged packets that were sent ECT(0) */
};

/* Is the next packet to be marked? pto: nothing came back for so long. */
bool ecn_marks(const struct ecn_path *e, bool pto);
void ecn_on_sent(struct ecn_path *e);
/* Packets that were marked are lost. */
void ecn_on_lost(struct ecn_path *e, uint64_t count);
/* True: more came marked CE, which counts as congestion. */
bool ecn_on_ack(struct ecn_path *e, const struct ecn_counts *c);
