#pragma once
/* selftest - every invariant is broken on purpose, one world each: an oracle that cannot speak
 * proves nothing. */
#include <stdbool.h>

/* A line per case; true if each broke what it should. */
bool selftest_run(void);
