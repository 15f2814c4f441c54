/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A frontend is a process of somebody else's, and its messages make rte_vhost map files, resize what workers write
 * into, and follow addresses. Sources: "Vhost-user Protocol" (QEMU's documentation) for what a message means, and
 * lib/vhost/vhost_user.c of DPDK 22.11.11 for what the library does with it unasked. What it does not ask:
 *
 *   SET_MEM_TABLE        whether the file is as long as the region: whoever touches the rest gets SIGBUS. When a file
 *                        cannot be mapped, the descriptor leaks, and rings stay that point into memory that is gone.
 *   SET_LOG_BASE         the offset is added twice, so that the log is written `offset` bytes behind its mapping.
 *   SET_VRING_NUM        0 is a size; the size of a ring in use may grow beyond what was found to be the guest's.
 *   SET_VRING_BASE       the index of a packed ring is used as it is, however short the ring.
 *   SET_FEATURES         a ring that was sized as a split one becomes a packed one, whose entries are longer; without
 *                        VIRTIO_NET_F_MQ all rings but two are freed, even while the first pair runs.
 *   GET_VRING_BASE       frees what SET_VRING_NUM made, and the ring can be started again without the latter.
 *   RESET_OWNER          forgets all that, so that it leaks.
 *   IOTLB_MSG            without a guest IOMMU there is no cache to enter it into: a division by zero.
 *   GET_INFLIGHT_FD,     as much memory as 65535 queues need; writes into a mapping of unknown length. Besides, what
 *   SET_INFLIGHT_FD      is in that memory is believed when a ring starts (indices, and the length of a list that
 *                        is counted twice), so it is offered only where the messages are answered by us (inflight.h).
 *   any                  whether the payload is there: what the stack held is used instead.
 *
 * Descriptors may be of anything. Even fstat() of a file in a FUSE mount waits for whoever serves it, so files are
 * looked at without asking their file system (statx with AT_STATX_DONT_SYNC) until they are known to be of a local
 * one. What is not caught here: a file that is truncated later (src/vio/fault.c), and what the library does before it
 * calls pre_msg_handle: it makes up to 256 rings (with RTE_VHOST_USER_IOMMU_SUPPORT about 100 KiB of DPDK's heap each,
 * which must have room for them), and when it cannot, or the ring's number is 256 or more, it ends the connection at
 * once and leaks the descriptors that came with the message.
 *
 * What was let through is remembered, so it must be true that the library has done it: therefore whatever the library
 * fails to do ends the connection (pv_vhost_guard_take_reply()).
 */
#include "vio/vhost_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include <rte_common.h>
#include <rte_vhost.h>

#define BIT(n) (1ULL << (n))

#ifndef VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS
#define VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS 15
#endif

#define PAGE 4096u
#define RING_SIZE_MAX 32768u /* virtio 1.2, 2.7 and 2.8 */
#define MTU_MIN 68u
#define MTU_MAX 65535u
#define LOG_PAGE 4096u
#define LOG_SIZE_MAX (1ULL << 32)
#define MAPPED_MAX (8ULL << 40) /* by one guest: address space is the process's, and others need some, too */
#define INFLIGHT_ALIGNMENT 64u
#define CONFIG_HEADER 12u /* bytes before those of the configuration space: offset, size and flags */

/* Magic numbers of file systems whose pages somebody else hands out, when he likes (statfs(2)). */
#define MAGIC_FUSE 0x65735546u
#define MAGIC_NFS 0x6969u
#define MAGIC_CIFS 0xff534d42u
#define MAGIC_SMB2 0xfe534d42u
#define MAGIC_CEPH 0x00c36400u

enum fds {
	FDS_NONE,
	FDS_ONE,
	FDS_ONE_UNLESS_FLAG, /* PV_VHOST_VRING_NO_FD */
	FDS_PER_REGION,
};

/* Where the reason of a refusal goes. */
struct complaint {
	const char *request;
	char *text;
	size_t size;
};

struct rule {
	const char *name;
	uint16_t size; /* of the payload: at least */
	bool exact;    /* no byte more */
	uint8_t fds;   /* enum fds */
	bool never;    /* we offer nothing that it is for */
	uint8_t needs; /* the feature of the protocol that it belongs to, counted from 1; 0: none */
	int (*check)(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
		     const struct complaint *complaint);
	void (*remember)(struct pv_vhost_guard *guard, const struct pv_vhost_message *message);
};

__attribute__((format(printf, 2, 3))) static int
refuse(const struct complaint *complaint, const char *fmt, ...)
{
	va_list list;
	int length = snprintf(complaint->text, complaint->size, "%s: ", complaint->request);

	if (length >= 0 && (size_t)length < complaint->size) {
		va_start(list, fmt);
		vsnprintf(complaint->text + length, complaint->size - (size_t)length, fmt, list);
		va_end(list);
	}
	return -EPERM;
}

/* Descriptors */

/* What a descriptor refers to, for a message; what is in the name comes from the frontend. */
static const char *
describe(int fd, char *text, size_t size)
{
	char link[32];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, text, size - 1);
	if (length < 0)
		snprintf(text, size, "no descriptor");
	else
		text[length] = '\0';
	return text;
}

