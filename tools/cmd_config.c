/* overlay config check: the same parser as the daemon's, nothing started, nothing written. */
#include "overlay/config.h"
#include "tools/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX (4 * 1024 * 1024)

/* design 10 */
static bool default_path(char *out, size_t size)
{
	const char *named = getenv("OVERLAY_CONFIG"), *base = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	int n;
	if (named && named[0])
		n = snprintf(out, size, "%s", named);
	else if (geteuid() == 0)
		n = snprintf(out, size, "/etc/overlay/overlay.json");
	else if (base && base[0])
		n = snprintf(out, size, "%s/overlay/overlay.json", base);
	else
		n = snprintf(out, size, "%s/.config/overlay/overlay.json", home ? home : "");
	return n > 0 && (size_t)n < size;
}

static char *read_text(const char *path, size_t *len)
{
	FILE *f = fopen(path, "re");
	char *text = f ? malloc(FILE_MAX + 1) : NULL;
	errno = f ? errno : errno ? errno : EIO;
	if (text) {
		*len = fread(text, 1, FILE_MAX + 1, f);
		if (ferror(f) || *len > FILE_MAX) {
			errno = ferror(f) ? errno : EFBIG;
			free(text);
			text = NULL;
		}
	}
	int error = errno;
	if (f)
		fclose(f);
	errno = error;
	return text;
}

int cmd_config_check(struct cli *cli)
{
	char path[CONFIG_PATH_MAX], why[CONFIG_WHY_MAX] = "";
	size_t len = 0;
	if (cli->argc > 0)
		snprintf(path, sizeof(path), "%s", cli->argv[0]);
	else if (!default_path(path, sizeof(path)))
		return cli_fail(cli, EXIT_USAGE, "", "the path of the configuration is too long");
	char *text = read_text(path, &len);
	if (!text)
		return cli_fail(cli, EXIT_FAILED, "name it: overlay config check FILE",
			"cannot read %s: %s", path, strerror(errno));
	struct config *c = malloc(sizeof(*c));
	if (!c) {
		free(text);
		return cli_fail(cli, EXIT_FAILED, "", "out of memory");
	}
	config_default(c);
	int rc = config_parse(c, text, len, path, why, sizeof(why));
	if (rc == OV_OK)
		rc = config_check(c, why, sizeof(why));
	size_t contacts = c->contact_count;
	config_fini(c);
	free(c);
	free(text);
	if (rc != OV_OK)
		return cli_fail(cli, EXIT_FAILED, "", "%s", why);
	if (cli->json)
		print_json_take(
			json_pack("{s:s, s:I}", "file", path, "contacts", (json_int_t)contacts));
	else
		printf("%s is good: %zu contact%s\n", path, contacts, contacts == 1 ? "" : "s");
	return EXIT_DONE;
}
