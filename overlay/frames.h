#pragma once
/* frames - CONTROL packets. Private to the node. */
#include "overlay/node_state.h"

/* A CONTROL packet with these frames on the active path; wants_answer: silence makes it doubtful.
 * False: not now. */
bool frames_send(
	struct node *n, ov_time now, struct peer *p, const struct wr *frames, bool wants_answer);
/* The same to an address that is no path; it counts nowhere. */
bool frames_send_to(struct node *n, ov_time now, struct peer *p, const struct wr *frames,
	const struct dgram *where);
struct arrival { /* of a CONTROL packet */
	struct path *path;
	ov_time waited; /* in the socket */
	uint8_t ecn;    /* enum ecn */
	bool leads;     /* under the newest keys, with the highest counter: it may move our data */
	bool is_of_association; /* the one in use, not one that is over */
};
enum drop frames_input(struct node *n, ov_time now, struct peer *p, const struct arrival *at,
	const uint8_t *plain, size_t len);
void frames_flush(
	struct node *n, ov_time now, struct peer *p); /* sends what its paths want to say */
