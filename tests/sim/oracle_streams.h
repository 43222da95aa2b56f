#pragma once
/* oracle_streams - what must hold for streams, as apps see them:
 *
 *   bytes    what is read is what was written, in order, and ends where the writer ended it
 *   reset    a stream is given up only if an app did it, or a side restarted (then by that code)
 *   events   nothing is told twice, to nobody, or of what cannot be
 *   window   no side keeps more bytes than the windows allow
 *   stuck    when nothing is in the way, what apps read comes to its end
 *   freed    when all is closed, nodes keep nothing */
#include "tests/sim/apps.h"

/* The tag of a stream that e's host took is known. NULL: nobody opened such a one to it. */
struct app_stream *oracle_stream_find(struct sim *s, const struct app_end *e, uint64_t tag);
/* e, which was taken, is the taker's end of x. */
void oracle_stream_adopt(struct app_end *e, struct app_stream *x);
/* Bytes that e is about to consume; its tag is known. */
void oracle_on_stream_bytes(
	struct sim *s, const struct app_end *e, const uint8_t *data, size_t len);
/* e wrote `len` more, which are counted already. */
void oracle_on_stream_written(struct sim *s, const struct app_end *e);
/* The node says that the peer's direction ended here. */
void oracle_on_stream_end(struct sim *s, struct app_end *e);
/* An event of an open end; what it tells is checked, then the app acts on it. */
void oracle_on_stream_event(
	struct sim *s, struct app_end *e, const struct node_stream_event *event);

/* Nobody has an open end but of streams that are held. */
void oracle_check_streams_over(struct sim *s);
/* Is there one? For sim_run_while. */
bool oracle_streams_are_busy(struct sim *s, void *unused);
/* All ends are closed: no node knows any stream. */
void oracle_check_streams_freed(struct sim *s);
