#pragma once
/* priority_os - the data path answers before what it carries data for. */
#include "core/base.h"

/* Raises the calling thread's priority if it may (root, CAP_SYS_NICE). Threads made before keep
 * theirs. */
bool priority_raise(void);
