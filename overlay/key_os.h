#pragma once
/* key_os - the state directory: its permissions, its lock, and the identity key in it.
 *
 * DIR (0700) holds identity.key (0600), overlay.db (overlay/store.h) and lock. Anything looser, of
 * another owner, or not a plain file is refused, never repaired: whoever could read the key may
 * have a copy, and the owner should know. */
#include "core/base.h"

#define IDENTITY_SEED_LEN 32
#define STATE_PATH_MAX    1024 /* with NUL; longer directories are refused */

struct state_dir {
	char path[STATE_PATH_MAX]; /* as given, for messages */
	int fd, lock_fd;           /* -1: not open */
};

/* Opens the directory (created 0700 with missing parents; may be a symbolic link, as systemd's
 * DynamicUser makes it) and takes its lock, which lasts until state_close or the end of the
 * process. OV_OK; OV_EPERM: looser mode or other owner; OV_EEXIST: another instance holds it;
 * OV_EINVAL: no such path possible; OV_EIO. On failure nothing is left open and `why` says what,
 * where and what to do. */
OV_MUST_CHECK int state_open(struct state_dir *s, const char *path, char *why, size_t why_size);
void state_close(struct state_dir *s);

/* Reads DIR/identity.key: one line "overlay-identity-1 " and 64 hexadecimal digits. When there is
 * none, a random one is written (temporary, fsync, rename, fsync of the directory) and *created is
 * true. The caller wipes seed. OV_OK; OV_EPERM: readable by others or other owner, a symbolic link
 * or no plain file; OV_EFORMAT: short or garbled; OV_EIO. `why` as above. */
OV_MUST_CHECK int identity_load(const struct state_dir *s, uint8_t seed[IDENTITY_SEED_LEN],
	bool *created, char *why, size_t why_size);
