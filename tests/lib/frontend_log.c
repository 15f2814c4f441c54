/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log of written pages ("Migration"), and our own account of what the device has written, for comparison. A log is
 * started and compared while nothing is under way: what was used before and collected afterwards would be missing.
 */
#include "frontend_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static bool
is_set(const uint8_t *map, uint64_t page)
{
	return (map[page / 8] >> page % 8 & 1) != 0;
}

void
frontend_log_written(struct frontend *frontend, uint64_t guest, uint64_t bytes)
{
	if (!frontend->logging)
		return;
	for (uint64_t page = guest / PAGE; page <= (guest + bytes - 1) / PAGE; page++)
		frontend->written[page / 8] |= (uint8_t)(1u << page % 8);
}

static int
tell_base(struct frontend *frontend, int fd)
{
	const uint64_t told[2] = { frontend->log_bytes, 0 };
	uint64_t answer;
	int result = frontend_ask(frontend, SET_LOG_BASE, told, sizeof(told), &answer, sizeof(answer), &fd);

	if (fd >= 0)
		close(fd);
	return result < 0 ? result : 0;
}

/* The log's file, or -errno. */
static int
make_log(struct frontend *frontend)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	frontend->log_bytes = ROUND_UP(frontend->span / PAGE / 8 + 1, PAGE);
	frontend->written = calloc(1, frontend->log_bytes);
	if (fd < 0 || frontend->written == NULL || ftruncate(fd, (off_t)frontend->log_bytes) != 0)
		return -errno;
	frontend->log = mmap(NULL, frontend->log_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (frontend->log == MAP_FAILED) {
		frontend->log = NULL;
		close(fd);
		return -ENOMEM;
	}
	return fd;
}

/* Features and ring addresses say whether the device has to log; in this order QEMU tells them. */
static int
tell_logging(struct frontend *frontend, bool logging)
{
	uint64_t features = frontend->features | (logging ? FRONTEND_BIT(FRONTEND_F_LOG_ALL) : 0);
	int result = frontend_tell(frontend, SET_FEATURES, &features, sizeof(features), NULL, 0);

	frontend->logging = logging;
	for (uint16_t i = 0; result == 0 && i < frontend->n_rings; i++)
		result = frontend_ring_tell_addresses(&frontend->rings[i]);
	return result;
}

int
frontend_start_log(struct frontend *frontend)
{
	int fd = make_log(frontend), result;

	if (fd < 0)
		return fd;
	result = tell_base(frontend, fd);
	close(fd);
	return result != 0 ? result : tell_logging(frontend, true);
}

int
frontend_stop_log(struct frontend *frontend)
{
	return tell_logging(frontend, false);
}

static bool
is_in(uint64_t page, uint64_t guest, uint64_t bytes)
{
	return page >= guest / PAGE && page <= (guest + bytes - 1) / PAGE;
}

/* What the device may log unwritten: its event index or structure, and places of a packed ring, where it may write. */
static bool
may_be_written(const struct frontend *frontend, uint64_t page)
{
	for (uint16_t i = 0; i < frontend->n_rings; i++) {
		const struct frontend_ring *ring = &frontend->rings[i];

		if (is_in(page, ring->device, ring->device_bytes) ||
		    (ring->format == &frontend_packed &&
		     is_in(page, ring->descriptors, ring->format->descriptors_bytes(ring->size))))
			return true;
	}
	return false;
}

int
frontend_check_log(struct frontend *frontend)
{
	int written = 0;

	if (frontend->log == NULL)
		return -EINVAL;
	for (uint64_t page = 0; page < frontend->span / PAGE; page++) {
		bool logged = is_set(frontend->log, page);

		if (is_set(frontend->written, page)) {
			written++;
			if (!logged)
				return frontend_complain(frontend, "page %#llx was written, and not logged",
							 (unsigned long long)page * PAGE);
		} else if (logged && !may_be_written(frontend, page)) {
			return frontend_complain(frontend, "page %#llx was logged, and not written",
						 (unsigned long long)page * PAGE);
		}
	}
	memset(frontend->log, 0, frontend->log_bytes);
	memset(frontend->written, 0, frontend->log_bytes);
	return written;
}
