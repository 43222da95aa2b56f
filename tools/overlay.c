/* overlay - the one command line program: finds the command, sorts its arguments, runs it. All that
 * it knows of the commands is in the table (cmd_table.c). */
#include "overlay/suggest.h"
#include "tools/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTION_HELP    -1
#define OPTION_JSON    -2
#define OPTION_SOCKET  -3
#define OPTION_UNKNOWN -4

static void print_option(char letter, const char *name, const char *value, const char *help)
{
	char left[40];
	snprintf(left, sizeof(left), "%s%s%s", name, value ? " " : "", value ? value : "");
	if (letter)
		printf("  -%c, %-18s %s\n", letter, left, help);
	else
		printf("      %-18s %s\n", left, help);
}

static void print_global_options(void)
{
	print_option(0, "--json", NULL, "print the result as JSON, one object per line");
	print_option(
		0, "--socket", "PATH", "of overlayd (else OVERLAY_SOCKET, else its usual place)");
	print_option('h', "--help", NULL, "this text");
}

static int print_help(const struct command *c)
{
	printf("usage: overlay %s%s%s [OPTIONS]\n\n%s\n\n%s\n", c->name, c->args[0] ? " " : "",
		c->args, c->summary, c->help);
	for (const struct cmd_option *o = c->options; o->name; o++)
		print_option(o->letter, o->name, o->value, o->help);
	print_global_options();
	return EXIT_DONE;
}

/* ---- which command ---- */

static bool in_group(const struct command *c, const char *group)
{
	size_t len = strlen(group);
	return strncmp(c->name, group, len) == 0 && c->name[len] == ' ';
}

/* Does it begin commands of two words? */
static bool is_group(const char *word)
{
	for (size_t i = 0; i < command_count; i++)
		if (in_group(&commands[i], word))
			return true;
	return false;
}

/* group: only its commands; NULL: all. */
static int print_usage(const char *group)
{
	printf("usage: overlay %s%s [ARGUMENTS] [OPTIONS]\n\n", group ? group : "COMMAND",
		group ? " ..." : "");
	for (size_t i = 0; i < command_count; i++)
		if (!group || in_group(&commands[i], group))
			printf("  %-18s %s\n", commands[i].name, commands[i].summary);
	printf("\n");
	print_global_options();
	printf("\n`overlay COMMAND --help` explains one command.\n"
	       "exit codes: 0 ok, 1 failed, 2 usage, 3 no daemon, 4 not allowed, 5 peer away or timeout\n");
	return EXIT_DONE;
}

/* Words of argv that make the command's name; 0: none. */
static size_t match_words(const struct command *c, int argc, char **argv)
{
	if (argc < 1)
		return 0;
	if (strcmp(c->name, argv[0]) == 0)
		return 1;
	size_t len = strlen(argv[0]);
	bool two = argc > 1 && in_group(c, argv[0]) && strcmp(c->name + len + 1, argv[1]) == 0;
	return two ? 2 : 0;
}

static void list_group(const char *group)
{
	for (size_t i = 0; i < command_count; i++)
		if (in_group(&commands[i], group))
			fprintf(stderr, "  overlay %s%s%s\n", commands[i].name,
				commands[i].args[0] ? " " : "", commands[i].args);
}

static int unknown_command(const struct cli *cli)
{
	char given[128], what[160], hint[160];
	struct suggest near;
	char **argv = cli->argv;
	bool group = is_group(argv[0]);
	int argc = cli->argc > 1 && argv[1][0] == '-' ? 1 : cli->argc; /* no second word */
	snprintf(given, sizeof(given), "%.60s%s%.60s", argv[0], group && argc > 1 ? " " : "",
		group && argc > 1 ? argv[1] : "");
	suggest_init(&near, given);
	for (size_t i = 0; i < command_count; i++)
		suggest_offer(&near, commands[i].name);
	if (group && argc < 2)
		snprintf(what, sizeof(what), "%s what?", argv[0]);
	else
		snprintf(what, sizeof(what), "unknown command \"%s\"", given);
	if (near.best)
		snprintf(hint, sizeof(hint), "did you mean: overlay %s", near.best);
	else if (group)
		snprintf(hint, sizeof(hint), "overlay %.60s --help", argv[0]);
	else
		snprintf(hint, sizeof(hint), "overlay --help lists the commands");
	if (cli->json || !group)
		return cli_fail(cli, EXIT_USAGE, hint, "%s", what);
	fprintf(stderr, "overlay: %s\n", what);
	if (near.best)
		fprintf(stderr, "  %s\n", hint);
	list_group(argv[0]);
	return EXIT_USAGE;
}

/* ---- its options ---- */

static bool is_option(const struct cmd_option *o, const char *text, size_t name_len)
{
	if (text[1] != '-')
		return o->letter && text[1] == o->letter;
	return strncmp(o->name, text, name_len) == 0 && o->name[name_len] == '\0';
}

/* Index in command->options, or OPTION_*. *value: the text after '=' or after a letter, or NULL. */
static int find_option(const struct command *c, char *text, char **value)
{
	static const struct cmd_option global[] = { { "--help", 'h', NULL, "" },
		{ "--json", 0, NULL, "" }, { "--socket", 0, "PATH", "" } };
	bool is_long = text[1] == '-';
	size_t name_len = is_long ? strcspn(text, "=") : 2;
	*value = text[name_len] ? text + name_len + (is_long ? 1 : 0) : NULL;
	for (int i = 0; i < 3; i++)
		if (is_option(&global[i], text, name_len))
			return -1 - i;
	for (int i = 0; c && c->options[i].name; i++)
		if (is_option(&c->options[i], text, name_len))
			return i;
	return OPTION_UNKNOWN;
}

