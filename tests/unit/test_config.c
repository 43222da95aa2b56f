#include "core/identity.h"
#include "overlay/config_option.h"
#include "overlay/config_os.h"
#include "overlay/json_line.h"

#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka needs the ones above first */
#include <cmocka.h>

static char why[CONFIG_WHY_MAX];

static int parse(struct config *c, const char *text)
{
	return config_parse(c, text, strlen(text), "o.json", why, sizeof(why));
}

static const char *peer_text(uint8_t n)
{
	static char text[4][PEER_ID_TEXT_LEN + 1];
	struct identity self;
	uint8_t seed[32] = { n };
	assert_int_equal(identity_from_seed(&self, seed), OV_OK);
	return peer_id_format(&self.id, text[n % 4]);
}

static void test_defaults_pass_the_check(void **state)
{
	(void)state;
	struct config c;
	config_default(&c);
	assert_int_equal(config_check(&c, why, sizeof(why)), OV_OK);
	assert_int_equal(c.listen_udp, 27182);
	assert_int_equal(c.tun_mtu, 1420);
	assert_int_equal(parse(&c, "{}"), OV_OK);
	config_fini(&c);
}

static void test_every_key_of_the_file(void **state)
{
	(void)state;
	struct config c;
	char text[2048];
	(void)snprintf(text, sizeof(text),
		"{\n \"listen\": {\"udp\": 0},\n \"network_key\": \"sixteen letters!\",\n"
		" \"tun\": {\"enabled\": false, \"name\": \"ov1\", \"mtu\": 1280},\n"
		" \"pairing\": true, \"portmap\": false, \"lan_only\": true,"
		" \"aead\": \"openssl:aes-256-gcm\",\n"
		" \"limits\": {\"contacts\": 10, \"handshakes\": 20, \"flows\": 128,"
		" \"requests\": 5, \"clients\": 16, \"clients_per_uid\": 8,"
		" \"streams\": 100, \"stream_days\": 30},\n"
		" \"log\": {\"level\": \"debug\", \"format\": \"json\"},\n"
		" \"contacts\": [\n  {\"name\": \"laptop\", \"peer\": \"%s\"},\n"
		"  {\"name\": \"nas\", \"peer\": \"%s\",\n"
		"   \"endpoints\": [\"nas.example:27182\", \"192.0.2.1:5\"], "
		"\"allow\": [\"tcp/22\"], \"lan_only\": true}\n ]\n}\n",
		peer_text(1), peer_text(2));
	config_default(&c);
	if (parse(&c, text) != OV_OK)
		fail_msg("%s", why);
	assert_int_equal(config_check(&c, why, sizeof(why)), OV_OK);
	assert_int_equal(c.listen_udp, 0);
	assert_string_equal(c.network_key, "sixteen letters!");
	assert_false(c.tun_enabled);
	assert_string_equal(c.tun_name, "ov1");
	assert_int_equal(c.tun_mtu, 1280);
	assert_true(c.pairing);
	assert_false(c.portmap);
	assert_true(c.lan_only);
	assert_string_equal(c.aead, "openssl:aes-256-gcm");
	assert_int_equal(c.limits_contacts, 10);
	assert_int_equal(c.limits_clients_per_uid, 8);
	assert_int_equal(c.limits_streams, 100);
	assert_int_equal(c.limits_stream_days, 30);
	assert_int_equal(c.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(c.log_format, LOG_FORMAT_JSON);
	assert_int_equal(c.contact_count, 2);
	const struct contact *nas = &c.contacts[1].contact;
	assert_true(nas->lan_only);
	assert_false(c.contacts[0].contact.lan_only);
	assert_int_equal(c.contacts[0].line, 9);
	assert_int_equal(c.contacts[1].line, 10);
	assert_int_equal(nas->source, CONTACT_CONFIG);
	assert_int_equal(nas->endpoint_count, 2);
	assert_true(grants_tcp(&nas->grants, 22));
	assert_int_equal(nas->grants.bits, 0); /* exactly what it lists */
	assert_int_equal(c.contacts[0].contact.grants.bits, GRANT_ICMP | GRANT_MESSAGE);
	assert_int_equal(c.source[CONFIG_TUN_MTU], CONFIG_FROM_FILE);
	config_fini(&c);
	assert_int_equal(c.network_key[0], 0);
	assert_true(c.portmap);
}

static void test_messages_of_the_file(void **state)
{
	(void)state;
	struct config c;
#define T(text, want)                                 \
	config_default(&c);                           \
	assert_int_equal(parse(&c, text), OV_EINVAL); \
	assert_string_equal(why, want);               \
	config_fini(&c)
	T("{\n\n \"tun\": {\n  \"mut\": 1}}",
		"o.json:4: unknown key \"tun.mut\"; did you mean \"tun.mtu\"?");
	T("{\"xyzzyplugh\": 1}", "o.json:1: unknown key \"xyzzyplugh\"");
	T("{\n\"paring\": true}", "o.json:2: unknown key \"paring\"; did you mean \"pairing\"?");
	T("{\n \"lan\": 3}", "o.json:2: lan: expected true or false, not a number");
	T("{\n \"dns\": true}",
		"o.json:2: \"dns\" is not available in this version yet: remove it");
	T("{\"facilitator\": {\n\"limits\": {\"chanels\": 1}}}",
		"o.json:2: unknown key \"facilitator.limits.chanels\"; did you mean "
		"\"facilitator.limits.channels\"?");
	T("{\"facilitator\": {\n\"limits\": {\n\"clients\": 0}}}",
		"o.json:3: facilitator.limits.clients: expected a number from 1 to 1000000, not 0");
	T("{\"facilitator\": {\n\"limits\": 7}}",
		"o.json:2: facilitator.limits: expected an object, not a number");
	T("{\"facilitator.limits\": {\"clients\": 7}}",
		"o.json:1: unknown key \"facilitator.limits\"; did you mean "
		"\"facilitator.limits.*\"?");
	T("{\"facilitator\": {\n\"limit\": {\"clients\": 7}}}",
		"o.json:2: unknown key \"facilitator.limit\"; did you mean "
		"\"facilitator.limits.*\"?");
	T("{\"limts\": {}}", "o.json:1: unknown key \"limts\"; did you mean \"limits.*\"?");
	T("{\"scan\": {\"rate\": 1}}",
		"o.json:1: \"scan\" is not available in this version yet: remove it");
	T("{\"tun\": {\"mtu\":\n 1279}}",
		"o.json:1: tun.mtu: expected a number from 1280 to 1420, not 1279");
	T("{\"tun\": {\"mtu\": 1421}}",
		"o.json:1: tun.mtu: expected a number from 1280 to 1420, not 1421");
	T("{\"tun\": {\"mtu\": \"1400\"}}",
		"o.json:1: tun.mtu: expected a number from 1280 to 1420, not a text");
	T("{\"tun\": {\"mtu\": 1400.5}}",
		"o.json:1: tun.mtu: expected a number from 1280 to 1420, not a fraction");
	T("{\"tun\": 7}", "o.json:1: tun: expected an object, not a number");
	T("{\"listen\": {\"udp\": -1}}",
		"o.json:1: listen.udp: expected a number from 0 to 65535, not -1");
	T("{\"pairing\": 1}", "o.json:1: pairing: expected true or false, not a number");
	T("{\"tun\": {\"name\": \"sixteencharacter\"}}",
		"o.json:1: tun.name: expected a text of 1 to 15 characters, not "
		"\"sixteencharacter\"");
	T("{\"network_key\": \"short secret\"}", /* not shown */
		"o.json:1: network_key: expected a text of 16 to 128 characters, not 12");
	T("{\"log\": {\"level\": \"loud\"}}",
		"o.json:1: log.level: expected \"error\" or \"warn\" or \"info\" or \"debug\", "
		"not \"loud\"");
	T("{\"contacts\": 3}", "o.json:1: contacts: expected an array of objects, not a number");
	T("{\n\"state\": \"/x\"}",
		"o.json:2: \"state\" cannot be set in the file: use the flag --state");
	T("{\"tun.mtu\": 1400}",
		"o.json:1: write \"tun.mtu\" as an object: {\"tun\": {\"mtu\": ...}}");
	T("[]", "o.json:1: expected one JSON object { ... }, not an array");
#undef T
	assert_int_equal(parse(&c, "{\n\"pairing\": true,\n\"pairing\": true}"), OV_EINVAL);
	assert_non_null(strstr(why, "o.json:3: not valid JSON: duplicate object key"));
	assert_int_equal(parse(&c, "{\n\"pairing\": tru\n}"), OV_EINVAL);
	assert_non_null(strstr(why, "o.json:2: not valid JSON: "));
	assert_int_equal(parse(&c, ""), OV_EINVAL);
	config_fini(&c);
}

/* `first` and `second` are whole contact objects in lines 2 and 3. */
static const char *contacts_error(const char *first, const char *second)
{
	struct config c;
	char text[1024];
	(void)snprintf(text, sizeof(text), "{\"contacts\": [\n%s%s\n%s]}", first,
		second[0] != '\0' ? "," : "", second);
	config_default(&c);
	int err = parse(&c, text);
	config_fini(&c);
	return err == OV_OK ? "ok" : why;
}

static const char *object(const char *name, const char *peer, const char *more)
{
	static char text[4][400];
	static unsigned turn;
	turn = (turn + 1) % 4;
	(void)snprintf(text[turn], sizeof(text[turn]), "{\"name\":\"%s\",\n\"peer\":\"%s\"%s}",
		name, peer, more);
	return text[turn];
}

static void test_messages_of_contacts(void **state)
{
	(void)state;
	const char *p1 = peer_text(1), *p2 = peer_text(2);
#define T(first, second, want) assert_non_null(strstr(contacts_error(first, second), want))
	T(object("a", p1, ""), object("b", p2, ""), "ok");
	T(object("a", p1, ""), object("b", p1, ""),
		"o.json:5: contacts: b is the same peer as a in line 2: remove one");
	T(object("a", p1, ""), object("A", p2, ""),
		"o.json:4: contacts: the name A is taken in line 2: choose another");
	T(object("a b", p1, ""), "", "o.json:2: contacts: name: use letters");
	T(object("a", "nonsense", ""), "", "o.json:3: contacts: a: \"nonsense\" is no PeerId");
	T("{\"name\": \"a\"}", "", "o.json:2: contacts: a needs a \"peer\"");
	T("{\"peer\": \"a\"}", "", "o.json:2: contacts: every contact needs a \"name\"");
	T("7", "", "o.json:2: contacts: expected an object with name and peer");
	T(object("a", p1, ",\n\"alow\":[]"), "", "o.json:4: contacts: unknown key \"alow\"");
	T(object("a", p1, ",\n\"allow\":[\"tcp/x\"]"), "",
		"o.json:4: contacts: allow: \"tcp/x\" is not understood");
	T(object("a", p1, ",\n\"allow\":\"icmp\""), "",
		"o.json:4: contacts: allow: expected an array of texts");
	T(object("a", p1, ",\n\"endpoints\":[\"::::\"]"), "",
		"o.json:4: contacts: endpoints: \"::::\" is not understood");
	T(object("a", p1, ",\n\"lan_only\":1"), "",
		"o.json:4: contacts: lan_only: expected true or false");
	T(object("a", p1, ",\"endpoints\":[7]"), "", "expected an array of texts");
	T(object("a", p1, ",\"endpoints\":[\"h:1\"]"), object("a.b", p2, ",\"allow\":[]"), "ok");
#undef T
}

static void test_flags_beat_environment_beats_file(void **state)
{
	(void)state;
	struct config c;
	const char *const argv[] = { "overlayd", "--tun-mtu", "1300", "--listen-udp=0" };
	const char *const env[] = { "PATH=/bin", "OVERLAY_TUN_MTU=1310", "OVERLAY_LOG_LEVEL=warn",
		"OVERLAY_NO_SKIP=1", "OVERLAY_PAIRING=on", NULL };
	config_default(&c);
	assert_int_equal(config_apply_flags(&c, 4, argv, why, sizeof(why)), OV_OK);
	assert_int_equal(config_apply_env(&c, env, why, sizeof(why)), OV_OK);
	assert_int_equal(parse(&c, "{\"tun\":{\"mtu\":1320,\"name\":\"x\"},"
				   "\"log\":{\"level\":\"debug\",\"format\":\"json\"}}"),
		OV_OK);
	assert_int_equal(c.tun_mtu, 1300);
	assert_int_equal(c.listen_udp, 0);
	assert_int_equal(c.log_level, LOG_LEVEL_WARN);
	assert_int_equal(c.log_format, LOG_FORMAT_JSON);
	assert_true(c.pairing);
	json_t *j = config_print(&c), *mtu = json_object_get(j, "tun.mtu");
	assert_int_equal(json_integer_value(json_object_get(mtu, "value")), 1300);
	assert_string_equal(json_string_value(json_object_get(mtu, "source")), "flag");
	mtu = json_object_get(j, "log.level");
	assert_string_equal(json_string_value(json_object_get(mtu, "value")), "warn");
	assert_string_equal(json_string_value(json_object_get(mtu, "source")), "environment");
	assert_int_equal(json_object_size(j), CONFIG_KEYS);
	json_decref(j);
	/* a value that loses is checked as well */
	assert_int_equal(parse(&c, "{\"tun\":{\"mtu\":1}}"), OV_EINVAL);
	config_fini(&c);
}

/* The same facilitator at several endpoints is one. */
static void test_facilitators_with_several_endpoints(void **state)
{
	(void)state;
	const char *peer = peer_text(1), *other = peer_text(2);
	struct config c;
	struct contact list[CONFIG_FACILITATORS_MAX];
	config_default(&c);
	assert_int_equal(c.facilitator_tcp, 443);
	assert_int_equal(c.facilitator_clients, 10000);
	assert_int_equal(c.facilitator_rate, 12500000);
	assert_int_equal(c.listen_tcp, 0);
	(void)snprintf(c.facilitators, sizeof(c.facilitators),
		"%s@f.example:27182,%s@192.0.2.1:5,%s@tcp:f.example:8443", peer, other, peer);
	assert_int_equal(config_facilitators(&c, list, 2, why, sizeof(why)), 2);
	assert_int_equal(list[0].endpoint_count, 2);
	assert_string_equal(list[0].endpoints[1], "tcp:f.example:8443");
	assert_string_equal(list[1].endpoints[0], "192.0.2.1:5");
	assert_string_equal(list[1].name, "facilitator-2");
	for (size_t i = 0; i < 2; i++)
		contact_fini(&list[i]);
	(void)snprintf(c.facilitators, sizeof(c.facilitators), "%s@tcp:f.example:0", peer);
	assert_int_equal(config_facilitators(&c, list, 2, why, sizeof(why)), OV_EINVAL);
	config_fini(&c);
}

static void test_secret_is_not_printed(void **state)
{
	(void)state;
	struct config c;
	config_default(&c);
	assert_int_equal(parse(&c, "{\"network_key\":\"correct horse battery\"}"), OV_OK);
	json_t *j = config_print(&c);
	char *text = json_dumps(j, 0);
	assert_null(strstr(text, "horse"));
	assert_non_null(strstr(text, "\"network_key\": {\"value\": true"));
	free(text);
	json_decref(j);
	config_fini(&c);
}

static const char *flags_error(const char *a, const char *b)
{
	struct config c;
	const char *const argv[] = { "overlayd", a, b };
	config_default(&c);
	int err = config_apply_flags(&c, b != NULL ? 3 : 2, argv, why, sizeof(why));
	config_fini(&c);
	return err == OV_OK ? "ok" : why;
}

static void test_flags(void **state)
{
	(void)state;
	struct config c;
#define T(a, b, want) assert_string_equal(flags_error(a, b), want)
	T("--no-tun", NULL, "ok");
	T("--pairing", "--no-pairing", "ok");
	T("--pairing=off", NULL, "ok");
	T("--state", "/x", "ok");
	T("--limits-clients-per-uid", "3", "ok");
	T("--state", NULL, "--state needs a value: --state DIR");
	T("--listen-upd", "1", "unknown option --listen-upd; did you mean --listen-udp?");
	T("--facilitator-limit", "7",
		"unknown option --facilitator-limit; did you mean --facilitator-limits-*?");
	T("--no-lan", "--lan", "ok");
	T("--dns", NULL, "--dns is not available in this version yet");
	T("--listen-tcp=1", NULL, "ok");
	T("--facilitator-tcp", "8443", "ok");
	T("--facilitator-limits-bytes-per-second", "16000", "ok");
	T("--facilitator-limits-total-bytes-per-second=1", NULL,
		"--facilitator-limits-total-bytes-per-second: expected a number from 16000 to "
		"4000000000, not 1");
	T("--frobnicate", NULL, "unknown option --frobnicate: see --help");
	T("stray", NULL, "\"stray\" is no option: see --help");
	T("-x", NULL, "\"-x\" is no option: see --help");
	T("--", NULL, "\"--\" is no option: see --help");
	T("--listen-udp", "65536", "--listen-udp: expected a number from 0 to 65535, not 65536");
	T("--listen-udp", "12x", "--listen-udp: expected a number from 0 to 65535, not \"12x\"");
	T("--listen-udp", "", "--listen-udp: expected a number from 0 to 65535, not \"\"");
	T("--no-listen-udp", NULL, "unknown option --no-listen-udp; did you mean --listen-udp?");
	T("--contacts", "x", "--contacts is no flag: write \"contacts\" into the file");
#undef T
	const char *const argv[] = { "overlayd", "--no-tun", "--help" };
	config_default(&c);
	assert_int_equal(config_apply_flags(&c, 3, argv, why, sizeof(why)), OV_OK);
	assert_true(c.show_help && !c.show_version && !c.tun_enabled);
	config_fini(&c);
}

static void test_environment_errors(void **state)
{
	(void)state;
	struct config c;
	const char *const bad[] = { "OVERLAY_TUN_ENABLED=maybe", NULL };
	config_default(&c);
	assert_int_equal(config_apply_env(&c, bad, why, sizeof(why)), OV_EINVAL);
	assert_string_equal(
		why, "environment: OVERLAY_TUN_ENABLED: expected true or false, not \"maybe\"");
	config_fini(&c);
}

static void test_check(void **state)
{
	(void)state;
	struct config c;
#define T(change, want)                                                  \
	config_default(&c);                                              \
	change;                                                          \
	assert_int_equal(config_check(&c, why, sizeof(why)), OV_EINVAL); \
	assert_non_null(strstr(why, want))
	T(strcpy(c.aead, "rot13"), "aead: \"rot13\" is unknown");
	T(strcpy(c.aead, "sodium:"), "is unknown");
	T(strcpy(c.tun_name, "a/b"), "tun.name");
	T(strcpy(c.tun_name, ".."), "tun.name");
	T(c.limits_clients_per_uid = 300, "must not exceed limits.clients (256)");
#undef T
}

static void test_help_names_every_flag(void **state)
{
	(void)state;
	char text[4096];
	assert_true(strlen(config_help(text, sizeof(text))) < sizeof(text) - 1);
	assert_non_null(strstr(text, "--listen-udp PORT"));
	assert_non_null(strstr(text, "--[no-]pairing"));
	assert_non_null(strstr(text, "--limits-clients-per-uid N"));
	assert_non_null(strstr(text, "--no-tun "));
	assert_non_null(strstr(text, "--help"));
	assert_non_null(strstr(text, "\n  --state DIR                  directory"));
	assert_non_null(strstr(text, "-clients N\n                               clients served"));
	assert_null(strstr(text, " \n"));
}

static void test_lines(void **state)
{
	(void)state;
	static const char text[] = "{ \"a\\\"b\": {\"k\": [1,\n{\"}\": 2}]},\n \"k\":\n [[ ],\n"
				   " \"x,]\", {\n\"z\": 3}]}";
	struct json_path path = { .steps = { { "k", 0 }, { NULL, 2 }, { "z", 0 } }, .count = 3 };
	assert_int_equal(json_line(text, sizeof(text) - 1, &path), 6);
	path.count = 2;
	assert_int_equal(json_line(text, sizeof(text) - 1, &path), 5);
	path.count = 1;
	assert_int_equal(json_line(text, sizeof(text) - 1, &path), 3);
	path.steps[0].key = "nothing";
	assert_int_equal(json_line(text, sizeof(text) - 1, &path), 1);
	unsigned lines[4];
	path.steps[0].key = "k";
	json_element_lines(text, sizeof(text) - 1, &path, lines, 4);
	assert_int_equal(lines[0], 4);
	assert_int_equal(lines[1], 5);
	assert_int_equal(lines[2], 5);
	assert_int_equal(lines[3], 0);
}

/* ---- config_load ---- */

static char dir[64], file[96];

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/overlay-config-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(file, sizeof(file), "%s/overlay.json", dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlink(file);
	return rmdir(dir);
}

static void write_config(const char *text, mode_t mode)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	(void)close(fd);
}

