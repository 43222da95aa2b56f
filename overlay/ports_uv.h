#pragma once
/* ports - more UDP sockets for a while, each with a port of its own: 256 of them make one guess in
 * 250 of the other side hit (overlay/burst.c). IPv4 only, since no NAT of that kind stands before
 * IPv6; one datagram per call, since few come. */
#include "core/dgram.h"

#include <uv.h>

#define PORTS_MAX  256
#define PORTS_READ 16 /* datagrams of one ports_receive at most */

struct ports; /* handle */

/* NULL: out of memory. on_readable: from the loop; then call ports_receive. */
struct ports *ports_new(uv_loop_t *loop, void (*on_readable)(void *context), void *context);
void ports_close(struct ports *p); /* with the loop; memory goes when it has closed the handles */
/* Opens up to count more; out: their ports. Returns how many there are now, at most PORTS_MAX. */
size_t ports_open(struct ports *p, size_t count, uint16_t out[PORTS_MAX]);
void ports_close_but(struct ports *p, uint16_t keep); /* 0: all */
bool ports_has(const struct ports *p, uint16_t port);
/* What came, in buffers that stay valid until the next call; 0: nothing more now. */
size_t ports_receive(struct ports *p, struct dgram out[PORTS_READ]);
/* From the socket of run->local.port; what it has no room for is lost. */
void ports_send(struct ports *p, const struct dgram *run);
