#pragma once
/* portmap_child - the process overlay-portmap: started when it is first needed, asked through a
 * pipe, started again after a crash. docs/nat.md 1.3. */
#include "discovery/portmap_pipe.h"
#include "overlay/log.h"

#include <uv.h>

struct portmap_child_options {
	/* `answer` of the child to the request with its id; or NULL: what was asked is lost. */
	void (*on_answer)(void *context, const struct portmap_answer *answer);
	void *context;
	struct log *log;
};

struct portmap_child;
/* NULL: out of memory. Starts nothing yet. */
struct portmap_child *portmap_child_new(uv_loop_t *loop, const struct portmap_child_options *o);
/* False: there is no child now, nor will on_answer be called. */
bool portmap_child_ask(struct portmap_child *c, const struct portmap_request *r);
/* Lets the child finish what it was asked and end; no callback any more. Frees c in the loop. */
void portmap_child_close(struct portmap_child *c);
