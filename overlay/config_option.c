/* One row per option: whoever adds an option adds a row here, a field and an enumerator in
 * config.h, and gets the file's key, the variable, the flag, the help and the range check. */
#include "overlay/config_option.h"

#include "overlay/suggest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const log_levels[] = { "error", "warn", "info", "debug", NULL };
/* as enum facilitator_policy */
static const char *const facilitator_policies[] = { "off", "contacts", "invite", "open", NULL };
static const char *const log_formats[] = { "text", "json", NULL };

/* clang-format off */
#define FIELD(name) offsetof(struct config, name), sizeof(((struct config *)0)->name)
const struct config_option config_options[CONFIG_KEYS] = {
	/*                              key                   type         flags only  field                     min    max  choices  value  help */
	[CONFIG_LISTEN_UDP]           = { "listen.udp",         CONFIG_U16,    false, FIELD(listen_udp),            0,   65535, NULL, "PORT",    "UDP port; 0: any free one (27182)" },
	[CONFIG_LISTEN_TCP]           = { "listen.tcp",         CONFIG_U16,    false, FIELD(listen_tcp),            0,   65535, NULL, "PORT",    "TCP port for peers whose networks block UDP; 0: none (0)" },
	[CONFIG_NETWORK_KEY]          = { "network_key",        CONFIG_TEXT,   false, FIELD(network_key),          16,     128, NULL, "TEXT",    "secret shared by all machines of a private network, 16 to 128 characters; better in the file than in a flag" },
	[CONFIG_TUN_ENABLED]          = { "tun.enabled",        CONFIG_BOOL,   false, FIELD(tun_enabled),           0,       1, NULL, NULL,      "network interface (on)" },
	[CONFIG_TUN_NAME]             = { "tun.name",           CONFIG_TEXT,   false, FIELD(tun_name),              1,      15, NULL, "NAME",    "name of the interface (overlay0)" },
	[CONFIG_TUN_MTU]              = { "tun.mtu",            CONFIG_U16,    false, FIELD(tun_mtu),            1280,    1420, NULL, "BYTES",   "MTU of the interface (1420)" },
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): of the field, and that is a pointer */
	[CONFIG_CONTACTS]             = { "contacts",           CONFIG_LIST,   false, FIELD(contacts),              0,       0, NULL, NULL,      NULL },
	[CONFIG_PAIRING]              = { "pairing",            CONFIG_BOOL,   false, FIELD(pairing),               0,       1, NULL, NULL,      "list strangers who call under `overlay peer requests` (off)" },
	[CONFIG_LAN]                  = { "lan",                CONFIG_BOOL,   false, FIELD(lan),                   0,       1, NULL, NULL,      "find contacts on the local network, and be found by them, by beacons that only they understand (on)" },
	[CONFIG_LAN_ONLY]             = { "lan_only",           CONFIG_BOOL,   false, FIELD(lan_only),              0,       1, NULL, NULL,      "reach contacts on the networks of this machine only: no relay, no facilitator but one there, no answer to anybody outside (off)" },
	[CONFIG_PORTMAP]              = { "portmap",            CONFIG_BOOL,   false, FIELD(portmap),               0,       1, NULL, NULL,      "ask the router to forward the UDP port: PCP, NAT-PMP, UPnP (on)" },
	[CONFIG_FACILITATORS]         = { "facilitators",       CONFIG_WORDS,  false, FIELD(facilitators),          0,    2799, NULL, "PEERID@HOST:PORT,...", "peers that tell others where we are and relay, at most 8" },
	[CONFIG_FACILITATOR_POLICY]   = { "facilitator.policy", CONFIG_CHOICE, false, FIELD(facilitator_policy),    0,       3, facilitator_policies, "WHOM", "whom we serve as facilitator: off, contacts, invite (their guests as well) or open (off); --facilitator: contacts" },
	[CONFIG_FACILITATOR_TCP]      = { "facilitator.tcp",    CONFIG_U16,    false, FIELD(facilitator_tcp),       0,   65535, NULL, "PORT",    "TCP port of a facilitator, for clients whose networks block UDP; 0: none (443)" },
	[CONFIG_FACILITATOR_LIMITS_CLIENTS]    = { "facilitator.limits.clients",  CONFIG_U32, false, FIELD(facilitator_clients),     1, 1000000, NULL, "N",   "clients served: strangers, and contacts, so many of each (10000)" },
	[CONFIG_FACILITATOR_LIMITS_CHANNELS]   = { "facilitator.limits.channels", CONFIG_U16, false, FIELD(facilitator_channels),    0,    1024, NULL, "N",   "peers that one client may reach through us at a time (64)" },
	[CONFIG_FACILITATOR_LIMITS_RATE]       = { "facilitator.limits.bytes_per_second", CONFIG_U32, false, FIELD(facilitator_rate), 16000, 4000000000, NULL, "BYTES", "relayed a second for one client (12500000)" },
	[CONFIG_FACILITATOR_LIMITS_TOTAL_RATE] = { "facilitator.limits.total_bytes_per_second", CONFIG_U32, false, FIELD(facilitator_total_rate), 16000, 4000000000, NULL, "BYTES", "relayed a second for all (125000000)" },
	[CONFIG_AEAD]                 = { "aead",               CONFIG_TEXT,   false, FIELD(aead),                  1,      47, NULL, "WORD",    "auto; a backend (ipsec-mb, openssl, sodium), a cipher (aes-256-gcm, chacha20-poly1305), or BACKEND:CIPHER" },
	[CONFIG_LIMITS_CONTACTS]      = { "limits.contacts",    CONFIG_U32,    false, FIELD(limits_contacts),       1, 1000000, NULL, "N",       "contacts (16384)" },
	[CONFIG_LIMITS_HANDSHAKES]    = { "limits.handshakes",  CONFIG_U32,    false, FIELD(limits_handshakes),     1,   65536, NULL, "N",       "pending handshakes (1024)" },
	[CONFIG_LIMITS_FLOWS]         = { "limits.flows",       CONFIG_U32,    false, FIELD(limits_flows),         64, 1000000, NULL, "N",       "UDP and ICMP flows remembered (16384)" },
	[CONFIG_LIMITS_REQUESTS]      = { "limits.requests",    CONFIG_U32,    false, FIELD(limits_requests),       1,    4096, NULL, "N",       "strangers that wait for accept (64)" },
	[CONFIG_LIMITS_CLIENTS]       = { "limits.clients",     CONFIG_U32,    false, FIELD(limits_clients),        8,   65536, NULL, "N",       "clients on the overlay socket (256)" },
	[CONFIG_LIMITS_CLIENTS_PER_UID] = { "limits.clients_per_uid", CONFIG_U32, false, FIELD(limits_clients_per_uid), 1, 65536, NULL, "N",      "of which one user may have (64)" },
	[CONFIG_LIMITS_STREAMS]       = { "limits.streams",     CONFIG_U32,    false, FIELD(limits_streams),        1,   65536, NULL, "N",       "streams of local programs, from and to peers (8192)" },
	[CONFIG_LIMITS_STREAM_DAYS]   = { "limits.stream_days", CONFIG_U32,    false, FIELD(limits_stream_days),    1,     365, NULL, "N",       "days that open streams wait for a peer that is away (7)" },
	[CONFIG_LOG_LEVEL]            = { "log.level",          CONFIG_CHOICE, false, FIELD(log_level),             0,       3, log_levels, "LEVEL", "error, warn, info or debug (info)" },
	[CONFIG_LOG_FORMAT]           = { "log.format",         CONFIG_CHOICE, false, FIELD(log_format),            0,       1, log_formats, "FORMAT", "text or json (text)" },
	[CONFIG_STATE]                = { "state",              CONFIG_TEXT,   true,  FIELD(state),                 1,    1023, NULL, "DIR",     "directory of key and database (/var/lib/overlay; not root: $XDG_STATE_HOME/overlay)" },
	[CONFIG_FILE]                 = { "config",             CONFIG_TEXT,   true,  FIELD(file),                  1,    1023, NULL, "FILE",    "configuration file (/etc/overlay/overlay.json; not root: $XDG_CONFIG_HOME/overlay/overlay.json)" },
	[CONFIG_SOCKET]               = { "socket",             CONFIG_TEXT,   true,  FIELD(socket),                1,     107, NULL, "PATH",    "overlay socket (/run/overlay/overlay.sock; not root: $XDG_RUNTIME_DIR/overlay/overlay.sock)" },
};
/* clang-format on */

