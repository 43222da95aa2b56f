/* overlay invite, overlay join: two machines become contacts by one line. */
#include "tools/cmd.h"

#include <qrencode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define QUIET         4 /* modules around the code, ISO 18004 */
#define EXPIRES_MAX_S (365LL * 86400)

enum { OPT_NAME, OPT_AS, OPT_EXPIRES, OPT_ALLOW, OPT_QR, OPT_NO_QR };

/* ---- QR code: two modules in a character, light ones drawn, so that it is right on dark ---- */

static bool is_light(const QRcode *q, int x, int y)
{
	if (x < 0 || y < 0 || x >= q->width || y >= q->width)
		return true;
	return !(q->data[y * q->width + x] & 1);
}

static void print_qr(const char *line)
{
	static const char *const blocks[] = { " ", "\u2584", "\u2580", "\u2588" };
	/* In upper case it fits the alphanumeric mode: a smaller code. Reading takes both. */
	QRcode *q = QRcode_encodeString(line, 0, QR_ECLEVEL_L, QR_MODE_8, 0);
	if (!q) {
		printf("(no memory for the QR code)\n");
		return;
	}
	for (int y = -QUIET; y < q->width + QUIET; y += 2) {
		printf("\033[97;40m"); /* white on black, whatever the terminal's colours are */
		for (int x = -QUIET; x < q->width + QUIET; x++)
			fputs(blocks[is_light(q, x, y) * 2 + is_light(q, x, y + 1)], stdout);
		printf("\033[0m\n");
	}
	QRcode_free(q);
}

/* ---- invite ---- */

static void print_invite(struct cli *cli, const json_t *r)
{
	const char *line = field_text(r, "line");
	bool qr = cli->values[OPT_QR] || (isatty(STDOUT_FILENO) && !cli->values[OPT_NO_QR]);
	bool to_people = isatty(STDOUT_FILENO);
	printf("%s\n", line);
	if (qr)
		print_qr(line);
	FILE *notes = to_people ? stdout : stderr;
	fprintf(notes, "on the other machine: overlay join LINE   (the line above, as one word)\n");
	fprintf(notes,
		"good once, until %s; who has it becomes a contact: send it as you would a password\n",
		field_text(r, "expires_at"));
	if (json_array_size(json_object_get(r, "endpoints")) == 0 &&
		json_array_size(json_object_get(r, "facilitators")) == 0)
		fprintf(notes,
			"this machine has no address now that others reach: connect it and make another\n");
}

int cmd_invite(struct cli *cli)
{
	const char *expires = cli->values[OPT_EXPIRES] ? cli->values[OPT_EXPIRES] : "1d";
	long long expires_s = cli_duration(expires);
	char host[64];
	if (expires_s < 0 || expires_s > EXPIRES_MAX_S)
		return cli_fail(cli, EXIT_USAGE, "for example 15m, 12h or 1d",
			"--expires: \"%.40s\" is no duration of at most 365d", expires);
	cli_own_name(host);
	const char *as = cli->values[OPT_AS] ? cli->values[OPT_AS] : host;
	json_t *args = json_pack("{s:I, s:o}", "expires_s", (json_int_t)expires_s, "allow",
		cli_split(cli->values[OPT_ALLOW]));
	if (as[0])
		json_object_set_new(args, "as", json_string(as));
	if (cli->values[OPT_NAME])
		json_object_set_new(args, "name", json_string(cli->values[OPT_NAME]));
	json_t *r;
	int rc = cli_call(cli, "invite.create", args, &r);
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	print_invite(cli, r);
	json_decref(r);
	return rc;
}

static void print_words(const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		printf("%s%s", i ? "," : "", json_string_value(json_array_get(list, i)));
}

int cmd_invite_list(struct cli *cli)
{
	json_t *r;
	int rc = cli_call(cli, "invite.list", NULL, &r);
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	const json_t *list = json_object_get(r, "invites");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);
		printf("%s  for %s, until %s, may ", field_text(one, "id"),
			json_is_string(json_object_get(one, "name")) ? field_text(one, "name")
								     : "anybody",
			field_text(one, "expires_at"));
		print_words(json_object_get(one, "allow"));
		printf("\n");
	}
	if (json_array_size(list) == 0)
		printf("no invites wait to be used\n");
	json_decref(r);
	return rc;
}

