#pragma once
/* control_client - the bytes of one connection: lines in, lines out, and what each may cost.
 * Pure: it is told the time and given the bytes; control_uv reads and writes. */
#include "overlay/api.h"

#define CLIENT_LINE_BY    (5 * OV_SEC)  /* whole request, once begun; security.md 3 */
#define CLIENT_WRITE_BY   (10 * OV_SEC) /* progress of a waiting write; security.md 3 */
#define CLIENT_LINGER     (1 * OV_SEC)  /* reads on after the last error line, so that it arrives */
#define CLIENT_BUFFER_MAX (1024 * 1024) /* bytes that wait to be written; security.md 3 */
#define CLIENT_EVENT_MAX  (256 * 1024)  /* above it events are counted, not buffered */
#define CLIENT_PAUSE      (256 * 1024)  /* above it no further request is read */

struct bytes_queue { /* grows by doubling, freed when empty */
	uint8_t *data;
	size_t start, len, cap;
};

struct control_client {
	struct api_client api;
	struct bytes_queue in, out;
	ov_time line_by, write_by; /* OV_NEVER: nothing begun, nothing waits */
	ov_time close_by;          /* OV_NEVER: alive; else last words were said */
	uint64_t events_lost;
	bool dead; /* close without a further word */
};

void client_init(struct control_client *c, uint64_t id);
void client_fini(struct control_client *c);
/* Bytes came. False: out of memory, c->dead is set. */
bool client_feed(struct control_client *c, ov_time now, const uint8_t *data, size_t len);
/* Handles up to `lines` requests. True: more complete lines wait. */
bool client_work(struct control_client *c, ov_time now, struct api *api, size_t lines);
/* An answer or an event to this client (borrowed). */
void client_answer(struct control_client *c, ov_time now, const json_t *line);
void client_event(struct control_client *c, ov_time now, const json_t *line);
/* `len` bytes of c->out were written. */
void client_wrote(struct control_client *c, ov_time now, struct api *api, size_t len);
/* The last words: an error line, then nothing more is read. */
void client_last_words(struct control_client *c, ov_time now, const char *code, const char *text,
	const char *hint);
void client_tick(struct control_client *c, ov_time now);
ov_time client_deadline(const struct control_client *c);
bool client_wants_read(const struct control_client *c);