/* design.md 10: keys of later versions. A name also covers what is below it. */
static const char *const reserved[] = { "scan", "outbox", "mailbox", "services", "socks", "dns",
	"http", "metered" };

int config_fail(char *why, size_t why_size, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(why, why_size, fmt, args);
	va_end(args);
	return OV_EINVAL;
}

const struct config_option *config_option_find(const char *key)
{
	for (size_t i = 0; i < CONFIG_KEYS; i++) {
		if (strcmp(config_options[i].key, key) == 0)
			return &config_options[i];
	}
	return NULL;
}

bool config_key_is_reserved(const char *key)
{
	for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++) {
		size_t len = strlen(reserved[i]);
		if (strncmp(key, reserved[i], len) == 0 && (key[len] == '\0' || key[len] == '.'))
			return true;
	}
	return false;
}

/* Objects of the file, and what is said of them: they are no keys of their own. */
static const char *const sections[][2] = { { "listen", "listen.*" }, { "tun", "tun.*" },
	{ "facilitator", "facilitator.*" }, { "facilitator.limits", "facilitator.limits.*" },
	{ "limits", "limits.*" }, { "log", "log.*" } };

const char *config_key_suggest(const char *key)
{
	struct suggest near;
	const char *section = NULL;
	suggest_init(&near, key);
	for (size_t i = 0; i < CONFIG_KEYS; i++)
		suggest_offer(&near, config_options[i].key);
	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++) {
		suggest_offer(&near, sections[i][0]);
		if (near.best == sections[i][0])
			section = sections[i][1];
	}
	return section ? section : near.best;
}

