/* The one header all datagrams share, so that the receive path decides by one look at 16 bytes. */
#include "core/packet.h"

void header_encode(const struct header *h, uint8_t out[HEADER_LEN])
{
	out[0] = h->type;
	out[1] = h->flags;
	out[2] = 0;
	out[3] = 0;
	store_le32(out + 4, h->receiver);
	store_le64(out + 8, h->counter);
}

bool header_decode(struct header *h, const uint8_t *data, size_t len)
{
	if (len < HEADER_LEN || data[2] != 0 || data[3] != 0)
		return false;
	h->type = data[0];
	h->flags = data[1];
	h->receiver = load_le32(data + 4);
	h->counter = load_le64(data + 8);
	return true;
}

void relay_header_encode(uint32_t channel, uint8_t out[RELAY_HEADER_LEN])
{
	out[0] = PACKET_RELAY;
	memset(out + 1, 0, 3);
	store_le32(out + 4, channel);
}

bool relay_header_decode(uint32_t *channel, const uint8_t *data, size_t len)
{
	if (len <= RELAY_HEADER_LEN || data[0] != PACKET_RELAY || data[1] | data[2] | data[3])
		return false;
	*channel = load_le32(data + 4);
	return true;
}
