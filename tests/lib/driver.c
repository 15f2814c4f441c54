/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/virtio_config.h>

#define GUARD 0x10000u
#define AREA 0x90000u /* bytes for descriptors or a packed ring: the largest has 0x80000 */

static int
make_file(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DRIVER_FILE_OFFSET + DRIVER_REGION), 0);
	return fd;
}

/* A file's memory between pages that fault. */
static uint8_t *
map_region(int fd)
{
	uint8_t *all = mmap(NULL, DRIVER_REGION + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(all, MAP_FAILED);
	assert_ptr_equal(mmap(all + GUARD, DRIVER_REGION, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			      DRIVER_FILE_OFFSET),
			 all + GUARD);
	return all + GUARD;
}

static void
add_region(struct driver *driver, uint64_t guest)
{
	int fd = make_file();
	uint8_t *host = map_region(fd);

	driver->memory.regions[driver->memory.n_regions++] = (struct pv_region){
		.guest = guest,
		.user = guest + 0x7f0000000000,
		.size = DRIVER_REGION,
		.host = host,
	};
	driver->memory.n_direct = driver->memory.n_regions;
	pv_grant_files_add(&driver->files, fd, host - DRIVER_FILE_OFFSET, DRIVER_FILE_OFFSET + DRIVER_REGION);
}

struct driver *
driver_new(bool packed, uint16_t size)
{
	struct driver *driver = calloc(1, sizeof(*driver));
	uint8_t *low;

	assert_non_null(driver);
	add_region(driver, DRIVER_HIGH); /* not in the order of addresses */
	add_region(driver, DRIVER_LOW);
	driver->packed = packed;
	driver->size = size;
	driver->wrap = driver->taken_wrap = true; /* virtio 1.2, 2.8.1 */
	low = driver_at(driver, DRIVER_LOW);
	driver->desc = (void *)low;
	driver->ring = (void *)low;
	driver->avail = (void *)(low + AREA);
	driver->driver_event = (void *)(low + AREA);
	driver->used = (void *)(low + AREA + 0x20000);
	driver->device_event = (void *)(low + AREA + 0x20000);
	return driver;
}

void
driver_free(struct driver *driver)
{
	for (uint32_t i = 0; i < driver->memory.n_regions; i++) {
		munmap(driver->memory.regions[i].host - GUARD, DRIVER_REGION + 2 * GUARD);
		close(driver->files.file[i].fd);
	}
	free(driver);
}

struct pv_virtqueue_setup
driver_setup(const struct driver *driver, uint64_t features)
{
	return (struct pv_virtqueue_setup){
		.descriptors = driver->desc,
		.driver = driver->avail,
		.device = driver->used,
		.size = driver->size,
		.avail_base = driver->packed ? 0x8000 : 0,
		.used_base = driver->packed ? 0x8000 : 0,
		.features = features | (driver->packed ? 1ULL << VIRTIO_F_RING_PACKED : 0),
	};
}

uint8_t *
driver_at(const struct driver *driver, uint64_t address)
{
	for (uint32_t i = 0; i < driver->memory.n_regions; i++) {
		const struct pv_region *region = &driver->memory.regions[i];

		if (address - region->guest < region->size)
			return region->host + (address - region->guest);
	}
	fail_msg("the test uses an address that is nowhere");
	return NULL;
}

/* --- split ------------------------------------------------------------------------------------------------------- */

static uint16_t
offer_split(struct driver *driver, const struct driver_buffer *buffers, uint16_t n)
{
	uint16_t head = driver->place;

	for (uint16_t i = 0; i < n; i++) {
		uint16_t next = (uint16_t)((driver->place + 1) & (driver->size - 1));

		driver->desc[driver->place] = (struct vring_desc){
			.addr = buffers[i].address,
			.len = buffers[i].length,
			.flags = buffers[i].flags | (i + 1 < n ? VRING_DESC_F_NEXT : 0),
			.next = next,
		};
		driver->place = next;
	}
	driver->avail->ring[driver->offered & (driver->size - 1)] = head;
	__atomic_store_n(&driver->avail->idx, ++driver->offered, __ATOMIC_RELEASE);
	return head;
}

static bool
take_split(struct driver *driver, uint32_t *id, uint32_t *length)
{
	const struct vring_used_elem *element = &driver->used->ring[driver->taken & (driver->size - 1)];

	if (__atomic_load_n(&driver->used->idx, __ATOMIC_ACQUIRE) == driver->taken)
		return false;
	*id = element->id;
	*length = element->len;
	driver->taken++;
	return true;
}

/* --- packed ------------------------------------------------------------------------------------------------------ */

static uint16_t
available(bool wrap)
{
	return wrap ? PV_PACKED_AVAIL : PV_PACKED_USED;
}

static void
advance(const struct driver *driver, uint16_t *place, bool *wrap, uint16_t slots)
{
	for (; slots > 0; slots--)
		if (++*place == driver->size) {
			*place = 0;
			*wrap = !*wrap;
		}
}

/* The flags of the first descriptor are stored last (virtio 1.2, 2.8.21.1). */
static uint16_t
offer_packed(struct driver *driver, const struct driver_buffer *buffers, uint16_t n)
{
	struct vring_packed_desc *first = &driver->ring[driver->place];
	uint16_t first_flags = 0, id = driver->id;

	driver->id = (uint16_t)((id + driver->size - 1) % driver->size); /* any will do */
	driver->slots[id] = n;
	for (uint16_t i = 0; i < n; i++) {
		struct vring_packed_desc *descriptor = &driver->ring[driver->place];
		uint16_t flags =
			(uint16_t)(buffers[i].flags | available(driver->wrap) | (i + 1 < n ? VRING_DESC_F_NEXT : 0));

		descriptor->addr = buffers[i].address;
		descriptor->len = buffers[i].length;
		descriptor->id = i + 1 < n ? (uint16_t)~id : id;
		if (i == 0)
			first_flags = flags;
		else
			descriptor->flags = flags;
		advance(driver, &driver->place, &driver->wrap, 1);
	}
	__atomic_store_n(&first->flags, first_flags, __ATOMIC_RELEASE);
	return id;
}

static bool
take_packed(struct driver *driver, uint32_t *id, uint32_t *length)
{
	const struct vring_packed_desc *descriptor = &driver->ring[driver->taken];
	uint16_t flags = __atomic_load_n(&descriptor->flags, __ATOMIC_ACQUIRE);
	bool avail = (flags & PV_PACKED_AVAIL) != 0, used = (flags & PV_PACKED_USED) != 0;

	if (avail != used || used != driver->taken_wrap)
		return false;
	*id = descriptor->id;
	*length = (flags & VRING_DESC_F_WRITE) != 0 ? descriptor->len : 0; /* 2.8.2: else it is not to be read */
	advance(driver, &driver->taken, &driver->taken_wrap, driver->slots[*id & 0x7fff]);
	return true;
}

/* --- both -------------------------------------------------------------------------------------------------------- */

uint16_t
driver_offer(struct driver *driver, const struct driver_buffer *buffers, uint16_t n)
{
	return driver->packed ? offer_packed(driver, buffers, n) : offer_split(driver, buffers, n);
}

uint16_t
driver_offer_one(struct driver *driver, uint64_t address, uint32_t length, uint16_t flags)
{
	const struct driver_buffer buffer = { address, length, flags };

	return driver_offer(driver, &buffer, 1);
}

uint64_t
driver_make_table(struct driver *driver, const struct driver_buffer *buffers, uint16_t n)
{
	uint64_t address = DRIVER_TABLES + driver->table;

	assert_true(address + n * sizeof(struct vring_desc) <= DRIVER_BUFFERS);
	for (uint16_t i = 0; i < n; i++) {
		struct vring_desc entry = { buffers[i].address, buffers[i].length, buffers[i].flags, 0 };
		struct vring_packed_desc packed = { buffers[i].address, buffers[i].length, 0, buffers[i].flags };

		if (i + 1 < n && !driver->packed) {
			entry.flags |= VRING_DESC_F_NEXT;
			entry.next = i + 1;
		}
		memcpy(driver_at(driver, address + i * sizeof(entry)), driver->packed ? (void *)&packed : &entry,
		       sizeof(entry));
	}
	driver->table = (driver->table + n * (uint32_t)sizeof(struct vring_desc)) % 0x40000;
	return address;
}

uint16_t
driver_offer_table(struct driver *driver, const struct driver_buffer *buffers, uint16_t n)
{
	return driver_offer_one(driver, driver_make_table(driver, buffers, n), n * (uint32_t)sizeof(struct vring_desc),
				VRING_DESC_F_INDIRECT);
}

bool
driver_take(struct driver *driver, uint32_t *id, uint32_t *length)
{
	return driver->packed ? take_packed(driver, id, length) : take_split(driver, id, length);
}
