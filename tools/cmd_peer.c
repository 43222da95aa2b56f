/* overlay peer ...: contacts and strangers. */
#include "tools/cmd.h"

#include <stdio.h>
#include <string.h>

static void print_words(const char *label, const json_t *list, const char *none)
{
	printf("%-10s", label);
	size_t column = 10;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *word = json_string_value(json_array_get(list, i));
		if (column > 10 && column + strlen(word) + 1 > 78) {
			printf("\n%-10s", "");
			column = 10;
		}
		printf(" %s", word);
		column += strlen(word) + 1;
	}
	printf("%s%s\n", json_array_size(list) ? "" : " ", json_array_size(list) ? "" : none);
}

/* The answer of an op that changes a contact. */
static int finish(struct cli *cli, int rc, json_t *r, const char *what)
{
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	printf("%s %s\n", field_text(r, "name"), what);
	json_decref(r);
	return rc;
}

static void say_what_next(const json_t *r)
{
	const char *name = field_text(r, "name");
	printf("%s added: %s\n", name, field_text(r, "address"));
	print_words("may", json_object_get(r, "allow"), "nothing (overlay peer allow)");
	if (field_true(r, "calling"))
		printf("calling it now; does it answer?   overlay ping %s\n", name);
	else
		printf("no address of it is known: it can call us, or give one:\n"
		       "  overlay peer add %s %s IP:PORT\n",
			name, field_text(r, "peer"));
	printf("it must know this machine too; there: overlay peer add NAME PEERID\n"
	       "  (the PeerId of this machine: overlay id)\n");
}

static int finish_add(struct cli *cli, int rc, json_t *r)
{
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	say_what_next(r);
	json_decref(r);
	return rc;
}

int cmd_peer_add(struct cli *cli)
{
	json_t *r, *endpoints = json_array();
	for (int i = 2; i < cli->argc; i++)
		json_array_append_new(endpoints, json_string(cli->argv[i]));
	json_t *args = json_pack("{s:s, s:s, s:o, s:o}", "name", cli->argv[0], "peer", cli->argv[1],
		"endpoints", endpoints, "allow", cli_split(cli->values[0]));
	if (cli->values[1])
		json_object_set_new(args, "lan_only", json_true());
	int rc = cli_call(cli, "peer.add", args, &r);
	return finish_add(cli, rc, r);
}

int cmd_peer_accept(struct cli *cli)
{
	json_t *r;
	json_t *args =
		json_pack("{s:s, s:o}", "peer", cli->argv[0], "allow", cli_split(cli->values[0]));
	if (cli->argc > 1)
		json_object_set_new(args, "name", json_string(cli->argv[1]));
	int rc = cli_call(cli, "peer.accept", args, &r);
	return finish_add(cli, rc, r);
}

int cmd_peer_refuse(struct cli *cli)
{
	json_t *r;
	int rc = cli_call(cli, "peer.refuse", json_pack("{s:s}", "peer", cli->argv[0]), &r);
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	printf("request from %s dropped\n", field_text(r, "from"));
	json_decref(r);
	return rc;
}

int cmd_peer_rename(struct cli *cli)
{
	json_t *r = NULL;
	char what[128];
	int rc = cli_call(cli, "peer.rename",
		json_pack("{s:s, s:s}", "peer", cli->argv[0], "name", cli->argv[1]), &r);
	snprintf(what, sizeof(what), "is the new name of %.80s", cli->argv[0]);
	return finish(cli, rc, r, what);
}

int cmd_peer_remove(struct cli *cli)
{
	json_t *r = NULL;
	int rc = cli_call(cli, "peer.remove", json_pack("{s:s}", "peer", cli->argv[0]), &r);
	return finish(cli, rc, r, "removed; it gets no answer any more");
}

int cmd_peer_allow(struct cli *cli)
{
	bool remove = cli->values[0] != NULL;
	json_t *r, *words = json_array();
	for (int i = 1; i < cli->argc; i++) {
		json_t *some = cli_split(cli->argv[i]);
		json_array_extend(words, some);
		json_decref(some);
	}
	json_t *args =
		json_pack("{s:s, s:o}", "peer", cli->argv[0], remove ? "deny" : "allow", words);
	int rc = cli_call(cli, remove ? "peer.deny" : "peer.allow", args, &r);
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	printf("%s\n", field_text(r, "name"));
	print_words("may", json_object_get(r, "allow"), "nothing");
	json_decref(r);
	return rc;
}

int cmd_peer_lan_only(struct cli *cli)
{
	json_t *r = NULL;
	bool on = strcmp(cli->argv[1], "on") == 0;
	if (!on && strcmp(cli->argv[1], "off") != 0)
		return cli_fail(cli, EXIT_USAGE, "overlay peer lan-only PEER on",
			"\"%.40s\" is neither on nor off", cli->argv[1]);
	int rc = cli_call(cli, "peer.lan_only",
		json_pack("{s:s, s:b}", "peer", cli->argv[0], "lan_only", on), &r);
	return finish(cli, rc, r,
		on ? "is reached on networks of this machine only" : "is reached wherever it is");
}