static void test_load(void **state)
{
	(void)state;
	struct config c;
	const char *const argv[] = { "overlayd", "--config", file, "--state", "/s" };
	assert_int_equal(
		config_load(&c, 5, argv, why, sizeof(why)), OV_EINVAL); /* named, missing */
	assert_non_null(strstr(why, file));
	write_config("{\"tun\": {\"mtu\": 1300}}", 0644);
	if (config_load(&c, 5, argv, why, sizeof(why)) != OV_OK)
		fail_msg("%s", why);
	assert_int_equal(c.tun_mtu, 1300);
	assert_string_equal(c.state, "/s");
	assert_true(c.socket[0] == '/');
	config_fini(&c);
	write_config("{\"network_key\": \"sixteen letters!\"}", 0644);
	assert_int_equal(config_load(&c, 5, argv, why, sizeof(why)), OV_EINVAL);
	assert_non_null(strstr(why, "chmod 600"));
	write_config("{\"network_key\": \"sixteen letters!\"}", 0640);
	assert_int_equal(config_load(&c, 5, argv, why, sizeof(why)), OV_OK);
	config_fini(&c);
	const char *const not_file[] = { "overlayd", "--config", dir };
	assert_int_equal(config_load(&c, 3, not_file, why, sizeof(why)), OV_EINVAL);
	assert_non_null(strstr(why, "not a plain file"));
	const char *const help[] = { "overlayd", "--help" };
	assert_int_equal(config_load(&c, 2, help, why, sizeof(why)), OV_OK);
	assert_true(c.show_help);
	config_fini(&c);
}

static void test_huge_file_is_refused(void **state)
{
	(void)state;
	struct config c;
	const char *const argv[] = { "overlayd", "--config", file };
	write_config("{", 0600);
	assert_int_equal(truncate(file, (off_t)CONFIG_FILE_MAX + 1), 0);
	assert_int_equal(config_load(&c, 3, argv, why, sizeof(why)), OV_EINVAL);
	assert_non_null(strstr(why, "File too large"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults_pass_the_check),
		cmocka_unit_test(test_every_key_of_the_file),
		cmocka_unit_test(test_messages_of_the_file),
		cmocka_unit_test(test_messages_of_contacts),
		cmocka_unit_test(test_flags_beat_environment_beats_file),
		cmocka_unit_test(test_secret_is_not_printed),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_environment_errors),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_help_names_every_flag),
		cmocka_unit_test(test_facilitators_with_several_endpoints),
		cmocka_unit_test(test_lines),
		cmocka_unit_test_setup_teardown(test_load, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_huge_file_is_refused, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
