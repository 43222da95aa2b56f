/* What daemon and child say to each other survives the pipe; nothing else does. */
#include "tests/unit/seeded.h"

#include "discovery/portmap_pipe.h"

static struct portmap_request request(void)
{
	struct portmap_request r = { .id = 0x01020304,
		.op = PORTMAP_OP_UPNP,
		.local = addr_v4(192, 168, 1, 9, 27182),
		.gateway = addr_v4(192, 168, 1, 1, 0),
		.prefix_len = 24,
		.external_port = 5000,
		.lifetime_s = 7200 };
	r.gateway.scope = 3;
	return r;
}

static struct portmap_answer answer(void)
{
	return (struct portmap_answer){ .id = 77,
		.external = addr_v4(45, 1, 2, 3, 5000),
		.lifetime_s = 3600,
		.epoch_s = 12,
		.pinhole = 9,
		.code = 718 };
}

static void both_come_through(void **state)
{
	(void)state;
	uint8_t bytes[PORTMAP_REQUEST_LEN], back[PORTMAP_ANSWER_LEN];
	struct portmap_request r = request(), r2;
	portmap_request_encode(bytes, &r);
	assert_int_equal(portmap_request_decode(&r2, bytes), DROP_NONE);
	assert_memory_equal(&r.local, &r2.local, sizeof(r.local));
	assert_memory_equal(&r.gateway, &r2.gateway, sizeof(r.gateway));
	assert_int_equal(r2.id, r.id);
	assert_int_equal(r2.op, r.op);
	assert_int_equal(r2.prefix_len, 24);
	assert_int_equal(r2.external_port, 5000);
	assert_int_equal(r2.lifetime_s, 7200);
	r.op = PORTMAP_OP_UPNP_PINHOLE;
	r.local = (struct ov_addr){ .ip = { 0x2a, 0x45 }, .port = 1 };
	r.gateway = (struct ov_addr){ .ip = { 0xfe, 0x80 }, .scope = 3 };
	r.pinhole = 65535;
	portmap_request_encode(bytes, &r);
	assert_int_equal(portmap_request_decode(&r2, bytes), DROP_NONE);
	assert_int_equal(r2.pinhole, 65535);
	assert_int_equal(r2.gateway.scope, 3);

	struct portmap_answer a = answer(), a2;
	portmap_answer_encode(back, &a);
	assert_int_equal(portmap_answer_decode(&a2, back), DROP_NONE);
	assert_true(addr_equal(&a.external, &a2.external));
	assert_int_equal(a2.id, 77);
	assert_int_equal(a2.result, PORTMAP_DONE);
	assert_int_equal(a2.lifetime_s, 3600);
	assert_int_equal(a2.epoch_s, 12);
	assert_int_equal(a2.pinhole, 9);
	assert_int_equal(a2.code, 718);
}

static void no_mapping_without_an_address(void **state)
{
	(void)state;
	uint8_t bytes[PORTMAP_ANSWER_LEN];
	struct portmap_answer a = answer(), out;
	a.external.port = 0;
	portmap_answer_encode(bytes, &a);
	assert_int_equal(portmap_answer_decode(&out, bytes), DROP_FORMAT);
	a.result = PORTMAP_REFUSED; /* then it may be the router's own address */
	portmap_answer_encode(bytes, &a);
	assert_int_equal(portmap_answer_decode(&out, bytes), DROP_NONE);
	a = answer();
	a.external = addr_v4(0, 0, 0, 0, 5000);
	portmap_answer_encode(bytes, &a);
	assert_int_equal(portmap_answer_decode(&out, bytes), DROP_FORMAT);
}

static void what_is_none_is_refused(void **state)
{
	(void)state;
	static const struct {
		size_t at;
		uint8_t value;
	} in_request[] = { { 0, 'p' }, { 1, 2 }, { 2, 3 }, { 2, PORTMAP_OP_UPNP_PINHOLE },
		{ 3, 33 }, { 8, 0x20 }, { 28, 0x20 }, { 54, 1 }, { 55, 1 } },
	  in_answer[] = { { 0, 'P' }, { 1, 0 }, { 2, 4 }, { 3, 1 }, { 38, 1 }, { 39, 1 } };
	uint8_t bytes[PORTMAP_REQUEST_LEN], back[PORTMAP_ANSWER_LEN];
	struct portmap_request r = request(), r2;
	struct portmap_answer a = answer(), a2;
	for (size_t i = 0; i < sizeof(in_request) / sizeof(in_request[0]); i++) {
		portmap_request_encode(bytes, &r);
		bytes[in_request[i].at] = in_request[i].value;
		assert_int_equal(portmap_request_decode(&r2, bytes), DROP_FORMAT);
	}
	for (size_t i = 0; i < sizeof(in_answer) / sizeof(in_answer[0]); i++) {
		portmap_answer_encode(back, &a);
		back[in_answer[i].at] = in_answer[i].value;
		assert_int_equal(portmap_answer_decode(&a2, back), DROP_FORMAT);
	}
	r.local.port = 0;
	portmap_request_encode(bytes, &r);
	assert_int_equal(portmap_request_decode(&r2, bytes), DROP_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_come_through),
		cmocka_unit_test(no_mapping_without_an_address),
		cmocka_unit_test(what_is_none_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
