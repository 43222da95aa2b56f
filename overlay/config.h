#pragma once
/* config - everything an operator can set. One table (config_option) drives the keys of the file,
 * the OVERLAY_* environment, the flags and the help: key a.b_c = OVERLAY_A_B_C = --a-b-c.
 *
 * A value set by a flag beats the environment, which beats the file, in whatever order they are
 * applied. Pure: reading the file and the environment is overlay/config_os.h. */
#include "overlay/contact.h"
#include "overlay/log.h"

#define CONFIG_PATH_MAX         1024 /* with NUL */
#define CONFIG_WORD_MAX         48
#define CONFIG_NETWORK_KEY_MAX  129 /* 16 to 128 characters; a secret */
#define CONFIG_TUN_NAME_MAX     16  /* IFNAMSIZ */
#define CONFIG_FACILITATORS_MAX 8
#define CONFIG_FACILITATORS_LEN 2800 /* all of them as texts */
#define CONFIG_WHY_MAX          512  /* enough for every `why` */

enum config_source { CONFIG_FROM_DEFAULT, CONFIG_FROM_FILE, CONFIG_FROM_ENV, CONFIG_FROM_FLAG };

enum config_key { /* index into the table; file keys first */
	CONFIG_LISTEN_UDP,
	CONFIG_LISTEN_TCP,
	CONFIG_NETWORK_KEY,
	CONFIG_TUN_ENABLED,
	CONFIG_TUN_NAME,
	CONFIG_TUN_MTU,
	CONFIG_CONTACTS,
	CONFIG_PAIRING,
	CONFIG_LAN,
	CONFIG_LAN_ONLY,
	CONFIG_PORTMAP,
	CONFIG_FACILITATORS,
	CONFIG_FACILITATOR_POLICY,
	CONFIG_FACILITATOR_TCP,
	CONFIG_FACILITATOR_LIMITS_CLIENTS,
	CONFIG_FACILITATOR_LIMITS_CHANNELS,
	CONFIG_FACILITATOR_LIMITS_RATE,
	CONFIG_FACILITATOR_LIMITS_TOTAL_RATE,
	CONFIG_AEAD,
	CONFIG_LIMITS_CONTACTS,
	CONFIG_LIMITS_HANDSHAKES,
	CONFIG_LIMITS_FLOWS,
	CONFIG_LIMITS_REQUESTS,
	CONFIG_LIMITS_CLIENTS,
	CONFIG_LIMITS_CLIENTS_PER_UID,
	CONFIG_LIMITS_STREAMS,
	CONFIG_LIMITS_STREAM_DAYS,
	CONFIG_LOG_LEVEL,
	CONFIG_LOG_FORMAT,
	CONFIG_STATE,
	CONFIG_FILE,
	CONFIG_SOCKET,
	CONFIG_KEYS,
};

struct config_contact {
	struct contact contact; /* source is CONTACT_CONFIG */
	unsigned line;          /* in the file: `peer remove` names it */
};

struct config {
	uint16_t listen_udp;                  /* 0: any free port */
	uint16_t listen_tcp, facilitator_tcp; /* 0: none; the second only as facilitator */
	uint16_t tun_mtu;
	bool tun_enabled, pairing, lan, lan_only, portmap;
	char network_key[CONFIG_NETWORK_KEY_MAX];   /* "": none */
	char facilitators[CONFIG_FACILITATORS_LEN]; /* "PEERID@ENDPOINT,..." */
	uint8_t facilitator_policy;                 /* enum facilitator_policy */
	uint16_t facilitator_channels;              /* of one client */
	uint32_t facilitator_clients;
	uint32_t facilitator_rate,
		facilitator_total_rate; /* bytes a second: of one client, of all */
	char tun_name[CONFIG_TUN_NAME_MAX];
	char aead[CONFIG_WORD_MAX]; /* as aead_load takes it */
	uint32_t limits_contacts, limits_handshakes, limits_flows, limits_requests;
	uint32_t limits_clients, limits_clients_per_uid, limits_streams, limits_stream_days;
	uint8_t log_level, log_format; /* enum log_level, enum log_format */
	char state[CONFIG_PATH_MAX], file[CONFIG_PATH_MAX], socket[CONFIG_PATH_MAX];
	struct config_contact *contacts; /* owned */
	size_t contact_count;
	uint8_t source[CONFIG_KEYS]; /* enum config_source of each key */
	bool show_help, show_version;
};

/* Fills every field; the three paths are "". */
void config_default(struct config *c);
/* Frees contacts and wipes the network key. Leaves defaults behind. */
void config_fini(struct config *c);

/* All of these: OV_OK, or OV_EINVAL (OV_ENOMEM) and `why` (CONFIG_WHY_MAX is enough) says what,
 * where ("FILE:LINE: ..." for a file) and what to write instead. c may be half changed then. */
OV_MUST_CHECK int config_parse(struct config *c, const char *text, size_t len,
	const char *file_name, char *why, size_t why_size);
/* environ-like list of "NAME=VALUE", NULL terminated; names that are no option are not ours. */
OV_MUST_CHECK int config_apply_env(
	struct config *c, const char *const *env, char *why, size_t why_size);
/* argv[1] to argv[argc - 1]; each is an option. */
OV_MUST_CHECK int config_apply_flags(
	struct config *c, int argc, const char *const *argv, char *why, size_t why_size);
/* The facilitators as contacts, at most `max`; the caller frees each (contact_fini). Returns the
 * count; OV_EINVAL (OV_ENOMEM) and why. */
OV_MUST_CHECK int config_facilitators(
	const struct config *c, struct contact *out, size_t max, char *why, size_t why_size);
/* First problem that needs several values to see. After everything was applied. */
OV_MUST_CHECK int config_check(const struct config *c, char *why, size_t why_size);

struct json_t;
/* Effective configuration, {"listen":{"udp":{"value":27182,"source":"default"}}, ...}; the network
 * key is shown as true or false. New reference; NULL: out of memory. */
struct json_t *config_print(const struct config *c);
/* Help text of all options, one per line, into out; returns out. 4 KiB is enough. */
const char *config_help(char *out, size_t size);
