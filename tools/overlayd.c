/* overlayd - the daemon. main() is the list of its steps; each is a function of its own module. */
#include "core/aead_os.h"
#include "overlay/clock_os.h"
#include "overlay/config_os.h"
#include "overlay/daemon_uv.h"
#include "overlay/key_os.h"
#include "overlay/log_os.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#ifndef OVERLAY_VERSION
#define OVERLAY_VERSION "unknown"
#endif

#define EXIT_USAGE 2
#define HELP_MAX   8192

struct overlayd {
	int argc;
	const char *const *argv;
	struct config config, reloaded, fresh;
	struct aead_table aead;
	struct state_dir state;
	struct contact *contacts; /* the list that daemon_config borrows */
	size_t contact_count;
	struct contact facilitators[CONFIG_FACILITATORS_MAX];
	size_t facilitator_count;
	struct log log;
	struct log_stderr sink;
};

static int say_help(void)
{
	char *text = malloc(HELP_MAX);
	if (!text)
		return EXIT_FAILURE;
	printf("usage: overlayd [OPTION...]\n\n"
	       "Gives this machine one name that never changes, and reaches its contacts by theirs.\n"
	       "Add contacts by `overlay invite` here and `overlay join LINE` there, or by `overlay peer add`.\n"
	       "--a-b-c is also OVERLAY_A_B_C in the environment and the key a.b_c of the file.\n\n%s",
		config_help(text, HELP_MAX));
	free(text);
	return EXIT_SUCCESS;
}

/* A flat copy of the list for daemon_config; the contents stay the configuration's. */
static bool list_contacts(struct overlayd *o, const struct config *c)
{
	free(o->contacts);
	o->contact_count = c->contact_count;
	o->contacts = calloc(c->contact_count ? c->contact_count : 1, sizeof(*o->contacts));
	for (size_t i = 0; o->contacts && i < c->contact_count; i++)
		o->contacts[i] = c->contacts[i].contact;
	return o->contacts != NULL;
}

static int reload(void *context, const struct contact **contacts, size_t *count, bool *pairing)
{
	struct overlayd *o = context;
	char why[CONFIG_WHY_MAX];
	int err = config_load(&o->fresh, o->argc, o->argv, why, sizeof(why));
	if (err != OV_OK) {
		log_error(&o->log, clock_now(), "config", "not_reloaded why=%s", why);
		return err;
	}
	config_fini(&o->reloaded); /* the list of the reload before this one */
	o->reloaded = o->fresh;
	if (!list_contacts(o, &o->reloaded))
		return OV_ENOMEM;
	o->log.level = (enum log_level)o->reloaded.log_level;
	*contacts = o->contacts;
	*count = o->contact_count;
	*pairing = o->reloaded.pairing;
	return OV_OK;
}

static unsigned line_of(const struct config *c, const struct peer_id *id)
{
	for (size_t i = 0; i < c->contact_count; i++)
		if (peer_id_equal(&c->contacts[i].contact.id, id))
			return c->contacts[i].line;
	return 0;
}

static unsigned config_line(void *context, const struct peer_id *id)
{
	const struct overlayd *o = context;
	unsigned line = line_of(&o->reloaded, id);
	return line ? line : line_of(&o->config, id);
}

static struct daemon_config daemon_config_from(const struct overlayd *o)
{
	const struct config *c = &o->config;
	struct daemon_config d = {
		.node = node_config_default(),
		.udp = { .port = c->listen_udp },
		.tcp_ports = { c->listen_tcp,
			c->facilitator_policy ? c->facilitator_tcp : (uint16_t)0 },
		.tun_name = c->tun_enabled ? c->tun_name : NULL,
		.tun_mtu = c->tun_mtu,
		.socket_path = c->socket,
		.state_dir = c->state,
		.portmap = c->portmap && !c->lan_only,
		.config_path = c->file,
		.version = OVERLAY_VERSION,
		.max_clients = c->limits_clients,
		.max_per_uid = c->limits_clients_per_uid,
		.root_reserved = 4,
		.max_streams = c->limits_streams,
		.contacts = o->contacts,
		.contact_count = o->contact_count,
		.reload = reload,
		.config_line = config_line,
		.lan = c->lan,
	};
	d.node.max_contacts = c->limits_contacts;
	d.node.max_pending_handshakes = c->limits_handshakes;
	d.node.max_flows = c->limits_flows;
	d.node.max_requests = c->limits_requests;
	d.node.streams_outlive = c->limits_stream_days * 24 * 3600 * OV_SEC;
	d.node.pairing = c->pairing;
	d.node.lan_only = c->lan_only;
	d.node.facilitator = c->facilitator_policy;
	d.node.max_clients = c->facilitator_clients;
	d.node.relay_channels = c->facilitator_channels;
	d.node.relay_bytes_per_second = c->facilitator_rate;
	d.node.relay_total_bytes_per_second = c->facilitator_total_rate;
	d.facilitators = o->facilitators;
	d.facilitator_count = o->facilitator_count;
	if (c->network_key[0]) {
		uint8_t id[32];
		ov_hash(id, sizeof(id), "OVL network v1", c->network_key, strlen(c->network_key));
		memcpy(d.node.network.network_id, id, sizeof(d.node.network.network_id));
	}
	return d;
}

