/* SPDX-License-Identifier: BSD-3-Clause */
/* Where configurations are looked for, and reading one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/config_parts.h"

/* The file may be a pipe, so it is read to its end rather than by its size. */
static char *
read_all(FILE *file, const char **why)
{
	char *text = NULL;
	size_t size = 0;
	ssize_t length = getdelim(&text, &size, '\0', file);

	if (length > 0 && text[length - 1] == '\0')
		*why = "not a text file";
	else if (ferror(file))
		*why = strerror(errno);
	else
		return length < 0 ? strcpy(text, "") : text;
	free(text);
	return NULL;
}

static char *
read_file(const char *path, struct pv_diag *diag)
{
	FILE *file = fopen(path, "re");
	const char *why = file == NULL ? strerror(errno) : NULL;
	char *text = NULL;

	if (file != NULL) {
		text = read_all(file, &why);
		fclose(file);
	}
	if (why != NULL)
		pv_diag_add(diag, "", "cannot be read: %s", why);
	return text;
}

/* The first of the places where `name` may be; NULL after saying which they were. */
static char *
find_file(const char *name, struct pv_diag *diag)
{
	static const char *const places[] = { "", "configs/", PV_DATA_DIR "/configs/" };
	size_t n = strchr(name, '/') == NULL ? 3 : 1;
	char *path;

	for (size_t i = 0; i < n; i++) {
		if (asprintf(&path, "%s%s", places[i], name) < 0)
			return NULL;
		if (access(path, F_OK) == 0)
			return path;
		free(path);
	}
	if (n == 1)
		pv_diag_add(diag, "", "no such file");
	else
		pv_diag_add(diag, "", "no such file; looked at %s, %s%s and %s%s", name, places[1], name, places[2],
			    name);
	return NULL;
}

char *
pv_config_load_file(const char *name, char **text, struct pv_diag *diag)
{
	char *path = find_file(name, diag);

	*text = path != NULL ? read_file(path, diag) : NULL;
	if (*text != NULL)
		return path;
	free(path);
	return NULL;
}