/* The type and permissions of a file, as stat() has them; 0 when there is none. Asks nobody. */
static uint16_t
mode_of(int fd, uint64_t *size)
{
	struct statx status;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_SIZE, &status) != 0)
		return 0;
	*size = status.stx_size;
	return status.stx_mode;
}

/* What a ring's doorbell may be: an eventfd, or what User-mode Linux uses, an end of a socket pair. */
static int
check_doorbell(int fd, const struct complaint *complaint)
{
	char text[64];
	uint64_t size;
	uint16_t mode = mode_of(fd, &size);

	if (S_ISFIFO(mode) || S_ISSOCK(mode) || strcmp(describe(fd, text, sizeof(text)), "anon_inode:[eventfd]") == 0)
		return 0;
	return refuse(complaint, "%s: expected an eventfd, a pipe or a socket", text);
}

/*
 * Whether the pages of a file are this machine's own. Memory (memfd, tmpfs, hugetlbfs) has seals, which tells it
 * without a question; of the others fstatfs() asks the one who serves a FUSE mount only if he and we are friends.
 */
static bool
is_local(int fd)
{
	struct statfs status;

	if (fcntl(fd, F_GET_SEALS) >= 0)
		return true;
	if (fstatfs(fd, &status) != 0)
		return false;
	switch ((uint32_t)status.f_type) {
	case MAGIC_FUSE:
	case MAGIC_NFS:
	case MAGIC_CIFS:
	case MAGIC_SMB2:
	case MAGIC_CEPH:
		return false;
	default:
		return true;
	}
}

/* Whether the library will be able to map the first `length` bytes; then so for ever, but for a race with the owner. */
static bool
can_be_mapped(int fd, uint64_t length)
{
	void *address = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (address == MAP_FAILED)
		return false;
	munmap(address, length);
	return true;
}

/* A file that is mapped: `what` ("region 1", "log") of `size` bytes at `offset` of it. */
static int
check_file(int fd, uint64_t offset, uint64_t size, const char *what, const struct complaint *complaint)
{
	char text[64];
	uint64_t there = 0;

	if (size == 0 || size > MAPPED_MAX || offset > MAPPED_MAX)
		return refuse(complaint, "%s: %#lx bytes at offset %#lx: expected 1 to %#llx", what, size, offset,
			      MAPPED_MAX);
	if (!S_ISREG(mode_of(fd, &there)) || !is_local(fd))
		return refuse(complaint, "%s: %s: expected a memfd, or a file on a local file system", what,
			      describe(fd, text, sizeof(text)));
	if (offset + size > there)
		return refuse(complaint, "%s: %#lx bytes at offset %#lx exceed the file's %#lx", what, size, offset,
			      there);
	if (!can_be_mapped(fd, offset + size))
		return refuse(complaint, "%s: cannot be mapped: %s", what, strerror(errno));
	return 0;
}

/* Rings */

static bool
is_packed(uint64_t features)
{
	return (features & BIT(VIRTIO_F_RING_PACKED)) != 0;
}

static int
check_ring(const struct pv_vhost_guard *guard, uint32_t index, const struct complaint *complaint)
{
	if (index < guard->rings)
		return 0;
	return refuse(complaint, "ring %u: the port's \"queues\" is %u: expected a ring below %u", index, guard->queues,
		      guard->rings);
}

static int
check_state(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
	    const struct complaint *complaint)
{
	return check_ring(guard, message->payload.state.index, complaint);
}

/* Where the index of a packed ring will be, or both of a stopped one ("VRING_BASE" of the protocol). */
static int
check_base(const struct pv_vhost_guard *guard, uint32_t base, uint32_t size, const struct complaint *complaint)
{
	uint32_t available = base & 0x7fff, used = (base >> 16) & 0x7fff;

	if (!is_packed(guard->features) && base > UINT16_MAX)
		return refuse(complaint, "base %#x: expected at most 0xffff", base);
	if (is_packed(guard->features) && size != 0 && (available >= size || used >= size))
		return refuse(complaint, "base %#x: the packed ring has %u descriptors", base, size);
	return 0;
}

