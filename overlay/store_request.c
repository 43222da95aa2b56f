/* What requests to the store and its lists own, and how it is given back: secrets are wiped. */
#include "overlay/store.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

void store_invite_free(struct store_invite *i)
{
	if (i)
		grants_fini(&i->grants);
	free(i);
}

void store_request_fini(struct store_request *r)
{
	contact_fini(&r->contact);
	store_invite_free(r->invite);
	if (r->line)
		sodium_memzero(r->line, INVITE_TEXT_MAX);
	free(r->line);
	if (r->facilitator)
		sodium_memzero(r->facilitator, sizeof(*r->facilitator));
	free(r->facilitator);
	memset(&r->contact, 0, sizeof(r->contact));
	r->invite = NULL;
	r->line = NULL;
	r->facilitator = NULL;
}

void store_pairing_fini(struct store_pairing *p)
{
	for (size_t i = 0; i < p->invite_count; i++)
		grants_fini(&p->invites[i].grants);
	if (p->join_count)
		sodium_memzero(p->joins, p->join_count * sizeof(*p->joins));
	if (p->facilitator_count)
		sodium_memzero(p->facilitators, p->facilitator_count * sizeof(*p->facilitators));
	free(p->invites);
	free(p->joins);
	free(p->facilitators);
	*p = (struct store_pairing){ 0 };
}
