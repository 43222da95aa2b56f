/* The inner packet parser and both directions of the filter. First byte: what is granted and which
 * addresses are made right, so that the fuzzer gets behind the address checks. */
#include "overlay/filter.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t own[8] = { 0xfd, 1 }, peer[8] = { 0xfd, 2 };

static void zeros(void *context, void *out, size_t len)
{
	(void)context;
	memset(out, 0, len);
}

static void check(bool condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct rng rng = { .fill = zeros };
	if (size < 1 || size > 65536)
		return 0;
	const ov_time now = OV_SEC;
	struct filter *f = filter_new(64, own, &rng);
	uint8_t mode = *data++;
	uint8_t *packet = malloc(--size ? size : 1); /* its own block: ASan sees each overrun */
	memcpy(packet, data, size);
	if (size >= 40 && (mode & 1)) {
		packet[0] = 0x60;
		packet[4] = (uint8_t)((size - 40) >> 8);
		packet[5] = (uint8_t)(size - 40);
		memcpy(packet + 8, mode & 2 ? own : peer, 8);
		memcpy(packet + 24, mode & 2 ? peer : own, 8);
	}
	struct inner in;
	bool ok = inner_parse(&in, packet, size);
	check(!ok || (in.transport >= 40 && in.transport <= size));
	struct grants none = { 0 }, all = { .bits = GRANT_ALL };
	enum drop strict = filter_inbound(f, now, peer, &none, packet, size);
	enum drop wide = filter_inbound(f, now, peer, &all, packet, size);
	check((strict == DROP_INNER && wide == DROP_INNER) || ok);
	check(strict != DROP_NONE || wide == DROP_NONE); /* a grant never takes away */
	check(wide != DROP_NONE || memcmp(packet + 8, peer, 8) == 0);
	check(wide != DROP_NONE || memcmp(packet + 24, own, 8) == 0);
	uint8_t prefix[8];
	if (filter_outbound(f, now, packet, size, prefix) == DROP_NONE)
		check(ok && memcmp(packet + 8, own, 8) == 0 && prefix[0] == 0xfd);
	filter_free(f);
	free(packet);
	return 0;
}
