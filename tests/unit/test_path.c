/* One path against a peer made of frames: validation, budget, liveness, keepalive, PMTU probes. */
#include "tests/unit/seeded.h"

#include "core/packet.h"
#include "core/path.h"

static uint64_t seed = 9;
static const struct rng rng = { .fill = seeded_fill, .context = &seed };
static const struct ov_addr here = { .ip = { [10] = 255, [11] = 255, 10, 0, 0, 1 }, .port = 5 };

static struct path make(ov_time now)
{
	struct path p;
	struct dgram where = { .local = here, .remote = addr_v4(192, 0, 2, 7, 7) };
	path_init(&p, now, &where, PMTU_MAX);
	return p;
}

/* What one poll said. */
struct said {
	bool spoke, challenge, response, status;
	uint16_t pad_to;
	struct path_challenge asked;
	struct path_response answer;
};

static struct said poll_path(struct path *p, ov_time now)
{
	uint8_t plain[256];
	struct wr w = wr_init(plain, sizeof(plain));
	struct said s = { 0 };
	struct frame f;
	s.spoke = path_poll(p, now, &rng, &w, &s.pad_to);
	assert_true(wr_len(&w) + PACKET_OVERHEAD <= PATH_CONTROL_MAX);
	struct rd r = rd_init(plain, wr_len(&w));
	while (frame_next(&r, &f) == 1) {
		s.challenge |= f.type == FRAME_PATH_CHALLENGE;
		s.response |= f.type == FRAME_PATH_RESPONSE;
		s.status |= f.type == FRAME_PATH_STATUS;
		if (f.type == FRAME_PATH_CHALLENGE)
			s.asked = f.as.challenge;
		if (f.type == FRAME_PATH_RESPONSE)
			s.answer = f.as.response;
	}
	if (s.spoke)
		path_on_sent(p, now, s.pad_to ? s.pad_to : wr_len(&w) + PACKET_OVERHEAD, 0);
	return s;
}

static enum path_answer answer(struct path *p, ov_time now, const struct said *s, uint32_t hold_us)
{
	struct path_response r = { .observed = here, .hold_us = hold_us };
	ov_time rtt;
	memcpy(r.token, s->asked.token, PATH_TOKEN_LEN);
	path_on_received(p, now, 75, 1, false);
	return path_on_response(p, now, &r, 0, &rtt);
}

/* A valid path with this RTT whose search for the PMTU is over. */
static struct path valid(ov_time *now, ov_time rtt)
{
	struct path p = make(*now);
	path_challenge(&p, *now);
	struct said s = poll_path(&p, *now);
	*now += rtt;
	assert_int_equal(answer(&p, *now, &s, 0), PATH_ANSWER_VALIDATED);
	s = poll_path(&p, *now);
	assert_int_equal(s.pad_to, PMTU_MAX);
	*now += rtt;
	assert_int_equal(answer(&p, *now, &s, 0), PATH_ANSWER_OK);
	assert_int_equal(path_mtu(&p), PMTU_MAX);
	assert_int_equal(path_deadline(&p), OV_NEVER);
	return p;
}

static void an_answer_validates(void **state)
{
	(void)state;
	ov_time now = OV_SEC;
	struct path p = make(now);
	assert_int_equal(path_deadline(&p), OV_NEVER); /* silent until asked to speak */
	assert_false(path_may_carry_data(&p));
	path_challenge(&p, now);
	assert_int_equal(p.state, PATH_PROBING);
	struct said s = poll_path(&p, now);
	assert_true(s.challenge && !s.response && !s.status && s.pad_to == 0);
	assert_false(poll_path(&p, now).spoke);
	struct said forged = s;
	forged.asked.token[0] ^= 1;
	assert_int_equal(answer(&p, now + OV_MS, &forged, 0), PATH_ANSWER_UNKNOWN);
	assert_int_equal(p.state, PATH_PROBING);
	assert_int_equal(answer(&p, now + 30 * OV_MS, &s, 10000), PATH_ANSWER_VALIDATED);
	assert_int_equal(p.rtt.smoothed, 20 * OV_MS); /* less what the peer held it */
	assert_int_equal(answer(&p, now + 40 * OV_MS, &s, 0), PATH_ANSWER_UNKNOWN);
	assert_false(p.natted); /* observed is what we think we are */
}

