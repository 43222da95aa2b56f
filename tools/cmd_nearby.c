/* overlay visible, overlay nearby: being found on a LAN for a while, and finding who is. */
#include "tools/cmd.h"

#include <stdio.h>
#include <string.h>

static void print_visible(const json_t *r)
{
	char left[SHORT_TEXT];
	if (!field_true(r, "visible")) {
		printf("not visible; contacts on the LAN find this machine all the same\n");
		if (field_true(r, "pairing"))
			printf("requests of strangers are taken (\"pairing\": true): overlay peer requests\n");
		return;
	}
	print_color(COLOR_GOOD, "visible");
	printf(" on the LAN as %s for another %s; requests are taken as long\n",
		json_is_string(json_object_get(r, "name")) ? field_text(r, "name") : "its PeerId",
		text_duration(field_number(r, "left_ms"), left));
	printf("there:  overlay nearby, then: overlay peer add NAME PEERID\n"
	       "here:   overlay peer requests, then: overlay peer accept PEERID NAME\n");
}

/* "10m", "off"; none: only looks. -1: wrong, an error was printed. */
static long long wanted_s(const struct cli *cli)
{
	if (strcmp(cli->argv[0], "off") == 0)
		return 0;
	long long s = cli_duration(cli->argv[0]);
	if (s > 0 && s <= 86400)
		return s;
	(void)cli_fail(cli, EXIT_USAGE, "for example: overlay visible 10m; or: overlay visible off",
		"\"%.40s\" is no duration of at most 1d", cli->argv[0]);
	return -1;
}

int cmd_visible(struct cli *cli)
{
	json_t *r, *args = NULL;
	char host[64];
	if (cli->argc == 0 && cli->values[0])
		return cli_fail(cli, EXIT_USAGE, "for example: overlay visible 10m --as NAME",
			"--as: for how long is missing");
	if (cli->argc > 0) {
		long long s = wanted_s(cli);
		if (s < 0)
			return EXIT_USAGE;
		cli_own_name(host);
		const char *name = cli->values[0] ? cli->values[0] : host;
		args = json_pack("{s:I}", "duration_s", (json_int_t)s);
		if (name[0])
			json_object_set_new(args, "name", json_string(name));
	}
	int rc = cli_call(cli, cli->argc > 0 ? "visible.set" : "visible", args, &r);
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	print_visible(r);
	json_decref(r);
	return rc;
}

int cmd_nearby(struct cli *cli)
{
	json_t *r;
	int rc = cli_call(cli, "nearby", NULL, &r);
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	const json_t *list = json_object_get(r, "nearby");
	size_t strangers = 0;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *p = json_array_get(list, i);
		bool known = json_is_string(json_object_get(p, "contact"));
		strangers += !known;
		print_color(COLOR_BOLD, "%s", field_text(p, "name"));
		printf("  %s\n  at %s, heard %d s ago%s%s\n", field_text(p, "peer"),
			field_text(p, "addr"), (int)(field_number(p, "ago_ms") / 1000),
			known ? ", contact " : "", known ? field_text(p, "contact") : "");
	}
	if (json_array_size(list) == 0)
		printf("nobody shows itself here; on the other machine: overlay visible 10m\n");
	else if (strangers > 0)
		printf("\noverlay peer add NAME PEERID   (compare the PeerId with `overlay id` there)\n");
	json_decref(r);
	return rc;
}
