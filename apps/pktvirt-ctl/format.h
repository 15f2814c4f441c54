/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers and tables as people read them. */
#ifndef PKTVIRT_CTL_FORMAT_H
#define PKTVIRT_CTL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define NUMBER_MAX 32 /* bytes of any formatted number */

/* "1,234,567" */
const char *format_exact(uint64_t value, char text[NUMBER_MAX]);

/* Three or four digits and a decimal suffix: "0", "12.3", "999", "1.23K", "12.3M", "123G". */
const char *format_short(double value, char text[NUMBER_MAX]);

/* "12.3%", for a share from 0 to 1. */
const char *format_share(double share, char text[NUMBER_MAX]);

/* "7s", "2m 03s", "1h 05m" */
const char *format_age(uint64_t seconds, char text[NUMBER_MAX]);

struct column {
	const char *name;
	bool number; /* right-aligned */
};

struct table;

/* A table with the given columns, kept by reference. Cells are added in reading order. */
struct table *table_new(const struct column *columns, size_t n_columns);
void table_free(struct table *table);
__attribute__((format(printf, 2, 3))) void table_cell(struct table *table, const char *fmt, ...);
size_t table_rows(const struct table *table);

/* Prints the head and the rows, each column as wide as its widest cell. */
void table_print(const struct table *table, FILE *out);

#endif