int cmd_invite_revoke(struct cli *cli)
{
	json_t *r;
	int rc = cli_call(cli, "invite.revoke", json_pack("{s:s}", "id", cli->argv[0]), &r);
	if (rc != EXIT_DONE)
		return rc;
	if (cli->json) {
		print_json_take(r);
		return rc;
	}
	printf("invite %s revoked; nobody joins by it any more\n", field_text(r, "id"));
	json_decref(r);
	return rc;
}

/* ---- join ---- */

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Is it up within the time? Events were subscribed to before the call was begun. 1, 0, or -1: an
 * error was printed. */
static int wait_up(struct cli *cli, const char *peer, double wait_s)
{
	int64_t until = now_ms() + (int64_t)(wait_s * 1000);
	struct overlay_error why;
	for (;;) {
		int64_t left = until - now_ms();
		char *text;
		int got = overlay_next_event(cli->overlay, left > 0 ? (int)left : 0, &text, &why);
		if (got < 0) {
			cli_report(cli, &why);
			return -1;
		}
		if (got == 0 && left <= 0)
			return 0;
		if (got == 0)
			continue; /* a signal */
		json_t *e = json_loads(text, 0, NULL);
		bool up = strcmp(field_text(e, "event"), "peer.up") == 0 &&
			  strcmp(field_text(e, "peer"), peer) == 0;
		json_decref(e);
		free(text);
		if (up)
			return 1;
	}
}

/* r: result of join; gets `connected` and `path`. */
static int finish_join(struct cli *cli, json_t *r, bool up)
{
	const char *name = field_text(r, "name");
	json_t *shown = NULL;
	if (up && cli_call(cli, "peer.show", json_pack("{s:s}", "peer", field_text(r, "peer")),
			  &shown) != EXIT_DONE)
		return EXIT_FAILED;
	json_t *path = shown ? json_incref(json_object_get(shown, "path")) : json_null();
	json_decref(shown);
	if (cli->json) {
		json_object_set_new(r, "connected", json_boolean(up));
		json_object_set_new(r, "path", path);
		json_object_del(r, "state");
		print_json_take(json_incref(r));
		return EXIT_DONE;
	}
	if (up && json_is_object(path))
		printf("connected to %s via %s %s\n", name, field_text(path, "carrier"),
			field_text(path, "remote"));
	else if (up)
		printf("connected to %s\n", name);
	else
		printf("%s added; will connect when it is reachable (until %s; see: overlay peer show %s)\n",
			name, field_text(r, "expires_at"), name);
	json_decref(path);
	return EXIT_DONE;
}

/* "-": from standard input, where other users of the machine do not see it. */
static const char *given_line(const char *argument, char *room, int size)
{
	if (strcmp(argument, "-") != 0)
		return argument;
	if (!fgets(room, size, stdin))
		room[0] = '\0';
	room[strcspn(room, " \t\r\n")] = '\0';
	return room;
}

int cmd_join(struct cli *cli)
{
	double wait_s = 10;
	char room[2048];
	if (!cli_number(cli, 2, 0, 3600, &wait_s))
		return EXIT_USAGE;
	json_t *args = json_pack("{s:s, s:o}", "line", given_line(cli->argv[0], room, sizeof(room)),
		"allow", cli_split(cli->values[1]));
	if (!args)
		return cli_fail(
			cli, EXIT_USAGE, "copy it again, as one word", "the line is no text");
	if (!cli->values[1])
		json_object_del(args, "allow");
	if (cli->values[0])
		json_object_set_new(args, "name", json_string(cli->values[0]));
	json_t *r;
	int rc = cli_call(cli, "subscribe", json_pack("{s:[s]}", "events", "peer.up"), NULL);
	if (rc != EXIT_DONE) {
		json_decref(args);
		return rc;
	}
	rc = cli_call(cli, "join", args, &r);
	if (rc != EXIT_DONE)
		return rc;
	bool was_up = strcmp(field_text(r, "state"), "up") == 0;
	int up = was_up ? 1 : wait_up(cli, field_text(r, "peer"), wait_s);
	rc = up < 0 ? EXIT_FAILED : finish_join(cli, r, up > 0);
	json_decref(r);
	return rc;
}
