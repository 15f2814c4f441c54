/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/diag.h"

#define WORD_MAX 64
#define PREFIX_MIN 3 /* shorter ones begin too many names */

static size_t
min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

static bool
same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/*
 * How many letters must be added, removed, changed or swapped with their neighbour to make `a` into `b` (optimal
 * string alignment), case aside. Both are of at most WORD_MAX letters.
 */
static size_t
distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t table[WORD_MAX + 1][WORD_MAX + 1];

	for (size_t i = 0; i <= a_length; i++)
		table[i][0] = i;
	for (size_t j = 0; j <= b_length; j++)
		table[0][j] = j;
	for (size_t i = 1; i <= a_length; i++)
		for (size_t j = 1; j <= b_length; j++) {
			bool equal = same(a[i - 1], b[j - 1]);

			table[i][j] = min3(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + !equal);
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
				table[i][j] = min3(table[i][j], table[i - 2][j - 2] + 1, WORD_MAX);
		}
	return table[a_length][b_length];
}

/* The beginning of a name counts as one mistake: "vhost" for "vhost-user". */
static size_t
mistakes(const char *word, size_t length, const char *name)
{
	size_t name_length = strlen(name);

	if (name_length > WORD_MAX)
		return WORD_MAX;
	if (length >= PREFIX_MIN && strncasecmp(word, name, length) == 0)
		return 1;
	return distance(word, length, name, name_length);
}

const char *
pv_nearest(const char *word, const char *const *names)
{
	size_t length = strlen(word);
	size_t allowed = 1 + length / 4;
	const char *best = NULL;

	if (length < 2 || length > WORD_MAX)
		return NULL;
	for (; *names != NULL; names++) {
		size_t found = mistakes(word, length, *names);

		if (found > allowed)
			continue;
		best = *names;
		if (found == 0)
			break;
		allowed = found - 1;
	}
	return best;
}
