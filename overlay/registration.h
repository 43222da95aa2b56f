#pragma once
/* registration - we at a facilitator. Private to the node. */
#include "overlay/node_state.h"

void registration_free(struct peer *p);
void registration_tick(struct node *n, ov_time now, struct peer *p);
ov_time registration_deadline(const struct peer *p);
/* A path to a facilitator answered. */
void registration_path_valid(struct node *n, ov_time now, struct peer *p);
/* A facilitator that restarted has forgotten us; so may one that we had lost. */
void registration_keys_came(struct node *n, ov_time now, struct peer *p, bool restarted);
enum drop registration_on_answer(
	struct node *n, ov_time now, struct peer *p, const struct registered_frame *f);
/* A RELAY datagram of this relay came (or went). While such do, silence of the relay is looked
 * into. */
void registration_relayed(struct node *n, ov_time now, struct peer *relay, bool came);
void registration_renew_all(struct node *n, ov_time now); /* contacts changed */
/* Whoever waits for a way may have one now, by this relay; also those that are away? */
void registration_call_waiting(struct node *n, ov_time now, struct peer *relay, bool away_too);
void registration_renew_soon(struct node *n); /* the same, at the next tick */
/* Our addresses as facilitators see them; returns the count. */
size_t registration_observed(const struct node *n, struct ov_addr *out, size_t max);
/* The tag below, for whoever shows the invite of this hash. */
void registration_invite_tag(const uint8_t hash[HS1_INVITE_HASH_LEN],
	const struct peer_id *destination, const struct peer_id *facilitator,
	uint8_t out[RELAY_TAG_LEN]);
/* What `destination` tells the facilitator to let `pair` in by; false: no key with this peer. */
bool registration_tag(struct node *n, struct peer *pair, const struct peer_id *destination,
	const struct peer_id *facilitator, uint8_t out[RELAY_TAG_LEN]);
