#pragma once
/* cmd - what the subcommands of `overlay` share: the command table's row, parsed arguments, calls
 * to the daemon, and output for eyes. */
#include "overlay/overlay.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* design 10 */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NO_DAEMON = 3,
	EXIT_NOT_ALLOWED = 4,
	EXIT_AWAY = 5
};

#define CMD_OPTIONS_MAX 6

struct cmd_option {
	const char *name;  /* "--count" */
	char letter;       /* 'c', or 0 */
	const char *value; /* "N"; NULL: a flag */
	const char *help;
};

struct cli;
struct command {
	const char *name;    /* "peer add" */
	const char *args;    /* "NAME PEERID [ENDPOINT...]" */
	const char *summary; /* one line, no full stop */
	const char *help;    /* more, with examples */
	int min_args, max_args;
	struct cmd_option options[CMD_OPTIONS_MAX + 1];
	int (*run)(struct cli *cli); /* returns an exit code */
};

struct cli {
	const struct command *command;
	const char *socket; /* --socket, or NULL */
	bool json;
	int argc; /* positional arguments */
	char **argv;
	const char *values[CMD_OPTIONS_MAX]; /* by position in command->options; NULL: not given */
	struct overlay *overlay;             /* after cli_connect */
};

/* ---- the daemon ---- */
/* EXIT_DONE, or an error was printed. */
int cli_connect(struct cli *cli);
/* Connects when needed; args_take is consumed. On success *result is the caller's (if not NULL). */
int cli_call(struct cli *cli, const char *op, json_t *args_take, json_t **result);
/* All pages of a list as one result: the lists `key` joined, everything else of the first page. */
int cli_call_pages(struct cli *cli, const char *op, const char *key, json_t **result);
int cli_exit_code(const struct overlay_error *why);
/* Prints the error (JSON object on stderr with --json) and returns its exit code. */
int cli_report(const struct cli *cli, const struct overlay_error *why);
int cli_fail(const struct cli *cli, enum exit_code code, const char *hint, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Splits "a,b" into a JSON array of texts. */
json_t *cli_split(const char *list);
/* A number option in seconds or counts; false: usage error printed. */
bool cli_number(const struct cli *cli, size_t option, double low, double high, double *value);
/* "90s" "15m" "12h" "1d" in seconds; -1: none of these. */
long long cli_duration(const char *text);
/* What we call ourselves, if nothing else is wanted: the host name up to the first dot. */
void cli_own_name(char out[64]);

/* ---- output ---- */
#define SHORT_TEXT 24
#define PATH_TEXT  96
enum color { COLOR_NONE, COLOR_GOOD, COLOR_WARN, COLOR_BAD, COLOR_DIM, COLOR_BOLD };
void print_json_take(json_t *value); /* one line */
void print_color(enum color color, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *text_bytes(int64_t bytes, char out[SHORT_TEXT]); /* "3.4 MB" */
const char *text_path(
	const json_t *path, char out[PATH_TEXT]);       /* "udp 1.2.3.4:5", "relay by jfx..." */
const char *text_rtt(int64_t us, char out[SHORT_TEXT]); /* "1.2 ms", "-" for 0 */
const char *text_duration(int64_t ms, char out[SHORT_TEXT]);     /* "3h 12m" */
const char *text_ago(const char *rfc3339, char out[SHORT_TEXT]); /* "12s", "never" */
/* Field of an object as text ("-" when null or missing), number (0), object. */
const char *field_text(const json_t *object, const char *key);
int64_t field_number(const json_t *object, const char *key);
bool field_true(const json_t *object, const char *key);

/* ---- subcommands ---- */
extern const struct command commands[];
extern const size_t command_count;
int cmd_id(struct cli *cli);
int cmd_version(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_ping(struct cli *cli);
int cmd_watch(struct cli *cli);
int cmd_hosts(struct cli *cli);
int cmd_config_check(struct cli *cli);
int cmd_peer_add(struct cli *cli);
int cmd_peer_list(struct cli *cli);
int cmd_peer_show(struct cli *cli);
int cmd_peer_rename(struct cli *cli);
int cmd_peer_remove(struct cli *cli);
int cmd_peer_allow(struct cli *cli);
int cmd_peer_lan_only(struct cli *cli);
int cmd_peer_requests(struct cli *cli);
int cmd_peer_accept(struct cli *cli);
int cmd_peer_refuse(struct cli *cli);
int cmd_invite(struct cli *cli);
int cmd_invite_list(struct cli *cli);
int cmd_invite_revoke(struct cli *cli);
int cmd_join(struct cli *cli);
int cmd_visible(struct cli *cli);
int cmd_nearby(struct cli *cli);
int cmd_why(struct cli *cli);
int cmd_netcheck(struct cli *cli);
int cmd_facilitator_status(struct cli *cli);
int cmd_serve(struct cli *cli);
int cmd_forward(struct cli *cli);
int cmd_pipe(struct cli *cli);
