/* overlay status: two lines for a peer, a third when something waits. Fits 80 columns. */
#include "tools/cmd.h"

#include <stdio.h>
#include <string.h>

static enum color state_color(const char *state)
{
	if (strcmp(state, "up") == 0)
		return COLOR_GOOD;
	if (strcmp(state, "calling") == 0 || strcmp(state, "suspect") == 0)
		return COLOR_WARN;
	return strcmp(state, "away") == 0 ? COLOR_BAD : COLOR_DIM;
}

/* One line for each family that has a router worth asking. */
static void print_portmap(const json_t *p)
{
	const char *state = field_text(p, "state"), *external = field_text(p, "external");
	bool double_nat = field_true(p, "double_nat");
	if (!json_is_object(p) || strcmp(state, "off") == 0)
		return;
	if (strcmp(state, "held") == 0)
		printf("portmap  %s by %s%s\n", external, field_text(p, "protocol"),
			double_nat ? ", a private address: another NAT is ahead of the router"
				   : "");
	else if (strcmp(state, "searching") == 0)
		printf("portmap  %s: asking %s\n", field_text(p, "family"),
			field_text(p, "router"));
	else if (double_nat)
		printf("portmap  %s: %s has no public address: another NAT is ahead of it\n",
			field_text(p, "family"), field_text(p, "router"));
	else
		printf("portmap  %s: none, %s: %s\n", field_text(p, "family"),
			field_text(p, "router"), field_text(p, "error"));
}

static void print_clock(const json_t *clock)
{
	char by[SHORT_TEXT];
	int64_t ahead_s = field_number(clock, "ahead_s");
	if (!json_is_object(clock))
		return;
	text_duration((ahead_s < 0 ? -ahead_s : ahead_s) * 1000, by);
	print_color(COLOR_WARN, "clock   ");
	printf(" that of %s is %s %s ours: the facilitators that it\n"
	       "         offers are used when the wrong one is set right\n",
		field_text(clock, "name"), by, ahead_s < 0 ? "behind" : "ahead of");
}

static void print_daemon(const json_t *r)
{
	char up[SHORT_TEXT];
	const json_t *tun = json_object_get(r, "tun");
	printf("overlayd %s, up %s, udp port %d, ", field_text(r, "version"),
		text_duration(field_number(r, "uptime_ms"), up), (int)field_number(r, "udp_port"));
	if (json_is_object(tun))
		printf("interface %s (mtu %d)\n", field_text(tun, "name"),
			(int)field_number(tun, "mtu_bytes"));
	else
		printf("no interface\n");
	if (json_is_string(json_object_get(r, "tun_why")))
		printf("  %s\n", field_text(r, "tun_why"));
	printf("peer     %s\naddress  %s\n", field_text(r, "peer"), field_text(r, "address"));
	const json_t *portmap = json_object_get(r, "portmap");
	print_portmap(json_object_get(portmap, "ipv4"));
	print_portmap(json_object_get(portmap, "ipv6"));
	if (field_true(r, "lan_only"))
		printf("lan only contacts are reached on networks of this machine only\n");
	print_clock(json_object_get(r, "clock"));
}

/* "udp_gso", "no-tun_uso", "aes=ipsec-mb"; "" for what has no short form. */
static void feature_word(char *out, size_t size, const char *key, const json_t *value)
{
	out[0] = '\0';
	if (json_is_string(value))
		snprintf(out, size, "%s=%s", key, json_string_value(value));
	else if (json_is_boolean(value))
		snprintf(out, size, "%s%s", json_is_true(value) ? "" : "no-", key);
}

static void print_features(const json_t *features)
{
	const char *key;
	json_t *value;
	size_t column = 0;
	json_object_foreach((json_t *)(uintptr_t)features, key, value)
	{
		char word[64];
		feature_word(word, sizeof(word), key, value);
		if (!word[0])
			continue;
		if (column + strlen(word) + 1 > 79 || column == 0) {
			printf("%s%-8s", column ? "\n" : "", column ? "" : "uses");
			column = 8;
		}
		printf(" %s", word);
		column += strlen(word) + 1;
	}
	if (column)
		printf("\n");
}

static void print_path(const json_t *p)
{
	const json_t *path = json_object_get(p, "path");
	if (!json_is_object(path)) {
		printf("  no path; %d addresses known%s\n", (int)field_number(p, "candidate_count"),
			field_true(p, "lan_only") ? "; lan only" : "");
		return;
	}
	char way[PATH_TEXT];
	printf("  %s%s", text_path(path, way), field_true(path, "natted") ? " (nat)" : "");
	if (json_is_string(json_object_get(p, "suite")))
		printf(", %s", field_text(p, "suite"));
	printf("%s\n", field_true(p, "lan_only") ? ", lan only" : "");
}

static void print_waiting(const json_t *p)
{
	const char *state = field_text(p, "state"), *name = field_text(p, "name");
	int waiting = (int)field_number(p, "waiting_packets");
	if (waiting > 0)
		printf("  waits: %d packet%s until it answers\n", waiting, waiting == 1 ? "" : "s");
	if (strcmp(state, "up") != 0 && field_number(p, "candidate_count") == 0)
		printf("  waits to be called: give an address with overlay peer add %s PEERID IP:PORT\n",
			name);
}

static void print_peer(const json_t *p)
{
	const json_t *path = json_object_get(p, "path");
	char rtt[SHORT_TEXT], in[SHORT_TEXT], out[SHORT_TEXT], ago[SHORT_TEXT], loss[SHORT_TEXT];
	const char *state = field_text(p, "state");
	snprintf(loss, sizeof(loss), "%.1f %%", (double)field_number(path, "loss_permille") / 10);
	printf("%-20s ", field_text(p, "name"));
	print_color(state_color(state), "%-8s", state);
	printf(" %9s %7s %8s %8s %11s\n", text_rtt(field_number(path, "rtt_us"), rtt),
		json_is_object(path) ? loss : "-", text_bytes(field_number(p, "sent_bytes"), out),
		text_bytes(field_number(p, "received_bytes"), in),
		text_ago(field_text(p, "last_seen_at"), ago));
	print_path(p);
	print_waiting(p);
}

static void explain_no_peers(const json_t *r)
{
	printf("\nNo peers yet. On the other machine run `overlay id`, then here:\n"
	       "  overlay peer add NAME PEERID [IP:PORT]\n"
	       "and there, so that it answers this machine:\n"
	       "  overlay peer add NAME \\\n    %s\n",
		field_text(r, "peer"));
}

int cmd_status(struct cli *cli)
{
	json_t *r;
	int rc = cli_call_pages(cli, "status", "peers", &r);
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	const json_t *peers = json_object_get(r, "peers");
	print_daemon(r);
	print_features(json_object_get(r, "features"));
	if (json_array_size(peers) == 0) {
		explain_no_peers(r);
	} else {
		print_color(COLOR_DIM, "\n%-20s %-8s %9s %7s %8s %8s %11s", "PEER", "STATE", "RTT",
			"LOSS", "SENT", "RECEIVED", "SEEN");
		printf("\n");
	}
	for (size_t i = 0; i < json_array_size(peers); i++)
		print_peer(json_array_get(peers, i));
	if (field_true(r, "has_requests"))
		printf("\nA stranger asks to become a contact: overlay peer requests\n");
	json_decref(r);
	return rc;
}