static int
check_ring_size(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
		const struct complaint *complaint)
{
	struct pv_vhost_vring_state state = message->payload.state;
	const struct pv_vhost_guard_ring *ring;
	uint32_t size = state.num;

	if (check_ring(guard, state.index, complaint) != 0)
		return -EPERM;
	ring = &guard->ring[state.index];
	if (size == 0 || size > RING_SIZE_MAX || (!is_packed(guard->features) && (size & (size - 1)) != 0))
		return refuse(complaint, "ring %u: %u descriptors: expected %s to %u", state.index, size,
			      is_packed(guard->features) ? "1" : "a power of two, 1", RING_SIZE_MAX);
	if (ring->addressed && size != ring->size)
		return refuse(complaint, "ring %u: %u descriptors: it is in use with %u", state.index, size,
			      ring->size);
	return ring->base_known ? check_base(guard, ring->base, size, complaint) : 0;
}

static void
remember_ring_size(struct pv_vhost_guard *guard, const struct pv_vhost_message *message)
{
	guard->ring[message->payload.state.index].size = message->payload.state.num;
}

static int
check_ring_base(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
		const struct complaint *complaint)
{
	struct pv_vhost_vring_state state = message->payload.state;

	if (check_ring(guard, state.index, complaint) != 0)
		return -EPERM;
	return check_base(guard, state.num, guard->ring[state.index].size, complaint);
}

static void
remember_ring_base(struct pv_vhost_guard *guard, const struct pv_vhost_message *message)
{
	struct pv_vhost_vring_state state = message->payload.state;

	guard->ring[state.index].base = state.num;
	guard->ring[state.index].base_known = true;
}

/* The ring is stopped: the library frees what belongs to its size, and keeps the index that it had come to. */
static void
remember_stop(struct pv_vhost_guard *guard, const struct pv_vhost_message *message)
{
	guard->ring[message->payload.state.index] = (struct pv_vhost_guard_ring){ .size = 0 };
}

static int
check_ring_enable(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
		  const struct complaint *complaint)
{
	struct pv_vhost_vring_state state = message->payload.state;

	if (state.num > 1)
		return refuse(complaint, "ring %u: %u: expected 0 or 1", state.index, state.num);
	return check_ring(guard, state.index, complaint);
}

/* Whether the bytes are in one region, as the library wants it. */
static bool
is_memory(const struct pv_vhost_region *regions, uint32_t n_regions, uint64_t address, uint64_t length)
{
	for (uint32_t i = 0; i < n_regions; i++) {
		uint64_t into = address - regions[i].user_address;

		if (address >= regions[i].user_address && into < regions[i].size)
			return length <= regions[i].size - into;
	}
	return false;
}

/* The three areas of a ring (virtio 1.2, 2.7 and 2.8) must be aligned and in one of the regions each. */
static int
check_areas(const struct pv_vhost_guard *guard, const struct pv_vhost_region *regions, uint32_t n_regions,
	    const struct pv_vhost_vring_addr *at, uint64_t size, const struct complaint *complaint)
{
	bool packed = is_packed(guard->features);
	uint64_t event = (guard->features & BIT(VIRTIO_RING_F_EVENT_IDX)) != 0 ? 2 : 0;
	const struct {
		const char *name;
		uint64_t at, alignment, length;
	} areas[] = {
		{ "descriptors", at->descriptor, 16, 16 * size },
		{ "available ring", at->available, packed ? 4 : 2, packed ? 4 : 4 + 2 * size + event },
		{ "used ring", at->used, 4, packed ? 4 : 4 + 8 * size + event },
	};

	if ((guard->features & BIT(VIRTIO_F_ACCESS_PLATFORM)) != 0)
		return 0; /* I/O virtual addresses, which the library translates at each use */
	for (size_t i = 0; i < RTE_DIM(areas); i++) {
		if (areas[i].at % areas[i].alignment != 0)
			return refuse(complaint, "ring %u: %s at %#lx: expected a multiple of %lu", at->index,
				      areas[i].name, areas[i].at, areas[i].alignment);
		if (!is_memory(regions, n_regions, areas[i].at, areas[i].length))
			return refuse(complaint, "ring %u: %s: %#lx bytes at %#lx are in no memory region", at->index,
				      areas[i].name, areas[i].length, areas[i].at);
	}
	return 0;
}

/*
 * Whether the features say that there is such a ring (virtio 1.2, 5.1.2): the first pair, with VIRTIO_NET_F_MQ all
 * pairs, and with VIRTIO_NET_F_CTRL_VQ a control queue behind them.
 */
static bool
is_negotiated(const struct pv_vhost_guard *guard, uint32_t index)
{
	uint32_t pairs = (guard->features & BIT(VIRTIO_NET_F_MQ)) != 0 ? guard->queues : 1;
	bool control = guard->rings > 2 * guard->queues && (guard->features & BIT(VIRTIO_NET_F_CTRL_VQ)) != 0;

	return index < 2 * pairs + (control ? 1 : 0);
}

