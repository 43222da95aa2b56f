/* overlay ping, overlay watch: the two commands that run until they are interrupted. */
#include "tools/cmd.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
	(void)signo;
	interrupted = 1;
}

static void catch_signals(void)
{
	struct sigaction a = { .sa_handler = on_signal }; /* no SA_RESTART: waits end */
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
}

struct pings {
	int sent, received;
	int64_t min_us, max_us, sum_us;
	int exit_code;
	char name[80], peer[80]; /* of whoever was meant, by the name or PeerId that was typed */
};

static void keep_names(struct pings *s, const json_t *r)
{
	snprintf(s->name, sizeof(s->name), "%s", field_text(r, "name"));
	snprintf(s->peer, sizeof(s->peer), "%s", field_text(r, "peer"));
}

static void print_pong(const struct cli *cli, struct pings *s, json_t *r)
{
	int64_t rtt = field_number(r, "rtt_us");
	char text[SHORT_TEXT], way[PATH_TEXT];
	s->received++;
	s->sum_us += rtt;
	s->max_us = rtt > s->max_us ? rtt : s->max_us;
	s->min_us = s->received == 1 || rtt < s->min_us ? rtt : s->min_us;
	keep_names(s, r);
	if (cli->json) {
		json_object_set_new(r, "seq", json_integer(s->sent));
		print_json_take(json_incref(r));
		return;
	}
	const json_t *path = json_object_get(r, "path");
	printf("%s: seq=%d rtt=%s", s->name, s->sent, text_rtt(rtt, text));
	if (json_is_object(path))
		printf(" path=%s", text_path(path, way));
	if (json_is_string(json_object_get(r, "observed")))
		printf(" observed=%s", field_text(r, "observed"));
	printf("\n");
	fflush(stdout);
}

/* One ping. False: it makes no sense to go on. */
static bool ping_once(struct cli *cli, struct pings *s, double timeout)
{
	struct overlay_error why = { .code = "" };
	json_t *args = json_pack(
		"{s:s, s:I}", "peer", cli->argv[0], "timeout_ms", (json_int_t)(timeout * 1000));
	char *text = args ? json_dumps(args, JSON_COMPACT) : NULL, *answer = NULL;
	json_decref(args);
	s->sent++;
	int rc = overlay_call(cli->overlay, "ping", text ? text : "{}", &answer, &why);
	free(text);
	if (rc == 0) {
		json_t *r = json_loads(answer, 0, NULL);
		print_pong(cli, s, r);
		json_decref(r);
		free(answer);
		return true;
	}
	if (interrupted) {
		s->sent--; /* it was not given its time */
		return false;
	}
	s->exit_code = cli_report(cli, &why);
	return s->exit_code == EXIT_AWAY;
}

/* No answer named it. */
static void ask_names(const struct cli *cli, struct pings *s)
{
	struct overlay_error why;
	json_t *args = json_pack("{s:s}", "peer", cli->argv[0]);
	char *text = json_dumps(args, JSON_COMPACT), *answer = NULL;
	json_decref(args);
	if (text && overlay_call(cli->overlay, "peer.show", text, &answer, &why) == 0) {
		json_t *r = json_loads(answer, 0, NULL);
		keep_names(s, r);
		json_decref(r);
		free(answer);
	}
	free(text);
}

