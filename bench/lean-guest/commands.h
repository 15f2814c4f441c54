/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands on the standard input, a line each, of a program that is busy with something else meanwhile. */
#ifndef LG_COMMANDS_H
#define LG_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

#define COMMAND_MAX 512 /* bytes of a line */
#define SIZES_MAX 64

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t now_ns(void);

/* Has commands_read() return at once; 0 or -errno. */
int commands_do_not_wait(void);

/* Calls obey() with each line that there is; false at the end of the input. It comes in whole lines. */
bool commands_read(void (*obey)(void *given, const char *line), void *given);

/* "64,570" to numbers from `least` to `most`; returns how many, 0 if there is a mistake. Changes the text. */
uint32_t parse_sizes(char *text, uint16_t least, uint16_t most, uint16_t sizes[SIZES_MAX]);

#endif
