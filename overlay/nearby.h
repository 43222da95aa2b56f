#pragma once
/* nearby - who shows itself on the networks we are in (discovery/notice.h). A bounded list of what
 * was heard lately; it decides what is worth checking a signature for. */
#include "core/addr.h"
#include "core/limit.h"
#include "discovery/notice.h"

#define NEARBY_MAX        64
#define NEARBY_PER_SOURCE 4 /* of one address: that many machines behind one do not exist */
#define NEARBY_EVERY      (5 * OV_SEC)

struct nearby_peer {
	struct notice notice;
	struct ov_addr at;   /* where it takes HS1: as first heard */
	struct ov_addr also; /* and elsewhere, latest; any: nowhere */
	uint32_t interface;
	ov_time heard_at;
	bool told; /* lan_news has had it */
	uint8_t raw[NOTICE_LEN];
};

struct nearby {
	struct nearby_peer list[NEARBY_MAX]; /* in the order of their appearance */
	size_t count;
	struct limit signatures;
};

enum nearby_verdict {
	NEARBY_KNOWN,   /* said before, word for word: costs no signature */
	NEARBY_NEW,     /* it or its name, port is new */
	NEARBY_FORGED,  /* not signed by whom it names */
	NEARBY_CROWDED, /* the list is full, or that source has enough in it */
	NEARBY_LIMITED, /* too many to check */
};
/* n: decoded from raw; at: its sender's address with n's port. */
enum nearby_verdict nearby_put(struct nearby *t, ov_time now, const struct notice *n,
	const uint8_t raw[NOTICE_LEN], const struct ov_addr *at, uint32_t interface);
/* Said word for word and from there before? For who wants to know before a limit is asked. */
bool nearby_is_known(const struct nearby *t, const uint8_t raw[NOTICE_LEN]);
void nearby_expire(struct nearby *t, ov_time now);
ov_time nearby_deadline(const struct nearby *t);
/* How often each of those who are visible speaks: with 64 of them 4 a second in all. */
ov_time nearby_interval(const struct nearby *t);
const struct nearby_peer *nearby_find(const struct nearby *t, const struct peer_id *id);
