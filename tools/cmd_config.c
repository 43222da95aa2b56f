/* overlay config check: the daemon's own loader (file, OVERLAY_* environment, checks over several
 * values), but nothing is started and nothing written. */
#include "overlay/config_os.h"
#include "tools/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int report(const struct cli *cli, const struct config *c)
{
	bool there = access(c->file, F_OK) == 0;
	if (cli->json)
		print_json_take(json_pack("{s:s, s:b, s:I}", "file", c->file, "exists", there,
			"contacts", (json_int_t)c->contact_count));
	else if (there)
		printf("%s is good: %zu contact%s\n", c->file, c->contact_count,
			c->contact_count == 1 ? "" : "s");
	else
		printf("no file at %s: overlayd starts with its defaults\n", c->file);
	return EXIT_DONE;
}

int cmd_config_check(struct cli *cli)
{
	char why[CONFIG_WHY_MAX] = "";
	const char *const argv[] = { "overlay", "--config", cli->argc ? cli->argv[0] : NULL };
	struct config *c = malloc(sizeof(*c));
	if (!c)
		return cli_fail(cli, EXIT_FAILED, "", "out of memory");
	int rc = config_load(c, cli->argc ? 3 : 1, argv, why, sizeof(why));
	if (rc != OV_OK) {
		free(c);
		return cli_fail(cli, EXIT_FAILED, "", "%s", why);
	}
	rc = report(cli, c);
	config_fini(c);
	free(c);
	return rc;
}
