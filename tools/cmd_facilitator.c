/* overlay facilitator status: who serves us, and whom we serve. */
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
	printf(" %9s  sees us at %s\n", text_rtt(field_number(f, "rtt_us"), rtt),
		json_is_string(json_object_get(f, "observed")) ? field_text(f, "observed") : "-");
	if (json_is_string(json_object_get(f, "refused")))
		printf("  it refuses: %s%s\n", field_text(f, "refused"),
			strcmp(field_text(f, "refused"), "denied") == 0
				? "; its owner must add this machine as a contact"
				: "");
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
		char bytes[SHORT_TEXT];
		printf("This machine serves %s: %d clients, %d channels, %s relayed, %d refused.\n",
			field_text(serving, "policy"), (int)field_number(serving, "clients"),
			(int)field_number(serving, "channels"),
			text_bytes(field_number(serving, "relayed_bytes"), bytes),
			(int)field_number(serving, "refusals"));
	}
	json_decref(r);
	return rc;
}
