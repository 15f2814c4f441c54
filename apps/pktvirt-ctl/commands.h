/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PKTVIRT_CTL_COMMANDS_H
#define PKTVIRT_CTL_COMMANDS_H

#include <stdbool.h>

/* The command line. */
struct request {
	const char *socket, *name; /* where the daemon is; NULL: the default */
	const char *guest;	   /* --for */
	int interval_ms;	   /* 0: not given */
	bool once, json;
	const char *argument; /* of the command */
	char *const *more;    /* what follows it, for commands that take more; ends with NULL */
};

struct command {
	const char *name;
	const char *argument; /* what the argument is, for messages; NULL: there is none */
	bool takes_more;      /* words may follow it */
	/* Whether what is given makes sense: 0 or EXIT_USAGE, having said why. May be NULL. */
	int (*check)(const struct request *request);
	/* Does it with the daemon at `path`; an exit status. */
	int (*run)(const struct request *request, const char *path);
};

extern const struct command commands[]; /* ends with a NULL name */

#endif
