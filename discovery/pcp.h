#pragma once
/* pcp - Port Control Protocol (RFC 6887): the messages ANNOUNCE and MAP, and the rule by which a
 * client notices that the router forgot its mappings. Only what a mapping of our own UDP port
 * needs; options are skipped, none is sent. */
#include "core/addr.h"
#include "core/drop.h"

#define PCP_SERVER_PORT  5351
#define PCP_CLIENT_PORT  5350 /* announcements come here, by multicast (14.1.2) */
#define PCP_NONCE_LEN    12
#define PCP_ANNOUNCE_LEN 24
#define PCP_MAP_LEN      60
#define PCP_MAX          1100 /* 7: longest message with all options */

enum pcp_opcode { PCP_ANNOUNCE = 0, PCP_MAP = 1 };

enum pcp_result { /* 7.4; the ones we act upon */
	PCP_SUCCESS = 0,
	PCP_UNSUPP_VERSION = 1,
	PCP_NOT_AUTHORIZED = 2,
	PCP_NETWORK_FAILURE = 7,
	PCP_NO_RESOURCES = 8,
	PCP_ADDRESS_MISMATCH = 12,
};

struct pcp_map {
	uint8_t nonce[PCP_NONCE_LEN];
	struct ov_addr internal; /* ours, with port; a decoded answer carries only the port */
	struct ov_addr external; /* suggested (unspecified: any), or assigned */
	uint32_t lifetime_s;     /* asked for, or granted; 0: delete */
};

/* Both return the length. client: our address as it is in the source of the datagram. */
size_t pcp_encode_announce(uint8_t out[PCP_ANNOUNCE_LEN], const struct ov_addr *client);
size_t pcp_encode_map(uint8_t out[PCP_MAP_LEN], const struct pcp_map *m);

struct pcp_answer {
	enum pcp_opcode opcode;
	uint8_t result;      /* enum pcp_result, or another */
	bool natpmp;         /* of a server that knows only NAT-PMP (RFC 6886 3.5): nothing else
				is set */
	uint32_t lifetime_s; /* of the mapping, or of the error */
	uint32_t epoch_s;
	struct pcp_map map; /* of PCP_MAP */
};

/* DROP_NONE, or why it is none: DROP_SHORT, DROP_OVERSIZED, DROP_HEADER (a request, or another
 * version), DROP_TYPE (another opcode or protocol), DROP_FORMAT. */
enum drop pcp_decode(struct pcp_answer *out, const uint8_t *data, size_t len);
/* Is it about this mapping (same nonce and internal port)? */
bool pcp_answer_is_for(const struct pcp_answer *a, const struct pcp_map *asked);

/* ---- epoch, 8.5 ---- */
struct pcp_epoch { /* of the last answer; zeroed: none yet */
	bool known;
	uint32_t server_s;
	ov_time at;
};
/* False: the server's seconds do not go on as ours did, so it lost its mappings. */
bool pcp_epoch_valid(const struct pcp_epoch *e, ov_time now, uint32_t server_s);
void pcp_epoch_note(struct pcp_epoch *e, ov_time now, uint32_t server_s);
