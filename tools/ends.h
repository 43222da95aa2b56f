#pragma once
/* ends - the sockets of local ends: listening for forward, connecting for serve. */
#include "overlay/local_end.h"

#include <sys/socket.h>
#include <sys/types.h>

#define ENDS_MAX 8

struct ends { /* the addresses that a local end stands for */
	struct {
		struct sockaddr_storage addr;
		socklen_t len;
	} list[ENDS_MAX];
	size_t count;
};

/* passive: to listen on. NULL, or why not. A name is looked up, which may take seconds. */
const char *ends_resolve(const struct local_end *e, bool passive, struct ends *out);

struct listener {
	int fd; /* -1: none */
	char text[LOCAL_TEXT_MAX];
	bool is_open;              /* other machines may connect, too */
	char path[LOCAL_PATH_MAX]; /* of a Unix socket, which is ours while inode and device match
				    */
	dev_t device;
	ino_t inode;
};

struct listeners {
	struct listener list[ENDS_MAX];
	size_t count;
};

/* Non-blocking; a Unix socket has mode 0600 and takes the place of one on which nobody listens.
 * False: `why` says what and what to do. */
bool ends_listen(const struct local_end *e, struct listeners *out, char *why, size_t why_size);
void ends_unlisten(struct listeners *l);
/* The next connection, blocking, close-on-exec, or -1 with errno; `from` names whoever came. */
int ends_accept(const struct listener *l, char from[LOCAL_TEXT_MAX]);

enum ends_progress {
	ENDS_CONNECTED,
	ENDS_UNDER_WAY, /* writable when it is decided; then ends_connected */
	ENDS_LATER,     /* its queue is full: try again soon */
	ENDS_FAILED     /* errno */
};
/* A new socket on its way to address i, non-blocking; *fd is -1 unless connected or under way. */
enum ends_progress ends_connect(const struct ends *e, size_t i, int *fd);
int ends_connected(int fd); /* 0, or why not (errno) */
/* Closes it so that the other end sees an error (TCP: RST), not an end. */
void ends_reset(int fd);
/* As many descriptors as the system lets us have. */
void ends_raise_limit(void);