const char *config_expected(const struct config_option *o, char *out, size_t size)
{
	switch (o->type) {
	case CONFIG_BOOL: (void)snprintf(out, size, "true or false"); break;
	case CONFIG_U16:
	case CONFIG_U32:
		(void)snprintf(
			out, size, "a number from %u to %u", (unsigned)o->min, (unsigned)o->max);
		break;
	case CONFIG_TEXT:
		(void)snprintf(out, size, "a text of %u to %u characters", (unsigned)o->min,
			(unsigned)o->max);
		break;
	case CONFIG_CHOICE: {
		size_t len = 0;
		for (size_t i = 0; o->choices[i] != NULL && len < size; i++)
			len += (size_t)snprintf(out + len, size - len, "%s\"%s\"",
				i == 0 ? "" : " or ", o->choices[i]);
		break;
	}
	case CONFIG_WORDS: (void)snprintf(out, size, "an array of texts"); break;
	case CONFIG_LIST: (void)snprintf(out, size, "an array of objects"); break;
	}
	return out;
}

static int refuse(const struct config_option *o, const char *got, char *why, size_t why_size)
{
	char expected[160];
	(void)snprintf(why, why_size, "expected %s, not %s",
		config_expected(o, expected, sizeof(expected)), got);
	return OV_EINVAL;
}

/* Notes the source; NULL when a stronger one was first. */
static uint8_t *claim(struct config *c, const struct config_option *o, enum config_source from)
{
	uint8_t *source = &c->source[o - config_options];
	if (*source > from)
		return NULL;
	*source = (uint8_t)from;
	return (uint8_t *)c + o->offset;
}

int config_set_number(struct config *c, const struct config_option *o, int64_t value,
	enum config_source from, char *why, size_t why_size)
{
	char got[24];
	(void)snprintf(got, sizeof(got), "%lld", (long long)value);
	if (value < o->min || value > o->max)
		return refuse(o, got, why, why_size);
	uint8_t *field = claim(c, o, from);
	uint16_t u16 = (uint16_t)value;
	uint32_t u32 = (uint32_t)value;
	if (field != NULL && o->type == CONFIG_U16)
		memcpy(field, &u16, sizeof(u16));
	else if (field != NULL)
		memcpy(field, &u32, sizeof(u32));
	return OV_OK;
}

void config_set_bool(
	struct config *c, const struct config_option *o, bool value, enum config_source from)
{
	uint8_t *field = claim(c, o, from);
	if (field != NULL)
		memcpy(field, &value, sizeof(value));
}

static int set_choice(
	struct config *c, const struct config_option *o, const char *text, enum config_source from)
{
	for (uint8_t i = 0; o->choices[i] != NULL; i++) {
		if (strcmp(o->choices[i], text) != 0)
			continue;
		uint8_t *field = claim(c, o, from);
		if (field != NULL)
			*field = i;
		return OV_OK;
	}
	return OV_EINVAL;
}

static bool parse_bool(const char *text, bool *out)
{
	static const char *const words[] = { "false", "true", "off", "on", "no", "yes", "0", "1" };
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(text, words[i]) == 0) {
			*out = i % 2 == 1;
			return true;
		}
	}
	return false;
}

static int set_string(
	struct config *c, const struct config_option *o, const char *text, enum config_source from)
{
	size_t len = strlen(text);
	if (len < o->min || len > o->max)
		return OV_EINVAL;
	uint8_t *field = claim(c, o, from);
	assert(len < o->size);
	if (field != NULL)
		memcpy(field, text, len + 1);
	return OV_OK;
}

int config_set_text(struct config *c, const struct config_option *o, const char *text,
	enum config_source from, char *why, size_t why_size)
{
	char got[64], *end;
	bool flag;
	int err = OV_EINVAL;
	switch (o->type) {
	case CONFIG_BOOL:
		if (parse_bool(text, &flag)) {
			config_set_bool(c, o, flag, from);
			return OV_OK;
		}
		break;
	case CONFIG_U16:
	case CONFIG_U32: {
		long long value = strtoll(text, &end, 10);
		if (*end == '\0' && text[0] >= '0' && text[0] <= '9')
			return config_set_number(c, o, value, from, why, why_size);
		break;
	}
	case CONFIG_TEXT:
	case CONFIG_WORDS: err = set_string(c, o, text, from); break;
	case CONFIG_CHOICE: err = set_choice(c, o, text, from); break;
	case CONFIG_LIST: break;
	}
	if (err == OV_OK)
		return OV_OK;
	if (o == &config_options[CONFIG_NETWORK_KEY]) /* do not show a secret */
		(void)snprintf(got, sizeof(got), "%zu", strlen(text));
	else
		(void)snprintf(got, sizeof(got), "\"%.40s\"", text);
	return refuse(o, got, why, why_size);
}
