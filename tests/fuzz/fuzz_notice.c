/* NOTICE: any datagram, also with a header that is right. What decodes is what we would send. */
#include "discovery/notice.h"

#include <stdlib.h>
#include <string.h>

static void decode(const uint8_t *data, size_t len)
{
	static struct identity self;
	static const uint8_t seed[32] = { 1 };
	uint8_t again[NOTICE_LEN];
	struct notice n;
	if (notice_decode(&n, data, len) != DROP_NONE)
		return;
	if (!notice_is(data, len) || !notice_name_ok(n.name) || n.port == 0)
		abort();
	if (identity_from_seed(&self, seed) != OV_OK)
		abort();
	notice_encode(again, &n, &self);
	if (memcmp(again, data, NOTICE_LEN - 64) != 0)
		abort();
	(void)notice_is_signed(&n, data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t whole[NOTICE_LEN] = { PACKET_BEACON, NOTICE_FLAG };
	decode(data, len);
	if (len <= NOTICE_LEN - HEADER_LEN && len > 0)
		memcpy(whole + HEADER_LEN, data, len);
	decode(whole, sizeof(whole));
	return 0;
}
