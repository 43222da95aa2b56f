/* getrandom costs a system call each time; jitter and challenges want 8 bytes at a time. Small
 * requests are served from a block that is refilled when it is used up and wiped as it is used, so
 * that it never holds bytes that were handed out. A fork would repeat the block, hence the pid. */
#include "overlay/entropy_os.h"

#include <sodium.h>
#include <string.h>
#include <unistd.h>

#define SMALL 32 /* keys and longer go to the kernel directly */

struct entropy {
	uint8_t block[512];
	size_t left;
	pid_t owner;
};

static void entropy_fill(void *context, void *out, size_t len)
{
	struct entropy *e = context;
	if (len >= SMALL) {
		randombytes_buf(out, len);
		return;
	}
	if (e->left < len || e->owner != getpid()) {
		randombytes_buf(e->block, sizeof(e->block));
		e->left = sizeof(e->block);
		e->owner = getpid();
	}
	e->left -= len;
	memcpy(out, e->block + e->left, len);
	sodium_memzero(e->block + e->left, len);
}

struct rng entropy_rng(void)
{
	static struct entropy shared;
	return (struct rng){ .fill = entropy_fill, .context = &shared };
}
