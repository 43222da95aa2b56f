#pragma once
/* grant - what a contact may do. Deny by default; text form as in `overlay peer add --allow`. */
#include "core/base.h"

#define GRANT_PORTS_MAX    32 /* tcp/ and udp/ entries of one contact */
#define GRANT_SERVICES_MAX 16
#define GRANT_SERVICE_LEN  64
#define GRANT_TEXT_MAX     80 /* "service:" + name + NUL */

enum grant_bit {
	GRANT_ALL = 1 << 0,
	GRANT_ICMP = 1 << 1,
	GRANT_MESSAGE = 1 << 2,
	GRANT_RELAY = 1 << 3,
	GRANT_INTRODUCE = 1 << 4,
	GRANT_STORE = 1 << 5,
	GRANT_EXIT = 1 << 6,
};

struct grants {
	uint32_t bits; /* enum grant_bit */
	uint8_t tcp_count, udp_count, service_count;
	uint16_t tcp[GRANT_PORTS_MAX], udp[GRANT_PORTS_MAX];
	char (*services)[GRANT_SERVICE_LEN]; /* owned; NULL until the first */
};

struct grants grants_default(void); /* icmp, message */
/* One word: "icmp" "tcp/22" "udp/53" "all" "service:NAME" "message" "relay" "introduce" "store"
 * "exit". OV_OK (also if it was there), OV_EFORMAT, OV_EFULL, OV_ENOMEM. */
OV_MUST_CHECK int grants_add(struct grants *g, const char *word);
OV_MUST_CHECK int grants_remove(
	struct grants *g, const char *word); /* OV_ENOENT if it was not there */
/* Comma-separated list of words. On failure *bad (if not NULL) points at the offending word. */
OV_MUST_CHECK int grants_add_list(struct grants *g, const char *list, const char **bad);
bool grants_tcp(const struct grants *g, uint16_t port);
bool grants_udp(const struct grants *g, uint16_t port);
/* Can this be the name of a service? */
bool grant_service_ok(const char *name, size_t len);
bool grants_service(const struct grants *g, const char *name);
/* i-th word in canonical order into out; false when there is none. For lists and JSON. */
bool grants_word(const struct grants *g, size_t i, char out[GRANT_TEXT_MAX]);
OV_MUST_CHECK int grants_copy(struct grants *to, const struct grants *from);
void grants_fini(struct grants *g);