int cmd_peer_list(struct cli *cli)
{
	json_t *r;
	int rc = cli_call_pages(cli, "peer.list", "peers", &r);
	if (rc != EXIT_DONE)
		return rc;
	const json_t *peers = json_object_get(r, "peers");
	for (size_t i = 0; !cli->json && i < json_array_size(peers); i++) {
		const json_t *p = json_array_get(peers, i);
		char ago[SHORT_TEXT];
		print_color(COLOR_BOLD, "%s", field_text(p, "name"));
		printf("%s\n  peer     %s\n  address  %s   seen %s\n",
			strcmp(field_text(p, "source"), "config") == 0
				? "  (from the configuration)"
				: "",
			field_text(p, "peer"), field_text(p, "address"),
			text_ago(field_text(p, "last_seen_at"), ago));
		print_words("  may", json_object_get(p, "allow"), "nothing");
		if (json_array_size(json_object_get(p, "endpoints")) > 0)
			print_words("  at", json_object_get(p, "endpoints"), "");
		if (field_true(p, "lan_only"))
			printf("  lan only\n");
	}
	if (!cli->json && json_array_size(peers) == 0)
		printf("no contacts; add one: overlay peer add NAME PEERID [IP:PORT]\n");
	if (cli->json)
		print_json_take(json_incref(r));
	json_decref(r);
	return rc;
}

static void print_paths(const json_t *paths)
{
	printf("\npaths\n");
	for (size_t i = 0; i < json_array_size(paths); i++) {
		const json_t *p = json_array_get(paths, i);
		char rtt[SHORT_TEXT], out[SHORT_TEXT], in[SHORT_TEXT], way[PATH_TEXT];
		bool active = field_true(p, "active");
		print_color(active ? COLOR_GOOD : COLOR_NONE, " %s %s", active ? "*" : " ",
			text_path(p, way));
		printf("\n     %s, rtt %s, loss %.1f %%, pmtu %d B, out %s, in %s\n",
			field_text(p, "state"), text_rtt(field_number(p, "rtt_us"), rtt),
			(double)field_number(p, "loss_permille") / 10,
			(int)field_number(p, "pmtu_bytes"),
			text_bytes(field_number(p, "sent_bytes"), out),
			text_bytes(field_number(p, "received_bytes"), in));
		if (field_true(p, "natted"))
			printf("     behind NAT: the peer sees us at %s\n",
				field_text(p, "observed"));
	}
	if (json_array_size(paths) == 0)
		printf("   none in use\n");
}

static void print_candidates(const json_t *candidates)
{
	printf("\ncandidates\n");
	for (size_t i = 0; i < json_array_size(candidates); i++) {
		const json_t *c = json_array_get(candidates, i);
		bool tcp = strcmp(field_text(c, "carrier"), "tcp") == 0;
		printf("   %s%-*s %-11s %s\n", tcp ? "tcp:" : "", tcp ? 44 : 48,
			field_text(c, "addr"), field_text(c, "source"), field_text(c, "state"));
	}
	if (json_array_size(candidates) == 0)
		printf("   none: nothing is known of where it may be\n");
}

int cmd_peer_show(struct cli *cli)
{
	json_t *r;
	char ago[SHORT_TEXT], age[SHORT_TEXT];
	int rc = cli_call(cli, "peer.show", json_pack("{s:s}", "peer", cli->argv[0]), &r);
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	print_color(COLOR_BOLD, "%s", field_text(r, "name"));
	printf("  %s, seen %s\n", field_text(r, "state"),
		text_ago(field_text(r, "last_seen_at"), ago));
	printf("peer       %s\naddress    %s\n", field_text(r, "peer"), field_text(r, "address"));
	print_words("may", json_object_get(r, "allow"), "nothing");
	print_words("given", json_object_get(r, "endpoints"), "no endpoint");
	if (field_true(r, "lan_only"))
		printf("lan only   elsewhere it is neither called nor answered\n");
	if (json_is_string(json_object_get(r, "suite")))
		printf("session    %s (%s), keys %s old\n", field_text(r, "suite"),
			field_text(r, "backend"),
			text_duration(field_number(r, "session_age_ms"), age));
	const json_t *streams = json_object_get(r, "streams");
	if (field_number(streams, "count") > 0)
		printf("streams    %d open, window %s\n", (int)field_number(streams, "count"),
			text_bytes(field_number(streams, "window_bytes"), age));
	if (field_number(r, "waiting_packets") > 0)
		printf("waiting    %d packets\n", (int)field_number(r, "waiting_packets"));
	if (json_is_string(json_object_get(r, "refused")))
		printf("refused    %s not allowed for %s: overlay peer allow %s %s\n",
			field_text(r, "refused"), field_text(r, "name"), field_text(r, "name"),
			field_text(r, "refused"));
	print_paths(json_object_get(r, "paths"));
	print_candidates(json_object_get(r, "candidates"));
	json_decref(r);
	return rc;
}

int cmd_why(struct cli *cli)
{
	json_t *r;
	int rc = cli_call(cli, "why", json_pack("{s:s}", "peer", cli->argv[0]), &r);
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	printf("%s (%s)\n", field_text(r, "text"), field_text(r, "code"));
	json_decref(r);
	return rc;
}

int cmd_peer_requests(struct cli *cli)
{
	json_t *r;
	int rc = cli_call(cli, "peer.requests", NULL, &r);
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	const json_t *list = json_object_get(r, "requests");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *q = json_array_get(list, i);
		char ago[SHORT_TEXT];
		bool named = json_is_string(json_object_get(q, "name"));
		text_ago(field_text(q, "requested_at"), ago);
		printf("%s\n  from %s, %s%s%s%s\n", field_text(q, "peer"), field_text(q, "from"),
			ago, strcmp(ago, "now") == 0 ? "" : " ago", named ? ", visible as " : "",
			named ? field_text(q, "name") : "");
	}
	if (json_array_size(list) > 0)
		printf("\noverlay peer accept PEERID NAME   or   overlay peer refuse PEERID\n");
	else if (field_true(r, "pairing"))
		printf("no requests\n");
	else
		printf("no requests: none are taken now; overlay visible 10m takes them for a while\n");
	json_decref(r);
	return rc;
}
