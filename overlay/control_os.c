/* The socket is made under a tight umask, then given to the group, then opened to it: at no moment
 * is it wider than at the end. Members are recognised by the groups of their process
 * (SO_PEERGROUPS, unix(7)), the same that the kernel used when it let them connect, so no name
 * service (which may block) is asked for each client. */
#include "overlay/control_os.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 128

static gid_t find_group(const char *name)
{
	const struct group *g = name ? getgrnam(name) : NULL;
	return g ? g->gr_gid : (gid_t)-1;
}

/* The last directory of `path`, made when missing; one that exists is left as it is. */
static bool make_directory(const char *path, gid_t group, char *why, size_t why_size)
{
	struct sockaddr_un a;
	char dir[sizeof(a.sun_path)];
	snprintf(dir, sizeof(dir), "%s", path);
	char *slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return true;
	*slash = '\0';
	if (mkdir(dir, 0700) == 0) {
		bool shared = geteuid() == 0 && group != (gid_t)-1;
		if (shared && (chown(dir, (uid_t)-1, group) != 0 || chmod(dir, 0710) != 0)) {
			snprintf(why, why_size, "%s: cannot give it to the group: %s", dir,
				strerror(errno));
			return false;
		}
		return true;
	}
	if (errno == EEXIST)
		return true;
	snprintf(why, why_size,
		"%s: cannot make the directory of the overlay socket: %s; choose another with --socket",
		dir, strerror(errno));
	return false;
}

/* Removes a socket that nobody listens on. False: something lives there. */
static bool remove_stale(const struct sockaddr_un *a, char *why, size_t why_size)
{
	struct stat st;
	if (lstat(a->sun_path, &st) != 0)
		return true; /* gone by itself; bind decides */
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(why, why_size, "%s exists and is not a socket: move it away", a->sun_path);
		return false;
	}
	int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc = probe < 0 ? -1 : connect(probe, (const struct sockaddr *)a, sizeof(*a));
	int error = rc == 0 ? 0 : errno;
	if (probe >= 0)
		close(probe);
	if (error != ECONNREFUSED) {
		snprintf(why, why_size,
			"%s: another overlayd listens there; stop it, or give this one --socket",
			a->sun_path);
		return false;
	}
	if (unlink(a->sun_path) == 0 || errno == ENOENT)
		return true;
	snprintf(why, why_size, "%s: cannot remove the stale socket: %s", a->sun_path,
		strerror(errno));
	return false;
}

static int bind_tight(int fd, const struct sockaddr_un *a)
{
	mode_t before = umask(0177);
	int rc = bind(fd, (const struct sockaddr *)a, sizeof(*a));
	int error = errno;
	umask(before);
	errno = error;
	return rc;
}

static bool open_to_group(const char *path, gid_t group, char *why, size_t why_size)
{
	/* an ordinary user may give files only to its own groups; then only its own uid is let in
	 */
	if (group != (gid_t)-1 && chown(path, (uid_t)-1, group) != 0 && geteuid() == 0) {
		snprintf(why, why_size, "%s: cannot give it to the group: %s", path,
			strerror(errno));
		return false;
	}
	if (chmod(path, 0660) == 0)
		return true;
	snprintf(why, why_size, "%s: cannot set mode 0660: %s", path, strerror(errno));
	return false;
}

int control_listen(const char *path, const char *group, gid_t *group_id, char *why, size_t why_size)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	*group_id = find_group(group);
	if (strlen(path) >= sizeof(a.sun_path) || path[0] == '\0') {
		snprintf(why, why_size,
			"%.60s...: path of the overlay socket is longer than %zu; give a shorter one with --socket",
			path, sizeof(a.sun_path) - 1);
		return -1;
	}
	memcpy(a.sun_path, path, strlen(path) + 1);
	if (!make_directory(path, *group_id, why, why_size))
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc = fd < 0 ? -1 : bind_tight(fd, &a);
	if (rc != 0 && fd >= 0 && errno == EADDRINUSE) {
		if (!remove_stale(&a, why, why_size)) {
			close(fd);
			return -1;
		}
		rc = bind_tight(fd, &a);
	}
	if (rc != 0) {
		snprintf(why, why_size,
			"%s: cannot make the overlay socket: %s; choose another place with --socket",
			path, strerror(errno));
	} else if (!open_to_group(path, *group_id, why, why_size)) {
		rc = -1;
	} else if (listen(fd, LISTEN_BACKLOG) != 0) {
		snprintf(why, why_size, "%s: cannot listen: %s", path, strerror(errno));
		rc = -1;
	}
	if (rc == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool in_group(int fd, gid_t group)
{
	if (group == (gid_t)-1)
		return false;
	gid_t *list = NULL;
	socklen_t size = 0;
	bool found = false;
	/* the first call fails with ERANGE and says how much it needs (NGROUPS_MAX is 65,536) */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) != 0 && errno == ERANGE)
		list = malloc(size);
	if (list && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, list, &size) == 0)
		for (size_t i = 0; i < size / sizeof(*list); i++)
			found |= list[i] == group;
	free(list);
	return found;
}

bool control_peer(int fd, gid_t group_id, struct control_peer *out)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) != 0)
		return false;
	out->uid = cred.uid;
	out->allowed = cred.uid == 0 || cred.uid == geteuid() ||
		       (group_id != (gid_t)-1 && cred.gid == group_id) || in_group(fd, group_id);
	return true;
}