static int
check_ring_addresses(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
		     const struct complaint *complaint)
{
	struct pv_vhost_vring_addr at = message->payload.addr;

	if (check_ring(guard, at.index, complaint) != 0)
		return -EPERM;
	if ((at.flags & ~(uint32_t)BIT(VHOST_VRING_F_LOG)) != 0)
		return refuse(complaint, "ring %u: flags %#x: expected 0 or 1", at.index, at.flags);
	if (!is_negotiated(guard, at.index))
		return refuse(complaint, "ring %u: the features that were accepted have none: %#lx", at.index,
			      guard->features);
	if (guard->n_regions == 0)
		return refuse(complaint, "ring %u: expected SET_MEM_TABLE before", at.index);
	if (guard->ring[at.index].size == 0)
		return refuse(complaint, "ring %u: expected SET_VRING_NUM before", at.index);
	return check_areas(guard, guard->regions, guard->n_regions, &at, guard->ring[at.index].size, complaint);
}

static void
remember_ring_addresses(struct pv_vhost_guard *guard, const struct pv_vhost_message *message)
{
	struct pv_vhost_vring_addr at = message->payload.addr;

	guard->ring[at.index].at = at;
	guard->ring[at.index].addressed = true;
}

static int
check_file_of_ring(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
		   const struct complaint *complaint)
{
	uint64_t given = message->payload.u64;

	if ((given & ~(uint64_t)(PV_VHOST_VRING_INDEX_MASK | PV_VHOST_VRING_NO_FD)) != 0)
		return refuse(complaint, "%#lx: expected a ring, and 0x100 when there is no descriptor", given);
	if (check_ring(guard, given & PV_VHOST_VRING_INDEX_MASK, complaint) != 0)
		return -EPERM;
	return message->fd_num == 1 ? check_doorbell(message->fds[0], complaint) : 0;
}

/* The kick starts the ring, so everything about it must have been told; the library does not ask. */
static int
check_ring_kick(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
		const struct complaint *complaint)
{
	uint32_t index = message->payload.u64 & PV_VHOST_VRING_INDEX_MASK;
	const struct pv_vhost_guard_ring *ring;

	if (check_file_of_ring(guard, message, complaint) != 0)
		return -EPERM;
	ring = &guard->ring[index];
	if (ring->size == 0 || !ring->addressed)
		return refuse(complaint, "ring %u: expected SET_VRING_NUM and SET_VRING_ADDR before", index);
	if (is_packed(guard->features) && !ring->base_known)
		return refuse(complaint, "ring %u: expected SET_VRING_BASE before", index);
	return 0;
}

/* Features */

static int
check_features(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
	       const struct complaint *complaint)
{
	uint64_t features = message->payload.u64, changed = features ^ guard->features;

	if ((features & ~guard->offered) != 0)
		return refuse(complaint, "%#lx: %#lx were not offered", features, features & ~guard->offered);
	for (uint16_t i = 0; i < guard->rings; i++) {
		const struct pv_vhost_guard_ring *ring = &guard->ring[i];

		if (ring->addressed && (changed & ~BIT(VHOST_F_LOG_ALL)) != 0)
			return refuse(complaint, "%#lx: ring %u is in use with %#lx: expected GET_VRING_BASE before",
				      features, i, guard->features);
		if (ring->size != 0 && is_packed(changed))
			return refuse(complaint, "%#lx: ring %u has a size already: expected GET_VRING_BASE before",
				      features, i);
	}
	return 0;
}

static void
remember_features(struct pv_vhost_guard *guard, const struct pv_vhost_message *message)
{
	uint64_t features = message->payload.u64;

	for (uint16_t i = 0; i < guard->rings; i++) {
		struct pv_vhost_guard_ring *ring = &guard->ring[i];

		if (is_packed(features ^ guard->features)) /* an index means something else then */
			ring->base_known = ring->base_known && ring->base == 0;
		if (i >= 2 && (features & BIT(VIRTIO_NET_F_MQ)) == 0)
			*ring = (struct pv_vhost_guard_ring){ .base_known = true }; /* made anew when needed */
	}
	guard->features = features;
}

static int
check_protocol_features(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
			const struct complaint *complaint)
{
	uint64_t features = message->payload.u64, unknown = features & ~guard->offered_protocol;

	return unknown != 0 ? refuse(complaint, "%#lx: %#lx were not offered", features, unknown) : 0;
}

static void
remember_protocol_features(struct pv_vhost_guard *guard, const struct pv_vhost_message *message)
{
	guard->protocol = message->payload.u64;
}

static int
check_reset(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
	    const struct complaint *complaint)
{
	for (uint16_t i = 0; i < guard->rings; i++)
		if (guard->ring[i].size != 0)
			return refuse(complaint, "ring %u is in use: expected GET_VRING_BASE before", i);
	return 0;
}

