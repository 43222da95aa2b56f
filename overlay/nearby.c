/* A hostile segment may send any number of notices, each with a good signature of a fresh key. What
 * bounds them: the limits of lan.c, 20 signatures a second (1 ms of a core), 4 entries of one
 * source, 64 in all. First come, first listed: who is in the list stays as long as it goes on, so
 * a flood hides newcomers at most. An entry keeps the address that it was first heard at, and the
 * latest other one: a notice that somebody repeats from elsewhere moves nobody, nor hides it. */
#include "overlay/nearby.h"

#include <string.h>

#define SIGNATURES_PER_SECOND 20
#define SIGNATURES_BURST      64
#define LIFETIMES             4
#define PER_ENTRY             (250 * OV_MS)

ov_time nearby_interval(const struct nearby *t)
{
	return ov_max(NEARBY_EVERY, (ov_time)t->count * PER_ENTRY);
}

static ov_time lifetime(const struct nearby *t)
{
	return LIFETIMES * nearby_interval(t);
}

static size_t position(const struct nearby *t, const struct peer_id *id)
{
	size_t i = 0;
	while (i < t->count && !peer_id_equal(&t->list[i].notice.id, id))
		i++;
	return i;
}

const struct nearby_peer *nearby_find(const struct nearby *t, const struct peer_id *id)
{
	size_t i = position(t, id);
	return i < t->count ? &t->list[i] : NULL;
}

bool nearby_is_known(const struct nearby *t, const uint8_t raw[NOTICE_LEN])
{
	for (size_t i = 0; i < t->count; i++)
		if (memcmp(t->list[i].raw, raw, NOTICE_LEN) == 0)
			return true;
	return false;
}

/* Of IPv6 a source is its interface identifier: the /64 is the whole link here. */
static bool same_source(const struct ov_addr *a, const struct ov_addr *b)
{
	if (addr_is_v4(a) || addr_is_v4(b))
		return addr_same_ip(a, b);
	return memcmp(a->ip + 8, b->ip + 8, 8) == 0;
}

static bool has_room(const struct nearby *t, const struct ov_addr *at)
{
	size_t of_source = 0;
	for (size_t i = 0; i < t->count; i++)
		of_source += same_source(&t->list[i].at, at);
	return t->count < NEARBY_MAX && of_source < NEARBY_PER_SOURCE;
}

enum nearby_verdict nearby_put(struct nearby *t, ov_time now, const struct notice *n,
	const uint8_t raw[NOTICE_LEN], const struct ov_addr *at, uint32_t interface)
{
	nearby_expire(t, now);
	size_t i = position(t, &n->id);
	struct nearby_peer *e = &t->list[i];
	if (i < t->count && memcmp(e->raw, raw, NOTICE_LEN) == 0) {
		e->heard_at = now;
		if (!addr_equal(&e->at, at))
			e->also = *at;
		return NEARBY_KNOWN;
	}
	if (i == t->count && !has_room(t, at))
		return NEARBY_CROWDED;
	if (!limit_take(&t->signatures, now, SIGNATURES_PER_SECOND, SIGNATURES_BURST, 1))
		return NEARBY_LIMITED;
	if (!notice_is_signed(n, raw))
		return NEARBY_FORGED;
	bool told = i < t->count && e->told; /* another name or port is no other machine */
	t->count += i == t->count;
	*e = (struct nearby_peer){
		.notice = *n, .at = *at, .interface = interface, .heard_at = now, .told = told
	};
	memcpy(e->raw, raw, NOTICE_LEN);
	return NEARBY_NEW;
}

void nearby_expire(struct nearby *t, ov_time now)
{
	ov_time lasts = lifetime(t);
	size_t kept = 0;
	for (size_t i = 0; i < t->count; i++)
		if (now - t->list[i].heard_at < lasts && kept++ != i)
			t->list[kept - 1] = t->list[i];
	t->count = kept;
}

ov_time nearby_deadline(const struct nearby *t)
{
	ov_time at = OV_NEVER;
	for (size_t i = 0; i < t->count; i++)
		at = ov_min(at, t->list[i].heard_at + lifetime(t));
	return at;
}
