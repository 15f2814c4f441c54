/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX 1024
#define MESSAGE_MAX (TEXT_MAX - 192) /* leaves room for what stands around it */
#define LINE_SIZE (4 * TEXT_MAX + 8) /* every byte escaped, priority and newline */

static const char *const level_names[] = {
	[PV_LOG_ERROR] = "error",
	[PV_LOG_WARNING] = "warning",
	[PV_LOG_INFO] = "info",
	[PV_LOG_DEBUG] = "debug",
};

/* As syslog(3) numbers them. */
static const char *const priorities[] = {
	[PV_LOG_ERROR] = "<3>",
	[PV_LOG_WARNING] = "<4>",
	[PV_LOG_INFO] = "<6>",
	[PV_LOG_DEBUG] = "<7>",
};

static _Atomic int threshold = PV_LOG_INFO;

/* Where the next error line of this thread is kept, and about whom; see pv_log_keep_error(). */
static __thread struct {
	const char *who;
	char *text;
	size_t size;
} kept;

void
pv_log_set_level(enum pv_log_level level)
{
	threshold = (int)level;
}

enum pv_log_level
pv_log_get_level(void)
{
	return (enum pv_log_level)threshold;
}

int
pv_log_level_parse(const char *name)
{
	for (int level = PV_LOG_ERROR; level <= PV_LOG_DEBUG; level++)
		if (strcmp(name, level_names[level]) == 0)
			return level;
	return -EINVAL;
}

/* The variable is inherited by what a service starts, so it counts only when it names this very stream. */
static bool
stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat status;

	return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

/* The bytes of a control character at `text`: 1, 2 for the second set (U+0080 to U+009F) in UTF-8, or 0. */
static size_t
control_length(const char *text)
{
	unsigned char first = (unsigned char)text[0], second;

	if (first < 0x20 || first == 0x7f)
		return 1;
	second = (unsigned char)text[1];
	return first == 0xc2 && second >= 0x80 && second < 0xa0 ? 2 : 0;
}

/* Copies `text` with control characters as \xNN; `out` has room for four times its length. Returns the bytes. */
static size_t
copy_printable(char *out, const char *text)
{
	char *end = out;

	while (*text != '\0') {
		size_t control = control_length(text);

		if (control == 0)
			*end++ = *text++;
		for (; control > 0; control--)
			end += sprintf(end, "\\x%02x", (unsigned char)*text++);
	}
	return (size_t)(end - out);
}

static void
write_line(enum pv_log_level level, const char *text)
{
	char line[LINE_SIZE];
	size_t length = 0;

	if (stderr_is_journal())
		length = (size_t)sprintf(line, "%s", priorities[level]);
	length += copy_printable(line + length, text);
	line[length++] = '\n';
	/* One call, so that lines of several threads do not mix. There is nowhere to report a failure to. */
	if (write(STDERR_FILENO, line, length) < 0)
		return;
}

void
pv_log_keep_error(const char *who, char *text, size_t size)
{
	kept.who = who;
	kept.text = text;
	kept.size = size;
	if (who != NULL)
		text[0] = '\0';
}

static void
keep_error(const char *who, const char *message)
{
	if (kept.who != NULL && kept.text[0] == '\0' && strcmp(kept.who, who) == 0)
		snprintf(kept.text, kept.size, "%s: %s", who, message);
}

static void
format_and_write(enum pv_log_level level, const char *who, uint64_t suppressed, const char *fmt, va_list list)
{
	char message[TEXT_MAX], text[TEXT_MAX], note[64] = "";

	vsnprintf(message, sizeof(message), fmt, list);
	if (level == PV_LOG_ERROR)
		keep_error(who, message);
	if (suppressed > 0)
		snprintf(note, sizeof(note), " (%llu more suppressed)", (unsigned long long)suppressed);
	snprintf(text, sizeof(text), "pktvirt: %s: %.*s%s", who, MESSAGE_MAX, message, note);
	write_line(level, text);
}

void
pv_log(enum pv_log_level level, const char *who, const char *fmt, ...)
{
	va_list list;

	if (level > pv_log_get_level())
		return;
	va_start(list, fmt);
	format_and_write(level, who, 0, fmt, list);
	va_end(list);
}

static void
refill(struct pv_log_limit *limit)
{
	struct timespec now;
	uint64_t now_s, room = limit->burst - limit->tokens;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	now_s = (uint64_t)now.tv_sec;
	if (!limit->started || now_s - limit->last_s >= room)
		limit->tokens = limit->burst;
	else
		limit->tokens += (uint32_t)(now_s - limit->last_s);
	limit->started = true;
	limit->last_s = now_s;
}

bool
pv_log_limit_pass(struct pv_log_limit *limit, uint64_t *suppressed)
{
	refill(limit);
	if (limit->tokens == 0) {
		limit->suppressed++;
		return false;
	}
	limit->tokens--;
	*suppressed = limit->suppressed;
	limit->suppressed = 0;
	return true;
}

void
pv_log_limited(struct pv_log_limit *limit, enum pv_log_level level, const char *who, const char *fmt, ...)
{
	uint64_t suppressed;
	va_list list;

	if (level > pv_log_get_level() || !pv_log_limit_pass(limit, &suppressed))
		return;
	va_start(list, fmt);
	format_and_write(level, who, suppressed, fmt, list);
	va_end(list);
}
