/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest's memory. For us it is mapped in one piece, by guest address, with nothing where there is no memory: so a
 * buffer across two regions is in one piece here, as for the guest, while the device has the regions in two places.
 */
#include "frontend_private.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB (1ULL << 20)
#define HOLE (16 * MIB)
#define PLUGGED_MAX (64 * MIB)
#define USER 0x7f1200000000ULL
#define SLACK (48 * 1024) /* bytes of a region that may stay unused since what comes next does not fit */

/* Region `i` of the layouts, each of region->size bytes. */

static void
place_one(struct region *region, uint16_t i)
{
	region->guest = 0;
	region->user = USER;
}

static void
place_with_holes(struct region *region, uint16_t i)
{
	region->guest = MIB + i * (region->size + HOLE);
	region->user = USER + i * (region->size + MIB);
	region->offset = i * region->size;
}

static void
place_many(struct region *region, uint16_t i)
{
	region->guest = i * 16 * HOLE;
	region->user = USER + (8 - i) * 4096 * MIB;
	region->file = i;
}

static void
place_touching(struct region *region, uint16_t i)
{
	region->guest = MIB + i * region->size;
	region->user = USER + (7 - i) * region->size;
	region->offset = (7 - i) * region->size;
}

static void
place_skewed(struct region *region, uint16_t i)
{
	region->guest = HOLE + i * (region->size + 2 * MIB);
	region->user = 0x550000000000ULL + i * 64 * MIB;
	region->offset = 3 * PAGE + (1 - i) * (region->size + 5 * PAGE);
}

static const struct {
	void (*place)(struct region *region, uint16_t i);
	uint16_t regions, files;
} layouts[FRONTEND_MEMORIES] = {
	[FRONTEND_MEMORY_ONE] = { place_one, 1, 1 },	   [FRONTEND_MEMORY_HOLES] = { place_with_holes, 3, 1 },
	[FRONTEND_MEMORY_MANY] = { place_many, 8, 8 },	   [FRONTEND_MEMORY_TOUCHING] = { place_touching, 8, 1 },
	[FRONTEND_MEMORY_SKEWED] = { place_skewed, 2, 1 },
};

/* Makes a file that has room for all regions that are in it. */
static int
make_file(struct frontend *frontend, uint16_t file)
{
	uint64_t end = 0;

	for (uint16_t i = 0; i < frontend->n_regions; i++) {
		const struct region *region = &frontend->regions[i];

		if (region->file == file && region->offset + region->size > end)
			end = region->offset + region->size;
	}
	frontend->files[file] = memfd_create("guest", MFD_CLOEXEC);
	if (frontend->files[file] < 0 || ftruncate(frontend->files[file], (off_t)end) != 0)
		return -errno;
	return 0;
}

static int
map_region(struct frontend *frontend, const struct region *region)
{
	void *at = mmap(frontend->base + region->guest, region->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			frontend->files[region->file], (off_t)region->offset);

	return at == MAP_FAILED ? -errno : 0;
}

