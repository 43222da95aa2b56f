#pragma once
/* contact - a peer that the owner added. What the store keeps and the node needs of it; the name is
 * a nickname, never authority. */
#include "core/addr.h"
#include "core/identity.h"
#include "overlay/grant.h"

#define CONTACT_NAME_MAX                                                        \
	64 /* with NUL; letters, digits, '-', '_', '.'; first a letter or digit \
	    */
#define CONTACT_ENDPOINTS_MAX 16
#define ENDPOINT_TEXT_MAX     264 /* "host:port", host <= 253 */

enum contact_source {
	CONTACT_ADDED,
	CONTACT_CONFIG,
	CONTACT_FACILITATOR, /* `facilitators` of the configuration: serves us, may do nothing */
	CONTACT_CLIENT,      /* we serve it as facilitator; ends with its association */
};
/* Somebody the owner knows, with a name and an address in the overlay. */
static inline bool contact_is_known(uint8_t source)
{
	return source == CONTACT_ADDED || source == CONTACT_CONFIG;
}

struct contact {
	struct peer_id id;
	char name[CONTACT_NAME_MAX];
	uint8_t source; /* enum contact_source */
	bool lan_only;  /* neither called nor answered outside the networks we are on */
	struct grants grants;
	char **endpoints; /* owned texts as the user wrote them, "1.2.3.4:5" or "host:port"; may be
			     NULL */
	uint8_t endpoint_count;
	struct ov_addr last_endpoint; /* last validated address; any: none */
	int64_t last_seen_at_s;       /* Unix time, display only; 0: never */
};

/* Whom we serve as facilitator (design 4, admission). */
enum facilitator_policy {
	FACILITATOR_OFF,
	FACILITATOR_CONTACTS, /* and their guests, who reach nobody but them */
	FACILITATOR_INVITE,   /* and their guests, as they are served themselves */
	FACILITATOR_OPEN,     /* anybody */
};

bool contact_name_ok(const char *name);
OV_MUST_CHECK int contact_copy(struct contact *to, const struct contact *from);
OV_MUST_CHECK int contact_add_endpoint(
	struct contact *c, const char *text); /* OV_OK also if there; OV_EFULL; OV_EFORMAT */
/* "tcp:HOST:PORT" takes TCP connections: the text behind the word, NULL if it has none. */
const char *endpoint_tcp(const char *text);
#define ENDPOINT_TCP_PORT 443
/* Is the text a valid endpoint by UDP: ip:port, [v6]:port or host:port? *addr is filled and
 * *is_name false when it is a literal. */
bool endpoint_check(const char *text, uint16_t default_port, struct ov_addr *addr, bool *is_name);
void contact_fini(struct contact *c);
