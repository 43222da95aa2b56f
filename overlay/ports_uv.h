#pragma once
/* ports - more UDP sockets for a while, each with a port of its own: 256 of them make one guess in
 * 250 of the other side hit (overlay/burst.c), and one asks what the NAT does with a mapping that
 * nothing else uses (overlay/probing.c). IPv4 only, since no NAT of that kind stands before
 * IPv6; one datagram per call, since few come. */
#include "core/dgram.h"

#include <uv.h>

#define PORTS_MAX  256 /* of one burst */
#define PORTS_KEPT 16  /* that hit and may carry a path */
#define PORTS_READ 16  /* datagrams of one ports_receive at most */

struct ports; /* handle */

/* NULL: out of memory. on_readable: from the loop; then call ports_receive. */
struct ports *ports_new(uv_loop_t *loop, void (*on_readable)(void *context), void *context);
void ports_close(struct ports *p); /* with the loop; memory goes when it has closed the handles */
/* The guesses of a new burst, up to count of them; out: their ports. Returns how many could be
 * opened. Those of a burst before that were neither kept nor closed are closed. */
size_t ports_open(struct ports *p, size_t count, uint16_t out[PORTS_MAX]);
/* The burst is over: closes its guesses but for `keep` (0: none), which stays for its path until
 * PORTS_KEPT later ones hit. */
void ports_settle(struct ports *p, uint16_t keep);
/* One more, for a probe; the one before is closed. 0: not to be had. */
uint16_t ports_open_probe(struct ports *p);
void ports_close_probe(struct ports *p);
bool ports_has(const struct ports *p, uint16_t port);
/* What came, in buffers that stay valid until the next call; 0: nothing more now. */
size_t ports_receive(struct ports *p, struct dgram out[PORTS_READ]);
/* From the socket of run->local.port; what it has no room for is lost. */
void ports_send(struct ports *p, const struct dgram *run);