static void
remember_reset(struct pv_vhost_guard *guard, const struct pv_vhost_message *message)
{
	pv_vhost_guard_init(guard, guard->queues, guard->rings > 2 * guard->queues, guard->offered,
			    guard->offered_protocol);
}

/* Memory */

static bool
overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b ? b - a < a_size : a - b < b_size;
}

static int
check_region(const struct pv_vhost_region *region, uint32_t number, int fd, const struct complaint *complaint)
{
	char what[32];

	snprintf(what, sizeof(what), "region %u", number);
	if ((region->guest_address | region->user_address | region->mmap_offset) % PAGE != 0)
		return refuse(complaint, "%s: guest address %#lx, address %#lx, offset %#lx: expected multiples of %u",
			      what, region->guest_address, region->user_address, region->mmap_offset, PAGE);
	if (region->size > UINT64_MAX - region->guest_address || region->size > UINT64_MAX - region->user_address)
		return refuse(complaint, "%s: %#lx bytes at guest address %#lx, address %#lx: beyond all addresses",
			      what, region->size, region->guest_address, region->user_address);
	return check_file(fd, region->mmap_offset, region->size, what, complaint);
}

/* Region `number` beside those before it. */
static int
check_overlap(const struct pv_vhost_region *regions, uint32_t number, const struct complaint *complaint)
{
	const struct pv_vhost_region *one = &regions[number];

	for (uint32_t i = 0; i < number; i++)
		if (overlap(one->guest_address, one->size, regions[i].guest_address, regions[i].size) ||
		    overlap(one->user_address, one->size, regions[i].user_address, regions[i].size))
			return refuse(complaint, "region %u: guest address %#lx, address %#lx: overlaps region %u",
				      number, one->guest_address, one->user_address, i);
	return 0;
}

/* Rings that are in use stay so, and must be in the new memory. */
static int
check_rings_in(const struct pv_vhost_guard *guard, const struct pv_vhost_memory *memory,
	       const struct complaint *complaint)
{
	int result = 0;

	for (uint16_t i = 0; i < guard->rings && result == 0; i++)
		if (guard->ring[i].addressed)
			result = check_areas(guard, memory->regions, memory->n_regions, &guard->ring[i].at,
					     guard->ring[i].size, complaint);
	return result;
}

static int
check_memory(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
	     const struct complaint *complaint)
{
	struct pv_vhost_memory memory = message->payload.memory;
	uint64_t mapped = 0;
	int result = 0;

	if (memory.n_regions == 0 || memory.n_regions > PV_VHOST_REGIONS_MAX)
		return refuse(complaint, "%u regions: expected 1 to %u", memory.n_regions, PV_VHOST_REGIONS_MAX);
	if (message->size < offsetof(struct pv_vhost_memory, regions[memory.n_regions]))
		return refuse(complaint, "%u bytes: too few for %u regions", message->size, memory.n_regions);
	if (message->fd_num != (int)memory.n_regions)
		return refuse(complaint, "%d descriptors: expected %u, one for each region", message->fd_num,
			      memory.n_regions);
	for (uint32_t i = 0; i < memory.n_regions && result == 0; i++) {
		result = check_region(&memory.regions[i], i, message->fds[i], complaint);
		if (result == 0)
			result = check_overlap(memory.regions, i, complaint);
		mapped += memory.regions[i].mmap_offset + memory.regions[i].size;
	}
	if (result == 0 && mapped > MAPPED_MAX)
		return refuse(complaint, "%#lx bytes to map: expected at most %#llx", mapped, MAPPED_MAX);
	return result != 0 ? result : check_rings_in(guard, &memory, complaint);
}

static void
remember_memory(struct pv_vhost_guard *guard, const struct pv_vhost_message *message)
{
	struct pv_vhost_memory memory = message->payload.memory;

	guard->n_regions = memory.n_regions;
	memcpy(guard->regions, memory.regions, sizeof(memory.regions));
}

/* Bytes that the log of dirty pages needs: a bit for each page up to the last one. */
static uint64_t
log_size_needed(const struct pv_vhost_guard *guard)
{
	uint64_t last = 0;

	for (uint32_t i = 0; i < guard->n_regions; i++)
		last = RTE_MAX(last, guard->regions[i].guest_address + guard->regions[i].size - 1);
	return guard->n_regions == 0 ? 1 : last / LOG_PAGE / 8 + 1;
}

static int
check_log(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message, const struct complaint *complaint)
{
	struct pv_vhost_log log = message->payload.log;
	uint64_t needed = log_size_needed(guard);

	if (log.mmap_offset != 0)
		return refuse(complaint, "offset %#lx: expected 0", log.mmap_offset);
	if (log.mmap_size < needed || log.mmap_size > LOG_SIZE_MAX)
		return refuse(complaint, "%#lx bytes: expected %#lx, which the memory needs, to %#llx", log.mmap_size,
			      needed, LOG_SIZE_MAX);
	return check_file(message->fds[0], 0, log.mmap_size, "log", complaint);
}

