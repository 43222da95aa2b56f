/* Eight characters carry five bytes. The last group may be short: 2, 4, 5 or 7 characters for 1 to
 * 4 bytes, the bits beyond them zero. Bits gather at the low end of a 32-bit word; what was used
 * stays above and falls out. */
#include "core/base32.h"

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

const char *base32_encode(const uint8_t *data, size_t len, char *out)
{
	uint32_t bits = 0;
	unsigned have = 0;
	char *next = out;
	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | data[i];
		for (have += 8; have >= 5; have -= 5)
			*next++ = alphabet[bits >> (have - 5) & 31];
	}
	if (have > 0)
		*next++ = alphabet[bits << (5 - have) & 31];
	*next = 0;
	return out;
}

/* 0 to 31, or -1. */
static int value_of(char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

int base32_decode(const char *text, size_t chars, uint8_t *out, size_t cap)
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t len = 0;
	for (size_t i = 0; i < chars; i++) {
		int value = value_of(text[i]);
		if (value < 0)
			return OV_EFORMAT;
		bits = bits << 5 | (uint32_t)value;
		have += 5;
		if (have < 8)
			continue;
		have -= 8;
		if (len == cap)
			return OV_EFORMAT;
		out[len++] = (uint8_t)(bits >> have);
	}
	bool spare = bits & ((1U << have) - 1);
	return have >= 5 || spare ? OV_EFORMAT : (int)len;
}
