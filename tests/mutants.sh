#!/bin/bash
# mutants.sh - four of tests/sim/mutants, two of paths and two of streams: all of them take longer than
# `make check` has time.
exec tests/sim/mutants.sh no-3x-rule reused-nonce stream-lost-limit stream-outlive-restart
