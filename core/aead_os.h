#pragma once
/* aead_os - loads the optional crypto libraries and picks the fastest backend present. */
#include "core/aead.h"

/* Fills *out. `force`: NULL or "auto" (ipsec-mb, then openssl, then sodium, for each suite what is
 * there), or one of "ipsec-mb" "openssl" "sodium" (both suites from it), or "chacha20-poly1305" /
 * "aes-256-gcm" (only that suite is offered... ChaCha is still accepted), or "BACKEND:CIPHER" for
 * both choices at once. Returns OV_OK; OV_EINVAL for an unknown word; OV_ENOENT when the forced one
 * is not on this machine; then `why` (size bytes) says which and what to install. Call once before
 * threads start. */
OV_MUST_CHECK int aead_load(struct aead_table *out, const char *force, char *why, size_t size);

/* Every backend usable on this machine (for tests and benches). Returns the count, at most max. */
size_t aead_each(const struct aead **out, size_t max);
