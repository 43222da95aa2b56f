/* The pipe between daemon and child: what decodes is encoded as it came, byte for byte. */
#include "discovery/portmap_pipe.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len >= PORTMAP_REQUEST_LEN) {
		struct portmap_request r;
		uint8_t again[PORTMAP_REQUEST_LEN];
		if (portmap_request_decode(&r, data) == DROP_NONE) {
			portmap_request_encode(again, &r);
			if (memcmp(again, data, sizeof(again)) != 0)
				abort();
		}
	}
	if (len >= PORTMAP_ANSWER_LEN) {
		struct portmap_answer a;
		uint8_t again[PORTMAP_ANSWER_LEN];
		if (portmap_answer_decode(&a, data) == DROP_NONE) {
			portmap_answer_encode(again, &a);
			if (memcmp(again, data, sizeof(again)) != 0)
				abort();
		}
	}
	return 0;
}
