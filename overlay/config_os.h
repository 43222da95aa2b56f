#pragma once
/* config_os - the parts of config.h that touch the system: default paths, the environment, the
 * file. */
#include "overlay/config.h"

#define CONFIG_FILE_MAX ((size_t)16 * 1024 * 1024) /* bytes; 16,384 contacts need 4 MiB */

/* Defaults, then flags, environment and file (strongest first), then config_check. With --help or
 * --version nothing but the flags is read. A default file that does not exist is no error, one that
 * was named is; a file that others may read or write while it holds a network key is refused. On
 * failure c holds nothing to free, and `why` is one line for the user. Call again (into a second
 * struct) to reload. */
OV_MUST_CHECK int config_load(
	struct config *c, int argc, const char *const *argv, char *why, size_t why_size);

/* As root /var/lib/overlay, /etc/overlay/overlay.json, /run/overlay/overlay.sock; else below
 * $XDG_STATE_HOME (~/.local/state), $XDG_CONFIG_HOME (~/.config), $XDG_RUNTIME_DIR (if unset, the
 * socket lies in the state directory). Only fills what is empty. OV_EINVAL: no HOME, or too long.
 */
OV_MUST_CHECK int config_default_paths(struct config *c, char *why, size_t why_size);
