/* SPDX-License-Identifier: BSD-3-Clause */
#include "format.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define GAP 2 /* spaces between columns */

const char *
format_exact(uint64_t value, char text[NUMBER_MAX])
{
	char digits[NUMBER_MAX];
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, value);
	char *end = text;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			*end++ = ',';
		*end++ = digits[i];
	}
	*end = '\0';
	return text;
}

const char *
format_short(double value, char text[NUMBER_MAX])
{
	static const char suffixes[] = " KMGTPE";
	size_t step = 0;
	int decimals;

	/* The limits are where rounding would give a digit more. */
	while (value >= 999.5 && step < sizeof(suffixes) - 2) {
		value /= 1000;
		step++;
	}
	decimals = value == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
	if (step == 0)
		snprintf(text, NUMBER_MAX, "%.*f", decimals > 1 ? 1 : decimals, value);
	else
		snprintf(text, NUMBER_MAX, "%.*f%c", decimals, value, suffixes[step]);
	return text;
}

const char *
format_share(double share, char text[NUMBER_MAX])
{
	snprintf(text, NUMBER_MAX, "%.1f%%", 100 * share);
	return text;
}

const char *
format_age(uint64_t seconds, char text[NUMBER_MAX])
{
	uint64_t minutes = seconds / 60;

	if (minutes == 0)
		snprintf(text, NUMBER_MAX, "%" PRIu64 "s", seconds);
	else if (minutes < 60)
		snprintf(text, NUMBER_MAX, "%" PRIu64 "m %02" PRIu64 "s", minutes, seconds % 60);
	else
		snprintf(text, NUMBER_MAX, "%" PRIu64 "h %02" PRIu64 "m", minutes / 60, minutes % 60);
	return text;
}

struct table {
	const struct column *columns;
	size_t n_columns;
	char **cells;
	size_t n_cells;
};

static void *
or_die(void *memory)
{
	if (memory == NULL) {
		fputs("pktvirt-ctl: out of memory\n", stderr);
		exit(EXIT_FAILURE);
	}
	return memory;
}

struct table *
table_new(const struct column *columns, size_t n_columns)
{
	struct table *table = or_die(calloc(1, sizeof(*table)));

	table->columns = columns;
	table->n_columns = n_columns;
	return table;
}

void
table_free(struct table *table)
{
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
}

void
table_cell(struct table *table, const char *fmt, ...)
{
	char *cell = NULL;
	va_list arguments;
	int length;

	va_start(arguments, fmt);
	length = vasprintf(&cell, fmt, arguments);
	va_end(arguments);
	table->cells = or_die(realloc(table->cells, (table->n_cells + 1) * sizeof(*table->cells)));
	table->cells[table->n_cells++] = or_die(length < 0 ? NULL : cell);
}

size_t
table_rows(const struct table *table)
{
	return table->n_cells / table->n_columns;
}

static int
column_width(const struct table *table, size_t column)
{
	size_t width = strlen(table->columns[column].name);

	for (size_t i = column; i < table->n_cells; i += table->n_columns)
		if (strlen(table->cells[i]) > width)
			width = strlen(table->cells[i]);
	return (int)width;
}

/* Spaces are written before a cell, when it is known that one follows: no line ends in spaces. */
static void
print_row(const struct table *table, const int *widths, char *const *cells, FILE *out)
{
	int missing = 0;

	for (size_t i = 0; i < table->n_columns; i++) {
		const char *cell = cells == NULL ? table->columns[i].name : cells[i];
		int room = widths[i] - (int)strlen(cell);
		int before = table->columns[i].number ? room : 0;

		if (cell[0] != '\0')
			fprintf(out, "%*s%s", missing + before, "", cell);
		missing = cell[0] == '\0' ? missing + widths[i] + GAP : room - before + GAP;
	}
	fputc('\n', out);
}

void
table_print(const struct table *table, FILE *out)
{
	int *widths = or_die(calloc(table->n_columns, sizeof(*widths)));

	for (size_t i = 0; i < table->n_columns; i++)
		widths[i] = column_width(table, i);
	print_row(table, widths, NULL, out);
	for (size_t row = 0; row < table_rows(table); row++)
		print_row(table, widths, table->cells + row * table->n_columns, out);
	free(widths);
}
