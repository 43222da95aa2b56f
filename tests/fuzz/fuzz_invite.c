/* Invite: the input as a line, and the input as items of a line whose length and checksum are
 * right. What decodes is encoded to a line that says the same. */
#include "discovery/invite.h"

#include "core/base32.h"
#include "core/bytes.h"

#include <stdlib.h>

static void check(const char *line)
{
	struct invite in, again;
	char text[INVITE_TEXT_MAX];
	if (invite_decode(&in, line) != INVITE_OK)
		return;
	if (in.endpoint_count > INVITE_ENDPOINTS || in.facilitator_count > INVITE_FACILITATORS)
		abort();
	for (size_t i = 0; i < in.endpoint_count; i++)
		if (in.endpoints[i].port == 0 || addr_scope(&in.endpoints[i]) == ADDR_UNUSABLE)
			abort();
	invite_encode(&in, text);
	if (invite_decode(&again, text) != INVITE_OK ||
		memcmp(&in, &again, offsetof(struct invite, endpoints)) != 0 ||
		in.endpoint_count != again.endpoint_count ||
		in.facilitator_count != again.facilitator_count)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t seed[32] = { 1 };
	static struct identity self;
	uint8_t whole[INVITE_BYTES_MAX], sum[32];
	char line[2 * INVITE_TEXT_MAX];
	if (len < sizeof(line)) {
		if (len)
			memcpy(line, data, len);
		line[len] = 0;
		check(line);
	}
	if (len > sizeof(whole) - 63)
		return 0;
	if (self.sign_secret[0] == 0 && identity_from_seed(&self, seed) != OV_OK)
		abort();
	size_t total = 63 + len; /* version, length, inviter, secret, expiry, items, checksum */
	memset(whole, 0, sizeof(whole));
	whole[0] = 1;
	store_le16(whole + 1, (uint16_t)total);
	memcpy(whole + 3, self.id.bytes, PEER_ID_LEN);
	if (len)
		memcpy(whole + 59, data, len);
	ov_hash(sum, sizeof(sum), "OVL invite sum", whole, total - 4);
	memcpy(whole + total - 4, sum, 4);
	memcpy(line, INVITE_PREFIX, sizeof(INVITE_PREFIX));
	base32_encode(whole, total, line + sizeof(INVITE_PREFIX) - 1);
	check(line);
	return 0;
}
