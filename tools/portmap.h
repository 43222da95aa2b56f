#pragma once
/* portmap - the parts of the child overlay-portmap. Its calls block and parse what a router sends;
 * each fills an answer (id excepted) and may take seconds. */
#include "discovery/portmap_pipe.h"

#define PORTMAP_OUT_FD 3 /* where answers go */

/* Gives up whatever the child does not need: all descriptors above PORTMAP_OUT_FD, user,
 * capabilities, files, other programs and processes, memory. What a kernel refuses is gone without:
 * every layer stands alone. */
void portmap_confine(void);

void portmap_natpmp(const struct portmap_request *r, struct portmap_answer *a);
/* For both UPnP operations; also deletes when lifetime_s is 0. */
void portmap_upnp(const struct portmap_request *r, struct portmap_answer *a);
