/* Facilitators that contacts offer each other: what is told, what is taken, kept and forgotten. */
#include "tests/unit/seeded.h"

#include "core/frame.h"
#include "overlay/api_impl.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/fake_node.h"

#define NOW    (100 * OV_SEC)
#define WALL_S INT64_C(1795258140)
#define DAY_S  INT64_C(86400)
#define STORE  80

struct scene {
	struct node node;
	struct api_facts facts;
	struct api *api;
	struct identity self, friend;
	struct store_request posted[STORE];
	size_t posted_count;
	uint64_t random;
	size_t differs;
	int64_t ahead_s;
};

static struct identity identity(uint8_t number)
{
	uint8_t seed[32] = { 78, number };
	struct identity id;
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	return id;
}

static int post_take(void *context, struct store_request *r)
{
	struct scene *s = context;
	assert_true(s->posted_count < STORE);
	s->posted[s->posted_count++] = *r;
	return OV_OK;
}

static void clock_differs(void *context, const char *name, int64_t ahead_s)
{
	struct scene *s = context;
	assert_string_equal(name, "friend");
	s->differs++;
	s->ahead_s = ahead_s;
}

static void know(struct scene *s, const struct peer_id *id, const char *allow)
{
	struct contact c = { .id = *id, .name = "friend", .grants = grants_default() };
	assert_int_equal(grants_add(&c.grants, allow), OV_OK);
	assert_int_equal(node_contact_put(&s->node, NOW, &c, false), OV_OK);
	contact_fini(&c);
}

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	s->facts = (struct api_facts){ .version = "0", .state_dir = "/" };
	s->self = identity(1);
	s->friend = identity(2);
	s->random = 4;
	s->node.facilitator = identity(50).id;
	struct api_config cfg = { .node = &s->node,
		.self = s->self.id,
		.facts = &s->facts,
		.context = s,
		.store_post_take = post_take,
		.identity = &s->self,
		.clock_differs = clock_differs,
		.rng = { .fill = seeded_fill, .context = &s->random } };
	s->api = api_new(&cfg, NOW);
	api_set_wall(s->api, NOW, WALL_S * 1000);
	know(s, &s->friend.id, "tcp/22");
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;
	for (size_t i = 0; i < s->posted_count; i++)
		store_request_fini(&s->posted[i]);
	fake_node_fini(&s->node);
	api_free(s->api);
	free(s);
	return 0;
}

static void comes_up(struct scene *s)
{
	api_on_event(
		s->api, NOW, &(struct node_event){ .type = NODE_PEER_UP, .peer = s->friend.id });
}

static void sign(struct scene *s, const struct identity *giver, struct node_event *e)
{
	uint8_t secret[VOUCHER_SECRET_LEN];
	e->peer = giver->id;
	assert_true(node_offer_secret(&s->node, &giver->id, &s->self.id, &e->other, secret));
	struct voucher v = voucher_draft(&giver->id, &e->other, secret, e->token);
	voucher_sign(&v, giver);
	memcpy(e->signature, v.signature, sizeof(e->signature));
}

static struct node_event offer_of(struct scene *s, uint8_t facilitator, int64_t expires_s)
{
	struct node_event e = { .type = NODE_RELAY_OFFERED,
		.other = identity(facilitator).id,
		.addr = addr_v4(203, 0, 113, facilitator, 27182),
		.token = (uint64_t)expires_s };
	sign(s, &s->friend, &e);
	return e;
}

static void hears(struct scene *s, uint8_t facilitator, int64_t expires_s)
{
	struct node_event e = offer_of(s, facilitator, expires_s);
	api_on_event(s->api, NOW, &e);
}

