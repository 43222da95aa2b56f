/* BEACON: any datagram. What decodes is encoded as we would. */
#include "discovery/beacon.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t key[32] = { 1 };
	struct beacon b;
	if (beacon_decode(&b, data, len) != DROP_NONE)
		return 0;
	if (len != BEACON_FIXED + b.count * BEACON_TAG_LEN || b.port == 0)
		abort();
	(void)beacon_is_from(&b, key, true);
	return 0;
}
