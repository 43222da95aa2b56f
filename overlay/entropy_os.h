#pragma once
/* entropy - the daemon's struct rng: libsodium's generator, which is the kernel's. */
#include "core/rng.h"

/* sodium_init must have succeeded. One thread. */
struct rng entropy_rng(void);
