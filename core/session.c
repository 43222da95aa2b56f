/* One pair of transport keys. The counter is nonce and replay number at once: it starts at 0 for
 * each key and direction and is never reused, because seal is the only place that reads it and
 * always moves it on. */
#include "core/session.h"

#include <sodium.h>

bool session_init(
	struct session *s, ov_time now, const struct aead *aead, const struct session_config *c)
{
	memset(s, 0, sizeof(*s));
	s->aead = aead;
	s->created_at = now;
	s->heard_at = OV_NEVER;
	s->index = c->index;
	s->remote_index = c->remote_index;
	s->initiator = c->initiator;
	replay_init(&s->replay);
	if (!aead->init(&s->seal_state, c->keys->send))
		return false;
	if (!aead->init(&s->open_state, c->keys->receive)) {
		aead->fini(&s->seal_state);
		return false;
	}
	return true;
}

void session_fini(struct session *s)
{
	s->aead->fini(&s->seal_state);
	s->aead->fini(&s->open_state);
	sodium_memzero(s, sizeof(*s));
}

bool session_can_send(const struct session *s, ov_time now)
{
	return now - s->created_at < SESSION_SEND_FOR && s->next_counter < SESSION_REJECT_PACKETS;
}

bool session_can_receive(const struct session *s, ov_time now)
{
	return now - s->created_at < SESSION_REJECT_AFTER && s->failures < SESSION_DROP_FAILURES;
}

bool session_wants_rekey(const struct session *s, ov_time now)
{
	ov_time after = s->initiator ? SESSION_REKEY_AFTER : SESSION_REKEY_RESPONDER;
	return now - s->created_at >= after || s->next_counter >= SESSION_REKEY_PACKETS ||
	       s->failures >= SESSION_REKEY_FAILURES;
}

size_t session_seal(struct session *s, enum packet_type type, uint8_t flags, const uint8_t *plain,
	size_t len, uint8_t *out)
{
	assert(s->next_counter < SESSION_REJECT_PACKETS);
	struct header h = { .type = (uint8_t)type,
		.flags = flags,
		.receiver = s->remote_index,
		.counter = s->next_counter++ };
	header_encode(&h, out);
	s->aead->seal(&s->seal_state, h.counter, out, plain, len, out + HEADER_LEN);
	return len + PACKET_OVERHEAD;
}

enum drop session_open(
	struct session *s, ov_time now, const struct header *h, uint8_t *data, size_t len)
{
	if (len < PACKET_OVERHEAD)
		return DROP_SHORT;
	if (!session_can_receive(s, now) || h->counter >= SESSION_REJECT_PACKETS)
		return DROP_EXPIRED;
	if (!replay_is_fresh(&s->replay, h->counter))
		return DROP_REPLAY;
	if (!s->aead->open(&s->open_state, h->counter, data, data + HEADER_LEN,
		    len - PACKET_OVERHEAD, data + HEADER_LEN)) {
		s->failures++;
		return DROP_AUTH;
	}
	bool accepted = replay_accept(&s->replay, h->counter);
	assert(accepted); /* fresh a moment ago, and nothing ran in between */
	if (s->heard_at == OV_NEVER)
		s->heard_at = now;
	return DROP_NONE;
}
