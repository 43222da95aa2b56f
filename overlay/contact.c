/* A contact owns the texts of its endpoints as the user wrote them: a host name is resolved again
 * whenever the peer is called, so it must not be replaced by what it once meant. */
#include "overlay/contact.h"

#include <stdlib.h>
#include <string.h>

#define HOST_MAX  253 /* RFC 1035 2.3.4, in text; checked before any resolver sees it */
#define LABEL_MAX 63

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool contact_name_ok(const char *name)
{
	size_t len = strlen(name);
	if (len == 0 || len >= CONTACT_NAME_MAX || !is_alnum(name[0]))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_alnum(name[i]) && !strchr("-_.", name[i]))
			return false;
	}
	return true;
}

int contact_copy(struct contact *to, const struct contact *from)
{
	struct contact copy = *from;
	copy.endpoints = NULL;
	copy.endpoint_count = 0;
	int err = grants_copy(&copy.grants, &from->grants);
	if (err != OV_OK)
		return err;
	for (size_t i = 0; err == OV_OK && i < from->endpoint_count; i++)
		err = contact_add_endpoint(&copy, from->endpoints[i]);
	if (err != OV_OK)
		contact_fini(&copy);
	else
		*to = copy;
	return err;
}

int contact_add_endpoint(struct contact *c, const char *text)
{
	struct ov_addr addr;
	bool is_name;
	const char *tcp = endpoint_tcp(text);
	if (strlen(text) >= ENDPOINT_TEXT_MAX ||
		!endpoint_check(tcp ? tcp : text, 1, &addr, &is_name))
		return OV_EFORMAT;
	for (size_t i = 0; i < c->endpoint_count; i++) {
		if (strcmp(c->endpoints[i], text) == 0)
			return OV_OK;
	}
	if (c->endpoint_count == CONTACT_ENDPOINTS_MAX)
		return OV_EFULL;
	char *copy = strdup(text);
	char **grown =
		copy ? realloc(c->endpoints, (c->endpoint_count + 1U) * sizeof(*grown)) : NULL;
	if (!grown) {
		free(copy);
		return OV_ENOMEM;
	}
	c->endpoints = grown;
	c->endpoints[c->endpoint_count++] = copy;
	return OV_OK;
}

/* Letters, digits, '-' and '_' in labels of 1 to 63, not beginning or ending with '-' (RFC 1123
 * 2.1), a final dot allowed. All digits and dots would be a mistyped IPv4 address, not a name. */
static bool host_ok(const char *host, size_t len)
{
	if (len > 1 && host[len - 1] == '.')
		len--;
	if (len == 0 || len > HOST_MAX)
		return false;
	bool numeric = true;
	size_t label = 0;
	for (size_t i = 0; i < len; i++) {
		char c = host[i];
		bool last = i + 1 == len || host[i + 1] == '.';
		if (c == '.') {
			if (label == 0 || last)
				return false;
			label = 0;
			continue;
		}
		if (!is_alnum(c) && c != '_' && (c != '-' || label == 0 || last))
			return false;
		if (++label > LABEL_MAX)
			return false;
		numeric = numeric && c >= '0' && c <= '9';
	}
	return !numeric;
}

static bool port_ok(const char *text)
{
	uint32_t v = 0;
	size_t len = strspn(text, "0123456789");
	if (len == 0 || len > 5 || text[len] != '\0')
		return false;
	for (size_t i = 0; i < len; i++)
		v = v * 10 + (uint32_t)(text[i] - '0');
	return v >= 1 && v <= UINT16_MAX;
}

const char *endpoint_tcp(const char *text)
{
	return strncmp(text, "tcp:", 4) == 0 ? text + 4 : NULL;
}

bool endpoint_check(const char *text, uint16_t default_port, struct ov_addr *addr, bool *is_name)
{
	*is_name = false;
	*addr = (struct ov_addr){ 0 };
	if (strlen(text) >= ENDPOINT_TEXT_MAX)
		return false;
	struct ov_addr literal;
	if (addr_parse(text, default_port, &literal) == OV_OK) {
		*addr = literal;
		return literal.port != 0 && addr_scope(&literal) != ADDR_UNUSABLE;
	}
	size_t host_len = strcspn(text, ":");
	if (text[host_len] == ':' && !port_ok(text + host_len + 1))
		return false;
	*is_name = host_ok(text, host_len);
	return *is_name;
}

void contact_fini(struct contact *c)
{
	for (size_t i = 0; i < c->endpoint_count; i++)
		free(c->endpoints[i]);
	free(c->endpoints);
	c->endpoints = NULL;
	c->endpoint_count = 0;
	grants_fini(&c->grants);
}
