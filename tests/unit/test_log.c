#include "overlay/log_os.h"

#include <fcntl.h>
#include <inttypes.h>
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

struct catcher {
	char line[LOG_LINE_MAX];
	size_t count;
};

static void catch (void *context, enum log_level level, const char *line, size_t len)
{
	struct catcher *c = context;
	(void)level;
	assert_true(len < sizeof(c->line));
	assert_int_equal(strlen(line), len);
	memcpy(c->line, line, len + 1);
	c->count++;
}

static struct log make(struct catcher *c, enum log_format format)
{
	struct log l = log_default();
	l.format = format;
	l.with_time = false;
	l.sink = catch;
	l.context = c;
	*c = (struct catcher){ .count = 0 };
	return l;
}

static void test_time(void **state)
{
	(void)state;
	char out[LOG_TIME_MAX];
#define T(s, ns, want) assert_string_equal(log_time((s)*OV_SEC + (ns), out), want)
	T(0, 0, "1970-01-01T00:00:00.000000Z");
	T(951782400, 0, "2000-02-29T00:00:00.000000Z");
	T(1795259085, 123456789, "2026-11-21T11:04:45.123456Z");
	T(4107542399, 999999999, "2100-02-28T23:59:59.999999Z");
	T(4107542400, 0, "2100-03-01T00:00:00.000000Z"); /* 2100 is no leap year */
	T(-1, 0, "1969-12-31T23:59:59.000000Z");
#undef T
	assert_string_equal(log_time(-1, out), "1969-12-31T23:59:59.999999Z");
	assert_int_equal(strlen(log_time(INT64_MIN, out)), 27);
	assert_string_equal(log_time(INT64_MAX, out), "2262-04-11T23:47:16.854775Z");
}

static const char *volatile absent; /* the compiler must not see that it is NULL */

static void test_text(void **state)
{
	(void)state;
	struct catcher c;
	struct log l = make(&c, LOG_FORMAT_TEXT);
	log_info(&l, 0, "path", "valid addr=%s rtt_us=%lld", "198.51.100.7:4021", 41000LL);
	assert_string_equal(c.line, "info path valid addr=198.51.100.7:4021 rtt_us=41000");
	log_warn(&l, 0, "store", "slow");
	assert_string_equal(c.line, "warn store slow");
	log_error(&l, 0, "tun", "refused why=permission port=%u/%u hex=%x n=%" PRIu64, 1u, 65535u,
		0xbeefu, UINT64_MAX);
	assert_string_equal(c.line,
		"error tun refused why=permission port=1/65535 hex=beef n=18446744073709551615");
	log_info(&l, 0, "x", "y a=%d b=%ld c=%zu d=%s", -1, -2L, (size_t)3, absent);
	assert_string_equal(c.line, "info x y a=-1 b=-2 c=3 d=-");
	l.with_time = true;
	l.wall_offset = 1795259085 * OV_SEC;
	log_info(&l, 1500 * OV_US, "x", "y");
	assert_string_equal(c.line, "2026-11-21T11:04:45.001500Z info x y");
}

static void test_level(void **state)
{
	(void)state;
	struct catcher c;
	struct log l = make(&c, LOG_FORMAT_TEXT);
	log_debug(&l, 0, "x", "y");
	assert_int_equal(c.count, 0);
	l.level = LOG_LEVEL_ERROR;
	log_warn(&l, 0, "x", "y");
	assert_int_equal(c.count, 0);
	log_error(&l, 0, "x", "y");
	assert_int_equal(c.count, 1);
	l.sink = NULL;
	log_error(&l, 0, "x", "y");
}

static void test_strangers_cannot_forge(void **state)
{
	(void)state;
	struct catcher c;
	struct log l = make(&c, LOG_FORMAT_TEXT);
#define T(value, want)                                  \
	log_info(&l, 0, "x", "y name=%s end=1", value); \
	assert_string_equal(c.line, "info x y name=" want " end=1")
	T("plain-1.2:3", "plain-1.2:3");
	T("", "\"\"");
	T("a b", "\"a b\"");
	T("a=b", "\"a=b\"");
	T("\n2026 error", "\"\\x0a2026 error\"");
	T("\" forged=1", "\"\\\" forged=1\"");
	T("back\\slash", "\"back\\\\slash\"");
	T("\x1b[31m", "\"\\x1b[31m\"");
	T("\xc3\xa4", "\"\\xc3\\xa4\"");
	T("%s%n", "%s%n");
#undef T
}