static void a_token_counts_once_and_hold_cannot_exceed(void **state)
{
	(void)state;
	ov_time now = OV_SEC;
	struct path p = make(now);
	path_challenge(&p, now);
	struct said s = poll_path(&p, now);
	assert_int_equal(answer(&p, now + 30 * OV_MS, &s, UINT32_MAX), PATH_ANSWER_VALIDATED);
	assert_int_equal(p.rtt.smoothed, 30 * OV_MS);
}

static void three_times_what_was_received(void **state)
{
	(void)state;
	ov_time now = OV_SEC;
	struct path p = make(now);
	assert_int_equal(path_budget(&p), 0);
	path_on_received(&p, now, 100, 1, true);
	assert_int_equal(path_budget(&p), 300);
	path_on_sent(&p, now, 250, 0);
	assert_int_equal(path_budget(&p), 50);
	path_challenge(&p, now);
	assert_false(poll_path(&p, now).spoke); /* 96 B may be needed */
	path_on_received(&p, now, 100, 1, false);
	path_challenge(&p, now);
	struct said s = poll_path(&p, now);
	assert_true(s.challenge);
	path_on_sent(&p, now, 1000, 0);
	assert_int_equal(path_budget(&p), 0);
	assert_int_equal(answer(&p, now, &s, 0), PATH_ANSWER_VALIDATED);
	assert_true(path_budget(&p) == SIZE_MAX);
}

/* Both punch, and what arrives first was sent before: each has asked as often as it may. */
static void questions_that_cross_are_answered(void **state)
{
	(void)state;
	ov_time now = OV_SEC;
	for (unsigned asked = 1; asked <= PATH_PROBES; asked++) {
		struct path p = make(now);
		for (unsigned i = 0; i < asked; i++) {
			path_challenge(&p, now);
			assert_true(poll_path(&p, now).challenge);
		}
		path_challenge(&p, now);
		path_on_received(&p, now, 44, 1, false);
		path_on_challenge(&p, now, &(struct path_challenge){ 0 }, 44, 0);
		assert_true(poll_path(&p, now).response);
		assert_true(path_budget(&p) < PATH_CONTROL_MAX); /* 3 x 44 and no more */
		assert_false(poll_path(&p, now).spoke);
	}
}

static void an_address_that_never_answers_is_given_up(void **state)
{
	(void)state;
	ov_time now = OV_SEC;
	struct path p = make(now);
	path_challenge(&p, now);
	static const unsigned wait_ms[] = { 200, 400, 800 };
	for (int i = 0; i < 3; i++) {
		assert_true(poll_path(&p, now).challenge);
		assert_int_equal(path_deadline(&p), now + wait_ms[i] * OV_MS);
		now = path_deadline(&p);
		assert_int_equal(path_tick(&p, now - 1), PATH_OK);
		assert_int_equal(path_tick(&p, now), i < 2 ? PATH_OK : PATH_GONE);
	}
	assert_int_equal(p.challenges_lost, 3);
}

