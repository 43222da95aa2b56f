/* overlayd - the daemon. main() names the steps; each is a function of its own module. */
#include "core/aead_os.h"
#include "overlay/clock_os.h"
#include "overlay/daemon_uv.h"
#include "overlay/key_os.h"
#include "overlay/log_os.h"

#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct daemon_config c = { .node = node_config_default(),
		.tun_name = "overlay0",
		.tun_mtu = 1420,
		.state_dir = "/var/lib/overlay",
		.socket_path = "/run/overlay/overlay.sock",
		.version = "0.1.0",
		.max_clients = 256,
		.max_per_uid = 64,
		.root_reserved = 4 };
	const char *aead_word = NULL;
	c.udp.port = 27182;
	static const struct option options[] = { { "state", 1, 0, 's' }, { "socket", 1, 0, 'c' },
		{ "listen-udp", 1, 0, 'u' }, { "no-tun", 0, 0, 'n' }, { "tun-name", 1, 0, 't' },
		{ "aead", 1, 0, 'a' }, { 0 } };
	int o;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (o) {
		case 's': c.state_dir = optarg; break;
		case 'c': c.socket_path = optarg; break;
		case 'u': c.udp.port = (uint16_t)atoi(optarg); break;
		case 'n': c.tun_name = NULL; break;
		case 't': c.tun_name = optarg; break;
		case 'a': aead_word = optarg; break;
		default: return 2;
		}
	if (sodium_init() < 0)
		return 1;
	struct log log = log_default();
	struct log_stderr sink;
	log_stderr_init(&sink, &log);
	log_wall_refresh(&log);
	char why[512];
	struct aead_table aead;
	struct state_dir state;
	if (aead_load(&aead, aead_word, why, sizeof(why)) != OV_OK ||
		state_open(&state, c.state_dir, why, sizeof(why)) != OV_OK) {
		fprintf(stderr, "overlayd: %s\n", why);
		return 1;
	}
	uint8_t seed[32];
	bool created;
	struct identity self;
	if (identity_load(&state, seed, &created, why, sizeof(why)) != OV_OK ||
		identity_from_seed(&self, seed) != OV_OK) {
		fprintf(stderr, "overlayd: %s\n", why);
		return 1;
	}
	struct store *store = store_open(c.state_dir, why, sizeof(why));
	if (!store) {
		fprintf(stderr, "overlayd: %s\n", why);
		return 1;
	}
	int rc = daemon_run(&c, &self, &aead, store, &log);
	identity_wipe(&self);
	state_close(&state);
	return rc;
}
