/* Texts from users and files: endpoints, addresses, contact names, grant words. What is accepted
 * prints, and what is printed is accepted again as the same. */
#include "overlay/contact.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

static void address(const char *text)
{
	struct ov_addr a, b;
	char out[ADDR_TEXT_MAX];
	if (addr_parse(text, 0, &a) != OV_OK)
		return;
	check(addr_parse(addr_format(&a, out), 0, &b) == OV_OK && addr_equal(&a, &b));
	uint8_t packed[ADDR_PACKED];
	addr_pack(&a, packed);
	b = addr_unpack(packed);
	b.scope = a.scope;
	check(addr_equal(&a, &b) && addr_scope(&a) == addr_scope(&b));
}

static void endpoint(const char *text)
{
	struct ov_addr a;
	bool is_name;
	struct contact c = { 0 }, copy;
	bool ok = endpoint_check(text, 27182, &a, &is_name);
	check(!ok || is_name || (a.port != 0 && !addr_is_any(&a)));
	const char *tcp = endpoint_tcp(text);
	if (tcp)
		ok = strlen(text) < ENDPOINT_TEXT_MAX && endpoint_check(tcp, 443, &a, &is_name);
	check(contact_add_endpoint(&c, text) == (ok ? OV_OK : OV_EFORMAT));
	check(contact_copy(&copy, &c) == OV_OK);
	check(copy.endpoint_count == ok && (!ok || strcmp(copy.endpoints[0], text) == 0));
	contact_fini(&c);
	contact_fini(&copy);
	check(!contact_name_ok(text) || strlen(text) < CONTACT_NAME_MAX);
}

static void grant_words(const char *list)
{
	struct grants g = { 0 }, again = { 0 };
	const char *bad = NULL;
	char word[GRANT_TEXT_MAX], other[GRANT_TEXT_MAX];
	int err = grants_add_list(&g, list, &bad);
	check(err == OV_OK || (bad >= list && bad <= list + strlen(list)));
	size_t n = 0;
	for (; grants_word(&g, n, word); n++)
		check(grants_add(&again, word) == OV_OK);
	for (size_t i = 0; i < n; i++) {
		check(grants_word(&g, i, word) && grants_word(&again, i, other));
		check(strcmp(word, other) == 0);
	}
	while (n-- > 0) {
		check(grants_word(&g, 0, word));
		check(grants_remove(&g, word) == OV_OK);
	}
	check(!grants_word(&g, 0, word));
	grants_fini(&g);
	grants_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	address(text);
	endpoint(text);
	grant_words(text);
	free(text);
	return 0;
}