static void a_valid_one_becomes_suspect_then_goes(void **state)
{
	(void)state;
	ov_time now = OV_SEC;
	struct path p = valid(&now, 20 * OV_MS);
	path_on_sent(&p, now, 500, 500);
	assert_false(path_is_doubtful(&p, now + 400 * OV_MS - 1));
	assert_true(path_is_doubtful(&p, now + 400 * OV_MS));
	assert_int_equal(path_deadline(&p), now + 400 * OV_MS);
	now += 400 * OV_MS;
	enum path_verdict v = path_tick(&p, now);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(v, PATH_OK);
		assert_true(poll_path(&p, now).challenge);
		now = path_deadline(&p);
		v = path_tick(&p, now);
	}
	assert_int_equal(v, PATH_BECAME_SUSPECT);
	assert_int_equal(p.state, PATH_SUSPECT);
	ov_time suspect = now;
	unsigned asked = 0;
	while (v != PATH_GONE) { /* asked once a second until it goes */
		now = path_deadline(&p);
		v = path_tick(&p, now);
		asked += poll_path(&p, now).challenge;
	}
	assert_int_equal(now, suspect + PATH_GONE_AFTER);
	assert_in_range(asked, 13, 15);
}

static void a_suspect_one_that_answers_is_valid_again(void **state)
{
	(void)state;
	ov_time now = OV_SEC;
	struct path p = valid(&now, 20 * OV_MS);
	p.state = PATH_SUSPECT;
	p.suspect_at = now;
	path_challenge(&p, now);
	struct said s = poll_path(&p, now);
	assert_int_equal(answer(&p, now + OV_MS, &s, 0), PATH_ANSWER_VALIDATED);
	assert_int_equal(p.suspect_at, OV_NEVER);
}

/* max(4 SRTT, 400 ms) to hear, max(SRTT, 200 ms) to say something. */
static void times_follow_the_rtt(void **state)
{
	(void)state;
	ov_time now = OV_SEC;
	struct path p = valid(&now, 300 * OV_MS);
	path_on_sent(&p, now, 500, 500);
	assert_false(path_is_doubtful(&p, now + 1200 * OV_MS - 1));
	assert_true(path_is_doubtful(&p, now + 1200 * OV_MS));
	path_on_received(&p, now, 500, 1, true);
	assert_false(path_is_doubtful(&p, now + 1200 * OV_MS));
	assert_int_equal(path_deadline(&p), now + 300 * OV_MS);
	assert_false(poll_path(&p, now + 300 * OV_MS - 1).spoke);
	struct said s = poll_path(&p, now + 300 * OV_MS);
	assert_true(s.spoke && !s.challenge && !s.response); /* empty: I hear you */
	assert_false(poll_path(&p, now + 300 * OV_MS).spoke);
	now += 10 * OV_SEC;
	struct path q = valid(&now, 20 * OV_MS);
	path_on_received(&q, now, 500, 1, true);
	assert_int_equal(path_deadline(&q), now + 200 * OV_MS);
	path_on_sent(&q, now + OV_MS, 100, 100); /* data says it too */
	assert_false(poll_path(&q, now + 200 * OV_MS).spoke);
	path_on_received(&q, now + 201 * OV_MS, 75, 1, false);
	assert_int_equal(path_deadline(&q), OV_NEVER); /* control needs no acknowledgement */
}

static void warm_paths_are_kept_and_others_are_silent(void **state)
{
	(void)state;
	ov_time now = OV_SEC;
	struct path p = valid(&now, 20 * OV_MS);
	path_keep_warm(&p, now, PATH_KEEPALIVE);
	ov_time at = p.sent_at + PATH_KEEPALIVE;
	assert_int_equal(path_deadline(&p), at);
	path_on_sent(&p, now + OV_SEC, 100, 0); /* anything sent puts it off */
	assert_int_equal(path_deadline(&p), now + OV_SEC + PATH_KEEPALIVE);
	now += OV_SEC;
	struct said s = { 0 };
	for (unsigned i = 1; i <= 3; i++) { /* one way twice, the third asks */
		now += PATH_KEEPALIVE;
		path_tick(&p, now);
		s = poll_path(&p, now);
		assert_true(s.spoke);
		assert_int_equal(s.challenge, i == 3);
		path_on_sent(&p, now, 32, 0);
		assert_true(path_deadline(&p) > now);
	}
	assert_true(path_deadline(&p) > now);
	answer(&p, now + 20 * OV_MS, &s, 0);
	path_keep_warm(&p, now, 0);
	assert_int_equal(path_deadline(&p), OV_NEVER);
}

