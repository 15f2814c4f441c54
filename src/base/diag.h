/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mistakes of a configuration, collected so that all of them are reported in one run:
 *
 *     configs/a.json:14: stages[2].receive-aggregation.limit: 0: expected 2 to 64
 *     configs/a.json:14: stages[2].receive-aggregation: unknown option "limt"; did you mean "limit"?
 *
 * A message is: where: what was given: what is accepted. The line comes from pv_json_line(), since jansson keeps
 * no positions of values.
 */
#ifndef PV_BASE_DIAG_H
#define PV_BASE_DIAG_H

#include <stddef.h>
#include <stdio.h>

struct pv_diag;

/* A collector for `file`, whose contents are `text` (may be NULL; both are copied). NULL when out of memory. */
struct pv_diag *pv_diag_new(const char *file, const char *text);
void pv_diag_free(struct pv_diag *diag);

/*
 * Adds a mistake at `path`, a JSON path such as "ports[2].ethdev.devargs" ("" for the document). When the path
 * does not exist in the text the line of its nearest existing parent is given.
 */
__attribute__((format(printf, 3, 4))) void pv_diag_add(struct pv_diag *diag, const char *path, const char *fmt, ...);

/* As pv_diag_add(), for a mistake about a key of the object at `path`: the line is the key's. */
__attribute__((format(printf, 4, 5))) void pv_diag_add_key(struct pv_diag *diag, const char *path, const char *key,
							   const char *fmt, ...);

/* Adds a mistake at a known line (a syntax error). */
__attribute__((format(printf, 3, 4))) void pv_diag_add_line(struct pv_diag *diag, int line, const char *fmt, ...);

/* How many mistakes there are, and the text of one ("file:line: path: message", no newline). */
size_t pv_diag_count(const struct pv_diag *diag);
const char *pv_diag_message(const struct pv_diag *diag, size_t index);
void pv_diag_print(const struct pv_diag *diag, FILE *out);

/* Writes all of them into `text`, one a line and without the file, which means nothing to who gave none. */
void pv_diag_join(const struct pv_diag *diag, char *text, size_t size);

/* Writes the path of member `key` of the object at `path` and returns it; a longer one is cut. */
#define PV_PATH_MAX 256
const char *pv_path_member(char text[PV_PATH_MAX], const char *path, const char *key);

/* The name that `word` most likely misspells, or NULL when none of the NULL-terminated `names` is near. */
const char *pv_nearest(const char *word, const char *const *names);

/* The line (from 1) on which the value at `path` begins in the valid JSON `text`; 0 when it is not there. */
int pv_json_line(const char *text, const char *path);

#endif
