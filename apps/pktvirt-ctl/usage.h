/* SPDX-License-Identifier: BSD-3-Clause */
/* Help, and mistakes on the command line. */
#ifndef PKTVIRT_CTL_USAGE_H
#define PKTVIRT_CTL_USAGE_H

#define EXIT_USAGE 2

extern const char usage_text[];

/* Prints the mistake and returns EXIT_USAGE. */
__attribute__((format(printf, 1, 2))) int usage_error(const char *fmt, ...);

/* The same for a word that is none of the NULL-terminated `names`. `kind` says what it should be: "command". */
int usage_unknown(const char *kind, const char *word, const char *const *names);

#endif