/* Bytes that one queue needs to keep track of what is in flight, as the library lays it out. */
static uint64_t
inflight_size(uint64_t features, uint64_t queue_size)
{
	uint64_t split = sizeof(struct rte_vhost_inflight_desc_split) * queue_size + 8 + 4 * 2;
	uint64_t packed = sizeof(struct rte_vhost_inflight_desc_packed) * queue_size + 8 + 6 * 2 + 9;

	return RTE_ALIGN_MUL_CEIL(is_packed(features) ? packed : split, INFLIGHT_ALIGNMENT);
}

static int
check_inflight_counts(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
		      const struct complaint *complaint)
{
	struct pv_vhost_inflight given = message->payload.inflight;

	if (given.num_queues == 0 || given.num_queues > guard->rings)
		return refuse(complaint, "%u queues: expected 1 to %u", given.num_queues, guard->rings);
	if (given.queue_size == 0 || given.queue_size > RING_SIZE_MAX)
		return refuse(complaint, "queues of %u descriptors: expected 1 to %u", given.queue_size, RING_SIZE_MAX);
	return 0;
}

static int
check_inflight_file(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
		    const struct complaint *complaint)
{
	struct pv_vhost_inflight given = message->payload.inflight;
	uint64_t needed;

	if (check_inflight_counts(guard, message, complaint) != 0)
		return -EPERM;
	needed = given.num_queues * inflight_size(guard->features, given.queue_size);
	if (given.mmap_offset % PAGE != 0)
		return refuse(complaint, "offset %#lx: expected a multiple of %u", given.mmap_offset, PAGE);
	if (given.mmap_size < needed)
		return refuse(complaint, "%#lx bytes: %u queues of %u descriptors need %#lx", given.mmap_size,
			      given.num_queues, given.queue_size, needed);
	return check_file(message->fds[0], given.mmap_offset, given.mmap_size, "in-flight area", complaint);
}

/* The rest */

static int
check_iotlb(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
	    const struct complaint *complaint)
{
	struct pv_vhost_iotlb entry = message->payload.iotlb;

	if ((guard->features & BIT(VIRTIO_F_ACCESS_PLATFORM)) == 0)
		return refuse(complaint, "VIRTIO_F_ACCESS_PLATFORM was not accepted");
	if (entry.type != VHOST_IOTLB_UPDATE && entry.type != VHOST_IOTLB_INVALIDATE)
		return refuse(complaint, "type %u: expected %u or %u", entry.type, VHOST_IOTLB_UPDATE,
			      VHOST_IOTLB_INVALIDATE);
	if (entry.size == 0 || entry.size > UINT64_MAX - entry.address)
		return refuse(complaint, "%#lx bytes at %#lx", entry.size, entry.address);
	if (entry.type == VHOST_IOTLB_UPDATE &&
	    !is_memory(guard->regions, guard->n_regions, entry.user_address, entry.size))
		return refuse(complaint, "%#lx bytes at %#lx are in no memory region", entry.size, entry.user_address);
	return 0;
}

static int
check_mtu(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message, const struct complaint *complaint)
{
	uint64_t mtu = message->payload.u64;

	return mtu < MTU_MIN || mtu > MTU_MAX ? refuse(complaint, "%lu: expected %u to %u", mtu, MTU_MIN, MTU_MAX) : 0;
}

static int
check_status(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
	     const struct complaint *complaint)
{
	uint64_t status = message->payload.u64;

	return status > UINT8_MAX ? refuse(complaint, "%#lx: expected 8 bits", status) : 0;
}

static int
check_backend_channel(const struct pv_vhost_guard *guard, const struct pv_vhost_message *message,
		      const struct complaint *complaint)
{
	char text[64];
	uint64_t size;

	if (S_ISSOCK(mode_of(message->fds[0], &size)))
		return 0;
	return refuse(complaint, "%s: expected a socket", describe(message->fds[0], text, sizeof(text)));
}

#define NEEDS(feature) (VHOST_USER_PROTOCOL_F_##feature + 1)
#define STATE sizeof(struct pv_vhost_vring_state)
#define INFLIGHT sizeof(struct pv_vhost_inflight)

