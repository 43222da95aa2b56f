#pragma once
/* standing_queue - is there a queue of our own making in front of the path? A window that fills
 * any queue makes everything beside it wait, so we give way to delay as to loss, while that helps:
 * a queue that stays after we gave way three times belongs to others. Then delay is borne for a
 * while, and asked about again (docs/transport.md, "Delay").
 *
 * All of it stands on knowing the RTT of the empty path, the floor. Every ten seconds it is looked
 * for by giving way for as long as that makes the RTT fall. Flows of one host do so together, by
 * its clock, as each of several alone could not empty a queue. */
#include "core/base.h"

enum queue_verdict {
	QUEUE_SHORT,
	QUEUE_STANDS,    /* reduce the window */
	QUEUE_OF_OTHERS, /* that does not help: back to the window that was kept */
};

struct standing_queue {
	ov_time floor, floor_at; /* least RTT; when it was last seen or looked for */
	ov_time next_floor;      /* least since then */
	ov_time round_at, round_min;
	ov_time last_min; /* of the round before */
	ov_time sampled_at;
	ov_time recent[2];    /* least of the last few samples, and of those before */
	ov_time borne_at;     /* since then; OV_NEVER: delay is not borne */
	uint64_t round_end;   /* packet number */
	uint8_t samples;      /* in recent[0] */
	uint8_t in_vain;      /* reductions that did not help, since one that did */
	bool was_reduced;     /* what it helps the next round tells */
	ov_time reduced_from; /* RTT */
	bool searches;        /* for the floor */
};

void standing_queue_init(struct standing_queue *q);
void standing_queue_sample(struct standing_queue *q, ov_time now, ov_time rtt);
/* The packet `largest` was acknowledged, `next` is the next to be sent: does a round end? */
enum queue_verdict standing_queue_round(
	struct standing_queue *q, ov_time now, uint64_t largest, uint64_t next);
/* QUEUE_STANDS was said: is the window of now the one to be kept? */
bool standing_queue_keeps(const struct standing_queue *q);
/* Rounds begin anew: the window was reduced. */
void standing_queue_reduced(struct standing_queue *q, ov_time now, uint64_t next);
/* A loss: a good moment to ask whether the others are gone, for they saw one too. */
void standing_queue_lost(struct standing_queue *q, ov_time now);

/* By the last few samples alone: for slow start, where a round is too long to wait. */
enum queue_growth { QUEUE_NONE, QUEUE_EMPTY, QUEUE_BEGINS, QUEUE_IS_LONG };
enum queue_growth standing_queue_now(const struct standing_queue *q);
