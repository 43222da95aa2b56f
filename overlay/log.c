/* A log is read by people with grep and by machines, and part of it is written by strangers. So
 * the line is built from fields, not from one vsnprintf: the format's own words are the trusted
 * skeleton, every conversion is a value that gets escaped. Bytes outside printable ASCII become
 * \xNN in both formats (in JSON the backslash is doubled), because what a stranger sent need not
 * be UTF-8 and terminals obey escape sequences.
 *
 * A field either fits or is left out whole, so that a JSON line is always an object. */
#include "overlay/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STRANGER_BURST 20
#define TAIL           56 /* kept free for ,"suppressed":18446744073709551615,"cut":1} and NUL */

struct line {
	char text[LOG_LINE_MAX];
	size_t len, limit; /* limit: first byte that must not be used */
	bool json, overflow, cut;
};

struct log log_default(void)
{
	return (struct log){
		.level = LOG_LEVEL_INFO, .format = LOG_FORMAT_TEXT, .with_time = true
	};
}

const char *log_level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR: return "error";
	case LOG_LEVEL_WARN: return "warn";
	case LOG_LEVEL_INFO: return "info";
	case LOG_LEVEL_DEBUG: return "debug";
	}
	assert(false); /* memory is corrupt */
	return "";
}

/* Days to civil date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
const char *log_time(int64_t unix_ns, char out[LOG_TIME_MAX])
{
	const int64_t day_s = 86400;
	int64_t s = unix_ns / OV_SEC, ns = unix_ns % OV_SEC;
	if (ns < 0) {
		ns += OV_SEC;
		s--;
	}
	int64_t days = s / day_s, rest = s % day_s;
	if (rest < 0) {
		rest += day_s;
		days--;
	}
	int64_t z = days + 719468; /* from 0000-03-01 */
	int64_t era = z / 146097;  /* z > 0 for every int64_t of nanoseconds */
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	int64_t month = mp < 10 ? mp + 3 : mp - 9;
	(void)snprintf(out, LOG_TIME_MAX, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
		(unsigned)(yoe + era * 400 + (month <= 2)) % 10000, (unsigned)month % 100,
		(unsigned)(doy - (153 * mp + 2) / 5 + 1) % 100, (unsigned)(rest / 3600) % 100,
		(unsigned)(rest / 60 % 60), (unsigned)(rest % 60), (unsigned)(ns / 1000) % 1000000);
	return out;
}

static void put(struct line *o, const char *data, size_t len)
{
	if (o->overflow || len > o->limit - o->len) {
		o->overflow = true;
		return;
	}
	memcpy(o->text + o->len, data, len);
	o->len += len;
}

static void put_text(struct line *o, const char *s)
{
	put(o, s, strlen(s));
}

static bool is_plain(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '=';
}

static void put_escaped(struct line *o, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		char hex[8];
		if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
			put(o, s + i, 1);
		} else if (c == '"') {
			put(o, "\\\"", 2);
		} else if (c == '\\') {
			put(o, "\\\\", 2);
		} else {
			(void)snprintf(hex, sizeof(hex), "%sx%02x", o->json ? "\\\\" : "\\", c);
			put_text(o, hex);
		}
	}
}

static void put_string(struct line *o, const char *s, size_t len)
{
	bool cut = len > LOG_VALUE_MAX, quote = o->json || len == 0;
	len = cut ? LOG_VALUE_MAX : len;
	for (size_t i = 0; i < len && !quote; i++)
		quote = !is_plain((unsigned char)s[i]);
	put(o, "\"", quote ? 1 : 0);
	put_escaped(o, s, len);
	put_text(o, cut ? "..." : "");
	put(o, "\"", quote ? 1 : 0);
}

static void put_key(struct line *o, const char *key, size_t len)
{
	put_text(o, o->json ? ",\"" : " ");
	put(o, key, len);
	put_text(o, o->json ? "\":" : "=");
}

/* Undoes a field that did not fit. */
static void end_field(struct line *o, size_t start)
{
	if (!o->overflow)
		return;
	o->len = start;
	o->overflow = false;
	o->cut = true;
}

static void put_field(struct line *o, const char *key, const char *value, size_t len)
{
	size_t start = o->len;
	put_key(o, key, strlen(key));
	put_string(o, value, len);
	end_field(o, start);
}

static void put_count(struct line *o, const char *key, uint64_t value)
{
	char digits[24];
	(void)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
	put_key(o, key, strlen(key));
	put_text(o, digits);
}

/* ---- the format ---- */

struct value { /* of one key: text so far, and whether it is exactly one number */
	char text[LOG_VALUE_MAX + 2]; /* one more than is shown, so that a cut is noticed */
	size_t len;
	bool number;
};

static void add(struct value *v, const char *s, size_t len)
{
	size_t room = LOG_VALUE_MAX + 1 - v->len;
	len = len < room ? len : room;
	memcpy(v->text + v->len, s, len);
	v->len += len;
}

static void add_signed(struct value *v, int longs, va_list *args)
{
	char digits[24];
	long long n = longs == 0   ? va_arg(*args, int)
		      : longs == 1 ? va_arg(*args, long)
				   : va_arg(*args, long long);
	add(v, digits, (size_t)snprintf(digits, sizeof(digits), "%lld", n));
}

