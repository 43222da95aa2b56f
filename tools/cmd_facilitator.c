/* overlay facilitator status: who serves us, and whom we serve. overlay netcheck: what stands
 * between us and the world. */
#include "tools/cmd.h"

#include <stdio.h>
#include <string.h>

static void print_ours(const json_t *f)
{
	char rtt[SHORT_TEXT];
	const char *state = field_text(f, "state");
	bool registered = field_true(f, "registered");
	printf("%.12s...  ", field_text(f, "peer"));
	print_color(
		registered ? COLOR_GOOD : COLOR_WARN, "%-10s", registered ? "registered" : state);
	printf(" %9s", text_rtt(field_number(f, "rtt_us"), rtt));
	if (json_is_string(json_object_get(f, "observed")))
		printf("  sees us at %s", field_text(f, "observed"));
	printf("\n");
	const json_t *offered = json_object_get(f, "offered");
	if (json_is_object(offered))
		printf("  offered by %s, until %s\n", field_text(offered, "by"),
			field_text(offered, "until"));
	if (field_true(f, "watches"))
		printf("  contacts there now: %d\n", (int)field_number(f, "contacts_here"));
	if (json_is_string(json_object_get(f, "refused")))
		printf("  it refuses: %s%s\n", field_text(f, "refused"),
			strcmp(field_text(f, "refused"), "denied") == 0
				? "; its owner must add this machine as a contact"
				: "");
	else if (strcmp(state, "calling") == 0 || strcmp(state, "away") == 0)
		printf("  no answer: does it run there, and is this machine its contact? There: "
		       "overlay peer list\n");
}

/* What was refused, each with the key that changes it. */
static void print_refused(const json_t *refused)
{
	static const struct {
		const char *field, *text;
	} rows[] = {
		{ "denied", "to strangers, or without the grant relay (facilitator.policy)" },
		{ "away", "to a peer that is not here or lets others in only" },
		{ "clients", "beyond the number of clients (facilitator.limits.clients)" },
		{ "channels", "beyond the channels of a client (facilitator.limits.channels)" },
		{ "memory", "to watch: no room for more tags" },
		{ "rate", "datagrams of a client too fast (facilitator.limits.bytes_per_second)" },
		{ "total_rate",
			"datagrams of all too fast (facilitator.limits.total_bytes_per_second)" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		long long count = field_number(refused, rows[i].field);
		if (count > 0)
			printf("  refused %lld times: %s\n", count, rows[i].text);
	}
}

static void print_serving(const json_t *serving)
{
	char bytes[SHORT_TEXT], rate[SHORT_TEXT], total[SHORT_TEXT];
	const json_t *limits = json_object_get(serving, "limits");
	const char *whom = field_text(serving, "policy");
	if (strcmp(whom, "invite") == 0)
		whom = "contacts and their guests";
	else if (strcmp(whom, "open") == 0)
		whom = "anybody";
	printf("This machine serves %s: %d of %d clients, %d channels, %s relayed.\n", whom,
		(int)field_number(serving, "clients"), (int)field_number(limits, "clients"),
		(int)field_number(serving, "channels"),
		text_bytes(field_number(serving, "relayed_bytes"), bytes));
	printf("  at most %s a second for one, %s for all, %d channels each\n",
		text_bytes(field_number(limits, "bytes_per_second"), rate),
		text_bytes(field_number(limits, "total_bytes_per_second"), total),
		(int)field_number(limits, "channels"));
	if (field_number(serving, "guests") > 0 || field_number(serving, "vouchers_refused") > 0)
		printf("  guests of contacts, each until its voucher expires: %d; vouchers refused: %d\n",
			(int)field_number(serving, "guests"),
			(int)field_number(serving, "vouchers_refused"));
	print_refused(json_object_get(serving, "refused"));
}

int cmd_facilitator_status(struct cli *cli)
{
	json_t *r;
	int rc = cli_call(cli, "facilitator.status", NULL, &r);
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	const json_t *list = json_object_get(r, "facilitators");
	const json_t *serving = json_object_get(r, "serving");
	for (size_t i = 0; i < json_array_size(list); i++)
		print_ours(json_array_get(list, i));
	if (json_array_size(list) == 0)
		printf("No facilitator serves this machine: set \"facilitators\": [\"PEERID@HOST:PORT\"].\n");
	if (strcmp(field_text(serving, "policy"), "off") == 0) {
		printf("This machine serves nobody: start it with --facilitator to do so.\n");
	} else {
		print_serving(serving);
	}
	json_decref(r);
	return rc;
}

static void print_lifetime(const json_t *l)
{
	int survived = (int)field_number(l, "survived_s"), lost = (int)field_number(l, "lost_s");
	const char *measuring = field_true(l, "measuring") ? ", being measured" : "";
	printf("          an idle mapping ");
	if (survived > 0 && lost > 0)
		printf("lives %d s, not %d s", survived, lost);
	else if (survived > 0)
		printf("lives %d s or longer", survived);
	else if (lost > 0)
		printf("does not live %d s", lost);
	else
		printf("lives for a time not known yet");
	printf("%s; keepalive every %.0f s\n", measuring,
		(double)field_number(l, "keepalive_ms") / 1000);
}

static void print_family(const char *name, const json_t *f)
{
	if (!json_is_object(f)) {
		printf("%s      not seen by any facilitator\n", name);
		return;
	}
	const char *side = field_text(f, "side"),
		   *meaning = "others can meet it by both sending at once";
	if (strcmp(side, "open") == 0)
		meaning = "anybody can reach it";
	else if (strcmp(side, "predictable") == 0 || strcmp(side, "hard") == 0)
		meaning = "only open peers reach it directly, others by relay";
	printf("%s      the world sees us at %s\n", name, field_text(f, "external"));
	printf("          mapping %s, filtering %s, ports %s, hairpin %s\n",
		field_text(f, "mapping"), field_text(f, "filtering"), field_text(f, "ports"),
		field_text(f, "hairpin"));
	if (strcmp(field_text(f, "filtering"), "endpoint-independent") == 0 &&
		!json_is_true(json_object_get(f, "two_addresses")))
		printf("          filtering may be address-dependent: no facilitator with two "
		       "addresses told\n");
	const json_t *lifetime = json_object_get(f, "lifetime");
	if (json_is_object(lifetime))
		print_lifetime(lifetime);
	printf("          %s: %s\n", side, meaning);
}

int cmd_netcheck(struct cli *cli)
{
	json_t *r;
	int rc = cli_call(cli, "netcheck", NULL, &r);
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	const char *udp = field_text(r, "udp");
	if (strcmp(udp, "unknown") == 0)
		printf("UDP       not known: a check needs a facilitator (key \"facilitators\")\n");
	else
		printf("UDP       %s\n",
			strcmp(udp, "works") == 0 ? "works" : "no facilitator answers by it");
	if (json_is_string(json_object_get(r, "captive")))
		printf("captive   yes: at %s something else answers in place of the facilitator; sign\n"
		       "          in to this network with a browser, the rest happens by itself\n",
			field_text(r, "captive"));
	if (json_is_string(json_object_get(r, "nat64")))
		printf("NAT64     IPv4 addresses are reached by %s\n", field_text(r, "nat64"));
	print_family("IPv4", json_object_get(r, "ipv4"));
	print_family("IPv6", json_object_get(r, "ipv6"));
	json_decref(r);
	return rc;
}
