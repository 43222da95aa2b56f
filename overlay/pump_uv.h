#pragma once
/* pump - moves batches between the UDP sockets, the node and the interface. Callbacks of the loop
 * only record that there is work; pump_run does it once per loop turn, with one reading of the
 * clock. */
#include "overlay/gather.h"
#include "overlay/node.h"
#include "overlay/ports_uv.h"
#include "overlay/tcp_uv.h"
#include "overlay/tun_os.h"
#include "overlay/udp_uv.h"

#define PUMP_SEND_RUNS   64
#define PUMP_INPUT_BYTES (128u << 10) /* opened before anything of it goes to the interface */
#define PUMP_TUN_PACKETS 128 /* per round, small ones; of large ones TUN_QUANTUM of each queue */

struct pump {
	struct node *node;
	struct udp *udp;
	struct tun *tun; /* NULL: no interface */
	struct tcp *tcp; /* NULL: no connections */
	struct coalesce *coalesce;
	struct ports *ports; /* more sockets, for a burst; NULL: none */
	bool ports_readable;
	struct udp *second; /* the facilitator's second port; NULL: none */
	bool second_readable;
	bool udp_readable;
	struct dgram received[UDP_BATCH], sending[PUMP_SEND_RUNS];
	struct ip_packet read[PUMP_TUN_PACKETS];
	struct super_packet alone;
	/* What came of a batch goes to programs before its ACKs go out: the programs wait for it.
	 * NULL: there are none. */
	void (*to_programs)(void *context, ov_time now);
	void *context;
	ov_time udp_at, tun_at; /* when something was last read */
	struct gather gather;
};

/* OV_OK or OV_ENOMEM. The three are borrowed. */
OV_MUST_CHECK int pump_init(struct pump *p, struct node *node, struct udp *udp, struct tun *tun);
void pump_fini(struct pump *p);
/* Does what is recorded, within a budget. What is left over keeps the sockets readable: the loop
 * must be level-triggered. */
void pump_run(struct pump *p, ov_time now);
/* Datagrams of a connection, within their callback. */
void pump_input(struct pump *p, ov_time now, const struct dgram *runs, size_t count);
/* At the end of a turn: for how long the loop shall let packets gather before it polls again. */
ov_time pump_rest(struct pump *p, ov_time now);
/* Sends what the node has ready. */
void pump_send(struct pump *p, ov_time now);
