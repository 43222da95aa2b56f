/* Where a sound node cannot be brought to break a rule, the oracle is told that it did. */
#include "tests/sim/selftest.h"

#include "core/handshake.h"
#include "core/packet.h"
#include "tests/sim/hostile.h"
#include "tests/sim/oracle_streams.h"
#include "tests/sim/recovery.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/time.h>
#include <time.h>

static void seal_twice(struct sim *s)
{
	const struct aead *a = s->hosts[0].aead.chacha20_poly1305;
	const uint8_t key[AEAD_KEY_LEN] = { 1 }, header[16] = { 0 };
	uint8_t sealed[1 + AEAD_TAG_LEN];
	struct aead_state st;
	if (!a->init(&st, key))
		return;
	for (uint8_t plain = 0; plain < 2; plain++)
		a->seal(&st, 7, header, &plain, 1, sealed);
	a->fini(&st);
	oracle_check_host(s, &s->hosts[0]);
}

static void seal_handshake_twice(struct sim *s)
{
	const uint8_t key[32] = { 2 }, nonce[12] = { 0 };
	uint8_t sealed[1 + 16];
	unsigned long long len;
	for (uint8_t plain = 0; plain < 2; plain++)
		crypto_aead_chacha20poly1305_ietf_encrypt(
			sealed, &len, &plain, 1, NULL, 0, NULL, nonce, key);
	oracle_check_host(s, &s->hosts[0]);
}

static struct flight leaving(struct sim *s, uint8_t type, uint16_t len)
{
	struct flight f = { .len = len, .origin = 0, .source = world_address(s, &s->hosts[0]) };
	f.destination = addr_v4(192, 0, 2, 1, 1);
	f.data[0] = type;
	return f;
}

static void send_to_nobody(struct sim *s)
{
	struct flight f = leaving(s, PACKET_CONTROL, 44);
	oracle_on_emit(s, &s->hosts[0], &f);
}

static void relay_anywhere(struct sim *s)
{
	struct flight f = leaving(s, PACKET_RELAY, 100);
	s->hosts[0].config.facilitator = FACILITATOR_OPEN;
	oracle_on_emit(s, &s->hosts[0], &f);
}

/* To a client that answered challenges, but nobody sent it. */
static void relay_of_its_own(struct sim *s)
{
	struct flight f = leaving(s, PACKET_RELAY, 100);
	f.destination = world_address(s, &s->hosts[1]);
	s->hosts[0].config.facilitator = FACILITATOR_OPEN;
	host_use(&s->hosts[1], 0);
	oracle_on_emit(s, &s->hosts[0], &f);
}

/* What came is from nowhere that answered. */
static void relay_for_a_stranger(struct sim *s)
{
	struct flight f = leaving(s, PACKET_RELAY, 100);
	s->hosts[0].config.facilitator = FACILITATOR_OPEN;
	host_use(&s->hosts[1], 0);
	f.source = hostile_replayer_address();
	f.origin = 1;
	oracle_on_receive(s, &s->hosts[0], &f);
	f.destination = world_address(s, &s->hosts[1]);
	oracle_on_emit(s, &s->hosts[0], &f);
}

static void serve_too_many(struct sim *s)
{
	struct facilitator_role role = { .clients = s->hosts[0].config.max_clients + 2 };
	oracle_check_role(s, &s->hosts[0], &role);
}

static void relay_between_too_many(struct sim *s)
{
	struct host *h = &s->hosts[0];
	struct facilitator_role role = { .channels = h->config.max_clients };
	role.channels *= h->config.relay_channels;
	oracle_check_role(s, h, &role);
}

static void probe_a_neighbour(struct sim *s)
{
	struct flight f = leaving(s, PACKET_HS1, HS1_LEN);
	f.destination = addr_v4(192, 168, 1, 1, HOST_PORT);
	oracle_on_emit(s, &s->hosts[0], &f);
}

static void call_without_end(struct sim *s)
{
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	struct hs1_payload payload = { .peer = a->self.id, .seq = 1, .instance = 1, .suites = 1 };
	struct seed chance;
	seed_init(&chance, 1, 1);
	struct rng rng = seed_rng(&chance);
	struct handshake hs;
	struct hs1_config config = { .net = &a->config.network,
		.self = &a->self,
		.remote_dh = b->self.dh_public,
		.index = 1,
		.payload = &payload };
	if (handshake_start(&hs, &config, &rng) != OV_OK)
		return;
	struct flight f = leaving(s, PACKET_HS1, HS1_LEN);
	f.destination = world_address(s, b);
	memcpy(f.data, hs.hs1, HS1_LEN);
	for (int i = 0; i < 100; i++)
		oracle_on_emit(s, a, &f);
	handshake_wipe(&hs);
}

static void answer_the_forger(struct sim *s)
{
	struct flight f = leaving(s, PACKET_HS2, 128);
	f.destination = hostile_forger_address();
	oracle_on_sink(s, &f);
}

