/* Any bytes as a configuration file and as flags. Beyond memory safety: a refusal says where and
 * why, an accepted one can be printed, and its text, given again, gives the same configuration.
 * json_line is also run on texts that no parser has accepted. */
#include "overlay/config.h"
#include "overlay/json_line.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const char *text, size_t len, char **printed)
{
	struct config c;
	char why[CONFIG_WHY_MAX] = "";
	config_default(&c);
	*printed = NULL;
	int err = config_parse(&c, text, len, "f", why, sizeof(why));
	if (err != OV_OK && (strncmp(why, "f:", 2) != 0 || strstr(why, ": ") == NULL))
		abort();
	if (err == OV_OK) {
		json_t *j = config_print(&c);
		*printed = j != NULL ? json_dumps(j, 0) : NULL;
		json_decref(j);
		if (*printed == NULL)
			abort();
		for (size_t i = 0; i < c.contact_count; i++) {
			if (c.contacts[i].line == 0)
				abort();
		}
		if (config_check(&c, why, sizeof(why)) != OV_OK && why[0] == '\0')
			abort();
	}
	config_fini(&c);
}

static void lines(const char *text, size_t len)
{
	struct json_path path = { .steps = { { "contacts", 0 }, { NULL, 1 }, { "peer", 0 } },
		.count = 3 };
	unsigned each[4], newlines = 1;
	for (size_t i = 0; i < len; i++)
		newlines += text[i] == '\n';
	unsigned line = json_line(text, len, &path);
	if (line < 1 || line > newlines)
		abort();
	path.count = 1;
	json_element_lines(text, len, &path, each, 4);
	for (size_t i = 0; i < 4; i++) {
		if (each[i] > newlines)
			abort();
	}
}

/* Words of the input are flags. */
static void flags(char *text)
{
	struct config c;
	char why[CONFIG_WHY_MAX] = "", *save = NULL;
	const char *argv[17] = { "overlayd" };
	int argc = 1;
	for (char *word = strtok_r(text, " \n", &save); word != NULL && argc < 16;
		word = strtok_r(NULL, " \n", &save))
		argv[argc++] = word;
	config_default(&c);
	if (config_apply_flags(&c, argc, argv, why, sizeof(why)) != OV_OK && why[0] == '\0')
		abort();
	config_fini(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *first, *second;
	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	parse(text, size, &first);
	parse(text, size, &second);
	if ((first == NULL) != (second == NULL) || (first != NULL && strcmp(first, second) != 0))
		abort();
	free(first);
	free(second);
	lines(text, size);
	flags(text);
	free(text);
	return 0;
}