/* The identity lives only in this frame and in the node that borrows it. */
static int serve(struct overlayd *o)
{
	uint8_t seed[IDENTITY_SEED_LEN];
	struct identity self;
	char why[CONFIG_WHY_MAX];
	bool created;
	int err = identity_load(&o->state, seed, &created, why, sizeof(why));
	if (err == OV_OK) {
		err = identity_from_seed(&self, seed);
		snprintf(why, sizeof(why),
			"identity.key holds no usable key: move it away for a new one");
	}
	sodium_memzero(seed, sizeof(seed));
	if (err == OV_OK)
		why[0] = '\0';
	struct store *store = err == OV_OK ? store_open(o->config.state, why, sizeof(why)) : NULL;
	if (!store) {
		fprintf(stderr, "overlayd: %s\n", why);
		return EXIT_FAILURE;
	}
	if (why[0])
		log_warn(&o->log, clock_now(), "store", "started_empty why=%s", why);
	if (created)
		log_info(&o->log, clock_now(), "identity", "created file=%s/identity.key",
			o->config.state);
	struct daemon_config d = daemon_config_from(o);
	d.context = o;
	int code = daemon_run(&d, &self, &o->aead, store, &o->log);
	identity_wipe(&self);
	return code;
}

static int run(struct overlayd *o)
{
	char why[CONFIG_WHY_MAX];
	if (aead_load(&o->aead, o->config.aead, why, sizeof(why)) != OV_OK ||
		state_open(&o->state, o->config.state, why, sizeof(why)) != OV_OK) {
		fprintf(stderr, "overlayd: %s\n", why);
		return EXIT_FAILURE;
	}
	int code = serve(o);
	state_close(&o->state);
	return code;
}

int main(int argc, char **argv)
{
	static struct overlayd o; /* too large for a frame */
	char why[CONFIG_WHY_MAX];
	o.argc = argc;
	o.argv = (const char *const *)argv;
	o.log = log_default();
	config_default(&o.reloaded);
	if (sodium_init() < 0)
		return EXIT_FAILURE;
	if (config_load(&o.config, argc, o.argv, why, sizeof(why)) != OV_OK) {
		fprintf(stderr, "overlayd: %s\n", why);
		return EXIT_USAGE;
	}
	if (o.config.show_help)
		return say_help();
	if (o.config.show_version) {
		printf("overlayd %s\n", OVERLAY_VERSION);
		return EXIT_SUCCESS;
	}
	umask(0077);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 }); /* no keys in core dumps */
	o.log.level = (enum log_level)o.config.log_level;
	o.log.format = (enum log_format)o.config.log_format;
	log_stderr_init(&o.sink, &o.log);
	log_wall_refresh(&o.log);
	int facilitators = config_facilitators(
		&o.config, o.facilitators, CONFIG_FACILITATORS_MAX, why, sizeof(why));
	o.facilitator_count = facilitators > 0 ? (size_t)facilitators : 0;
	int code = list_contacts(&o, &o.config) ? run(&o) : EXIT_FAILURE;
	for (size_t i = 0; i < o.facilitator_count; i++)
		contact_fini(&o.facilitators[i]);
	free(o.contacts);
	config_fini(&o.config);
	config_fini(&o.reloaded);
	return code;
}
