/* The text of a PeerId, as typed, and any 32 bytes as a key. What parses prints the same text. */
#include "core/identity.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static void check_text(const uint8_t *data, size_t len)
{
	char text[PEER_ID_TEXT_LEN + 8], again[PEER_ID_TEXT_LEN + 1];
	struct peer_id id;
	if (len >= sizeof(text))
		len = sizeof(text) - 1;
	memcpy(text, data, len);
	text[len] = 0;
	if (peer_id_parse(text, &id) != OV_OK)
		return;
	for (char *c = text; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (strcmp(peer_id_format(&id, again), text) != 0)
		abort();
}

static void check_key(const uint8_t *data, size_t len)
{
	struct peer_id id, again;
	char text[PEER_ID_TEXT_LEN + 1];
	uint8_t dh[DH_LEN];
	if (len < PEER_ID_LEN)
		return;
	memcpy(id.bytes, data, PEER_ID_LEN);
	bool converts = peer_id_to_dh(&id, dh) == OV_OK;
	int parsed = peer_id_parse(peer_id_format(&id, text), &again);
	if (parsed != (converts ? OV_OK : OV_EINVAL) || (converts && !peer_id_equal(&id, &again)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	check_text(data, len);
	check_key(data, len);
	return 0;
}