/* Keeps addresses for all regions, and for one that is plugged later. */
static int
reserve(struct frontend *frontend)
{
	const struct region *last = &frontend->regions[frontend->n_regions - 1];

	frontend->span = last->guest + last->size + HOLE + PLUGGED_MAX;
	frontend->base = mmap(NULL, frontend->span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (frontend->base == MAP_FAILED) {
		frontend->base = NULL;
		return -ENOMEM;
	}
	return 0;
}

int
frontend_map(struct frontend *frontend, uint64_t bytes)
{
	uint16_t n = layouts[frontend->setup.memory].regions;
	int result = 0;

	for (uint16_t i = 0; i < n; i++) {
		frontend->regions[i].size = ROUND_UP(bytes / n, PAGE) + SLACK;
		layouts[frontend->setup.memory].place(&frontend->regions[i], i);
	}
	frontend->n_regions = n;
	frontend->cursor = frontend->regions[0].guest + PAGE; /* 0 is no address */
	result = reserve(frontend);
	for (uint16_t i = 0; result == 0 && i < layouts[frontend->setup.memory].files; i++) {
		result = make_file(frontend, i);
		frontend->n_files++;
	}
	for (uint16_t i = 0; result == 0 && i < n; i++)
		result = map_region(frontend, &frontend->regions[i]);
	return result;
}

void
frontend_unmap(struct frontend *frontend)
{
	for (uint16_t i = 0; i < frontend->n_files; i++)
		close(frontend->files[i]);
	frontend->n_files = 0;
	if (frontend->base != NULL)
		munmap(frontend->base, frontend->span);
	frontend->base = NULL;
}

static bool
touches_next(const struct frontend *frontend, uint16_t region)
{
	return region + 1 < frontend->n_regions &&
	       frontend->regions[region].guest + frontend->regions[region].size == frontend->regions[region + 1].guest;
}

uint64_t
frontend_allocate(struct frontend *frontend, uint64_t bytes, uint64_t alignment, bool may_straddle)
{
	while (frontend->cursor_region < frontend->n_regions) {
		const struct region *region = &frontend->regions[frontend->cursor_region];
		uint64_t start = ROUND_UP(frontend->cursor, alignment), end = region->guest + region->size;

		if (start + bytes <= end ||
		    (start < end && may_straddle && touches_next(frontend, frontend->cursor_region))) {
			frontend->cursor = start + bytes;
			if (frontend->cursor >= end && touches_next(frontend, frontend->cursor_region))
				frontend->cursor_region++;
			return start;
		}
		if (++frontend->cursor_region < frontend->n_regions)
			frontend->cursor = frontend->regions[frontend->cursor_region].guest;
	}
	return 0;
}

uint64_t
frontend_user_address(const struct frontend *frontend, uint64_t guest)
{
	for (uint16_t i = 0; i < frontend->n_regions; i++) {
		const struct region *region = &frontend->regions[i];

		if (guest >= region->guest && guest - region->guest < region->size)
			return region->user + (guest - region->guest);
	}
	return 0;
}

int
frontend_tell_memory(struct frontend *frontend)
{
	struct {
		uint32_t count, padding;
		uint64_t region[REGIONS_MAX][4];
	} table = { .count = frontend->n_regions };
	int files[REGIONS_MAX];

	for (uint16_t i = 0; i < frontend->n_regions; i++) {
		const struct region *region = &frontend->regions[i];
		const uint64_t told[4] = { region->guest, region->size, region->user, region->offset };

		memcpy(table.region[i], told, sizeof(told));
		files[i] = frontend->files[region->file];
	}
	return frontend_tell(frontend, SET_MEM_TABLE, &table,
			     8 + frontend->n_regions * (uint32_t)sizeof(table.region[0]), files, frontend->n_regions);
}

/* Copies a region into the new file of its number, and maps that instead. */
static int
copy_region(struct frontend *frontend, const struct region *region)
{
	const uint8_t *from = frontend_at(frontend, region->guest);
	uint64_t done = 0;

	while (done < region->size) {
		ssize_t written = pwrite(frontend->files[region->file], from + done, region->size - done,
					 (off_t)(region->offset + done));

		if (written <= 0)
			return -EIO;
		done += (uint64_t)written;
	}
	return map_region(frontend, region);
}

int
frontend_move_memory(struct frontend *frontend)
{
	int old[REGIONS_MAX], result = 0;

	memcpy(old, frontend->files, sizeof(old));
	for (uint16_t i = 0; i < frontend->n_regions; i++) {
		frontend->regions[i].user += 1024 * MIB;
		frontend->regions[i].offset += 2 * PAGE;
	}
	for (uint16_t i = 0; i < frontend->n_files; i++) {
		result = result != 0 ? result : make_file(frontend, i);
	}
	for (uint16_t i = 0; result == 0 && i < frontend->n_regions; i++)
		result = copy_region(frontend, &frontend->regions[i]);
	for (uint16_t i = 0; i < frontend->n_files; i++)
		close(old[i]);
	return result != 0 ? result : frontend_tell_memory(frontend);
}

/* Appends a region, in a file of its own. */
static int
add_region(struct frontend *frontend, uint64_t bytes)
{
	const struct region *last = &frontend->regions[frontend->n_regions - 1];
	struct region *region = &frontend->regions[frontend->n_regions];
	int result;

	*region = (struct region){ .guest = last->guest + last->size + HOLE,
				   .size = ROUND_UP(bytes, PAGE),
				   .user = 0x440000000000ULL,
				   .file = frontend->n_files };
	frontend->n_regions++;
	result = make_file(frontend, frontend->n_files++);
	frontend->plugged = region->guest;
	return result != 0 ? result : map_region(frontend, region);
}

int
frontend_plug_memory(struct frontend *frontend)
{
	uint64_t bytes = 0;
	int result;

	for (uint16_t i = 0; i < frontend->n_rings; i++)
		bytes += (uint64_t)frontend->rings[i].size * frontend->rings[i].cell_bytes;
	if (frontend->n_regions >= 8 || bytes > PLUGGED_MAX)
		return -ENOSPC;
	result = add_region(frontend, bytes);
	return result != 0 ? result : frontend_tell_memory(frontend);
}
