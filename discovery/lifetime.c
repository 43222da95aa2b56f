/* Routers choose round numbers: 30, 60, 120, 180 s; each silence lies a little below one, or
 * halfway. First the one above the keepalive of those who know nothing, because a NAT that forgets
 * sooner is the one that hurts; then by halves. At most four are tried. */
#include "discovery/lifetime.h"

static const uint16_t silences_s[] = { 18, 28, 43, 58, 88, 118, LIFETIME_LONGEST_S };
#define SILENCES        (sizeof(silences_s) / sizeof(silences_s[0]))
#define FIRST           2 /* from 1 */
#define KEEPALIVE_LEAST (15 * OV_SEC)
#define KEEPALIVE_MOST  (120 * OV_SEC)

static uint8_t next_place(const struct lifetime *l)
{
	if (l->lives == 0 && l->dies == 0)
		return FIRST;
	uint8_t dies = l->dies ? l->dies : SILENCES + 1;
	return dies - l->lives > 1 ? (uint8_t)((l->lives + dies) / 2) : 0;
}

uint16_t lifetime_next(const struct lifetime *l)
{
	uint8_t place = next_place(l);
	return place ? silences_s[place - 1] : 0;
}

void lifetime_on_result(struct lifetime *l, bool survived)
{
	uint8_t place = next_place(l);
	if (survived)
		l->lives = place;
	else
		l->dies = place;
}

uint16_t lifetime_survived_s(const struct lifetime *l)
{
	return l->lives ? silences_s[l->lives - 1] : 0;
}

uint16_t lifetime_lost_s(const struct lifetime *l)
{
	return l->dies ? silences_s[l->dies - 1] : 0;
}

ov_time lifetime_keepalive(const struct lifetime *l, ov_time otherwise)
{
	if (l->lives == 0 && l->dies == 0)
		return otherwise;
	ov_time wanted = lifetime_survived_s(l) * OV_SEC / 5 * 4;
	return wanted < KEEPALIVE_LEAST  ? KEEPALIVE_LEAST
	       : wanted > KEEPALIVE_MOST ? KEEPALIVE_MOST
					 : wanted;
}
