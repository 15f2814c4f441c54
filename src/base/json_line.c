/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finds where a value stands in JSON text. The text has been accepted by jansson, so this reads only as much of the
 * grammar as it takes to step over values; on other text it stops at the terminator without an answer. Keys are
 * compared as they are written: one spelled with escapes is not found.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"

struct cursor {
	const char *at;
	int line;
};

static void
step(struct cursor *cursor)
{
	if (*cursor->at == '\0')
		return;
	cursor->line += *cursor->at == '\n';
	cursor->at++;
}

static void
skip_space(struct cursor *cursor)
{
	while (*cursor->at != '\0' && strchr(" \t\r\n", *cursor->at) != NULL)
		step(cursor);
}

/* Steps over one character after white space, if it is there. */
static bool
take(struct cursor *cursor, char wanted)
{
	skip_space(cursor);
	if (*cursor->at != wanted)
		return false;
	step(cursor);
	return true;
}

static void
skip_string(struct cursor *cursor)
{
	step(cursor);
	while (*cursor->at != '\0' && *cursor->at != '"') {
		if (*cursor->at == '\\')
			step(cursor);
		step(cursor);
	}
	step(cursor);
}

/* Steps over an object or an array. */
static void
skip_brackets(struct cursor *cursor)
{
	size_t depth = 0;

	do {
		char c = *cursor->at;

		if (c == '"') {
			skip_string(cursor);
			continue;
		}
		depth += c == '{' || c == '[';
		depth -= c == '}' || c == ']';
		step(cursor);
	} while (depth > 0 && *cursor->at != '\0');
}

static void
skip_value(struct cursor *cursor)
{
	skip_space(cursor);
	if (*cursor->at == '"')
		skip_string(cursor);
	else if (*cursor->at == '{' || *cursor->at == '[')
		skip_brackets(cursor);
	else
		cursor->at += strcspn(cursor->at, ",]} \t\r\n");
}

/* Moves to the value of a key of the object at the cursor. */
static bool
enter_member(struct cursor *cursor, const char *key, size_t length)
{
	if (!take(cursor, '{'))
		return false;
	do {
		const char *name;

		skip_space(cursor);
		if (*cursor->at != '"')
			return false;
		name = cursor->at + 1;
		skip_string(cursor);
		if (!take(cursor, ':'))
			return false;
		if (strncmp(name, key, length) == 0 && name[length] == '"')
			return true;
		skip_value(cursor);
	} while (take(cursor, ','));
	return false;
}

/* Moves to an element of the array at the cursor. */
static bool
enter_element(struct cursor *cursor, unsigned long index)
{
	if (!take(cursor, '['))
		return false;
	for (; index > 0; index--) {
		skip_value(cursor);
		if (!take(cursor, ','))
			return false;
	}
	skip_space(cursor);
	return *cursor->at != ']';
}

/* Follows the first step of a path and moves *path behind it. */
static bool
follow(struct cursor *cursor, const char **path)
{
	const char *key = *path;
	size_t length;

	if (*key == '[') {
		char *end;
		unsigned long index = strtoul(key + 1, &end, 10);

		*path = end + (*end == ']');
		return end > key + 1 && *end == ']' && enter_element(cursor, index);
	}
	key += *key == '.';
	length = strcspn(key, ".[");
	*path = key + length;
	return length > 0 && enter_member(cursor, key, length);
}

int
pv_json_line(const char *text, const char *path)
{
	struct cursor cursor = { .at = text, .line = 1 };

	while (*path != '\0')
		if (!follow(&cursor, &path))
			return 0;
	skip_space(&cursor);
	return *cursor.at != '\0' ? cursor.line : 0;
}
