/* overlay id, overlay version. */
#include "tools/cmd.h"

#include <stdio.h>
#include <stdlib.h>

#ifndef OVERLAY_VERSION
#define OVERLAY_VERSION "0.1.0"
#endif

int cmd_id(struct cli *cli)
{
	json_t *r;
	int rc = cli_call(cli, "id", NULL, &r);
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	if (cli->values[0])
		printf("%s\n", field_text(r, "peer"));
	else
		printf("peer     %s\naddress  %s\n", field_text(r, "peer"),
			field_text(r, "address"));
	json_decref(r);
	return rc;
}

/* Works without a daemon too: then it says so, and that is no error. */
int cmd_version(struct cli *cli)
{
	struct overlay_error why = { .code = "" };
	char *text = NULL;
	cli->overlay = overlay_connect(cli->socket, &why);
	if (cli->overlay)
		(void)overlay_call(cli->overlay, "version", NULL, &text, &why);
	json_t *daemon = text ? json_loads(text, 0, NULL) : NULL;
	if (cli->json) {
		print_json_take(
			json_pack("{s:s, s:O?}", "version", OVERLAY_VERSION, "overlayd", daemon));
	} else if (daemon) {
		printf("overlay   %s\noverlayd  %s (api %d)\n", OVERLAY_VERSION,
			field_text(daemon, "version"), (int)field_number(daemon, "api"));
	} else {
		printf("overlay   %s\noverlayd  not reached: %s\n", OVERLAY_VERSION, why.text);
	}
	json_decref(daemon);
	free(text);
	return EXIT_DONE;
}