static void questions_are_answered_at_a_bounded_rate(void **state)
{
	(void)state;
	ov_time now = OV_SEC;
	struct path p = valid(&now, 20 * OV_MS);
	unsigned answered = 0;
	for (uint8_t i = 0; i < 100; i++) {
		struct path_challenge c = { .token = { i } };
		path_on_challenge(&p, now, &c, 44, 0);
		struct said s = poll_path(&p, now + 3 * OV_MS);
		answered += s.response;
		if (!s.response)
			continue;
		assert_int_equal(s.answer.token[0], i);
		assert_int_equal(s.answer.hold_us, 3000);
		assert_int_equal(s.answer.received_size, 44);
		assert_true(addr_equal(&s.answer.observed, &p.remote));
	}
	assert_int_equal(answered, 20);
}

/* What a datagram waited in the socket is no part of the way: not here, and not for who asked. */
static void waiting_in_the_socket_is_no_round_trip(void **state)
{
	(void)state;
	ov_time now = OV_SEC;
	struct path p = valid(&now, 20 * OV_MS);
	struct path_challenge c = { .token = { 1 } };
	path_on_challenge(&p, now, &c, 44, 15 * OV_MS);
	path_ask(&p, now);
	struct said s = poll_path(&p, now + 3 * OV_MS);
	assert_int_equal(s.answer.hold_us, 18000);
	struct path_response r = { .observed = here, .hold_us = 1000 };
	ov_time rtt;
	memcpy(r.token, s.asked.token, PATH_TOKEN_LEN);
	path_on_response(&p, now + 39 * OV_MS, &r, 15 * OV_MS, &rtt);
	assert_int_equal(rtt, 20 * OV_MS);
	path_ask(&p, now + OV_SEC);
	s = poll_path(&p, now + OV_SEC);
	memcpy(r.token, s.asked.token, PATH_TOKEN_LEN);
	path_on_response(&p, now + OV_SEC + 2 * OV_MS, &r, OV_SEC, &rtt); /* it cannot be */
	assert_true(rtt >= 0 && rtt <= OV_MS);
}

/* RFC 9002 6.2.1: the other side may read what came up to RTT_MAX_DELAY late, and takes it off the
 * RTT. */
static void late_reading_is_allowed_for(void **state)
{
	(void)state;
	ov_time now = OV_SEC;
	struct path p = valid(&now, 50 * OV_MS);
	for (unsigned i = 0; i < 50; i++) { /* a steady path: no variance */
		now += OV_SEC;
		path_ask(&p, now);
		struct said s = poll_path(&p, now);
		path_tick(&p, now + 72 * OV_MS);
		assert_false(poll_path(&p, now + 72 * OV_MS).challenge);
		answer(&p, now + 72 * OV_MS, &s, 22000);
	}
	assert_int_equal(p.challenges_lost, 0);
}

static void handshakes_keep_the_binding_but_do_not_put_off_the_question(void **state)
{
	(void)state;
	ov_time now = OV_SEC;
	struct path p = valid(&now, 20 * OV_MS);
	path_keep_warm(&p, now, PATH_KEEPALIVE);
	ov_time due = p.keepalive_at;
	path_on_handshake_sent(&p, due - OV_SEC, 296);
	assert_int_equal(p.keepalive_at, due);
	for (unsigned i = 1; i <= 3; i++) { /* in place of three keepalives: then one asks */
		assert_true(path_keepalive_is_due(&p, due));
		path_on_handshake_sent(&p, due, 296);
		assert_int_equal(path_deadline(&p), due + PATH_KEEPALIVE);
		due += PATH_KEEPALIVE;
	}
	path_tick(&p, due);
	assert_true(poll_path(&p, due).challenge);
}