static bool option_has_value(const struct command *c, int option)
{
	return option == OPTION_SOCKET || (option >= 0 && c && c->options[option].value);
}

static int bad_option(const struct cli *cli, const char *what, const char *text)
{
	char hint[80];
	const struct command *c = cli->command;
	snprintf(hint, sizeof(hint), "overlay %s%s--help", c ? c->name : "", c ? " " : "");
	return cli_fail(cli, EXIT_USAGE, hint, "%s: %.60s", what, text);
}

/* The option at argv[*i], and its value, which may be the next word (then *i moves on). */
static int take_option(struct cli *cli, int *i, bool *help)
{
	char *text = cli->argv[*i], *value;
	int option = find_option(cli->command, text, &value);
	if (option == OPTION_UNKNOWN)
		return bad_option(cli, "unknown option", text);
	bool wants = option_has_value(cli->command, option);
	if (!wants && value)
		return bad_option(cli, "this option takes no value", text);
	if (wants && !value && *i + 1 < cli->argc)
		value = cli->argv[++*i];
	if (wants && !value)
		return bad_option(cli, "this option needs a value", text);
	if (option >= 0)
		cli->values[option] = wants ? value : "";
	else if (option == OPTION_SOCKET)
		cli->socket = value;
	*help |= option == OPTION_HELP;
	cli->json |= option == OPTION_JSON;
	return EXIT_DONE;
}

/* Takes options out of argv; positional arguments stay, in order. *help: --help was there. */
static int sort_arguments(struct cli *cli, bool *help)
{
	int kept = 0, rc = EXIT_DONE;
	bool only_words = false;
	for (int i = 0; i < cli->argc && rc == EXIT_DONE; i++) {
		char *text = cli->argv[i];
		if (only_words || text[0] != '-' || !text[1])
			cli->argv[kept++] = text;
		else if (strcmp(text, "--") == 0)
			only_words = true;
		else
			rc = take_option(cli, &i, help);
	}
	cli->argc = kept;
	return rc;
}

static int bad_count(const struct cli *cli)
{
	const struct command *c = cli->command;
	const char *what = cli->argc < c->min_args ? "too few arguments" : "too many arguments";
	char usage[128];
	snprintf(usage, sizeof(usage), "usage: overlay %s%s%s", c->name, c->args[0] ? " " : "",
		c->args);
	if (cli->json)
		return cli_fail(cli, EXIT_USAGE, usage, "%s", what);
	fprintf(stderr, "overlay: %s\n%s\n  overlay %s --help\n", what, usage, c->name);
	return EXIT_USAGE;
}

static int run(struct cli *cli)
{
	const struct command *c = cli->command;
	if (cli->argc < c->min_args || cli->argc > c->max_args)
		return bad_count(cli);
	int rc = c->run(cli);
	overlay_close(cli->overlay);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		cli_fail(cli, EXIT_FAILED, "", "writing the output failed");
		return rc ? rc : EXIT_FAILED;
	}
	return rc;
}

/* Position of the command's first word: options may stand before it. */
static int first_word(int argc, char **argv)
{
	int i = 0;
	while (i < argc && argv[i][0] == '-')
		i += strcmp(argv[i], "--socket") == 0 ? 2 : 1;
	return i < argc ? i : argc;
}

/* Moves the options that stand before the command behind it. */
static void rotate(char **argv, int argc, int first)
{
	for (int n = 0; n < first; n++) {
		char *front = argv[0];
		memmove(argv, argv + 1, (size_t)(argc - 1) * sizeof(*argv));
		argv[argc - 1] = front;
	}
}

/* Is the second word --help? */
static bool asks_help(int argc, char **argv)
{
	return argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
}

static int no_command(const struct cli *cli, const char *group, bool help)
{
	if (cli->json && !help)
		return cli_fail(cli, EXIT_USAGE, "overlay --help lists the commands", "no command");
	print_usage(group);
	return help ? EXIT_DONE : EXIT_USAGE;
}

/* Known before anything can be wrong: an error is JSON as well, wherever the word stands. */
static bool wants_json(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	struct cli cli = { .argc = argc - 1, .argv = argv + 1 };
	cli.json = wants_json(cli.argc, cli.argv);
	bool help = false;
	int first = first_word(cli.argc, cli.argv);
	bool named = first < cli.argc;
	rotate(cli.argv, cli.argc, named ? first : 0);
	if (named && strcmp(cli.argv[0], "help") == 0) {
		help = true;
		cli.argv++;
		named = --cli.argc > 0;
	}
	size_t words = 0;
	for (size_t i = 0; named && !words && i < command_count; i++) {
		words = match_words(&commands[i], cli.argc, cli.argv);
		cli.command = words ? &commands[i] : NULL;
	}
	const char *group = named && !words && is_group(cli.argv[0]) ? cli.argv[0] : NULL;
	bool group_help = group && (asks_help(cli.argc, cli.argv) || (help && cli.argc == 1));
	if (named && !words && !group_help)
		return unknown_command(&cli);
	cli.argc -= (int)words;
	cli.argv += words;
	int rc = sort_arguments(&cli, &help);
	if (rc != EXIT_DONE)
		return rc;
	if (!cli.command)
		return no_command(&cli, group, help);
	return help ? print_help(cli.command) : run(&cli);
}
