#pragma once
/* drop - why an input was not acted upon. Every reason has a counter, shown by `overlay status
 * --json`.
 *
 * A drop changes no state but its counter. The names are part of the JSON interface. */

/* clang-format off */
#define DROP_REASONS(X)                                                                            \
	X(DROP_NONE,        "none")         /* accepted */                                         \
	X(DROP_SHORT,       "short")        /* shorter than its type allows */                     \
	X(DROP_HEADER,      "header")       /* reserved bits or bytes set */                       \
	X(DROP_TYPE,        "type")         /* unknown type, or a role we do not have */           \
	X(DROP_OVERSIZED,   "oversized")    /* longer than its type allows */                      \
	X(DROP_MAC1,        "mac1")         /* sender does not know our key */                     \
	X(DROP_COOKIE,      "cookie")       /* under load and no valid mac2, or unexpected COOKIE */ \
	X(DROP_RATE,        "rate")         /* a limiter said no */                                \
	X(DROP_INDEX,       "index")        /* unknown receiver index */                           \
	X(DROP_AUTH,        "auth")         /* AEAD did not verify */                              \
	X(DROP_REPLAY,      "replay")       /* counter seen or left of the window */               \
	X(DROP_STALE,       "stale")        /* handshake sequence not higher than the one seen */  \
	X(DROP_STRANGER,    "stranger")     /* valid key, but not a contact */                     \
	X(DROP_FULL,        "full")         /* a bounded table is full */                          \
	X(DROP_EXPIRED,     "expired")      /* key or handshake too old */                         \
	X(DROP_FORMAT,      "format")       /* authenticated but malformed */                      \
	X(DROP_FRAME,       "frame")        /* unknown critical frame */                           \
	X(DROP_FRAGMENT,    "fragment")     /* fragment does not fit its packet, or reassembly full */ \
	X(DROP_TOKEN,       "token")        /* path response nobody waits for */                   \
	X(DROP_CHANNEL,     "channel")      /* relay channel unknown, or not from its address */   \
	X(DROP_INNER,       "inner")        /* inner packet malformed */                           \
	X(DROP_SOURCE,      "source")       /* inner source is not the sending peer's */           \
	X(DROP_DESTINATION, "destination")  /* inner destination is not ours, or multicast */      \
	X(DROP_GRANT,       "grant")        /* peer has no grant for it and it answers nothing */  \
	X(DROP_POLICY,      "policy")       /* lan_only: not from a network of ours */             \
	X(DROP_NO_PEER,     "no_peer")      /* local packet to an address of no contact */         \
	X(DROP_AWAY,        "away")         /* local packet, peer cannot be reached now */         \
	X(DROP_LOOP,        "loop")         /* our own key spoke to us, or the address is ours */  \
	X(DROP_CONGESTION,  "congestion")   /* local queue full */
/* clang-format on */

enum drop {
#define X(name, text) name,
	DROP_REASONS(X)
#undef X
		DROP_REASON_COUNT
};

/* Static snake_case name of a reason. */
const char *drop_name(enum drop why);
