/* A beacon names nobody, so a receiver with n contacts has n hashes to try, and the first time n DH
 * for their keys. A stranger can make us do that: by one beacon after the other. What bounds it:
 *
 * - A neighbour that was found before is tried first, by its address: one hash for each beacon of a
 *   contact, once it is known. Copies (multicast, broadcast, both families) cost no search.
 * - The search goes on in steps, so that no packet waits for more than one of them.
 * - Hashes have a budget. When it is used up, neighbours are found later, and nothing else happens.
 *   DH are not charged, there is one for each contact in a run of the daemon.
 *
 * Measured on one core of an EPYC: 0.35 us to try a contact, 5.7 ms for all of 16,384, in steps of
 * 0.2 ms; the first time 0.5 s for their DH. */
#include "overlay/sift.h"

#include "core/limit.h"

#include <stdlib.h>
#include <string.h>

#define KNOWN     64 /* beacons that are remembered */
#define ID_LEN    16
#define DH_COST   128          /* of a step: as many hashes */
#define BUDGET_IN (10 * OV_MS) /* ask again */
#define JOB_BYTES (BEACON_NONCE_LEN + BEACON_TAGS * BEACON_TAG_LEN)

struct job {
	struct beacon beacon; /* into bytes */
	uint8_t bytes[JOB_BYTES], id[ID_LEN];
	struct ov_addr from;
	size_t next; /* contact to try */
	bool begun;
};

struct known { /* a beacon that came in */
	uint8_t beacon[ID_LEN];
	struct ov_addr from;
	struct peer_id id; /* its sender, if it is a contact's */
	size_t position;   /* where it stood among the contacts */
	bool used, done, contact;
};

struct sift {
	struct node *node;
	struct job jobs[SIFT_QUEUE];
	size_t first, count;
	struct known known[KNOWN];
	size_t known_next;
	struct limit hashes;
	ov_time at;
};

struct sift *sift_new(struct node *n)
{
	struct sift *s = calloc(1, sizeof(*s));
	if (s)
		s->node = n;
	return s;
}

void sift_free(struct sift *s)
{
	free(s);
}

/* All of it counts: a stranger's beacon with a contact's nonce must not pass for the contact's. */
static void id_of(const struct beacon *b, uint8_t id[ID_LEN])
{
	uint8_t bytes[JOB_BYTES];
	size_t len = BEACON_NONCE_LEN + b->count * BEACON_TAG_LEN;
	memcpy(bytes, b->nonce, BEACON_NONCE_LEN);
	memcpy(bytes + BEACON_NONCE_LEN, b->tags, b->count * BEACON_TAG_LEN);
	ov_hash(id, ID_LEN, "OVL lan copy", bytes, len);
}

static bool is_of(const struct known *k, const uint8_t id[ID_LEN])
{
	return k->used && memcmp(k->beacon, id, ID_LEN) == 0;
}

static struct known *find(struct sift *s, const uint8_t id[ID_LEN], const struct ov_addr *from)
{
	for (struct known *k = s->known; k < s->known + KNOWN; k++)
		if (is_of(k, id) && (!from || addr_equal(&k->from, from)))
			return k;
	return NULL;
}

bool sift_is_copy(struct sift *s, const struct beacon *b, const struct ov_addr *from)
{
	uint8_t id[ID_LEN];
	id_of(b, id);
	return find(s, id, from) != NULL;
}

enum sift_verdict sift_put(struct sift *s, const struct beacon *b, const struct ov_addr *from)
{
	uint8_t id[ID_LEN];
	id_of(b, id);
	if (find(s, id, from))
		return SIFT_COPY;
	if (s->count == SIFT_QUEUE)
		return SIFT_FULL;
	struct job *j = &s->jobs[(s->first + s->count++) % SIFT_QUEUE];
	memcpy(j->bytes, b->nonce, BEACON_NONCE_LEN);
	memcpy(j->bytes + BEACON_NONCE_LEN, b->tags, b->count * BEACON_TAG_LEN);
	memcpy(j->id, id, ID_LEN);
	j->beacon = *b;
	j->beacon.nonce = j->bytes;
	j->beacon.tags = j->bytes + BEACON_NONCE_LEN;
	j->from = *from;
	j->next = 0;
	j->begun = false;
	s->at = 0;
	bool other = find(s, id, NULL) != NULL;
	struct known *k = &s->known[s->known_next++ % KNOWN];
	*k = (struct known){ .from = *from, .used = true };
	memcpy(k->beacon, id, ID_LEN);
	return other ? SIFT_OTHER : SIFT_NEW;
}

