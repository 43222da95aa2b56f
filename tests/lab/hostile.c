/* hostile - what a lab daemon is linked with to break one rule (ld --wrap).
 *
 * WRAP_OUTBOUND: a sender without the check of its own packets; every one goes to the peer whose
 * /64 is in OVERLAY_LAB_PREFIX (16 hex digits), whatever its addresses say.
 * WRAP_INBOUND: a receiver without the filter: the proof that the test sees a missing rule. */
#include "overlay/filter.h"

#include <stdlib.h>
#include <string.h>

#ifdef WRAP_OUTBOUND
enum drop __wrap_filter_outbound(
	struct filter *f, ov_time now, const uint8_t *packet, size_t len, uint8_t peer_prefix[8]);

enum drop __wrap_filter_outbound(
	struct filter *f, ov_time now, const uint8_t *packet, size_t len, uint8_t peer_prefix[8])
{
	(void)f, (void)now, (void)packet, (void)len;
	uint64_t prefix = strtoull(getenv("OVERLAY_LAB_PREFIX"), NULL, 16);
	for (int i = 7; i >= 0; i--, prefix >>= 8)
		peer_prefix[i] = (uint8_t)prefix;
	return DROP_NONE;
}
#else
enum drop __wrap_filter_inbound(struct filter *f, ov_time now, const uint8_t peer_prefix[8],
	const struct grants *grants, const uint8_t *packet, size_t len);

enum drop __wrap_filter_inbound(struct filter *f, ov_time now, const uint8_t peer_prefix[8],
	const struct grants *grants, const uint8_t *packet, size_t len)
{
	(void)f, (void)now, (void)peer_prefix, (void)grants, (void)packet, (void)len;
	return DROP_NONE;
}
#endif