static void a_contact_is_told_who_serves_us(void **state)
{
	struct scene *s = *state;
	comes_up(s);
	assert_int_equal(s->node.offer_count, 1);
	const struct relay_offer *o = &s->node.offers[0];
	assert_true(peer_id_equal(&o->facilitator, &s->node.facilitator));
	assert_int_equal(o->expires_s, WALL_S + 30 * DAY_S);
	assert_int_equal(o->endpoint.port, 27182); /* not that of our way there */
	/* The facilitator would let in whoever knows the token. */
	uint8_t secret[VOUCHER_SECRET_LEN], token[VOUCHER_TOKEN_LEN];
	assert_true(
		node_offer_secret(&s->node, &s->self.id, &s->friend.id, &o->facilitator, secret));
	struct voucher v = voucher_draft(&s->self.id, &o->facilitator, secret, o->expires_s);
	memcpy(v.signature, o->signature, sizeof(v.signature));
	voucher_token(token, secret);
	assert_int_equal(
		voucher_check(&v, &o->facilitator, token, (uint64_t)WALL_S + 29 * DAY_S), OV_OK);
}

static void we_offer_ourselves_with_the_grant(void **state)
{
	struct scene *s = *state;
	know(s, &s->friend.id, "relay");
	comes_up(s);
	assert_int_equal(s->node.offer_count, 2);
	assert_true(peer_id_equal(&s->node.offers[0].facilitator, &s->self.id));
	assert_true(addr_is_any(&s->node.offers[0].endpoint));
}

static void a_facilitator_that_does_not_serve_us_is_not_named(void **state)
{
	struct scene *s = *state;
	s->node.unregistered = true;
	comes_up(s);
	assert_int_equal(s->node.offer_count, 0);
	s->node.offer_count = 9; /* nobody's contact hears nothing */
	api_on_event(
		s->api, NOW, &(struct node_event){ .type = NODE_PEER_UP, .peer = identity(9).id });
	assert_int_equal(s->node.offer_count, 9);
}

/* What we said before was of the wrong time, and who holds it waits for the right one. */
static void we_offer_again_when_our_clock_is_set(void **state)
{
	struct scene *s = *state;
	s->node.state = PEER_UP;
	api_set_wall(s->api, NOW, (WALL_S - 365 * DAY_S) * 1000);
	comes_up(s);
	assert_int_equal(s->node.offers[0].expires_s, WALL_S - 335 * DAY_S);
	s->node.offer_count = 0;
	api_set_wall(s->api, NOW, (WALL_S - 365 * DAY_S + 60) * 1000);
	assert_int_equal(s->node.offer_count, 0); /* no news */
	api_set_wall(s->api, NOW, WALL_S * 1000);
	assert_int_equal(s->node.offer_count, 1);
	assert_int_equal(s->node.offers[0].expires_s, WALL_S + 30 * DAY_S);
	s->node.offer_count = 0;
	s->node.state = PEER_IDLE;
	api_set_wall(s->api, NOW, (WALL_S + DAY_S) * 1000);
	assert_int_equal(s->node.offer_count, 0); /* it hears with the next session */
}

static void an_offer_is_used_and_kept(void **state)
{
	struct scene *s = *state;
	hears(s, 60, WALL_S + 30 * DAY_S);
	assert_int_equal(s->node.facilitators, 1);
	assert_int_equal(s->posted_count, 1);
	assert_int_equal(s->posted[0].op, STORE_FACILITATOR_PUT);
	struct voucher v;
	const struct store_facilitator *f = s->posted[0].facilitator;
	assert_int_equal(voucher_decode(&v, f->voucher, sizeof(f->voucher)), OV_OK);
	assert_true(peer_id_equal(&v.inviter, &s->friend.id));
	assert_int_equal(v.expires_s, WALL_S + 30 * DAY_S);
	hears(s, 60, WALL_S + 30 * DAY_S + 3600); /* said again with the next session: no news */
	assert_int_equal(s->posted_count, 1);
	hears(s, 60, WALL_S + 31 * DAY_S);
	assert_int_equal(s->posted_count, 2);
}

/* It may be a third party's: asked like any other that somebody names. */
static void its_address_is_only_a_claim(void **state)
{
	struct scene *s = *state;
	hears(s, 60, WALL_S + 30 * DAY_S);
	struct ov_addr at = addr_v4(203, 0, 113, 60, 27182);
	assert_int_equal(s->node.written_endpoints, 0);
	assert_int_equal(s->node.candidates, 1);
	assert_true(addr_equal(&s->node.candidate, &at));
	assert_int_equal(s->node.candidate_source, SOURCE_PEER);
}