static const struct rule rules[PV_VHOST_REQUESTS] = {
	[PV_VHOST_GET_FEATURES] = { "GET_FEATURES" },
	[PV_VHOST_SET_FEATURES] = { "SET_FEATURES", 8, .check = check_features, .remember = remember_features },
	[PV_VHOST_SET_OWNER] = { "SET_OWNER" },
	[PV_VHOST_RESET_OWNER] = { "RESET_OWNER", .check = check_reset, .remember = remember_reset },
	[PV_VHOST_SET_MEM_TABLE] = { "SET_MEM_TABLE", 8, .fds = FDS_PER_REGION, .check = check_memory,
				     .remember = remember_memory },
	[PV_VHOST_SET_LOG_BASE] = { "SET_LOG_BASE", sizeof(struct pv_vhost_log), true, FDS_ONE,
				    .needs = NEEDS(LOG_SHMFD), .check = check_log },
	[PV_VHOST_SET_LOG_FD] = { "SET_LOG_FD", .fds = FDS_ONE },
	[PV_VHOST_SET_VRING_NUM] = { "SET_VRING_NUM", STATE, .check = check_ring_size, .remember = remember_ring_size },
	[PV_VHOST_SET_VRING_ADDR] = { "SET_VRING_ADDR", sizeof(struct pv_vhost_vring_addr),
				      .check = check_ring_addresses, .remember = remember_ring_addresses },
	[PV_VHOST_SET_VRING_BASE] = { "SET_VRING_BASE", STATE, .check = check_ring_base,
				      .remember = remember_ring_base },
	[PV_VHOST_GET_VRING_BASE] = { "GET_VRING_BASE", STATE, .check = check_state, .remember = remember_stop },
	[PV_VHOST_SET_VRING_KICK] = { "SET_VRING_KICK", 8, .fds = FDS_ONE_UNLESS_FLAG, .check = check_ring_kick },
	[PV_VHOST_SET_VRING_CALL] = { "SET_VRING_CALL", 8, .fds = FDS_ONE_UNLESS_FLAG, .check = check_file_of_ring },
	[PV_VHOST_SET_VRING_ERR] = { "SET_VRING_ERR", 8, .fds = FDS_ONE_UNLESS_FLAG, .check = check_file_of_ring },
	[PV_VHOST_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES" },
	[PV_VHOST_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", 8, .check = check_protocol_features,
					     .remember = remember_protocol_features },
	[PV_VHOST_GET_QUEUE_NUM] = { "GET_QUEUE_NUM" },
	[PV_VHOST_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", STATE, .check = check_ring_enable },
	[PV_VHOST_SEND_RARP] = { "SEND_RARP", 8, .needs = NEEDS(RARP) },
	[PV_VHOST_NET_SET_MTU] = { "NET_SET_MTU", 8, .needs = NEEDS(NET_MTU), .check = check_mtu },
	[PV_VHOST_SET_BACKEND_REQ_FD] = { "SET_BACKEND_REQ_FD", .fds = FDS_ONE, .needs = NEEDS(SLAVE_REQ),
					  .check = check_backend_channel },
	[PV_VHOST_IOTLB_MSG] = { "IOTLB_MSG", sizeof(struct pv_vhost_iotlb), .check = check_iotlb },
	[PV_VHOST_GET_CONFIG] = { "GET_CONFIG", CONFIG_HEADER, .needs = NEEDS(CONFIG) },
	[PV_VHOST_SET_CONFIG] = { "SET_CONFIG", .never = true },
	[PV_VHOST_CREATE_CRYPTO_SESSION] = { "CREATE_CRYPTO_SESSION", .never = true },
	[PV_VHOST_CLOSE_CRYPTO_SESSION] = { "CLOSE_CRYPTO_SESSION", .never = true },
	[PV_VHOST_POSTCOPY_ADVISE] = { "POSTCOPY_ADVISE", .never = true },
	[PV_VHOST_POSTCOPY_LISTEN] = { "POSTCOPY_LISTEN", .never = true },
	[PV_VHOST_POSTCOPY_END] = { "POSTCOPY_END", .never = true },
	[PV_VHOST_GET_INFLIGHT_FD] = { "GET_INFLIGHT_FD", INFLIGHT, true, .needs = NEEDS(INFLIGHT_SHMFD),
				       .check = check_inflight_counts },
	[PV_VHOST_SET_INFLIGHT_FD] = { "SET_INFLIGHT_FD", INFLIGHT, true, FDS_ONE, .needs = NEEDS(INFLIGHT_SHMFD),
				       .check = check_inflight_file },
	[PV_VHOST_ADD_MEM_REG] = { "ADD_MEM_REG", .never = true },
	[PV_VHOST_REM_MEM_REG] = { "REM_MEM_REG", .never = true },
	[PV_VHOST_SET_STATUS] = { "SET_STATUS", 8, .needs = NEEDS(STATUS), .check = check_status },
	[PV_VHOST_GET_STATUS] = { "GET_STATUS", .needs = NEEDS(STATUS) },
};

static const struct rule *
find_rule(uint32_t request)
{
	return request < PV_VHOST_REQUESTS && rules[request].name != NULL ? &rules[request] : NULL;
}

/* How many descriptors must come with a message; -1: that is for its check to say. */
static int
fds_expected(const struct rule *rule, const struct pv_vhost_message *message)
{
	switch (rule->fds) {
	case FDS_ONE:
		return 1;
	case FDS_ONE_UNLESS_FLAG:
		return (message->payload.u64 & PV_VHOST_VRING_NO_FD) != 0 ? 0 : 1;
	case FDS_PER_REGION:
		return -1;
	default:
		return 0;
	}
}

static int
check_fds(const struct rule *rule, const struct pv_vhost_message *message, const struct complaint *complaint)
{
	int expected = fds_expected(rule, message);

	if (message->fd_num < 0 || message->fd_num > PV_VHOST_REGIONS_MAX ||
	    (expected >= 0 && message->fd_num != expected))
		return refuse(complaint, "%d descriptors: expected %d", message->fd_num,
			      expected >= 0 ? expected : PV_VHOST_REGIONS_MAX);
	for (int i = 0; i < message->fd_num; i++)
		if (message->fds[i] < 0)
			return refuse(complaint, "descriptor %d is missing", i);
	return 0;
}

/* What the table says of a message. */
static int
check_form(const struct pv_vhost_guard *guard, const struct rule *rule, const struct pv_vhost_message *message,
	   const struct complaint *complaint)
{
	if (rule->never)
		return refuse(complaint, "belongs to a feature that is not offered");
	if ((message->flags & (PV_VHOST_VERSION_MASK | PV_VHOST_FLAG_REPLY)) != PV_VHOST_VERSION)
		return refuse(complaint, "flags %#x: expected a message of version 1 that is no reply", message->flags);
	if (message->size < rule->size || message->size > PV_VHOST_PAYLOAD_SIZE ||
	    (rule->exact && message->size != rule->size))
		return refuse(complaint, "%u bytes: expected %s%u", message->size, rule->exact ? "" : "at least ",
			      rule->size);
	if (rule->needs != 0 && (guard->protocol & BIT(rule->needs - 1)) == 0)
		return refuse(complaint, "feature %u of the protocol was not accepted", rule->needs - 1);
	return check_fds(rule, message, complaint);
}

void
pv_vhost_guard_init(struct pv_vhost_guard *guard, uint16_t queues, bool control_queue, uint64_t offered,
		    uint64_t offered_protocol)
{
	uint16_t rings = (uint16_t)(2 * queues + (control_queue ? 1 : 0));

	*guard = (struct pv_vhost_guard){
		.queues = queues,
		.rings = RTE_MIN(rings, PV_VHOST_RINGS_MAX),
		.offered = offered,
		.offered_protocol = offered_protocol,
	};
	for (uint16_t i = 0; i < guard->rings; i++)
		guard->ring[i].base_known = true; /* a new ring begins with 0 */
}

int
pv_vhost_guard(struct pv_vhost_guard *guard, const struct pv_vhost_message *message, char *why, size_t why_size)
{
	const struct rule *rule = find_rule(message->request);
	struct complaint complaint = { .text = why, .size = why_size };
	int result;

	if (rule == NULL)
		return 0;
	complaint.request = rule->name;
	result = check_form(guard, rule, message, &complaint);
	if (result == 0 && rule->check != NULL)
		result = rule->check(guard, message, &complaint);
	if (result == 0 && rule->remember != NULL)
		rule->remember(guard, message);
	return result;
}

void
pv_vhost_guard_answer_queue_num(const struct pv_vhost_guard *guard, struct pv_vhost_message *message)
{
	message->payload.u64 = guard->queues;
	message->size = sizeof(message->payload.u64);
	message->fd_num = 0;
}

void
pv_vhost_guard_take_reply(struct pv_vhost_guard *guard, struct pv_vhost_message *message)
{
	guard->reply_owed = find_rule(message->request) != NULL && (message->flags & PV_VHOST_FLAG_NEED_REPLY) != 0;
	if (guard->reply_owed)
		message->flags &= ~PV_VHOST_FLAG_NEED_REPLY;
}

bool
pv_vhost_guard_owes_reply(struct pv_vhost_guard *guard, struct pv_vhost_message *message)
{
	bool owed = guard->reply_owed && (message->flags & PV_VHOST_FLAG_REPLY) == 0;

	guard->reply_owed = false;
	if (!owed)
		return false;
	message->payload.u64 = 0; /* all went well */
	message->size = sizeof(message->payload.u64);
	message->fd_num = 0;
	return true;
}

void
pv_vhost_message_close_fds(struct pv_vhost_message *message)
{
	for (int i = 0; i < message->fd_num && i < PV_VHOST_REGIONS_MAX; i++) {
		if (message->fds[i] >= 0)
			close(message->fds[i]);
		message->fds[i] = -1;
	}
	message->fd_num = 0;
}
