/* Calls to the daemon, errors and exit codes, and how figures look. */
#include "tools/cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- errors ---- */

int cli_exit_code(const struct overlay_error *why)
{
	static const struct {
		const char *code;
		int exit;
	} codes[] = { { "bad-argument", EXIT_USAGE }, { "no-daemon", EXIT_NO_DAEMON },
		{ "not-allowed", EXIT_NOT_ALLOWED }, { "no-permission", EXIT_NOT_ALLOWED },
		{ "peer-away", EXIT_AWAY }, { "timeout", EXIT_AWAY } };
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (strcmp(codes[i].code, why->code) == 0)
			return codes[i].exit;
	return EXIT_FAILED;
}

/* A word of the command line may be no UTF-8, or was cut within a character; JSON has no other. */
static json_t *text_of_any(const char *bytes)
{
	struct overlay_error plain;
	json_t *text = json_string(bytes);
	if (text)
		return text;
	snprintf(plain.text, sizeof(plain.text), "%s", bytes);
	for (char *at = plain.text; *at; at++)
		if ((unsigned char)*at >= 0x80)
			*at = '?';
	return json_string(plain.text);
}

int cli_report(const struct cli *cli, const struct overlay_error *why)
{
	fflush(stdout);
	if (cli->json) {
		json_t *e = json_pack("{s:s, s:o, s:o}", "code", why->code, "text",
			text_of_any(why->text), "hint", text_of_any(why->hint));
		json_dumpf(e, stderr, JSON_COMPACT);
		fputc('\n', stderr);
		json_decref(e);
	} else {
		fprintf(stderr, "overlay: %s\n", why->text);
		if (why->hint[0])
			fprintf(stderr, "  %s\n", why->hint);
	}
	return cli_exit_code(why);
}

int cli_fail(const struct cli *cli, enum exit_code code, const char *hint, const char *format, ...)
{
	struct overlay_error why = { .code = "io" };
	if (code == EXIT_USAGE)
		snprintf(why.code, sizeof(why.code), "bad-argument");
	else if (code == EXIT_NOT_ALLOWED)
		snprintf(why.code, sizeof(why.code), "no-permission");
	va_list ap;
	va_start(ap, format);
	vsnprintf(why.text, sizeof(why.text), format, ap);
	va_end(ap);
	snprintf(why.hint, sizeof(why.hint), "%s", hint);
	cli_report(cli, &why);
	return (int)code;
}

/* ---- calls ---- */

int cli_connect(struct cli *cli)
{
	struct overlay_error why;
	if (!cli->overlay)
		cli->overlay = overlay_connect(cli->socket, &why);
	return cli->overlay ? EXIT_DONE : cli_report(cli, &why);
}

int cli_call(struct cli *cli, const char *op, json_t *args_take, json_t **result)
{
	struct overlay_error why;
	int rc = cli_connect(cli);
	char *args = args_take ? json_dumps(args_take, JSON_COMPACT) : NULL, *text = NULL;
	json_decref(args_take);
	if (rc == EXIT_DONE && overlay_call(cli->overlay, op, args, &text, &why) != 0)
		rc = cli_report(cli, &why);
	free(args);
	if (rc == EXIT_DONE && result) {
		*result = json_loads(text, JSON_DECODE_ANY, NULL);
		if (!*result)
			rc = cli_fail(cli, EXIT_FAILED, "", "overlayd's answer is not JSON");
	}
	free(text);
	return rc;
}

int cli_call_pages(struct cli *cli, const char *op, const char *key, json_t **result)
{
	int rc = cli_call(cli, op, NULL, result);
	json_t *page = NULL, *next = rc ? NULL : json_incref(json_object_get(*result, "next"));
	while (rc == EXIT_DONE && next) {
		rc = cli_call(cli, op, json_pack("{s:o}", "from", next), &page);
		if (rc != EXIT_DONE)
			break;
		json_array_extend(json_object_get(*result, key), json_object_get(page, key));
		next = json_incref(json_object_get(page, "next"));
		json_decref(page);
	}
	if (rc == EXIT_DONE)
		json_object_del(*result, "next");
	return rc;
}

json_t *cli_split(const char *list)
{
	json_t *out = json_array();
	while (list && *list) {
		size_t len = strcspn(list, ", ");
		if (len > 0)
			json_array_append_new(out, json_stringn(list, len));
		list += len + (list[len] != '\0');
	}
	return out;
}