static void test_json_is_json(void **state)
{
	(void)state;
	struct catcher c;
	struct log l = make(&c, LOG_FORMAT_JSON);
	l.with_time = true;
	log_info(
		&l, 0, "path", "valid addr=%s rtt_us=%lld pair=%u:%u", "a\"\\\n\xff", -5LL, 1u, 2u);
	assert_string_equal(c.line,
		"{\"time\":\"1970-01-01T00:00:00.000000Z\",\"level\":\"info\",\"module\":\"path\","
		"\"fact\":\"valid\",\"addr\":\"a\\\"\\\\\\\\x0a\\\\xff\",\"rtt_us\":-5,"
		"\"pair\":\"1:2\"}");
	json_t *j = json_loads(c.line, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	assert_string_equal(json_string_value(json_object_get(j, "addr")), "a\"\\\\x0a\\xff");
	json_decref(j);
}

/* Every byte value, every length: the line stays one line, JSON stays JSON. */
static void test_any_bytes_any_length(void **state)
{
	(void)state;
	struct catcher c;
	char value[1300];
	for (size_t len = 0; len < sizeof(value); len += 7) {
		for (size_t i = 0; i < len; i++)
			value[i] = (char)(1 + (len + i * 31) % 255);
		value[len] = '\0';
		struct log l = make(&c, LOG_FORMAT_JSON);
		log_info(&l, 0, "m", "f a=%s b=%s c=%s d=%s e=%d", value, value, value, value, 7);
		json_t *j = json_loads(c.line, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(j);
		json_decref(j);
		l = make(&c, LOG_FORMAT_TEXT);
		log_info(&l, 0, "m", "f a=%s b=%s c=%s d=%s e=%d", value, value, value, value, 7);
		for (const char *p = c.line; *p != '\0'; p++)
			assert_true(*p >= ' ' && *p < 0x7f);
		assert_true(strstr(c.line, " e=7") != NULL || strstr(c.line, " cut=1") != NULL);
	}
	assert_non_null(strstr(c.line, " cut=1"));
}

static void test_long_value_is_cut(void **state)
{
	(void)state;
	struct catcher c;
	struct log l = make(&c, LOG_FORMAT_TEXT);
	char value[LOG_VALUE_MAX + 2], want[LOG_VALUE_MAX + 64];
	memset(value, 'a', sizeof(value));
	value[LOG_VALUE_MAX] = '\0';
	log_info(&l, 0, "x", "y v=%s", value);
	(void)snprintf(want, sizeof(want), "info x y v=%s", value);
	assert_string_equal(c.line, want);
	value[LOG_VALUE_MAX] = 'a';
	value[LOG_VALUE_MAX + 1] = '\0';
	log_info(&l, 0, "x", "y v=%s", value);
	(void)snprintf(want, sizeof(want), "info x y v=%.*s...", LOG_VALUE_MAX, value);
	assert_string_equal(c.line, want);
}

static void test_stranger_lines_are_limited(void **state)
{
	(void)state;
	struct catcher c;
	struct log l = make(&c, LOG_FORMAT_TEXT);
	ov_time now = 1000 * OV_SEC;
	for (size_t i = 0; i < 1000; i++)
		log_stranger(&l, now, LOG_LEVEL_INFO, "x", "junk n=%zu", i);
	assert_int_equal(c.count, 20);
	log_info(&l, now, "x", "ours"); /* not affected */
	assert_string_equal(c.line, "info x ours");
	now += OV_SEC;
	log_stranger(&l, now, LOG_LEVEL_INFO, "x", "junk");
	assert_string_equal(c.line, "info x junk suppressed=980");
	log_stranger(&l, now, LOG_LEVEL_INFO, "x", "junk");
	assert_string_equal(c.line, "info x junk");
	log_stranger(&l, now, LOG_LEVEL_INFO, "x", "junk");
	assert_int_equal(c.count, 20 + 1 + 2);
	log_stranger(&l, now, LOG_LEVEL_DEBUG, "x", "junk"); /* not shown: costs no token */
	assert_int_equal(l.suppressed, 1);
}

/* Standard error becomes a pipe for the duration. */
static void test_stderr_never_blocks(void **state)
{
	(void)state;
	int pipe_fd[2], saved = dup(STDERR_FILENO);
	assert_int_equal(pipe(pipe_fd), 0);
	assert_true(dup2(pipe_fd[1], STDERR_FILENO) >= 0);
	assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
	struct log l = log_default();
	struct log_stderr s;
	log_stderr_init(&s, &l);
	for (size_t i = 0; i < 20000; i++) /* far more than a pipe holds; nobody reads */
		log_info(&l, 0, "flood", "line i=%zu", i);
	uint64_t lost = s.lost;
	char all[1 << 17];
	ssize_t n = read(pipe_fd[0], all, sizeof(all) - 1);
	log_info(&l, 0, "flood", "after");
	bool recovered = s.lost == 0;
	ssize_t m = read(pipe_fd[0], all, sizeof(all) - 1);
	(void)dup2(saved, STDERR_FILENO);
	(void)close(saved);
	(void)close(pipe_fd[0]);
	(void)close(pipe_fd[1]);
	assert_true(lost > 1000 && n > 0 && m > 0 && recovered);
	all[m] = '\0';
	assert_non_null(strstr(all, "log lost lines="));
	assert_non_null(strstr(all, "flood after\n"));
}

static void test_journal_prefix(void **state)
{
	(void)state;
	char path[] = "/tmp/overlay-log-XXXXXX", id[64], text[128] = { 0 };
	int fd = mkstemp(path), saved = dup(STDERR_FILENO);
	struct stat st;
	assert_true(fd >= 0 && saved >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	(void)snprintf(id, sizeof(id), "%llu:%llu", (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino);
	assert_int_equal(setenv("JOURNAL_STREAM", id, 1), 0);
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	struct log l = log_default();
	struct log_stderr s;
	log_stderr_init(&s, &l);
	log_warn(&l, 0, "x", "y");
	(void)dup2(saved, STDERR_FILENO);
	(void)close(saved);
	assert_true(s.journal);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text, "<4>warn x y\n");
	log_stderr_init(&s, &l); /* redirected elsewhere: not the journal, whatever it says */
	assert_false(s.journal);
	assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
	(void)close(fd);
	(void)unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_strangers_cannot_forge),
		cmocka_unit_test(test_json_is_json),
		cmocka_unit_test(test_any_bytes_any_length),
		cmocka_unit_test(test_long_value_is_cut),
		cmocka_unit_test(test_stranger_lines_are_limited),
		cmocka_unit_test(test_stderr_never_blocks),
		cmocka_unit_test(test_journal_prefix),
	};
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
