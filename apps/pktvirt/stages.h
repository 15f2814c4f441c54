/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PKTVIRT_STAGES_H
#define PKTVIRT_STAGES_H

#include <stdbool.h>

/* Prints the registry: every stage and every implementation of a primitive. Returns the exit status. */
int stages_list(bool as_json);

/* Prints all about one stage. Returns the exit status: 2 for an unknown name. */
int stages_help(const char *name);

#endif
