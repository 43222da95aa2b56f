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
static inline const uint8_t *bytes_queue_first(const struct bytes_queue *q)
{
	return q->len > 0 ? q->data + q->start : NULL;
}

/* A descriptor among the bytes of one direction: it belongs to the line that holds byte `at`,
 * counted from the start of the connection. */
struct client_descriptor {
	struct client_descriptor *next;
	uint64_t at;
	int number; /* negative: it came, but there was no room for it */
};

#define CLIENT_DESCRIPTORS_IN 2 /* that wait for their line: a line has one, and is read first */

struct control_client {
	struct api_client api;
	struct bytes_queue in, out;
	uint64_t in_total, out_total; /* bytes that left the queues */
	struct client_descriptor came[CLIENT_DESCRIPTORS_IN];
	size_t came_count;
	struct client_descriptor *first_out, *last_out; /* of answers that wait */
	ov_time line_by, write_by;                      /* OV_NEVER: nothing begun, nothing waits */
	ov_time close_by; /* OV_NEVER: alive; else last words were said */
	uint64_t events_lost;
	bool dead; /* close without a further word */
};

void client_init(struct control_client *c, uint64_t id);
void client_fini(struct control_client *c, struct api *api);
/* Bytes came. False: out of memory, c->dead is set. */
bool client_feed(struct control_client *c, ov_time now, const uint8_t *data, size_t len);
/* The bytes that were fed last brought a descriptor; negative: it was lost. */
void client_feed_descriptor(struct control_client *c, struct api *api, int number);
/* Handles up to `lines` requests. True: more complete lines wait. */
bool client_work(struct control_client *c, ov_time now, struct api *api, size_t lines);
/* An answer or an event to this client (borrowed). */
void client_answer(struct control_client *c, ov_time now, const json_t *line);
void client_event(struct control_client *c, ov_time now, const json_t *line);
/* The same with a descriptor, which is taken. */
void client_answer_descriptor(
	struct control_client *c, ov_time now, struct api *api, const json_t *line, int number);
/* What may be written by one call: bytes of c->out, and the descriptor that goes with the first of
 * them (-1: none). */
size_t client_next_write(const struct control_client *c, int *descriptor);
/* It went: nobody has it here any more, and the caller closes it. */
void client_sent_descriptor(struct control_client *c);
/* `len` bytes of c->out were written. */
void client_wrote(struct control_client *c, ov_time now, struct api *api, size_t len);
/* The last words: an error line, then nothing more is read. */
void client_last_words(struct control_client *c, ov_time now, const char *code, const char *text,
	const char *hint);
/* No line comes after this one: it reads the end. */
void client_end(struct control_client *c, ov_time now);
void client_tick(struct control_client *c, ov_time now);
ov_time client_deadline(const struct control_client *c);
bool client_wants_read(const struct control_client *c);
