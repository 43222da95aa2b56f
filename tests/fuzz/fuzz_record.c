/* Record: the input as it is, and the input as the body of a record that its owner did sign. */
#include "discovery/record.h"

#include "core/bytes.h"

#include <stdlib.h>

static void check(const uint8_t *data, size_t len)
{
	struct record r;
	if (record_decode(&r, data, len) != OV_OK)
		return;
	if (r.endpoint_count > RECORD_ENDPOINTS || r.relay_count > RECORD_RELAYS)
		abort();
	for (size_t i = 0; i < r.endpoint_count; i++)
		if (r.endpoints[i].addr.port == 0 ||
			addr_scope(&r.endpoints[i].addr) == ADDR_UNUSABLE)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct identity self;
	static const uint8_t seed[32] = { 1 };
	if (self.sign_secret[0] == 0 && self.sign_secret[1] == 0 &&
		identity_from_seed(&self, seed) != OV_OK)
		abort();
	check(data, len);
	if (len > RECORD_BODY_MAX)
		return 0;
	uint8_t signed_record[RECORD_MAX];
	struct record r = { .seq = 1, .ttl_s = 60 };
	(void)record_encode(&r, &self, signed_record);
	store_le16(signed_record + 56, (uint16_t)len);
	memcpy(signed_record + RECORD_FIXED, data, len);
	ov_sign(signed_record + RECORD_FIXED + len, &self, "OVL record v1", signed_record,
		RECORD_FIXED + len);
	check(signed_record, RECORD_FIXED + len + 64);
	return 0;
}