bool cli_number(const struct cli *cli, size_t option, double low, double high, double *value)
{
	const char *text = cli->values[option];
	if (!text)
		return true;
	char *end;
	double v = strtod(text, &end);
	if (end == text || *end || !(v >= low && v <= high)) {
		cli_fail(cli, EXIT_USAGE, "", "%s: %.40s is not a number from %g to %g",
			cli->command->options[option].name, text, low, high);
		return false;
	}
	*value = v;
	return true;
}

/* ---- output ---- */

void print_json_take(json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
	putchar('\n');
	fflush(stdout);
	json_decref(value);
}

static bool colors_wanted(void)
{
	static int wanted = -1;
	const char *no = getenv("NO_COLOR");
	if (wanted < 0)
		wanted = isatty(STDOUT_FILENO) && !(no && no[0]);
	return wanted;
}

void print_color(enum color color, const char *format, ...)
{
	static const char *const codes[] = { "", "\033[32m", "\033[33m", "\033[31m", "\033[2m",
		"\033[1m" };
	bool on = color != COLOR_NONE && colors_wanted();
	if (on)
		fputs(codes[color], stdout);
	va_list ap;
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	if (on)
		fputs("\033[0m", stdout);
}

const char *text_bytes(int64_t bytes, char out[SHORT_TEXT])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
	double v = (double)bytes;
	size_t unit = 0;
	while (v >= 999.5 && unit < 5) {
		v /= 1000;
		unit++;
	}
	snprintf(out, SHORT_TEXT, unit > 0 && v < 9.95 ? "%.1f %s" : "%.0f %s", v, units[unit]);
	return out;
}

const char *text_rtt(int64_t us, char out[SHORT_TEXT])
{
	double ms = (double)us / 1000;
	if (us <= 0)
		snprintf(out, SHORT_TEXT, "-");
	else
		snprintf(out, SHORT_TEXT,
			ms < 10    ? "%.2f ms"
			: ms < 100 ? "%.1f ms"
				   : "%.0f ms",
			ms);
	return out;
}

const char *text_path(const json_t *path, char out[PATH_TEXT])
{
	const char *remote = field_text(path, "remote");
	if (strncmp(remote, "relay:", 6) == 0)
		snprintf(out, PATH_TEXT, "relay by %.12s...", remote + 6);
	else
		snprintf(out, PATH_TEXT, "%s %s", field_text(path, "carrier"), remote);
	return out;
}

const char *text_duration(int64_t ms, char out[SHORT_TEXT])
{
	long long s = ms / 1000;
	if (s < 60)
		snprintf(out, SHORT_TEXT, "%llds", s);
	else if (s < 3600)
		snprintf(out, SHORT_TEXT, "%lldm %llds", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, SHORT_TEXT, "%lldh %lldm", s / 3600, s / 60 % 60);
	else
		snprintf(out, SHORT_TEXT, "%lldd %lldh", s / 86400, s / 3600 % 24);
	return out;
}

const char *text_ago(const char *rfc3339, char out[SHORT_TEXT])
{
	struct tm tm = { .tm_sec = 0 };
	if (!strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm)) {
		snprintf(out, SHORT_TEXT, "never");
		return out;
	}
	int64_t seconds = (int64_t)time(NULL) - (int64_t)timegm(&tm);
	if (seconds < 2)
		snprintf(out, SHORT_TEXT, "now");
	else
		text_duration(seconds * 1000, out);
	return out;
}

const char *field_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "-";
}

int64_t field_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

bool field_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

/* ---- what people type ---- */

long long cli_duration(const char *text)
{
	static const struct {
		char unit;
		long long seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	char *end;
	long long n = strtoll(text, &end, 10);
	if (end == text || n <= 0 || n > 100000000 || !end[0] || end[1])
		return -1;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (units[i].unit == end[0])
			return n * units[i].seconds;
	return -1;
}

void cli_own_name(char out[64])
{
	char host[256] = "";
	size_t len = 0;
	if (gethostname(host, sizeof(host) - 1) == 0)
		len = strspn(
			host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
	if (host[len] != '\0' && host[len] != '.')
		len = 0;
	if (host[0] == '-' || host[0] == '_' || len > 63 || strcmp(host, "localhost") == 0)
		len = 0;
	memcpy(out, host, len);
	out[len] = '\0';
}
