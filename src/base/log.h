/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Log lines of the daemon: one line per event, on standard error, with the name of the port, stage or
 * subsystem it is about:
 *
 *     pktvirt: vm0: guest attached, 1 queue pair
 *
 * When standard error is the journal (JOURNAL_STREAM names it) lines get the "<N>" priority prefix, so the journal
 * knows the level. Control characters are written as \xNN, so what a guest says cannot forge a line. Nothing on the
 * packet path logs; what a guest can trigger uses pv_log_limited().
 */
#ifndef PV_BASE_LOG_H
#define PV_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pv_log_level { PV_LOG_ERROR, PV_LOG_WARNING, PV_LOG_INFO, PV_LOG_DEBUG };

/* Lets lines of `level` and above through. The default is PV_LOG_INFO. */
void pv_log_set_level(enum pv_log_level level);
enum pv_log_level pv_log_get_level(void);

/* Level of a name ("error", "warning", "info", "debug"); -EINVAL for any other. */
int pv_log_level_parse(const char *name);

/* Writes one line about `who`. Safe from any thread. Adds the newline. */
__attribute__((format(printf, 3, 4))) void pv_log(enum pv_log_level level, const char *who, const char *fmt, ...);

/*
 * Has the thread's first error line about `who` from now on kept in `text`, too, as "who: message", to be told to who
 * asked for what went wrong; "" while there is none. Until it is called again: with NULL no line is kept.
 */
void pv_log_keep_error(const char *who, char *text, size_t size);

#define pv_error(who, ...) pv_log(PV_LOG_ERROR, who, __VA_ARGS__)
#define pv_warning(who, ...) pv_log(PV_LOG_WARNING, who, __VA_ARGS__)
#define pv_info(who, ...) pv_log(PV_LOG_INFO, who, __VA_ARGS__)
#define pv_debug(who, ...) pv_log(PV_LOG_DEBUG, who, __VA_ARGS__)

/* A token bucket: `burst` lines at once, then one a second. Zero-initialized but for `burst`. */
struct pv_log_limit {
	uint32_t burst;
	uint32_t tokens;
	uint64_t last_s;
	uint64_t suppressed;
	bool started;
};

/*
 * True when a line may be written now; then *suppressed says how many were swallowed since the last one.
 * Not for several threads at once on one limit: give each thread or port its own.
 */
bool pv_log_limit_pass(struct pv_log_limit *limit, uint64_t *suppressed);

/* As pv_log(), at most as often as `limit` allows, saying how many lines were swallowed before. */
__attribute__((format(printf, 4, 5))) void pv_log_limited(struct pv_log_limit *limit, enum pv_log_level level,
							  const char *who, const char *fmt, ...);

#endif
