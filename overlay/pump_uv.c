/* The way of a datagram (docs/architecture.md): udp_receive -> node_input -> node_inbound ->
 * coalesce -> tun_write, and back tun_read -> node_submit -> node_poll -> udp_send. Nothing is
 * copied but headers; payload is opened and sealed where it lies.
 *
 * Latency: what is read is finished before more is read, and one round reads little, so that a ping
 * waits behind one batch and not behind a queue of them. */
#include "overlay/pump_uv.h"

#include "overlay/node_streams.h"

static_assert(PORTS_READ <= UDP_BATCH, "they share a list");
static_assert(PUMP_INPUT_BYTES <= NODE_INPUT_BYTES, "else a batch is more than the node takes");

#define PUMP_PAUSE (500 * OV_US)

int pump_init(struct pump *p, struct node *node, struct udp *udp, struct tun *tun)
{
	*p = (struct pump){ .node = node, .udp = udp, .tun = tun };
	if (!tun)
		return OV_OK;
	p->coalesce = coalesce_new(tun_status(tun)->uso);
	return p->coalesce ? OV_OK : OV_ENOMEM;
}

void pump_fini(struct pump *p)
{
	coalesce_free(p->coalesce);
	p->coalesce = NULL;
}

static void write_ready(struct pump *p)
{
	const struct super_packet *s;
	while ((s = coalesce_take(p->coalesce)))
		(void)tun_write(p->tun, s); /* what the kernel does not take is counted there */
}

/* What the node opened goes to the interface; without one it has nowhere to go. False: nothing. */
static bool deliver(struct pump *p)
{
	const struct ip_packet *packets;
	size_t count = node_inbound(p->node, &packets);
	if (!p->tun || count == 0)
		return false;
	if (count == 1) { /* nothing to join with */
		p->alone.meta = packets[0];
		p->alone.slices[0] = (struct slice){ packets[0].data, packets[0].len };
		p->alone.slice_count = 1;
		(void)tun_write(p->tun, &p->alone);
		return true;
	}
	for (size_t i = 0; i < count; i++) {
		coalesce_add(p->coalesce, &packets[i]);
		write_ready(p);
	}
	coalesce_flush(p->coalesce);
	write_ready(p);
	return true;
}

/* Sends what goes by connections; what is left goes by UDP. */
static size_t send_by_tcp(struct pump *p, size_t count)
{
	size_t left = 0;
	for (size_t i = 0; i < count; i++) {
		if (p->sending[i].carrier == CARRIER_TCP && p->tcp)
			tcp_send(p->tcp, &p->sending[i], 1);
		else if (left++ < i)
			p->sending[left - 1] = p->sending[i];
	}
	return left;
}

static bool is_of_second(const struct pump *p, const struct dgram *d)
{
	return p->second && d->local.port == udp_status(p->second)->port;
}

static bool is_of_main(const struct pump *p, const struct dgram *d)
{
	return d->local.port == 0 || d->local.port == udp_status(p->udp)->port;
}

/* Answers leave by the port that was asked. */
static void send_by_port(struct pump *p, const struct dgram *runs, size_t count)
{
	for (size_t i = 0; i < count;) {
		size_t n = 0;
		while (i + n < count && is_of_main(p, &runs[i + n]))
			n++;
		if (n > 0)
			udp_send(p->udp, runs + i, n);
		i += n;
		if (i == count)
			return;
		if (is_of_second(p, &runs[i]))
			udp_send(p->second, runs + i, 1);
		else if (p->ports) /* else its socket is gone */
			ports_send(p->ports, &runs[i]);
		i++;
	}
}

static void send_all(struct pump *p, ov_time now)
{
	size_t count;
	node_streams_hold(p->node, udp_blocked(p->udp));
	while ((count = node_poll(p->node, now, p->sending, PUMP_SEND_RUNS)) > 0) {
		count = send_by_tcp(p, count);
		if (p->second || p->ports)
			send_by_port(p, p->sending, count);
		else
			udp_send(p->udp, p->sending, count);
		node_streams_hold(p->node, udp_blocked(p->udp));
	}
}

void pump_send(struct pump *p, ov_time now)
{
	struct dgram refused;
	bool too_big, failed = false;
	send_all(p, now);
	for (; udp_next_failure(p->udp, &refused, &too_big); failed = true)
		node_send_failed(p->node, now, &refused, too_big);
	if (failed)
		send_all(p, now); /* the question whether the path still works; refused too: next
				     time */
}

static void hand_on(struct pump *p, ov_time now)
{
	if (p->to_programs)
		p->to_programs(p->context, now);
	pump_send(p, now);
}

void pump_input(struct pump *p, ov_time now, const struct dgram *runs, size_t count)
{
	node_input(p->node, now, runs, count);
	(void)deliver(p);
	hand_on(p, now);
}

/* Bytes of streams are handed on for as many runs as the node takes at once: each time wakes a
 * program, which costs more than all else that is done for them. */
static void from_udp(struct pump *p, ov_time now)
{
	const struct dgram *runs = p->received;
	bool after_pause = now - p->udp_at > PUMP_PAUSE && !p->gather.is_quiet;
	size_t count = udp_receive(p->udp, p->received, after_pause), waiting = 0;
	p->udp_at = now;
	for (size_t i = 0; i < count;) {
		size_t bytes = 0, first = i;
		while (i < count && (bytes == 0 || bytes + runs[i].len <= PUMP_INPUT_BYTES))
			bytes += runs[i++].len;
		node_input(p->node, now, runs + first, i - first);
		waiting += bytes;
		if (!deliver(p) && i < count && waiting + PUMP_INPUT_BYTES <= NODE_INPUT_BYTES)
			continue;
		hand_on(p, now);
		waiting = 0;
	}
}

static void take_each(struct pump *p, ov_time now, const struct dgram *runs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		pump_input(p, now, runs + i, 1);
}

static void from_other_ports(struct pump *p, ov_time now)
{
	if (p->second_readable) /* a few questions of clients */
		take_each(p, now, p->received, udp_receive(p->second, p->received, false));
	if (p->ports_readable)
		take_each(p, now, p->received, ports_receive(p->ports, p->received));
	p->second_readable = p->ports_readable = false;
}

/* After a pause a packet comes alone: it is not worth another call to learn that. */
static void from_tun(struct pump *p, ov_time now)
{
	struct ip_packet *packets = p->read;
	size_t max = now - p->tun_at > PUMP_PAUSE ? TUN_QUEUES : PUMP_TUN_PACKETS;
	size_t count = tun_read(p->tun, packets, max);
	if (count > 0)
		p->tun_at = now;
	for (size_t done = 0; done < count;) {
		size_t taken = node_submit(p->node, now, packets + done, count - done);
		(void)deliver(p); /* ICMPv6 errors to the local stack */
		pump_send(p, now);
		done += taken;
		if (taken == 0)
			break; /* cannot be: an empty output takes any packet */
	}
}

void pump_run(struct pump *p, ov_time now)
{
	if (p->udp_readable) {
		p->udp_readable = false;
		from_udp(p, now);
	}
	if (p->second_readable || p->ports_readable)
		from_other_ports(p, now);
	if (p->tun && tun_is_readable(p->tun) && !udp_blocked(p->udp))
		from_tun(p, now);
}

ov_time pump_rest(struct pump *p, ov_time now)
{
	bool was_quiet = p->gather.is_quiet;
	ov_time rest = gather_rest(&p->gather, now, node_counters(p->node));
	if (p->gather.is_quiet != was_quiet)
		udp_tell_waited(p->udp, p->gather.is_quiet);
	return rest;
}
