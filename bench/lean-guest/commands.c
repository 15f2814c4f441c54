/* SPDX-License-Identifier: BSD-3-Clause */
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int
commands_do_not_wait(void)
{
	return fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

bool
commands_read(void (*obey)(void *given, const char *line), void *given)
{
	char lines[COMMAND_MAX];
	ssize_t length = read(STDIN_FILENO, lines, sizeof(lines) - 1);

	if (length <= 0)
		return length < 0 && errno == EAGAIN;
	lines[length] = '\0';
	for (char *rest = lines, *next; (next = strsep(&rest, "\n")) != NULL;)
		if (*next != '\0')
			obey(given, next);
	return true;
}

uint32_t
parse_sizes(char *text, uint16_t least, uint16_t most, uint16_t sizes[SIZES_MAX])
{
	uint32_t count = 0;

	for (char *next = strtok(text, ","); next != NULL; next = strtok(NULL, ",")) {
		char *end;
		unsigned long size = strtoul(next, &end, 10);

		if (*end != '\0' || size < least || size > most || count == SIZES_MAX)
			return 0;
		sizes[count++] = (uint16_t)size;
	}
	return count;
}
