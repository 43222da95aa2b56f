/* A slash makes a path, digits alone a port; all else needs a colon, and its last one ends the
 * host. Hosts are only looked at for characters that no host has: the resolver knows the rest. */
#include "overlay/local_end.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_port(const char *text, uint16_t *port)
{
	size_t len = strspn(text, "0123456789");
	unsigned long value = len > 0 && len <= 5 ? strtoul(text, NULL, 10) : UINT16_MAX + 1UL;
	*port = (uint16_t)value;
	return text[len] == '\0' && value <= UINT16_MAX;
}

static const char *parse_path(const char *path, struct local_end *out)
{
	size_t len = strlen(path);
	if (len == 0)
		return "names no path";
	if (len >= sizeof(out->path))
		return "is longer than the 107 characters that the path of a socket may have";
	out->kind = LOCAL_UNIX;
	memcpy(out->path, path, len + 1);
	return NULL;
}

static const char *take_host(const char *host, size_t len, bool in_brackets, struct local_end *out)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
	if (len == 0)
		return "has no host before its port; the port alone means this machine";
	if (len >= sizeof(out->host))
		return "has a host of more than 255 characters";
	memcpy(out->host, host, len);
	out->host[len] = '\0';
	bool has_colon = strchr(out->host, ':') != NULL;
	if (has_colon && !in_brackets)
		return "needs brackets around its IPv6 address: [v6]:PORT";
	if (in_brackets && !has_colon)
		return "has no IPv6 address in its brackets";
	/* A zone ("%eth0") is the resolver's business. */
	if (!in_brackets && strspn(out->host, letters) != len)
		return "has a character in its host that no host has";
	return NULL;
}

static const char *parse_tcp(const char *text, struct local_end *out)
{
	const char *colon = strrchr(text, ':');
	out->kind = LOCAL_TCP;
	if (!colon && text[strspn(text, "0123456789")] != '\0')
		return "is neither a port nor HOST:PORT, and a path has a slash";
	if (!parse_port(colon ? colon + 1 : text, &out->port))
		return "has no port from 0 to 65535 at its end";
	if (!colon)
		return NULL;
	size_t len = (size_t)(colon - text);
	bool in_brackets = len >= 2 && text[0] == '[' && text[len - 1] == ']';
	return in_brackets ? take_host(text + 1, len - 2, true, out)
			   : take_host(text, len, false, out);
}

const char *local_end_parse(const char *text, struct local_end *out)
{
	*out = (struct local_end){ .kind = LOCAL_TCP };
	if (strncmp(text, "unix:", 5) == 0)
		return parse_path(text + 5, out);
	if (strncmp(text, "tcp:", 4) == 0)
		return parse_tcp(text + 4, out);
	return strchr(text, '/') ? parse_path(text, out) : parse_tcp(text, out);
}

const char *local_end_text(const struct local_end *e, char out[LOCAL_TEXT_MAX])
{
	const char *host = e->host[0] ? e->host : "localhost";
	if (e->kind == LOCAL_UNIX)
		snprintf(out, LOCAL_TEXT_MAX, "unix:%s", e->path);
	else if (strchr(host, ':'))
		snprintf(out, LOCAL_TEXT_MAX, "[%s]:%u", host, (unsigned)e->port);
	else
		snprintf(out, LOCAL_TEXT_MAX, "%s:%u", host, (unsigned)e->port);
	return out;
}

const char *service_at_parse(const char *text, struct service_at *out)
{
	const char *colon = strrchr(text, ':');
	if (!colon)
		return "names no service: write PEER:SERVICE";
	size_t len = (size_t)(colon - text);
	if (len == 0)
		return "names no peer: write PEER:SERVICE";
	if (len >= sizeof(out->peer))
		return "has a peer's name that is too long";
	if (!grant_service_ok(colon + 1, strlen(colon + 1)))
		return "names no service behind its last colon (1 to 63 printable characters, no "
		       "blank, comma, quote or backslash)";
	memcpy(out->peer, text, len);
	out->peer[len] = '\0';
	snprintf(out->service, sizeof(out->service), "%s", colon + 1);
	return NULL;
}