static void add_unsigned(struct value *v, int longs, bool hex, va_list *args)
{
	char digits[24];
	unsigned long long n = longs == 0   ? va_arg(*args, unsigned)
			       : longs == 1 ? va_arg(*args, unsigned long)
					    : va_arg(*args, unsigned long long);
	add(v, digits,
		hex ? (size_t)snprintf(digits, sizeof(digits), "%llx", n)
		    : (size_t)snprintf(digits, sizeof(digits), "%llu", n));
}

/* f is behind '%'; returns the first character behind the conversion. */
static const char *add_conversion(struct value *v, const char *f, va_list *args)
{
	int longs = 0;
	for (; *f == 'l' || *f == 'z' || *f == 'h'; f++)
		longs += *f == 'h' ? 0 : 1; /* size_t is unsigned long on every Linux */
	v->number = *f == 'd' || *f == 'i' || *f == 'u';
	if (*f == 's') {
		const char *s = va_arg(*args, const char *);
		s = s != NULL ? s : "-";
		add(v, s, strnlen(s, LOG_VALUE_MAX + 1));
	} else if (*f == 'd' || *f == 'i') {
		add_signed(v, longs, args);
	} else {
		assert(*f == 'u' || *f == 'x'); /* see log.h */
		add_unsigned(v, longs, *f == 'x', args);
	}
	return f + 1;
}

/* One word KEY=VALUE of the format; returns its end. */
static const char *put_word(struct line *o, const char *f, va_list *args)
{
	size_t start = o->len, key_len = strcspn(f, "= ");
	assert(key_len > 0 && f[key_len] == '=');
	const char *key = f;
	struct value v = { .len = 0 };
	unsigned parts = 0;
	f += key_len + 1;
	while (*f != ' ' && *f != '\0') {
		parts++;
		if (*f == '%') {
			f = add_conversion(&v, f + 1, args);
			continue;
		}
		size_t len = strcspn(f, "% ");
		add(&v, f, len);
		f += len;
	}
	put_key(o, key, key_len);
	if (v.number && parts == 1)
		put(o, v.text, v.len);
	else
		put_string(o, v.text, v.len);
	end_field(o, start);
	return f;
}

static void put_head(struct line *o, const struct log *l, ov_time now, enum log_level level)
{
	char at[LOG_TIME_MAX] = "";
	if (l->with_time)
		(void)log_time(now + l->wall_offset, at);
	if (!o->json) {
		put_text(o, at);
		put_text(o, l->with_time ? " " : "");
		put_text(o, log_level_name(level));
		return;
	}
	put_text(o, l->with_time ? "{\"time\":\"" : "{");
	put_text(o, at);
	put_text(o, l->with_time ? "\",\"level\":\"" : "\"level\":\"");
	put_text(o, log_level_name(level));
	put_text(o, "\"");
}

static void put_words(struct line *o, const char *module, const char *format, va_list *args)
{
	size_t fact = strcspn(format, " ");
	if (o->json) {
		put_field(o, "module", module, strlen(module));
		put_field(o, "fact", format, fact);
	} else {
		put_text(o, " ");
		put_text(o, module);
		put_text(o, " ");
		put(o, format, fact);
	}
	const char *f = format + fact;
	while (*f == ' ')
		f = put_word(o, f + 1, args);
}

/* suppressed: 0 but for a stranger's line after some that were left out. */
static void put_tail(struct line *o, uint64_t suppressed)
{
	o->limit = LOG_LINE_MAX - 1;
	if (suppressed > 0)
		put_count(o, "suppressed", suppressed);
	if (o->cut)
		put_count(o, "cut", 1);
	put_text(o, o->json ? "}" : "");
	assert(!o->overflow); /* TAIL bytes were kept free */
	o->text[o->len] = '\0';
}

void log_write(struct log *l, ov_time now, enum log_level level, const char *module,
	const char *format, ...)
{
	if (level > l->level || l->sink == NULL)
		return;
	struct line o = { .limit = LOG_LINE_MAX - TAIL, .json = l->format == LOG_FORMAT_JSON };
	va_list args;
	va_start(args, format);
	put_head(&o, l, now, level);
	put_words(&o, module, format, &args);
	va_end(args);
	put_tail(&o, 0);
	l->sink(l->context, level, o.text, o.len);
}

void log_stranger(struct log *l, ov_time now, enum log_level level, const char *module,
	const char *format, ...)
{
	if (level > l->level || l->sink == NULL)
		return;
	if (!limit_take(&l->strangers, now, LOG_STRANGER_RATE, STRANGER_BURST, 1)) {
		l->suppressed++;
		return;
	}
	struct line o = { .limit = LOG_LINE_MAX - TAIL, .json = l->format == LOG_FORMAT_JSON };
	va_list args;
	va_start(args, format);
	put_head(&o, l, now, level);
	put_words(&o, module, format, &args);
	va_end(args);
	put_tail(&o, l->suppressed);
	l->suppressed = 0;
	l->sink(l->context, level, o.text, o.len);
}
