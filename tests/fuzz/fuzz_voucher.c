/* Voucher: any bytes. What decodes is encoded to the same bytes, and admits nobody by chance. */
#include "discovery/voucher.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t token[VOUCHER_TOKEN_LEN] = { 1 };
	uint8_t again[VOUCHER_LEN];
	struct voucher v;
	if (voucher_decode(&v, data, len) != OV_OK)
		return 0;
	voucher_encode(&v, again);
	if (len != VOUCHER_LEN || memcmp(again, data, len) != 0)
		abort();
	if (voucher_check(&v, &v.facilitator, token, 0) == OV_OK)
		abort();
	return 0;
}
