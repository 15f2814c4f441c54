/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/diag.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct pv_diag {
	char *file;
	char *text;
	char **messages;
	size_t count;
	size_t lost; /* for want of memory */
};

struct pv_diag *
pv_diag_new(const char *file, const char *text)
{
	struct pv_diag *diag = calloc(1, sizeof(*diag));

	if (diag == NULL)
		return NULL;
	diag->file = strdup(file);
	diag->text = text != NULL ? strdup(text) : NULL;
	if (diag->file == NULL || (text != NULL && diag->text == NULL)) {
		pv_diag_free(diag);
		return NULL;
	}
	return diag;
}

void
pv_diag_free(struct pv_diag *diag)
{
	if (diag == NULL)
		return;
	for (size_t i = 0; i < diag->count; i++)
		free(diag->messages[i]);
	free(diag->messages);
	free(diag->text);
	free(diag->file);
	free(diag);
}

/* Takes over `message`. */
static void
keep(struct pv_diag *diag, char *message)
{
	char **grown = reallocarray(diag->messages, diag->count + 1, sizeof(*grown));

	if (grown != NULL)
		diag->messages = grown;
	if (grown == NULL || message == NULL) {
		free(message);
		diag->lost++;
		return;
	}
	grown[diag->count++] = message;
}

__attribute__((format(printf, 4, 0))) static void
add(struct pv_diag *diag, int line, const char *path, const char *fmt, va_list list)
{
	const char *colon = path[0] != '\0' ? ": " : "";
	char number[16] = "";
	char *what, *message;

	if (line > 0)
		snprintf(number, sizeof(number), ":%d", line);
	if (vasprintf(&what, fmt, list) < 0)
		what = NULL;
	if (what == NULL || asprintf(&message, "%s%s: %s%s%s", diag->file, number, path, colon, what) < 0)
		message = NULL;
	free(what);
	keep(diag, message);
}

/* Cuts the last step off a path: "a.b[2]" becomes "a.b", then "a", then "". */
static void
cut_last_step(char *path)
{
	size_t length = strlen(path);

	while (length > 0 && path[length - 1] != '.' && path[length - 1] != '[')
		length--;
	path[length > 0 ? length - 1 : 0] = '\0';
}

static int
nearest_line(const struct pv_diag *diag, const char *path)
{
	char where[PV_PATH_MAX];
	int line;

	if (diag->text == NULL)
		return 0;
	snprintf(where, sizeof(where), "%s", path);
	for (line = pv_json_line(diag->text, where); line == 0 && where[0] != '\0';
	     line = pv_json_line(diag->text, where))
		cut_last_step(where);
	return line;
}

void
pv_diag_add(struct pv_diag *diag, const char *path, const char *fmt, ...)
{
	va_list list;

	va_start(list, fmt);
	add(diag, nearest_line(diag, path), path, fmt, list);
	va_end(list);
}

void
pv_diag_add_key(struct pv_diag *diag, const char *path, const char *key, const char *fmt, ...)
{
	char member[PV_PATH_MAX];
	va_list list;

	va_start(list, fmt);
	add(diag, nearest_line(diag, pv_path_member(member, path, key)), path, fmt, list);
	va_end(list);
}

void
pv_diag_add_line(struct pv_diag *diag, int line, const char *fmt, ...)
{
	va_list list;

	va_start(list, fmt);
	add(diag, line, "", fmt, list);
	va_end(list);
}

size_t
pv_diag_count(const struct pv_diag *diag)
{
	return diag->count + diag->lost;
}

const char *
pv_diag_message(const struct pv_diag *diag, size_t index)
{
	return index < diag->count ? diag->messages[index] : "out of memory";
}

void
pv_diag_print(const struct pv_diag *diag, FILE *out)
{
	for (size_t i = 0; i < pv_diag_count(diag); i++)
		fprintf(out, "%s\n", pv_diag_message(diag, i));
}

void
pv_diag_join(const struct pv_diag *diag, char *text, size_t size)
{
	size_t length = 0;

	text[0] = '\0';
	for (size_t i = 0; i < pv_diag_count(diag) && length < size; i++) {
		const char *message = pv_diag_message(diag, i), *colon = strstr(message, ": ");

		length += (size_t)snprintf(text + length, size - length, "%s%s", i > 0 ? "\n" : "",
					   colon != NULL ? colon + 2 : message);
	}
}

const char *
pv_path_member(char text[PV_PATH_MAX], const char *path, const char *key)
{
	snprintf(text, PV_PATH_MAX, "%s%s%s", path, path[0] != '\0' ? "." : "", key);
	return text;
}
