/* netmon: the parts that need no kernel. The rest is tests/e2e/test_edge.c. */
#include "overlay/netmon_uv.h"

/* cmocka needs these before it */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
/* clang-format on */

static void sleep_is_the_difference_of_the_clocks(void **state)
{
	(void)state;
	struct sleep_watch w = { .armed = false };
#define T(boot, mono, want) assert_int_equal(sleep_watch_woke(&w, boot, mono), want)
	T(500 * OV_SEC, 100 * OV_SEC, false); /* slept before we started: no news */
	T(501 * OV_SEC, 101 * OV_SEC, false);
	T(502 * OV_SEC, 101 * OV_SEC, false);        /* exactly the least: not longer */
	T(504 * OV_SEC, 102 * OV_SEC - OV_MS, true); /* slept 1.001 s */
	T(505 * OV_SEC, 103 * OV_SEC, false);        /* told once */
	T(905 * OV_SEC, 503 * OV_SEC, false);        /* a busy or stopped process is no sleep */
	T(905 * OV_SEC + 50 * OV_US, 503 * OV_SEC, false); /* two reads are never simultaneous */
	T(9999 * OV_SEC, 504 * OV_SEC, true);
#undef T
}

static void tunnels_and_bridges_are_no_candidates(void **state)
{
	(void)state;
	enum { UP = 0x1, LOOPBACK = 0x8, LOWER_UP = 0x10000, ETHER = 1, PPP = 512, NONE = 65534 };
#define T(name, type, flags, want) assert_int_equal(netmon_is_candidate(name, type, flags), want)
	T("eth0", ETHER, UP | LOWER_UP, true);
	T("wlp3s0", ETHER, UP | LOWER_UP, true);
	T("bridge0", ETHER, UP | LOWER_UP, true);
	T("br0", ETHER, UP | LOWER_UP, true); /* the usual name of a host's own bridge */
	T("ppp0", PPP, UP | LOWER_UP, true);
	T("eth0", ETHER, UP, false); /* no carrier */
	T("eth0", ETHER, LOWER_UP, false);
	T("lo", 772, UP | LOWER_UP | LOOPBACK, false);
	T("docker0", ETHER, UP | LOWER_UP, false);
	T("br-0a1b2c3d", ETHER, UP | LOWER_UP, false);
	T("veth1a2b3c", ETHER, UP | LOWER_UP, false);
	T("virbr0", ETHER, UP | LOWER_UP, false);
	T("tap1", ETHER, UP | LOWER_UP, false);
	T("other0", NONE, UP | LOWER_UP, false); /* wireguard, tailscale, any TUN */
	T("sit0", 776, UP | LOWER_UP, false);
#undef T
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sleep_is_the_difference_of_the_clocks),
		cmocka_unit_test(tunnels_and_bridges_are_no_candidates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