static void use_two_paths(struct sim *s)
{
	s->oracle.paths[0].active = s->oracle.paths[1].active = true;
	oracle_check_paths(s, &s->hosts[0], &s->hosts[0].friends[0], 2);
}

static void have_many_paths(struct sim *s)
{
	memset(s->oracle.paths, 0, sizeof(s->oracle.paths));
	oracle_check_paths(s, &s->hosts[0], &s->hosts[0].friends[0], 17);
}

static void invent_a_packet(struct sim *s)
{
	struct ip6_pair pair = { .source_port = 1, .destination_port = 2 };
	uint8_t packet[IP6_MTU];
	memcpy(pair.source, s->hosts[0].inner_ip, 16);
	memcpy(pair.destination, s->hosts[1].inner_ip, 16);
	size_t len = ip6_udp(packet, &pair, (const uint8_t *)"", 0);
	oracle_on_inbound(s, &s->hosts[1], packet, len);
}

static void deliver_twice(struct sim *s)
{
	struct ip6_pair pair = { .source_port = 1, .destination_port = 2 };
	uint8_t packet[IP6_MTU];
	memcpy(pair.source, s->hosts[0].inner_ip, 16);
	memcpy(pair.destination, s->hosts[1].inner_ip, 16);
	struct ip_packet p = { .data = packet,
		.len = ip6_udp(packet, &pair, (const uint8_t *)"", 0) };
	oracle_on_submit(s, &s->hosts[0], &p);
	for (int i = 0; i < 3; i++)
		oracle_on_inbound(s, &s->hosts[1], packet, p.len);
}

static void cut_the_link(struct sim *s)
{
	net_cut(&s->net, world_iface(s, &s->hosts[1], 0), true);
}

static void disagree(struct sim *s)
{
	cut_the_link(s);
	host_stop(&s->hosts[0]);
	host_start(s, &s->hosts[0], 1, true);
	oracle_check_agreement(s);
}

static void be_dead(struct sim *s)
{
	cut_the_link(s);
	recovery_talk(s);
}

static void talk_in_silence(struct sim *s)
{
	recovery_hush(s);
	host_talk(s, &s->hosts[0], 1, TALK_UDP, OV_SEC, OV_NEVER);
	recovery_watch(s);
}

static void tick_for_nothing(struct sim *s)
{
	s->hosts[0].busy_ticks = 100000;
	oracle_check_host(s, &s->hosts[0]);
}

static void ask_time(struct sim *s)
{
	nonce_wall_jump(-1000000000);
	time(NULL);
	oracle_check_host(s, &s->hosts[0]);
}

static void ask_clock(struct sim *s)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	oracle_check_host(s, &s->hosts[0]);
}

static void ask_day(struct sim *s)
{
	struct timeval t;
	gettimeofday(&t, NULL);
	oracle_check_host(s, &s->hosts[0]);
}

static void draw_from_kernel(struct sim *s)
{
	uint8_t byte;
	if (getrandom(&byte, 1, 0) == 1)
		oracle_check_host(s, &s->hosts[0]);
}

static void draw_from_sodium(struct sim *s)
{
	uint8_t byte;
	randombytes_buf(&byte, 1);
	oracle_check_host(s, &s->hosts[0]);
}

/* ---- streams ---- */

/* From a to b, 1 MB; b has taken it, and read a little. */
static struct app_end *stream_under_way(struct sim *s)
{
	struct app_manner writer = { .size = 1000000 };
	struct app_manner reader = { .read_most = 1000, .read_every = 20 * OV_MS };
	struct app_stream *x = apps_open(s, &s->hosts[0], 1, &writer, &reader);
	sim_run_for(s, OV_SEC);
	return x->end[APP_TAKER];
}

static void read_other_bytes(struct sim *s)
{
	struct app_end *e = stream_under_way(s);
	apps_bytes(e->of, APP_OPENER, e->of->way[APP_OPENER].read, s->scratch, 2);
	s->scratch[1] ^= 1;
	oracle_on_stream_bytes(s, e, s->scratch, 2);
}

static void read_unwritten_bytes(struct sim *s)
{
	struct app_end *e = stream_under_way(s);
	e->of->way[APP_OPENER].read = e->of->way[APP_OPENER].written;
	apps_bytes(e->of, APP_OPENER, e->of->way[APP_OPENER].read, s->scratch, 1);
	oracle_on_stream_bytes(s, e, s->scratch, 1);
}

static void end_early(struct sim *s)
{
	oracle_on_stream_end(s, stream_under_way(s));
}

static void take_a_stream_of_nobody(struct sim *s)
{
	(void)oracle_stream_find(s, stream_under_way(s), 42);
}

static void tell(struct sim *s, enum app_side side, uint8_t events, uint32_t code)
{
	struct app_end *e = stream_under_way(s)->of->end[side];
	struct node_stream_event event = { .stream = e->handle,
		.user = e,
		.events = events,
		.reset_code = code,
		.stop_code = code };
	oracle_on_stream_event(s, e, &event);
}

static void reset_by_nobody(struct sim *s)
{
	tell(s, APP_TAKER, STREAM_RESET, STREAM_CANCELLED);
}

