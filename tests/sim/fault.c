/* Each fault picks its victim itself. Anchors never move, so roaming picks among the others. */
#include "tests/sim/fault.h"

#include "tests/sim/hostile.h"

static struct host *any_host(struct swarm *w)
{
	return &w->s->hosts[swarm_below(w, w->s->host_count)];
}

static struct host *any_roamer(struct swarm *w)
{
	size_t roamers = w->s->host_count - w->anchors;
	return &w->s->hosts[w->anchors + swarm_below(w, roamers)];
}

static uint32_t any_iface(struct swarm *w, const struct host *h)
{
	uint32_t second = NET_NONE;
	for (uint32_t i = 0; i < w->s->net.iface_count; i++)
		if (w->s->net.ifaces[i]->host == h->id && w->s->net.ifaces[i]->index == 2)
			second = i;
	return second != NET_NONE && swarm_below(w, 2) ? second : world_iface(w->s, h, 0);
}

static void degrade(struct swarm *w, struct host *h)
{
	struct link_config c = world_link(w->delay[h->id]);
	c.jitter = swarm_between(w, 0, 20) * OV_MS;
	if (fault_may(w, FAULT_LOSS))
		c.loss_ppm = (uint32_t)swarm_below(w, swarm_below(w, 4) ? PPM / 5 : PPM * 3 / 5);
	if (fault_may(w, FAULT_BURST)) {
		c.burst_ppm = (uint32_t)swarm_below(w, PPM / 50);
		c.burst_length = swarm_between(w, 50, 3000) * OV_MS;
	}
	if (fault_may(w, FAULT_REORDER)) {
		c.reorder_ppm = (uint32_t)swarm_below(w, PPM / 5);
		c.reorder_delay = swarm_between(w, 1, 100) * OV_MS;
	}
	if (fault_may(w, FAULT_DUPLICATE))
		c.duplicate_ppm = (uint32_t)swarm_below(w, PPM / 4);
	if (fault_may(w, FAULT_CORRUPT))
		c.corrupt_ppm = (uint32_t)swarm_below(w, PPM / 20);
	if (fault_may(w, FAULT_MTU))
		c.mtu = (uint32_t)swarm_between(w, 1000, 1500);
	if (fault_may(w, FAULT_CUT) && swarm_below(w, 4) == 0)
		c.cut = true;
	if (seed_below(&w->errands, 3) ==
		0) { /* a draw of its own: other seeds stay what they were */
		c.bytes_per_second = 20000u << seed_below(&w->errands, 8);
		c.queue = (ov_time)(10 + seed_below(&w->errands, 300)) * OV_MS;
	}
	trace_note(&w->s->trace, w->s->now, h->name,
		"link: loss %u burst %u reorder %u duplicate %u corrupt %u mtu %u%s", c.loss_ppm,
		c.burst_ppm, c.reorder_ppm, c.duplicate_ppm, c.corrupt_ppm, c.mtu,
		c.cut ? " cut" : "");
	net_link_change(&w->s->net, any_iface(w, h), &c);
}

void fault_tell_addresses(struct swarm *w, struct host *h)
{
	char text[ADDR_TEXT_MAX];
	for (size_t i = 0; i < w->s->net.iface_count; i++) {
		const struct iface *x = w->s->net.ifaces[i];
		for (size_t k = 0; x->host == h->id && k < x->address_count; k++)
			trace_tell(&w->s->trace, w->s->now, h->name, "%s has %s%s",
				x->index == 1 ? "eth" : "wwan", addr_format(&x->addresses[k], text),
				x->up ? "" : " (down)");
	}
	host_network_changed(w->s, h, false);
	if (h->dirty)
		host_drain(w->s, h);
}

static void roam(struct swarm *w)
{
	struct host *h = any_roamer(w);
	swarm_settle_in(w, any_iface(w, h), swarm_below(w, w->site_count));
	fault_tell_addresses(w, h);
}

static void toggle_iface(struct swarm *w)
{
	struct host *h = any_roamer(w);
	struct iface *x = w->s->net.ifaces[any_iface(w, h)];
	x->up = !x->up;
	fault_tell_addresses(w, h);
}

static void restart(struct swarm *w, int epoch_step)
{
	struct host *h = any_host(w);
	if (h->node) {
		trace_tell(&w->s->trace, w->s->now, h->name, "stops");
		host_stop(h);
		return;
	}
	if (h->config.boot_epoch <= 1)
		epoch_step = 1;
	host_start(w->s, h, epoch_step, true);
}

static void sleep_or_wake(struct swarm *w)
{
	struct host *h = any_host(w);
	if (h->asleep)
		host_wake(w->s, h);
	else
		host_sleep(w->s, h);
}

static void reboot(struct swarm *w)
{
	struct gateway *g = w->s->net.gateways[swarm_below(w, w->s->net.gateway_count)];
	trace_tell(&w->s->trace, w->s->now, "!", "a NAT box restarts");
	nat_reboot(&g->nat4, &w->chance);
	nat_reboot(&g->firewall6, &w->chance);
}

static void attack(struct swarm *w)
{
	struct hostile_config c = { .attacks = (uint32_t)swarm_below(w, 1u << ATTACK_COUNT) };
	c.every = swarm_between(w, 20, 2000) * OV_MS;
	c.burst = (uint32_t)swarm_between(w, 1, 8);
	c.until = w->s->now + swarm_between(w, 1, 20) * OV_SEC;
	hostile_configure(w->s, &c);
}

static void forward(struct swarm *w)
{
	struct forwarder f = { .host = NET_NONE };
	if (swarm_below(w, 3))
		f.host = (uint32_t)swarm_below(w, w->s->host_count);
	f.lead = swarm_between(w, 0, 30) * OV_MS;
	f.originals = swarm_below(w, 4) != 0;
	hostile_forward(w->s, &f);
}

static void transfer(struct swarm *w)
{
	struct host *h = any_host(w);
	if (h->friend_count == 0 || !host_is_awake(h))
		return;
	struct friend *f = &h->friends[swarm_below(w, h->friend_count)];
	struct flow *flow =
		host_transfer(w->s, h, f->host, (uint64_t)swarm_between(w, 1000, 200000));
	if (flow)
		flow->pace = swarm_between(w, 0, 200) * OV_MS;
	host_drain(w->s, h);
}

void fault_happen(struct swarm *w, enum fault f)
{
	switch (f) {
	case FAULT_LOSS:
	case FAULT_BURST:
	case FAULT_REORDER:
	case FAULT_DUPLICATE:
	case FAULT_CORRUPT:
	case FAULT_MTU:
	case FAULT_CUT: degrade(w, any_host(w)); return;
	case FAULT_ROAM: roam(w); return;
	case FAULT_IFACE: toggle_iface(w); return;
	case FAULT_REBOOT: reboot(w); return;
	case FAULT_SLEEP: sleep_or_wake(w); return;
	case FAULT_RESTART: restart(w, 1); return;
	case FAULT_ROLLBACK: restart(w, -1); return;
	case FAULT_HOSTILE: attack(w); return;
	case FAULT_FORWARDER: forward(w); return;
	case FAULT_WALL: nonce_wall_jump(swarm_between(w, -1000000000, 1000000000)); return;
	case FAULT_TRANSFER: transfer(w); return;
	case FAULT_LONG_WAIT: sim_run_for(w->s, swarm_between(w, 60, 700) * OV_SEC); return;
	case FAULT_COUNT: break;
	}
	assert(false);
}