/* What serves us by one contact's word is not for another to spoil. */
static void another_giver_waits_until_the_first_is_late(void **state)
{
	struct scene *s = *state;
	struct identity other = identity(3);
	know(s, &other.id, "tcp/22");
	hears(s, 60, WALL_S + 20 * DAY_S);
	s->node.facilitator = identity(60).id;
	struct node_event e = offer_of(s, 60, WALL_S + 30 * DAY_S);
	sign(s, &other, &e);
	api_on_event(s->api, NOW, &e);
	assert_int_equal(s->posted_count, 1);
	hears(s, 60, WALL_S + 22 * DAY_S);
	assert_int_equal(s->posted_count, 2);
	api_set_wall(s->api, NOW, (WALL_S + 16 * DAY_S) * 1000);
	api_on_event(s->api, NOW, &e);
	assert_int_equal(s->posted_count, 3);
	struct voucher v;
	const struct store_facilitator *f = s->posted[2].facilitator;
	assert_int_equal(voucher_decode(&v, f->voucher, sizeof(f->voucher)), OV_OK);
	assert_true(peer_id_equal(&v.inviter, &other.id));
}

static void nonsense_is_not_taken(void **state)
{
	struct scene *s = *state;
	hears(s, 60, -1);
	hears(s, 60, INT64_MAX); /* no clock is that wrong */
	hears(s, 60, WALL_S + 40000 * DAY_S);
	assert_int_equal(s->api->held_count, 0);
	assert_int_equal(s->differs, 0);
	struct node_event e = offer_of(s, 60, WALL_S + DAY_S);
	struct identity stranger = identity(9);
	sign(s, &stranger, &e);
	api_on_event(s->api, NOW, &e);
	e = offer_of(s, 60, WALL_S + DAY_S);
	e.signature[5] ^= 1; /* nobody's word */
	api_on_event(s->api, NOW, &e);
	e.other = s->node.facilitator; /* one of ours already */
	sign(s, &s->friend, &e);
	api_on_event(s->api, NOW, &e);
	e.other = s->self.id;
	sign(s, &s->friend, &e);
	api_on_event(s->api, NOW, &e);
	assert_int_equal(s->node.facilitators, 0);
	assert_int_equal(s->posted_count, 0);
}

static void what_the_clock_is_against_waits(void **state)
{
	struct scene *s = *state;
	for (int years = -3; years <= 3; years += 6) {
		int64_t wrong_s = WALL_S + years * 365 * DAY_S;
		s->differs = 0;
		api_set_wall(s->api, NOW, wrong_s * 1000);
		size_t before = s->posted_count;
		uint8_t facilitator = (uint8_t)(65 + years);
		hears(s, facilitator, WALL_S + 30 * DAY_S);
		hears(s, facilitator, WALL_S + 30 * DAY_S);
		assert_int_equal(s->posted_count, before);
		assert_int_equal(s->differs, 1); /* said once */
		assert_int_equal(s->ahead_s, -years * 365 * DAY_S);
		json_t *clock = api_json_clock(s->api, NOW);
		assert_string_equal(json_string_value(json_object_get(clock, "name")), "friend");
		assert_int_equal(json_integer_value(json_object_get(clock, "ahead_s")),
			-years * 365 * DAY_S);
		json_decref(clock);
		api_set_wall(s->api, NOW, WALL_S * 1000); /* and right now */
		assert_int_equal(s->posted_count, before + 1);
		assert_int_equal(s->posted[before].op, STORE_FACILITATOR_PUT);
		assert_true(json_is_null(api_json_clock(s->api, NOW)));
	}
}

static void what_waits_for_the_clock_is_bounded_and_ends_with_its_giver(void **state)
{
	struct scene *s = *state;
	for (uint8_t i = 0; i < 20; i++)
		hears(s, (uint8_t)(60 + i), WALL_S - DAY_S);
	assert_int_equal(s->differs, 1);
	assert_int_equal(s->api->held_count, API_OFFERED_MAX);
	assert_int_equal(node_contact_remove(&s->node, &s->friend.id), OV_OK);
	api_set_wall(s->api, NOW, WALL_S * 1000);
	assert_int_equal(s->api->held_count, 0);
	assert_int_equal(s->posted_count, 0);
}