/* Asking often costs one question per round trip, and does not hide that none is answered. */
static void asking_again_waits_for_the_question_that_is_out(void **state)
{
	(void)state;
	ov_time now = OV_SEC, start;
	struct path p = valid(&now, 300 * OV_MS);
	unsigned asked = 0;
	enum path_verdict v = PATH_OK;
	for (start = now; v == PATH_OK && now < start + 20 * OV_SEC; now += 10 * OV_MS) {
		path_ask(&p, now);
		asked += poll_path(&p, now).challenge;
		v = path_tick(&p, now);
	}
	assert_int_equal(v, PATH_BECAME_SUSPECT);
	assert_int_equal(asked, 3);
}

/* An answer to an earlier question does not tell that the nomination arrived. */
static void a_nomination_stays_until_its_own_answer(void **state)
{
	(void)state;
	ov_time now = OV_SEC;
	struct path p = valid(&now, 20 * OV_MS);
	path_challenge(&p, now);
	struct said before = poll_path(&p, now);
	p.status_due = true;
	p.status_sequence = 7;
	path_challenge(&p, now);
	struct said with = poll_path(&p, now);
	assert_true(with.status && !before.status);
	answer(&p, now + OV_MS, &before, 0);
	assert_true(p.status_due);
	now = path_deadline(&p);
	path_tick(&p, now);
	with = poll_path(&p, now);
	assert_true(with.status); /* again */
	answer(&p, now + OV_MS, &with, 0);
	assert_false(p.status_due);
	assert_int_equal(path_deadline(&p), OV_NEVER);
}

static void a_lost_pmtu_probe_lowers_no_liveness(void **state)
{
	(void)state;
	ov_time now = OV_SEC;
	struct path p = make(now);
	path_challenge(&p, now);
	struct said s = poll_path(&p, now);
	answer(&p, now += 20 * OV_MS, &s, 0);
	unsigned probes = 0;
	for (int i = 0; i < 60 && path_deadline(&p) != OV_NEVER; i++) {
		s = poll_path(&p, now);
		if (s.pad_to > 1300) /* these do not pass */
			probes++;
		else if (s.pad_to > 0)
			answer(&p, now, &s, 0);
		ov_time next = path_deadline(&p);
		if (next - now > 5 * OV_SEC)
			break;
		now = ov_max(now, next);
		assert_int_equal(path_tick(&p, now), PATH_OK);
	}
	assert_true(probes >= 4);
	assert_in_range(path_mtu(&p), 1284, 1300);
	assert_int_equal(p.state, PATH_VALID);
	assert_int_equal(p.unanswered, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(questions_that_cross_are_answered),
		cmocka_unit_test(an_answer_validates),
		cmocka_unit_test(a_token_counts_once_and_hold_cannot_exceed),
		cmocka_unit_test(three_times_what_was_received),
		cmocka_unit_test(an_address_that_never_answers_is_given_up),
		cmocka_unit_test(a_valid_one_becomes_suspect_then_goes),
		cmocka_unit_test(a_suspect_one_that_answers_is_valid_again),
		cmocka_unit_test(times_follow_the_rtt),
		cmocka_unit_test(warm_paths_are_kept_and_others_are_silent),
		cmocka_unit_test(questions_are_answered_at_a_bounded_rate),
		cmocka_unit_test(waiting_in_the_socket_is_no_round_trip),
		cmocka_unit_test(late_reading_is_allowed_for),
		cmocka_unit_test(handshakes_keep_the_binding_but_do_not_put_off_the_question),
		cmocka_unit_test(asking_again_waits_for_the_question_that_is_out),
		cmocka_unit_test(a_nomination_stays_until_its_own_answer),
		cmocka_unit_test(a_lost_pmtu_probe_lowers_no_liveness),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