static void restarted_without_restart(struct sim *s)
{
	s->hosts[0].started_at -= 10 * OV_SEC;
	tell(s, APP_TAKER, STREAM_STOPPED, STREAM_PEER_RESTARTED);
}

static void lose_what_arrived(struct sim *s)
{
	struct app_end *e = stream_under_way(s);
	e->of->way[APP_OPENER].is_delivered = true;
	s->hosts[0].started_at = s->now;
	struct node_stream_event event = { .stream = e->handle, .user = e };
	event.events = STREAM_RESET;
	event.reset_code = STREAM_PEER_RESTARTED;
	oracle_on_stream_event(s, e, &event);
}

static void finished_unfinished(struct sim *s)
{
	tell(s, APP_OPENER, STREAM_FINISHED, 0);
}

static void room_for_nobody(struct sim *s)
{
	tell(s, APP_TAKER, STREAM_WRITABLE, 0);
}

static void keep_too_much(struct sim *s)
{
	const struct app_stream *x = stream_under_way(s)->of;
	x->end[APP_OPENER]->of->way[APP_OPENER].written += 20000000;
	oracle_on_stream_written(s, x->end[APP_OPENER]);
}

static void be_stuck(struct sim *s)
{
	(void)stream_under_way(s);
	cut_the_link(s);
	recovery_finish_streams(s);
}

static void keep_a_stream(struct sim *s)
{
	(void)stream_under_way(s);
	oracle_check_streams_freed(s);
}

static const struct {
	const char *name, *invariant;
	void (*provoke)(struct sim *s);
} cases[] = {
	{ "one nonce, two packets", "nonce", seal_twice },
	{ "one nonce, two handshakes", "nonce", seal_handshake_twice },
	{ "bytes to an unknown address", "amplify", send_to_nobody },
	{ "relaying to whoever", "relay", relay_anywhere },
	{ "relaying what nobody sent", "relay", relay_of_its_own },
	{ "relaying for a stranger", "relay", relay_for_a_stranger },
	{ "too many clients", "limits", serve_too_many },
	{ "too many channels", "limits", relay_between_too_many },
	{ "a private address of others", "foreign", probe_a_neighbour },
	{ "a call without pause", "handshakes", call_without_end },
	{ "an answer to the forger", "reply", answer_the_forger },
	{ "two active paths", "one_path", use_two_paths },
	{ "seventeen paths", "limits", have_many_paths },
	{ "a packet that nobody sent", "inner", invent_a_packet },
	{ "a packet delivered thrice", "inner", deliver_twice },
	{ "one end forgot", "agree", disagree },
	{ "a dead link", "alive", be_dead },
	{ "talk when all is said", "idle", talk_in_silence },
	{ "ticks for nothing", "storm", tick_for_nothing },
	{ "bytes that nobody wrote", "bytes", read_other_bytes },
	{ "bytes beyond what was written", "bytes", read_unwritten_bytes },
	{ "a stream that ends early", "bytes", end_early },
	{ "a stream that nobody opened", "bytes", take_a_stream_of_nobody },
	{ "a stream reset by nobody", "reset", reset_by_nobody },
	{ "a restart that was none", "reset", restarted_without_restart },
	{ "bytes lost that had arrived", "reset", lose_what_arrived },
	{ "all arrived of what goes on", "events", finished_unfinished },
	{ "room for one who does not wait", "events", room_for_nobody },
	{ "more than the windows allow", "window", keep_too_much },
	{ "a stream without a network", "stuck", be_stuck },
	{ "a stream that is left", "freed", keep_a_stream },
	{ "time() after a jump of the wall clock", "pure", ask_time },
	{ "clock_gettime()", "pure", ask_clock },
	{ "gettimeofday()", "pure", ask_day },
	{ "getrandom()", "pure", draw_from_kernel },
	{ "randombytes_buf()", "pure", draw_from_sodium },
};

/* Two hosts that talk, sound so far; then the provocation. */
static bool fires(const char *name, const char *invariant, void (*provoke)(struct sim *s))
{
	struct sim *s = sim_new(1, 2);
	struct host *a = world_public(s, addr_v4(198, 51, 100, 1, 0), 10 * OV_MS);
	struct host *b = world_public(s, addr_v4(203, 0, 113, 2, 0), 10 * OV_MS);
	world_befriend(s, a, b, world_address(s, b));
	world_start_all(s);
	recovery_talk(s);
	bool sound = !sim_failed(s);
	if (sound)
		provoke(s);
	bool ok = sound && s->oracle.broken && strcmp(s->oracle.broken, invariant) == 0;
	printf("%-10s %-38s %s\n", invariant, name,
		ok              ? "fires"
		: !sound        ? "broken before"
		: sim_failed(s) ? "breaks another"
				: "IS BLIND");
	sim_free(s);
	return ok;
}

bool selftest_run(void)
{
	bool ok = true;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ok = fires(cases[i].name, cases[i].invariant, cases[i].provoke) && ok;
	return ok;
}
