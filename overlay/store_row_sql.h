#pragma once
/* store_row_sql - a contact as the table `contacts` holds it: text that a person can read, and a
 * sum that catches a flipped bit. */
#include "overlay/contact.h"

#include <sqlite3.h>

#define STORE_GRANTS_MAX  2048 /* 64 ports, 16 services, 7 words: at most 1,878 */
#define STORE_ROW_SUM_LEN 16

/* "icmp,message,tcp/22", as grants_add_list reads it. */
void store_row_grants(const struct grants *g, char out[STORE_GRANTS_MAX]);

struct store_row {
	char grants[STORE_GRANTS_MAX]; /* "icmp,message,tcp/22" */
	char *endpoints;               /* JSON array of texts, malloc'ed, the caller frees it */
	uint8_t sum[STORE_ROW_SUM_LEN];
};

/* OV_OK or OV_ENOMEM. */
OV_MUST_CHECK int store_row_make(struct store_row *r, const struct contact *c);
/* Reads the columns peer, name, source, grants, endpoints, sum, address, seen_at (these two may be
 * NULL), lan_only of the current row. False, and c is nothing to finish: the sum does not hold or a
 * value does not parse. */
OV_MUST_CHECK bool store_row_read(struct contact *c, sqlite3_stmt *st);
