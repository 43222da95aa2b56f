/* netmon: the parts that need no kernel. The rest is tests/e2e/test_edge.c. */
#include "overlay/net_picture_os.h"
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
	enum { WAY = NET_LINK_WAY, NOT = NET_LINK_NONE, DOUBT = NET_LINK_DOUBTFUL, P2P = 0x10 };
#define T(name, type, flags, kind, want) \
	assert_int_equal(net_link_classify(name, type, flags, kind), want)
	T("eth0", ETHER, UP | LOWER_UP, "", WAY);
	T("eth0", ETHER, UP | LOWER_UP, "veth", WAY);
	T("wlp3s0", ETHER, UP | LOWER_UP, "", WAY);
	T("bridge0", ETHER, UP | LOWER_UP, "bridge", WAY);
	T("br0", ETHER, UP | LOWER_UP, "bridge", WAY); /* the usual name of a host's own bridge */
	T("ppp0", PPP, UP | LOWER_UP | P2P, "ppp", DOUBT); /* a modem, or PPTP */
	T("eth0", ETHER, UP | LOWER_UP, "tun", DOUBT);     /* pasta's, or a VPN's */
	T("vpn0", ETHER, UP | LOWER_UP, "tun", DOUBT);
	T("eth0", ETHER, UP, "", NOT); /* no carrier */
	T("eth0", ETHER, LOWER_UP, "", NOT);
	T("lo", 772, UP | LOWER_UP | LOOPBACK, "", NOT);
	T("docker0", ETHER, UP | LOWER_UP, "bridge", NOT);
	T("br-0a1b2c3d", ETHER, UP | LOWER_UP, "bridge", NOT);
	T("veth1a2b3c", ETHER, UP | LOWER_UP, "veth", NOT);
	T("virbr0", ETHER, UP | LOWER_UP, "bridge", NOT);
	T("tap1", ETHER, UP | LOWER_UP, "tun", NOT);
	T("other0", NONE, UP | LOWER_UP, "", NOT); /* wireguard, tailscale, any TUN */
	T("sit0", 776, UP | LOWER_UP, "sit", NOT);
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