/* The job is done; a contact is the one at `position`. */
static void finish(struct sift *s, const struct job *j, const size_t *position)
{
	struct known *k = find(s, j->id, &j->from); /* NULL: overwritten meanwhile */
	const struct contact *c = position ? node_contact_at(s->node, *position) : NULL;
	if (k) {
		k->done = true;
		k->contact = c != NULL;
		k->position = c ? *position : 0;
		if (c)
			k->id = c->id;
	}
	s->first = (s->first + 1) % SIFT_QUEUE;
	s->count--;
}

static enum sift_result found(
	struct sift *s, const struct job *j, size_t position, struct sift_hit *hit)
{
	hit->id = node_contact_at(s->node, position)->id;
	hit->at = j->from;
	hit->at.port = j->beacon.port;
	finish(s, j, &position);
	return SIFT_CONTACT;
}

static bool is_from(const struct job *j, const struct node_pair *pair)
{
	return beacon_is_from(&j->beacon, pair->key, pair->we_are_lower);
}

/* What was found before tells: the same beacon has the same sender, the same address probably.
 * Fills *result when that settles it. */
static bool settled_by_known(
	struct sift *s, const struct job *j, struct sift_hit *hit, enum sift_result *result)
{
	for (const struct known *k = s->known; k < s->known + KNOWN; k++) {
		bool same = is_of(k, j->id);
		struct node_pair pair;
		if (!k->done || (!same && !(k->contact && addr_equal(&k->from, &j->from))))
			continue;
		if (!k->contact) {
			*result = SIFT_STRANGER;
			finish(s, j, NULL);
			return true;
		}
		const struct contact *c = node_contact_at(s->node, k->position);
		if (!c || !peer_id_equal(&c->id, &k->id) ||
			!node_pair(s->node, k->position, &pair) || !is_from(j, &pair))
			continue;
		*result = found(s, j, k->position, hit);
		return true;
	}
	return false;
}

static enum sift_result search(struct sift *s, ov_time now, struct job *j, struct sift_hit *hit)
{
	size_t total = node_peer_count(s->node), cost = 0, first = j->next;
	struct node_pair pair;
	enum sift_result result = SIFT_NOTHING;
	for (; j->next < total && cost < SIFT_STEP; j->next++) {
		if (!node_pair(s->node, j->next, &pair))
			continue;
		cost += pair.computed ? DH_COST : 1;
		if (is_from(j, &pair)) {
			result = found(s, j, j->next, hit);
			break;
		}
	}
	/* SIFT_STEP of them were there before */
	(void)limit_take(&s->hashes, now, SIFT_PER_SECOND, SIFT_BURST, (uint32_t)(j->next - first));
	if (result == SIFT_NOTHING && j->next >= total) {
		finish(s, j, NULL);
		result = SIFT_STRANGER;
	}
	return result;
}

enum sift_result sift_step(struct sift *s, ov_time now, struct sift_hit *hit)
{
	enum sift_result result;
	if (s->count == 0)
		return SIFT_NOTHING;
	struct job *j = &s->jobs[s->first];
	if (!j->begun && settled_by_known(s, j, hit, &result))
		return result;
	j->begun = true;
	if (!limit_has(&s->hashes, now, SIFT_PER_SECOND, SIFT_BURST, SIFT_STEP)) {
		s->at = now + BUDGET_IN;
		return SIFT_NOTHING;
	}
	return search(s, now, j, hit);
}

ov_time sift_deadline(const struct sift *s)
{
	return s->count ? s->at : OV_NEVER;
}
