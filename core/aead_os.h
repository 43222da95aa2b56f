#pragma once
/* aead_os - loads the optional crypto libraries and picks the fastest backend present. */
#include "core/aead.h"

/* Fills *out. `force` is one of
 *   NULL, "auto"        for each suite the first present of ipsec-mb, openssl, sodium
 *   a backend           "ipsec-mb", "openssl" or "sodium": both suites, but only from it
 *   a cipher            "chacha20-poly1305" or "aes-256-gcm": only this suite is offered by us and
 *                       chosen by us, from the first backend present; the other entry is NULL
 *   "BACKEND:CIPHER"    both choices at once
 * A backend alone does not insist on AES-256-GCM: without AES in hardware that entry is NULL.
 * OV_OK; OV_EINVAL: not one of these words; OV_ENOENT: not on this machine. After an error *out is
 * unchanged and `why` (size bytes; NULL when size is 0) says what is wrong and what to do. Call
 * before threads start; later calls are cheap. */
OV_MUST_CHECK int aead_load(struct aead_table *out, const char *force, char *why, size_t size);

/* Every backend usable on this machine (for tests and benches). Returns the count, at most max. */
size_t aead_each(const struct aead **out, size_t max);

/* The backends themselves: NULL when not usable here. The first call loads the library. */
const struct aead *aead_openssl(enum suite suite); /* core/aead_openssl_os.c */
const struct aead *aead_ipsecmb(enum suite suite); /* core/aead_ipsecmb_os.c */
/* AES and carry-less multiplication in hardware. */
bool aead_cpu_has_aes(void);
