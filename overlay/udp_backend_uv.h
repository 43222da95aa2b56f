#pragma once
/* udp_backend - what udp_uv.c and the two backends share; and how lan_uv.c gets its addresses. */
#include "overlay/udp_uv.h"

#include <netinet/in.h>

#define UDP_FAILURES 64

enum udp_family { UDP_IPV6, UDP_IPV4, UDP_FAMILIES };

struct udp_ops {
	const char *name;
	/* Takes over fds (-1: family absent) into handles of the loop. 0, or a negative UV_ error;
	 * then fds are closed and u is freed. */
	int (*start)(struct udp *u, const int fds[UDP_FAMILIES]);
	void (*stop)(struct udp *u); /* frees u when its handles are closed */
	size_t (*receive)(struct udp *u, struct dgram *out, bool after_pause);
	void (*send)(struct udp *u, const struct dgram *runs, size_t count);
	void (*tell_waited)(struct udp *u, bool on); /* NULL: cannot */
	bool (*blocked)(const struct udp *u);
	void (*discard)(struct udp *u); /* frees u before a successful start */
};

struct udp { /* first member of a backend's struct */
	const struct udp_ops *ops;
	uv_loop_t *loop;
	struct udp_options options;
	struct udp_status status;
	struct {
		struct dgram run;
		bool too_big;
	} failures[UDP_FAILURES];
	size_t failure_first, failure_count;
};

struct udp *udp_linux_new(void);    /* NULL: out of memory */
struct udp *udp_portable_new(void); /* NULL: out of memory */

void udp_record_failure(struct udp *u, const struct dgram *run, bool too_big);
size_t udp_datagrams(const struct dgram *run); /* in the run */
socklen_t udp_to_sockaddr(const struct ov_addr *a, struct sockaddr_in6 *out);
struct ov_addr udp_from_sockaddr(const struct sockaddr *sa);