static json_t *text_or_null(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

static int summary(const struct cli *cli, struct pings *s)
{
	double loss = s->sent ? 100.0 * (s->sent - s->received) / s->sent : 0;
	int64_t mean = s->received ? s->sum_us / s->received : 0;
	if (cli->json) {
		json_t *rtt = json_null();
		if (s->received)
			rtt = json_pack("{s:I, s:I, s:I}", "min_us", (json_int_t)s->min_us,
				"avg_us", (json_int_t)mean, "max_us", (json_int_t)s->max_us);
		if (!s->received)
			ask_names(cli, s);
		json_t *o = json_pack("{s:o, s:o, s:i, s:i, s:o}", "peer", text_or_null(s->peer),
			"name", text_or_null(s->name), "sent", s->sent, "received", s->received,
			"rtt", rtt);
		print_json_take(json_pack("{s:o}", "summary", o));
	} else {
		char a[SHORT_TEXT], b[SHORT_TEXT], c[SHORT_TEXT];
		printf("%d sent, %d received, %.0f %% lost", s->sent, s->received, loss);
		if (s->received)
			printf(", rtt min/avg/max %s / %s / %s", text_rtt(s->min_us, a),
				text_rtt(mean, b), text_rtt(s->max_us, c));
		printf("\n");
	}
	return s->received || !s->sent ? EXIT_DONE : s->exit_code;
}

static void pause_for(double seconds)
{
	int64_t ms = (int64_t)(seconds * 1000);
	if (!interrupted && ms > 0)
		poll(NULL, 0, (int)ms);
}

static double clock_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int cmd_ping(struct cli *cli)
{
	double count = 4, interval = 1, timeout = 5;
	struct pings s = { .exit_code = EXIT_AWAY };
	if (!cli_number(cli, 0, 0, 1e9, &count) || !cli_number(cli, 1, 0.01, 86400, &interval) ||
		!cli_number(cli, 2, 0.001, 60, &timeout))
		return EXIT_USAGE;
	int rc = cli_connect(cli);
	if (rc != EXIT_DONE)
		return rc;
	overlay_set_timeout(cli->overlay, (int)(timeout * 1000) + 3000);
	catch_signals();
	bool on = true;
	while (on && !interrupted) {
		double start = clock_s();
		on = ping_once(cli, &s, timeout);
		if (!on || (count > 0 && s.sent >= (int)count))
			break;
		pause_for(start + interval - clock_s());
	}
	if (!on && !interrupted)
		return s.exit_code; /* refused, not lost: a summary would mislead */
	return summary(cli, &s);
}

/* ---- watch ---- */

static void print_stream(const json_t *e)
{
	char out[SHORT_TEXT], in[SHORT_TEXT];
	printf(" %s %s, stream %lld", field_text(e, "direction"), field_text(e, "service"),
		(long long)field_number(e, "stream"));
	if (json_object_get(e, "sent_bytes"))
		printf(", sent %s, received %s", text_bytes(field_number(e, "sent_bytes"), out),
			text_bytes(field_number(e, "received_bytes"), in));
	if (json_is_integer(json_object_get(e, "code")))
		printf(", cut (code %lld)", (long long)field_number(e, "code"));
}

static void print_event(const char *text)
{
	json_t *e = json_loads(text, 0, NULL);
	char rtt[SHORT_TEXT];
	const char *at = field_text(e, "at"), *name = json_string_value(json_object_get(e, "name"));
	printf("%.8s %-15s", strlen(at) > 19 ? at + 11 : "-", field_text(e, "event"));
	if (json_object_get(e, "peer"))
		printf(" %s", name ? name : field_text(e, "peer"));
	if (json_is_string(json_object_get(e, "remote"))) /* null: not known yet */
		printf(" at %s", field_text(e, "remote"));
	if (json_is_string(json_object_get(e, "addr")))
		printf(" at %s", field_text(e, "addr"));
	if (field_number(e, "rtt_us") > 0)
		printf(" rtt %s", text_rtt(field_number(e, "rtt_us"), rtt));
	if (json_object_get(e, "observed"))
		printf(" sees us at %s", field_text(e, "observed"));
	if (json_object_get(e, "family"))
		printf(" %s %s %s", field_text(e, "family"), field_text(e, "state"),
			json_is_string(json_object_get(e, "error")) ? field_text(e, "error")
								    : field_text(e, "external"));
	if (json_object_get(e, "service"))
		print_stream(e);
	if (json_object_get(e, "slept_ms"))
		printf(" after %s", text_duration(field_number(e, "slept_ms"), rtt));
	if (json_object_get(e, "count"))
		printf(" %lld events were lost", (long long)field_number(e, "count"));
	printf("\n");
	json_decref(e);
}

int cmd_watch(struct cli *cli)
{
	json_t *names = json_array();
	for (int i = 0; i < cli->argc; i++) {
		json_t *some = cli_split(cli->argv[i]);
		json_array_extend(names, some);
		json_decref(some);
	}
	json_t *args = cli->argc ? json_pack("{s:O}", "events", names) : NULL;
	json_decref(names);
	int rc = cli_call(cli, "subscribe", args, NULL);
	if (rc != EXIT_DONE)
		return rc;
	catch_signals();
	while (!interrupted) {
		struct overlay_error why;
		char *event;
		int got = overlay_next_event(cli->overlay, -1, &event, &why);
		if (got < 0)
			return cli_report(cli, &why);
		if (got == 0)
			continue;
		if (cli->json)
			printf("%s\n", event);
		else
			print_event(event);
		free(event);
		if (fflush(stdout) != 0)
			return EXIT_FAILED; /* the reader of our pipe has gone */
	}
	return EXIT_DONE;
}
