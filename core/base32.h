#pragma once
/* base32 - text that survives being spoken, typed and scanned: RFC 4648 6, lower case, no padding.
 * In upper case it fits the compact mode of QR codes, so reading takes both. */
#include "core/base.h"

#define BASE32_LEN(bytes) (((bytes)*8 + 4) / 5) /* characters, without NUL */

/* Writes BASE32_LEN(len) characters and NUL into out; returns out. */
const char *base32_encode(const uint8_t *data, size_t len, char *out);
/* Decodes chars characters of text into out, which holds cap bytes. Returns the number of bytes, or
 * OV_EFORMAT: a character that is none, a length that no bytes have, bits left over that are not
 * zero (so bytes have one text), more than cap. */
OV_MUST_CHECK int base32_decode(const char *text, size_t chars, uint8_t *out, size_t cap);
