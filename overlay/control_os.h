#pragma once
/* control_os - the file side of the overlay socket: making it safely, and knowing who is at the
 * other end. */
#include "core/base.h"

#include <sys/types.h>

/* A listening, non-blocking socket at `path`: directory 0710 (root, group exists) or 0700, socket
 * 0660. Returns its descriptor, or negative with `why` telling what, where and what to do.
 * *group_id: the group's id, or (gid_t)-1. */
OV_MUST_CHECK int control_listen(
	const char *path, const char *group, gid_t *group_id, char *why, size_t why_size);

struct control_peer {
	uid_t uid;
	bool allowed; /* root, our own uid, or in the group when it connected */
};
/* Who connected `fd`. False: the kernel does not say (then nobody is allowed). */
bool control_peer(int fd, gid_t group_id, struct control_peer *out);
