/* SPDX-License-Identifier: BSD-3-Clause */
/* The way to the daemon: where its control socket is, and one question and answer over it. */
#ifndef PKTVIRT_CTL_CLIENT_H
#define PKTVIRT_CTL_CLIENT_H

#include <jansson.h>
#include <stddef.h>

#define CLIENT_DIRECTORY "/run/pktvirt"
#define CLIENT_WHY_MAX 2048

/*
 * The socket of the daemon called `name` in `directory`, or without a name the default one: DIRECTORY/pktvirt.ctl, or
 * the only *.ctl there is. Writes it to `path`; 0, or -1 with the reason in `why` when there are several.
 */
int client_find_socket(const char *directory, const char *name, char *path, size_t size, char why[CLIENT_WHY_MAX]);

/* Connects to the daemon at `path`. A descriptor, or -1 with the reason in `why`. */
int client_connect(const char *path, char why[CLIENT_WHY_MAX]);

/*
 * Sends `request`, which it takes, and waits for the answer. The result, which the caller owns, or NULL with the
 * daemon's reason, or that of the connection, in `why`.
 */
json_t *client_ask(int fd, json_t *request, char why[CLIENT_WHY_MAX]);

#endif
