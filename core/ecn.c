#include "core/ecn.h"

#define TESTED 10 /* packets: RFC 9000 A.4 */

bool ecn_marks(const struct ecn_path *e, bool pto)
{
	return e->state == ECN_CAPABLE || (e->state == ECN_TESTING && e->marked < TESTED && !pto);
}

void ecn_on_sent(struct ecn_path *e)
{
	e->marked++;
}

void ecn_on_lost(struct ecn_path *e, uint64_t count)
{
	e->lost += count;
	if (e->state == ECN_TESTING && e->lost >= TESTED)
		e->state = ECN_OFF; /* this path eats them */
}

/* RFC 9000 13.4.2.1. Counts are modulo 2^32. */
bool ecn_on_ack(struct ecn_path *e, const struct ecn_counts *c)
{
	uint32_t ect0 = c->ect0 - e->ect0, ce = c->ce - e->ce;
	if (e->state == ECN_OFF)
		return false;
	e->ect0 = c->ect0;
	e->ce = c->ce;
	bool too_few = (uint64_t)ect0 + ce < c->newly_marked;
	bool too_many = (uint64_t)ect0 + ce > e->marked;
	if (too_few || too_many)
		e->state = ECN_OFF;
	else if (c->newly_marked > 0)
		e->state = ECN_CAPABLE;
	return e->state == ECN_CAPABLE && ce > 0;
}