static void there_are_four_at_most(void **state)
{
	struct scene *s = *state;
	struct peer_id first = identity(63).id;
	for (uint8_t i = 0; i < 8; i++) /* none of them serves us: the first to expire makes room */
		hears(s, (uint8_t)(60 + i), WALL_S + (10 + i) * DAY_S);
	assert_int_equal(s->node.facilitators, 4);
	assert_true(peer_id_equal(&s->node.removed, &first));
}

static void who_refuses_expires_or_is_nobodys_is_forgotten(void **state)
{
	struct scene *s = *state;
	struct peer_id ours = s->node.facilitator;
	hears(s, 60, WALL_S + 10 * DAY_S);
	s->node.facilitator = identity(60).id; /* the fake node knows one */
	s->node.unregistered = true;
	s->node.facilitator_refused = RELAY_REASON_QUOTA;
	api_set_wall(s->api, NOW, WALL_S * 1000);
	assert_int_equal(s->node.facilitators, 1); /* may change its mind */
	s->node.facilitator_refused = RELAY_REASON_DENIED;
	api_set_wall(s->api, NOW, WALL_S * 1000);
	assert_int_equal(s->node.facilitators, 0);
	assert_int_equal(s->posted[1].op, STORE_FACILITATOR_REMOVE);
	s->node.facilitator = ours;
	s->node.facilitator_refused = 0;

	hears(s, 61, WALL_S + 10 * DAY_S);
	assert_int_equal(s->node.facilitators, 1);
	api_set_wall(s->api, NOW, (WALL_S + 11 * DAY_S) * 1000);
	assert_int_equal(s->node.facilitators, 0);

	hears(s, 62, WALL_S + 20 * DAY_S);
	assert_int_equal(s->node.facilitators, 1);
	assert_int_equal(node_contact_remove(&s->node, &s->friend.id), OV_OK);
	api_set_wall(s->api, NOW, (WALL_S + 11 * DAY_S) * 1000);
	assert_int_equal(s->node.facilitators, 0);
}

/* Who offered itself is known as facilitator as long as it is one. */
static void who_offered_itself_and_is_removed_is_forgotten(void **state)
{
	struct scene *s = *state;
	struct node_event e = offer_of(s, 60, WALL_S + 20 * DAY_S);
	e.other = s->friend.id;
	e.addr = (struct ov_addr){ 0 };
	sign(s, &s->friend, &e);
	api_on_event(s->api, NOW, &e);
	assert_int_equal(s->node.facilitators, 1);
	struct contact plain = { .id = s->friend.id, .source = CONTACT_FACILITATOR };
	assert_int_equal(node_contact_put(&s->node, NOW, &plain, false), OV_OK);
	api_set_wall(s->api, NOW, WALL_S * 1000);
	assert_int_equal(s->node.facilitators, 0);
	assert_int_equal(s->posted[1].op, STORE_FACILITATOR_REMOVE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_contact_is_told_who_serves_us, setup, teardown),
		cmocka_unit_test_setup_teardown(we_offer_ourselves_with_the_grant, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_facilitator_that_does_not_serve_us_is_not_named, setup, teardown),
		cmocka_unit_test_setup_teardown(
			we_offer_again_when_our_clock_is_set, setup, teardown),
		cmocka_unit_test_setup_teardown(an_offer_is_used_and_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(its_address_is_only_a_claim, setup, teardown),
		cmocka_unit_test_setup_teardown(
			another_giver_waits_until_the_first_is_late, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_is_not_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_clock_is_against_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_waits_for_the_clock_is_bounded_and_ends_with_its_giver, setup,
			teardown),
		cmocka_unit_test_setup_teardown(there_are_four_at_most, setup, teardown),
		cmocka_unit_test_setup_teardown(
			who_refuses_expires_or_is_nobodys_is_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(
			who_offered_itself_and_is_removed_is_forgotten, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
