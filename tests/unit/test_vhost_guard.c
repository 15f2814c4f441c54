/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include <cmocka.h>

#include "vio/vhost_guard.h"

#define BIT(n) (1ULL << (n))
#define QUEUES 2
#define MEMORY (8u << 20)
#define AT 0x10000000ull /* the memory, in the frontend */
#define EVERYTHING UINT64_MAX
#define INFLIGHT_SHMFD 12
#define MESSAGES 200000

static struct pv_vhost_guard guard;
static struct pv_vhost_message message;
static char why[200];
static int memory, doorbell, ends[2];

static int
open_files(void **state)
{
	memory = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	doorbell = eventfd(0, EFD_CLOEXEC);
	return memory < 0 || doorbell < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 ? -1 : 0;
}

static int
close_files(void **state)
{
	close(memory);
	close(doorbell);
	close(ends[0]);
	close(ends[1]);
	return 0;
}

/* A connection that has just begun, to a frontend that was offered everything. */
static int
connected(void **state)
{
	pv_vhost_guard_init(&guard, QUEUES, false, EVERYTHING, EVERYTHING);
	memset(&message, 0, sizeof(message));
	return ftruncate(memory, MEMORY);
}

/* Messages */

static int
say(uint32_t request, uint32_t size)
{
	message.request = request;
	message.flags = PV_VHOST_VERSION;
	message.size = size;
	why[0] = '\0';
	return pv_vhost_guard(&guard, &message, why, sizeof(why));
}

static int
say_u64(uint32_t request, uint64_t value)
{
	message.fd_num = 0;
	message.payload.u64 = value;
	return say(request, 8);
}

static int
say_state(uint32_t request, uint32_t ring, uint32_t value)
{
	message.fd_num = 0;
	message.payload.state = (struct pv_vhost_vring_state){ ring, value };
	return say(request, 8);
}

static int
say_file(uint32_t request, uint64_t value, int fd)
{
	message.fd_num = 1;
	message.fds[0] = fd;
	message.payload.u64 = value;
	return say(request, 8);
}

static struct pv_vhost_vring_addr
places(uint32_t ring)
{
	uint64_t at = AT + ring * 0x100000;

	return (struct pv_vhost_vring_addr){ ring, 0, at, at + 0x80000, at + 0xc0000, 0 };
}

static int
say_addresses(struct pv_vhost_vring_addr at)
{
	message.fd_num = 0;
	message.payload.addr = at;
	return say(PV_VHOST_SET_VRING_ADDR, sizeof(at));
}

static int
say_regions(uint32_t n, const struct pv_vhost_region *regions)
{
	struct pv_vhost_memory table = { .n_regions = n };

	memcpy(table.regions, regions, n * sizeof(*regions));
	message.payload.memory = table;
	message.fd_num = (int)n;
	for (uint32_t i = 0; i < n; i++)
		message.fds[i] = memory;
	return say(PV_VHOST_SET_MEM_TABLE, 8 + 32 * n);
}

static int
say_region(uint64_t guest, uint64_t size, uint64_t user, uint64_t offset)
{
	struct pv_vhost_region region = { guest, size, user, offset };

	return say_regions(1, &region);
}

static int
say_log(uint64_t size, uint64_t offset)
{
	message.payload.log = (struct pv_vhost_log){ size, offset };
	message.fd_num = 1;
	message.fds[0] = memory;
	return say(PV_VHOST_SET_LOG_BASE, sizeof(struct pv_vhost_log));
}

static int
say_iotlb(uint8_t type, uint64_t address, uint64_t size, uint64_t user)
{
	message.fd_num = 0;
	message.payload.iotlb = (struct pv_vhost_iotlb){ address, size, user, 3, type };
	return say(PV_VHOST_IOTLB_MSG, sizeof(struct pv_vhost_iotlb));
}

static int
say_inflight(uint32_t request, uint64_t size, uint64_t offset, uint16_t queues, uint16_t queue_size)
{
	message.payload.inflight = (struct pv_vhost_inflight){ size, offset, queues, queue_size };
	message.fd_num = request == PV_VHOST_SET_INFLIGHT_FD ? 1 : 0;
	message.fds[0] = memory;
	return say(request, sizeof(struct pv_vhost_inflight));
}

static void
assert_refused(int result, const char *reason)
{
	assert_int_equal(result, -EPERM);
	assert_string_equal(why, reason);
}

#define assert_accepted(result) assert_string_equal((result) == 0 ? "" : why, "")

static void
share_memory(void)
{
	assert_accepted(say_region(0, MEMORY, AT, 0));
}

/* Ring `ring`, of 256 descriptors, but for its doorbells. */
static void
set_up(uint32_t ring)
{
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, ring, 256));
	assert_accepted(say_state(PV_VHOST_SET_VRING_BASE, ring, 0));
	assert_accepted(say_addresses(places(ring)));
}

/* A frontend that behaves */

static void
a_frontend_that_behaves_is_served(void **state)
{
	assert_accepted(say(PV_VHOST_SET_OWNER, 0));
	assert_accepted(say(PV_VHOST_GET_FEATURES, 0));
	assert_accepted(say(PV_VHOST_GET_PROTOCOL_FEATURES, 0));
	assert_accepted(say_u64(PV_VHOST_SET_PROTOCOL_FEATURES, 1));
	assert_accepted(say(PV_VHOST_GET_QUEUE_NUM, 0));
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MQ)));
	share_memory();
	for (uint32_t ring = 0; ring < 2 * QUEUES; ring++) {
		set_up(ring);
		assert_accepted(say_file(PV_VHOST_SET_VRING_KICK, ring, doorbell));
		assert_accepted(say_file(PV_VHOST_SET_VRING_CALL, ring, doorbell));
		assert_accepted(say_file(PV_VHOST_SET_VRING_ERR, ring, doorbell));
		assert_accepted(say_state(PV_VHOST_SET_VRING_ENABLE, ring, 1));
	}
}

static void
a_guest_that_starts_again_is_served(void **state)
{
	for (uint64_t features = 0; features < 3; features++) {
		bool packed = features == 1;

		assert_accepted(say_u64(PV_VHOST_SET_FEATURES, packed ? BIT(VIRTIO_F_RING_PACKED) : features));
		share_memory();
		set_up(0);
		assert_accepted(say_file(PV_VHOST_SET_VRING_KICK, 0, doorbell));
		assert_accepted(say_state(PV_VHOST_GET_VRING_BASE, 0, 0));
	}
	assert_accepted(say(PV_VHOST_RESET_OWNER, 0));
}

static void
rings_may_be_told_before_the_features(void **state)
{
	/* QEMU: SET_VRING_CALL for each ring at its start, and SET_VRING_ENABLE 0 for those that are not used. */
	for (uint32_t ring = 0; ring < 2 * QUEUES; ring++)
		assert_accepted(say_file(PV_VHOST_SET_VRING_CALL, ring, doorbell));
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, 0));
	assert_accepted(say_state(PV_VHOST_SET_VRING_ENABLE, 3, 0));
}

/* The form of a message */

static void
a_request_that_is_unknown_is_left_to_the_library(void **state)
{
	assert_accepted(say(0, 0));
	assert_accepted(say(23, 0));
	assert_accepted(say(PV_VHOST_REQUESTS, 0));
	assert_accepted(say(UINT32_MAX, 0));
}

static const struct {
	uint32_t request, size;
} sizes[] = {
	{ PV_VHOST_SET_FEATURES, 8 },	  { PV_VHOST_SET_MEM_TABLE, 8 },	 { PV_VHOST_SET_LOG_BASE, 16 },
	{ PV_VHOST_SET_VRING_NUM, 8 },	  { PV_VHOST_SET_VRING_ADDR, 40 },	 { PV_VHOST_SET_VRING_BASE, 8 },
	{ PV_VHOST_GET_VRING_BASE, 8 },	  { PV_VHOST_SET_VRING_KICK, 8 },	 { PV_VHOST_SET_VRING_CALL, 8 },
	{ PV_VHOST_SET_VRING_ERR, 8 },	  { PV_VHOST_SET_PROTOCOL_FEATURES, 8 }, { PV_VHOST_SET_VRING_ENABLE, 8 },
	{ PV_VHOST_SEND_RARP, 8 },	  { PV_VHOST_NET_SET_MTU, 8 },		 { PV_VHOST_IOTLB_MSG, 32 },
	{ PV_VHOST_GET_INFLIGHT_FD, 24 }, { PV_VHOST_SET_INFLIGHT_FD, 24 },	 { PV_VHOST_SET_STATUS, 8 },
};

static void
a_payload_that_is_too_short_is_refused(void **state)
{
	char expected[80];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(say(sizes[i].request, sizes[i].size - 1), -EPERM);
		snprintf(expected, sizeof(expected), ": %u bytes: expected ", sizes[i].size - 1);
		assert_non_null(strstr(why, expected));
		assert_int_equal(say(sizes[i].request, 0), -EPERM);
	}
	say(PV_VHOST_SET_FEATURES, 4);
	assert_string_equal(why, "SET_FEATURES: 4 bytes: expected at least 8");
}

static void
a_version_other_than_1_and_a_reply_are_refused(void **state)
{
	static const uint32_t bad[] = { 0, 2, 3, PV_VHOST_VERSION | PV_VHOST_FLAG_REPLY, UINT32_MAX };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		message.request = PV_VHOST_GET_FEATURES;
		message.flags = bad[i];
		assert_int_equal(pv_vhost_guard(&guard, &message, why, sizeof(why)), -EPERM);
	}
	assert_string_equal(why, "GET_FEATURES: flags 0xffffffff: expected a message of version 1 that is no reply");
}

static void
what_nobody_negotiates_is_refused(void **state)
{
	static const uint32_t never[] = {
		PV_VHOST_SET_CONFIG,	  PV_VHOST_CREATE_CRYPTO_SESSION, PV_VHOST_POSTCOPY_ADVISE,
		PV_VHOST_POSTCOPY_LISTEN, PV_VHOST_CLOSE_CRYPTO_SESSION,  PV_VHOST_POSTCOPY_END,
		PV_VHOST_ADD_MEM_REG,	  PV_VHOST_REM_MEM_REG,
	};

	assert_accepted(say_u64(PV_VHOST_SET_PROTOCOL_FEATURES, EVERYTHING));
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		assert_int_equal(say(never[i], PV_VHOST_PAYLOAD_SIZE), -EPERM);
	assert_string_equal(why, "REM_MEM_REG: belongs to a feature that is not offered");
}

static void
what_was_not_negotiated_is_refused(void **state)
{
	static const uint32_t requests[] = { PV_VHOST_SET_LOG_BASE,    PV_VHOST_SEND_RARP,
					     PV_VHOST_NET_SET_MTU,     PV_VHOST_SET_BACKEND_REQ_FD,
					     PV_VHOST_GET_INFLIGHT_FD, PV_VHOST_SET_STATUS,
					     PV_VHOST_SET_INFLIGHT_FD, PV_VHOST_GET_CONFIG,
					     PV_VHOST_GET_STATUS };

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		assert_int_equal(say(requests[i], 16), -EPERM);
		assert_int_equal(say(requests[i], 24), -EPERM);
	}
	assert_refused(say_u64(PV_VHOST_NET_SET_MTU, 1500), "NET_SET_MTU: feature 4 of the protocol was not accepted");
}

static void
descriptors_that_do_not_belong_are_refused(void **state)
{
	static const uint32_t none[] = { PV_VHOST_GET_FEATURES,	 PV_VHOST_SET_FEATURES,	  PV_VHOST_SET_OWNER,
					 PV_VHOST_SET_VRING_NUM, PV_VHOST_SET_VRING_ADDR, PV_VHOST_SET_VRING_BASE,
					 PV_VHOST_GET_QUEUE_NUM, PV_VHOST_GET_VRING_BASE, PV_VHOST_SET_VRING_ENABLE };

	message.fds[0] = message.fds[1] = doorbell;
	message.fd_num = 1;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_int_equal(say(none[i], 40), -EPERM);
	assert_string_equal(why, "SET_VRING_ENABLE: 1 descriptors: expected 0");
	message.fd_num = 9;
	assert_refused(say(PV_VHOST_SET_MEM_TABLE, 8), "SET_MEM_TABLE: 9 descriptors: expected 8");
	message.fd_num = 2;
	assert_refused(say(PV_VHOST_SET_LOG_FD, 0), "SET_LOG_FD: 2 descriptors: expected 1");
	assert_refused(say_file(PV_VHOST_SET_LOG_FD, 0, -1), "SET_LOG_FD: descriptor 0 is missing");
	assert_accepted(say_file(PV_VHOST_SET_LOG_FD, 0, doorbell));
}

/* Memory */

static void
a_region_beyond_the_end_of_its_file_is_refused(void **state)
{
	assert_accepted(say_region(0, MEMORY, AT, 0));
	assert_accepted(say_region(0, MEMORY - 0x1000, AT, 0x1000));
	assert_refused(say_region(0, MEMORY, AT, 0x1000),
		       "SET_MEM_TABLE: region 0: 0x800000 bytes at offset 0x1000 exceed the file's 0x800000");
	assert_int_equal(say_region(0, MEMORY + 1, AT, 0), -EPERM);
	assert_int_equal(say_region(0, UINT64_MAX - 0xfff, 0, 0x1000), -EPERM);
	assert_int_equal(say_region(0, 0x1000, AT, UINT64_MAX - 0xfff), -EPERM);
	assert_int_equal(say_region(0, 0, AT, 0), -EPERM);
	assert_int_equal(ftruncate(memory, 0x1000), 0);
	assert_int_equal(say_region(0, MEMORY, AT, 0), -EPERM);
}

static void
addresses_that_overflow_are_refused(void **state)
{
	uint64_t last = UINT64_MAX - 0xfff;

	assert_refused(say_region(last, 0x2000, AT, 0),
		       "SET_MEM_TABLE: region 0: 0x2000 bytes at guest address 0xfffffffffffff000, "
		       "address 0x10000000: beyond all addresses");
	assert_int_equal(say_region(0, 0x2000, last, 0), -EPERM);
	assert_int_equal(say_region(0x800, MEMORY, AT, 0), -EPERM);
	assert_int_equal(say_region(0, MEMORY, AT + 1, 0), -EPERM);
	assert_int_equal(say_region(0, 0x1000, AT, 1), -EPERM);
}

static void
regions_that_overlap_are_refused(void **state)
{
	struct pv_vhost_region regions[3] = { { 0, 0x3000, AT, 0 },
					      { 0x3000, 0x3000, AT + 0x3000, 0 },
					      { 0x6000, 0x3000, AT + 0x6000, 0 } };

	assert_accepted(say_regions(3, regions));
	regions[2].guest_address = 0x2000;
	assert_refused(say_regions(3, regions),
		       "SET_MEM_TABLE: region 2: guest address 0x2000, address 0x10006000: overlaps region 0");
	regions[2].guest_address = 0x6000;
	regions[1].user_address = AT + 0x8000;
	assert_int_equal(say_regions(3, regions), -EPERM);
}

static void
the_number_of_regions_is_1_to_8_and_of_descriptors(void **state)
{
	struct pv_vhost_region regions[8];

	for (uint64_t i = 0; i < 8; i++)
		regions[i] = (struct pv_vhost_region){ i << 32, 0x1000, AT + (i << 32), 0 };
	assert_accepted(say_regions(8, regions));
	assert_refused(say_regions(0, regions), "SET_MEM_TABLE: 0 regions: expected 1 to 8");
	say_regions(8, regions);
	message.payload.memory.n_regions = UINT32_MAX;
	assert_int_equal(say(PV_VHOST_SET_MEM_TABLE, 264), -EPERM);
	message.payload.memory.n_regions = 8;
	assert_refused(say(PV_VHOST_SET_MEM_TABLE, 263), "SET_MEM_TABLE: 263 bytes: too few for 8 regions");
	message.fd_num = 7;
	assert_refused(say(PV_VHOST_SET_MEM_TABLE, 264),
		       "SET_MEM_TABLE: 7 descriptors: expected 8, one for each region");
}

static void
assert_no_memory(int fd, const char *reason)
{
	struct pv_vhost_region region = { 0, 0x1000, AT, 0 };

	say_regions(1, &region);
	message.fds[0] = fd;
	assert_int_equal(say(PV_VHOST_SET_MEM_TABLE, 40), -EPERM);
	assert_non_null(strstr(why, reason));
	if (fd != doorbell && fd != ends[0])
		close(fd);
}

static void
what_cannot_be_mapped_is_refused(void **state)
{
	char path[64];
	int sealed = memfd_create("sealed", MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(sealed, MEMORY), 0);
	assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
	assert_no_memory(doorbell, "region 0: anon_inode:[eventfd]: expected a memfd");
	assert_no_memory(ends[0], "region 0: socket:[");
	assert_no_memory(open("/dev/zero", O_RDWR), "region 0: /dev/zero: expected");
	assert_no_memory(open("/tmp", O_RDONLY | O_DIRECTORY), "region 0: /tmp: expected");
	assert_no_memory(open("/proc/self/mem", O_RDWR), "exceed the file's 0");
	assert_no_memory(open("/etc/passwd", O_PATH), "region 0: ");
	assert_no_memory(sealed, "region 0: cannot be mapped: ");
	assert_no_memory(open(path, O_RDONLY), "region 0: cannot be mapped: Permission denied");
	assert_no_memory(12345, "region 0: no descriptor: expected");
}

static void
memory_of_more_than_8_tib_is_refused(void **state)
{
	struct pv_vhost_region regions[3];
	uint64_t size = 3ull << 40;

	assert_int_equal(ftruncate(memory, (off_t)size), 0);
	for (uint64_t i = 0; i < 3; i++)
		regions[i] = (struct pv_vhost_region){ i * size, size, i * size, 0 };
	assert_accepted(say_regions(2, regions));
	assert_refused(say_regions(3, regions),
		       "SET_MEM_TABLE: 0x90000000000 bytes to map: expected at most 0x80000000000");
}

/* Rings */

static void
a_ring_that_the_port_does_not_have_is_refused(void **state)
{
	static const uint32_t requests[] = { PV_VHOST_SET_VRING_NUM, PV_VHOST_SET_VRING_BASE, PV_VHOST_GET_VRING_BASE,
					     PV_VHOST_SET_VRING_ENABLE };

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		assert_accepted(say_state(requests[i], 3, 1));
		assert_int_equal(say_state(requests[i], 4, 1), -EPERM);
		assert_int_equal(say_state(requests[i], UINT32_MAX, 1), -EPERM);
	}
	assert_string_equal(why,
			    "SET_VRING_ENABLE: ring 4294967295: the port's \"queues\" is 2: expected a ring below 4");
	assert_int_equal(say_file(PV_VHOST_SET_VRING_CALL, 255, doorbell), -EPERM);
	assert_int_equal(say_file(PV_VHOST_SET_VRING_KICK, 4, doorbell), -EPERM);
	assert_int_equal(say_addresses(places(4)), -EPERM);
}

static void
a_control_queue_is_one_ring_more(void **state)
{
	pv_vhost_guard_init(&guard, QUEUES, true, EVERYTHING, EVERYTHING);
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 4, 64));
	assert_int_equal(say_state(PV_VHOST_SET_VRING_NUM, 5, 64), -EPERM);
	pv_vhost_guard_init(&guard, PV_QUEUES_MAX, true, EVERYTHING, EVERYTHING);
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 2 * PV_QUEUES_MAX, 64));
	assert_int_equal(say_state(PV_VHOST_SET_VRING_NUM, 2 * PV_QUEUES_MAX + 1, 64), -EPERM);
}

static void
the_size_of_a_split_ring_is_a_power_of_two(void **state)
{
	static const uint32_t good[] = { 1, 2, 256, 32768 }, bad[] = { 0, 3, 255, 65536, 1u << 31, UINT32_MAX };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 0, good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(say_state(PV_VHOST_SET_VRING_NUM, 0, bad[i]), -EPERM);
	assert_refused(say_state(PV_VHOST_SET_VRING_NUM, 0, 3),
		       "SET_VRING_NUM: ring 0: 3 descriptors: expected a power of two, 1 to 32768");
}

static void
the_size_of_a_packed_ring_is_1_to_32768(void **state)
{
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_F_RING_PACKED)));
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 0, 3));
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 0, 32768));
	assert_int_equal(say_state(PV_VHOST_SET_VRING_NUM, 0, 0), -EPERM);
	assert_refused(say_state(PV_VHOST_SET_VRING_NUM, 0, 32769),
		       "SET_VRING_NUM: ring 0: 32769 descriptors: expected 1 to 32768");
}

static void
the_size_of_a_ring_in_use_does_not_change(void **state)
{
	share_memory();
	set_up(0);
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 0, 256));
	assert_refused(say_state(PV_VHOST_SET_VRING_NUM, 0, 32768),
		       "SET_VRING_NUM: ring 0: 32768 descriptors: it is in use with 256");
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 1, 512));
	assert_accepted(say_state(PV_VHOST_GET_VRING_BASE, 0, 0));
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 0, 32768));
}

static void
the_base_of_a_packed_ring_is_in_the_ring(void **state)
{
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_F_RING_PACKED)));
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 0, 100));
	assert_accepted(say_state(PV_VHOST_SET_VRING_BASE, 0, 0x80638063));
	assert_refused(say_state(PV_VHOST_SET_VRING_BASE, 0, 0x8064),
		       "SET_VRING_BASE: base 0x8064: the packed ring has 100 descriptors");
	assert_int_equal(say_state(PV_VHOST_SET_VRING_BASE, 0, 0x00640000), -EPERM);
	assert_refused(say_state(PV_VHOST_SET_VRING_NUM, 0, 99),
		       "SET_VRING_NUM: base 0x80638063: the packed ring has 99 descriptors");
}

static void
the_base_of_a_split_ring_is_of_16_bits(void **state)
{
	assert_accepted(say_state(PV_VHOST_SET_VRING_BASE, 0, 0xffff));
	assert_refused(say_state(PV_VHOST_SET_VRING_BASE, 0, 0x10000),
		       "SET_VRING_BASE: base 0x10000: expected at most 0xffff");
}

static void
a_base_that_was_told_for_a_split_ring_does_not_hold_for_a_packed_one(void **state)
{
	assert_accepted(say_state(PV_VHOST_SET_VRING_BASE, 0, 0x8005));
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_F_RING_PACKED)));
	share_memory();
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 0, 256));
	assert_accepted(say_addresses(places(0)));
	assert_refused(say_file(PV_VHOST_SET_VRING_KICK, 0, doorbell),
		       "SET_VRING_KICK: ring 0: expected SET_VRING_BASE before");
	assert_accepted(say_state(PV_VHOST_SET_VRING_BASE, 0, 0));
	assert_accepted(say_file(PV_VHOST_SET_VRING_KICK, 0, doorbell));
}

static void
addresses_out_of_the_memory_are_refused(void **state)
{
	struct pv_vhost_vring_addr at = places(0);

	share_memory();
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 0, 256));
	at.descriptor = AT + MEMORY - 0x1000;
	assert_accepted(say_addresses(at));
	at.descriptor += 16;
	assert_refused(say_addresses(at),
		       "SET_VRING_ADDR: ring 0: descriptors: 0x1000 bytes at 0x107ff010 are in no memory region");
	at = places(0);
	at.available = 0;
	assert_int_equal(say_addresses(at), -EPERM);
	at = places(0);
	at.used = AT + MEMORY - 4;
	assert_int_equal(say_addresses(at), -EPERM);
	at.used = UINT64_MAX - 3;
	assert_int_equal(say_addresses(at), -EPERM);
}

static void
event_indices_belong_to_the_ring(void **state)
{
	struct pv_vhost_vring_addr at = places(0);

	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_RING_F_EVENT_IDX)));
	share_memory();
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 0, 2));
	at.available = AT + MEMORY - (4 + 2 * 2 + 2);
	assert_accepted(say_addresses(at));
	at.available += 2;
	assert_int_equal(say_addresses(at), -EPERM);
}

static void
a_ring_is_in_one_region(void **state)
{
	const struct pv_vhost_region regions[2] = { { 0, 0x1000, AT, 0 }, { 0x1000, 0x1000, AT + 0x1000, 0x1000 } };
	struct pv_vhost_vring_addr at = { 0, 0, AT + 0x800, AT, AT, 0 };

	assert_accepted(say_regions(2, regions));
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 0, 128));
	assert_accepted(say_addresses(at));
	at.descriptor += 16;
	assert_int_equal(say_addresses(at), -EPERM);
}

static void
addresses_are_aligned(void **state)
{
	struct pv_vhost_vring_addr at = places(0);

	share_memory();
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 0, 256));
	at.descriptor += 8;
	assert_refused(say_addresses(at),
		       "SET_VRING_ADDR: ring 0: descriptors at 0x10000008: expected a multiple of 16");
	at = places(0);
	at.available += 1;
	assert_int_equal(say_addresses(at), -EPERM);
	at = places(0);
	at.used += 2;
	assert_int_equal(say_addresses(at), -EPERM);
	at = places(0);
	at.flags = 2;
	assert_refused(say_addresses(at), "SET_VRING_ADDR: ring 0: flags 0x2: expected 0 or 1");
}

static void
with_an_iommu_addresses_are_not_the_frontends(void **state)
{
	struct pv_vhost_vring_addr at = { 0, 0, 0xdead0000, 0xdead1000, 0xdead2000, 0 };

	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_F_ACCESS_PLATFORM)));
	share_memory();
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 0, 256));
	assert_accepted(say_addresses(at));
}

static void
addresses_come_after_memory_and_size(void **state)
{
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 0, 256));
	assert_refused(say_addresses(places(0)), "SET_VRING_ADDR: ring 0: expected SET_MEM_TABLE before");
	share_memory();
	assert_refused(say_addresses(places(1)), "SET_VRING_ADDR: ring 1: expected SET_VRING_NUM before");
}

static void
rings_in_use_stay_in_the_memory(void **state)
{
	share_memory();
	set_up(0);
	assert_accepted(say_region(0, MEMORY / 2, AT, 0));
	assert_refused(say_region(0, MEMORY / 2, AT + MEMORY, 0),
		       "SET_MEM_TABLE: ring 0: descriptors: 0x1000 bytes at 0x10000000 are in no memory region");
	assert_accepted(say_state(PV_VHOST_GET_VRING_BASE, 0, 0));
	assert_accepted(say_region(0, MEMORY / 2, AT + MEMORY, 0));
}

static void
a_second_pair_needs_multiqueue(void **state)
{
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, 0));
	share_memory();
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 2, 256));
	assert_refused(say_addresses(places(2)),
		       "SET_VRING_ADDR: ring 2: the features that were accepted have none: 0");
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_NET_F_MQ)));
	assert_accepted(say_addresses(places(2)));
}

static void
a_control_queue_is_behind_the_pairs_that_were_negotiated(void **state)
{
	pv_vhost_guard_init(&guard, QUEUES, true, EVERYTHING, EVERYTHING);
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_NET_F_CTRL_VQ)));
	share_memory();
	set_up(2);
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 3, 64));
	assert_int_equal(say_addresses(places(3)), -EPERM);
	assert_accepted(say_state(PV_VHOST_GET_VRING_BASE, 2, 0));
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_MQ)));
	set_up(4);
}

static void
rings_that_the_library_frees_are_forgotten(void **state)
{
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 2, 256));
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, 0));
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_NET_F_MQ)));
	share_memory();
	assert_refused(say_addresses(places(2)), "SET_VRING_ADDR: ring 2: expected SET_VRING_NUM before");
}

static void
a_ring_starts_when_all_was_told(void **state)
{
	assert_refused(say_file(PV_VHOST_SET_VRING_KICK, 0, doorbell),
		       "SET_VRING_KICK: ring 0: expected SET_VRING_NUM and SET_VRING_ADDR before");
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 0, 256));
	assert_int_equal(say_file(PV_VHOST_SET_VRING_KICK, 0, doorbell), -EPERM);
	share_memory();
	assert_accepted(say_addresses(places(0)));
	assert_accepted(say_file(PV_VHOST_SET_VRING_KICK, 0, doorbell));
	assert_accepted(say_state(PV_VHOST_GET_VRING_BASE, 0, 0));
	assert_int_equal(say_file(PV_VHOST_SET_VRING_KICK, 0, doorbell), -EPERM);
	assert_int_equal(say_addresses(places(0)), -EPERM);
}

static void
a_doorbell_is_an_eventfd_a_pipe_or_a_socket(void **state)
{
	int timer = timerfd_create(CLOCK_MONOTONIC, 0), file = open("/dev/null", O_WRONLY), pipes[2];

	assert_int_equal(pipe(pipes), 0);
	assert_accepted(say_file(PV_VHOST_SET_VRING_CALL, 0, doorbell));
	assert_accepted(say_file(PV_VHOST_SET_VRING_CALL, 0, pipes[1]));
	assert_accepted(say_file(PV_VHOST_SET_VRING_CALL, 0, ends[0]));
	assert_refused(say_file(PV_VHOST_SET_VRING_CALL, 0, file),
		       "SET_VRING_CALL: /dev/null: expected an eventfd, a pipe or a socket");
	assert_int_equal(say_file(PV_VHOST_SET_VRING_CALL, 0, timer), -EPERM);
	assert_int_equal(say_file(PV_VHOST_SET_VRING_ERR, 0, memory), -EPERM);
	close(timer);
	close(file);
	close(pipes[0]);
	close(pipes[1]);
}

static void
a_doorbell_comes_unless_the_flag_says_otherwise(void **state)
{
	assert_accepted(say_u64(PV_VHOST_SET_VRING_CALL, PV_VHOST_VRING_NO_FD));
	assert_refused(say_u64(PV_VHOST_SET_VRING_CALL, 0), "SET_VRING_CALL: 0 descriptors: expected 1");
	assert_refused(say_file(PV_VHOST_SET_VRING_CALL, PV_VHOST_VRING_NO_FD, doorbell),
		       "SET_VRING_CALL: 1 descriptors: expected 0");
	assert_refused(say_file(PV_VHOST_SET_VRING_CALL, 0x10000, doorbell),
		       "SET_VRING_CALL: 0x10000: expected a ring, and 0x100 when there is no descriptor");
}

static void
a_ring_is_enabled_or_not(void **state)
{
	assert_accepted(say_state(PV_VHOST_SET_VRING_ENABLE, 0, 0));
	assert_accepted(say_state(PV_VHOST_SET_VRING_ENABLE, 0, 1));
	assert_refused(say_state(PV_VHOST_SET_VRING_ENABLE, 0, 2), "SET_VRING_ENABLE: ring 0: 2: expected 0 or 1");
}

/* Features */

static void
features_that_were_not_offered_are_refused(void **state)
{
	guard.offered = 0xf0;
	guard.offered_protocol = 0x3;
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, 0x30));
	assert_refused(say_u64(PV_VHOST_SET_FEATURES, 0x31), "SET_FEATURES: 0x31: 0x1 were not offered");
	assert_accepted(say_u64(PV_VHOST_SET_PROTOCOL_FEATURES, 0x3));
	assert_refused(say_u64(PV_VHOST_SET_PROTOCOL_FEATURES, 0x1000),
		       "SET_PROTOCOL_FEATURES: 0x1000: 0x1000 were not offered");
}

static void
features_of_rings_in_use_do_not_change_but_logging(void **state)
{
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_F_VERSION_1)));
	share_memory();
	set_up(0);
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_F_VERSION_1)));
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_F_VERSION_1) | BIT(VHOST_F_LOG_ALL)));
	assert_refused(say_u64(PV_VHOST_SET_FEATURES, 0),
		       "SET_FEATURES: 0: ring 0 is in use with 0x104000000: expected GET_VRING_BASE before");
	assert_accepted(say_state(PV_VHOST_GET_VRING_BASE, 0, 0));
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, 0));
}

static void
a_ring_that_has_a_size_does_not_become_a_packed_one(void **state)
{
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 0, 256));
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_RING_F_EVENT_IDX)));
	assert_refused(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_F_RING_PACKED)),
		       "SET_FEATURES: 0x400000000: ring 0 has a size already: expected GET_VRING_BASE before");
}

static void
a_reset_comes_after_the_rings_were_stopped(void **state)
{
	share_memory();
	set_up(1);
	assert_refused(say(PV_VHOST_RESET_OWNER, 0), "RESET_OWNER: ring 1 is in use: expected GET_VRING_BASE before");
	assert_accepted(say_state(PV_VHOST_GET_VRING_BASE, 1, 0));
	message.fd_num = 0;
	assert_accepted(say(PV_VHOST_RESET_OWNER, 0));
	assert_accepted(say_state(PV_VHOST_SET_VRING_NUM, 1, 256));
	assert_refused(say_addresses(places(1)), "SET_VRING_ADDR: ring 1: expected SET_MEM_TABLE before");
	assert_int_equal(guard.offered, EVERYTHING);
}

/* The log, in-flight areas, and the rest */

static int
all_of_the_protocol(void **state)
{
	return connected(state) != 0 || say_u64(PV_VHOST_SET_PROTOCOL_FEATURES, EVERYTHING) != 0;
}

static void
the_log_begins_where_its_file_does(void **state)
{
	assert_accepted(say_log(0x1000, 0));
	assert_refused(say_log(0x1000, 0x1000), "SET_LOG_BASE: offset 0x1000: expected 0");
	assert_int_equal(say_log(0x1000, UINT64_MAX), -EPERM);
}

static void
the_log_is_in_its_file_and_covers_the_memory(void **state)
{
	assert_accepted(say_region(0x100000000, MEMORY, AT, 0));
	assert_accepted(say_log(0x20100, 0));
	assert_refused(say_log(0x200ff, 0),
		       "SET_LOG_BASE: 0x200ff bytes: expected 0x20100, which the memory needs, to 0x100000000");
	assert_accepted(say_log(MEMORY, 0));
	assert_refused(say_log(MEMORY + 1, 0),
		       "SET_LOG_BASE: log: 0x800001 bytes at offset 0 exceed the file's 0x800000");
	assert_int_equal(say_log(0, 0), -EPERM);
	assert_int_equal(say_log(UINT64_MAX, 0), -EPERM);
}

static void
in_flight_areas_are_as_large_as_their_queues_need(void **state)
{
	/* 4 queues: each 16 * 256 + 16 bytes, rounded to 64 */
	assert_accepted(say_inflight(PV_VHOST_GET_INFLIGHT_FD, 0, 0, 4, 256));
	assert_accepted(say_inflight(PV_VHOST_SET_INFLIGHT_FD, 4 * 4160, 0, 4, 256));
	assert_refused(say_inflight(PV_VHOST_SET_INFLIGHT_FD, 4 * 4160 - 1, 0, 4, 256),
		       "SET_INFLIGHT_FD: 0x40ff bytes: 4 queues of 256 descriptors need 0x4100");
	assert_int_equal(say_inflight(PV_VHOST_SET_INFLIGHT_FD, MEMORY, 0x1000, 4, 256), -EPERM);
	assert_int_equal(say_inflight(PV_VHOST_SET_INFLIGHT_FD, 0x5000, 1, 4, 256), -EPERM);
	assert_int_equal(say_inflight(PV_VHOST_SET_INFLIGHT_FD, UINT64_MAX, 0, 4, 256), -EPERM);
	assert_int_equal(say_inflight(PV_VHOST_SET_INFLIGHT_FD, 0x5000, UINT64_MAX - 0xfff, 4, 256), -EPERM);
}

static void
in_flight_queues_are_those_of_the_port(void **state)
{
	assert_refused(say_inflight(PV_VHOST_GET_INFLIGHT_FD, 0, 0, 5, 256),
		       "GET_INFLIGHT_FD: 5 queues: expected 1 to 4");
	assert_int_equal(say_inflight(PV_VHOST_GET_INFLIGHT_FD, 0, 0, 0, 256), -EPERM);
	assert_int_equal(say_inflight(PV_VHOST_GET_INFLIGHT_FD, 0, 0, 65535, 65535), -EPERM);
	assert_int_equal(say_inflight(PV_VHOST_SET_INFLIGHT_FD, MEMORY, 0, 0, 256), -EPERM);
	assert_refused(say_inflight(PV_VHOST_SET_INFLIGHT_FD, MEMORY, 0, 4, 32769),
		       "SET_INFLIGHT_FD: queues of 32769 descriptors: expected 1 to 32768");
	message.fd_num = 1;
	message.fds[0] = memory;
	assert_refused(say(PV_VHOST_SET_INFLIGHT_FD, 23), "SET_INFLIGHT_FD: 23 bytes: expected 24");
}

static void
iotlb_entries_need_an_iommu(void **state)
{
	share_memory();
	assert_refused(say_iotlb(VHOST_IOTLB_UPDATE, 0, 0x1000, AT),
		       "IOTLB_MSG: VIRTIO_F_ACCESS_PLATFORM was not accepted");
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_F_ACCESS_PLATFORM)));
	assert_accepted(say_iotlb(VHOST_IOTLB_UPDATE, 0, 0x1000, AT));
	assert_accepted(say_iotlb(VHOST_IOTLB_INVALIDATE, 0, UINT64_MAX, 0));
	assert_refused(say_iotlb(VHOST_IOTLB_MISS, 0, 0x1000, AT), "IOTLB_MSG: type 1: expected 2 or 3");
}

static void
iotlb_entries_are_in_the_memory(void **state)
{
	assert_accepted(say_u64(PV_VHOST_SET_FEATURES, BIT(VIRTIO_F_ACCESS_PLATFORM)));
	assert_int_equal(say_iotlb(VHOST_IOTLB_UPDATE, 0, 0x1000, AT), -EPERM);
	share_memory();
	assert_accepted(say_iotlb(VHOST_IOTLB_UPDATE, 0, MEMORY, AT));
	assert_refused(say_iotlb(VHOST_IOTLB_UPDATE, 0, MEMORY, AT + 0x1000),
		       "IOTLB_MSG: 0x800000 bytes at 0x10001000 are in no memory region");
	assert_int_equal(say_iotlb(VHOST_IOTLB_UPDATE, 0, 0, AT), -EPERM);
	assert_int_equal(say_iotlb(VHOST_IOTLB_INVALIDATE, 0, 0, AT), -EPERM);
	assert_int_equal(say_iotlb(VHOST_IOTLB_UPDATE, UINT64_MAX, 0x1000, AT), -EPERM);
	assert_int_equal(say_iotlb(VHOST_IOTLB_UPDATE, 0, UINT64_MAX, AT), -EPERM);
}

static void
the_mtu_and_the_status_have_ranges(void **state)
{
	assert_accepted(say_u64(PV_VHOST_NET_SET_MTU, 68));
	assert_accepted(say_u64(PV_VHOST_NET_SET_MTU, 65535));
	assert_refused(say_u64(PV_VHOST_NET_SET_MTU, 67), "NET_SET_MTU: 67: expected 68 to 65535");
	assert_int_equal(say_u64(PV_VHOST_NET_SET_MTU, 65536), -EPERM);
	assert_accepted(say_u64(PV_VHOST_SET_STATUS, 0xff));
	assert_refused(say_u64(PV_VHOST_SET_STATUS, 0x100), "SET_STATUS: 0x100: expected 8 bits");
	assert_accepted(say(PV_VHOST_GET_STATUS, 0));
	assert_accepted(say_u64(PV_VHOST_SEND_RARP, UINT64_MAX));
}

static void
the_channel_back_is_a_socket(void **state)
{
	assert_accepted(say_file(PV_VHOST_SET_BACKEND_REQ_FD, 0, ends[0]));
	assert_refused(say_file(PV_VHOST_SET_BACKEND_REQ_FD, 0, doorbell),
		       "SET_BACKEND_REQ_FD: anon_inode:[eventfd]: expected a socket");
}

/* What is done to a message */

static void
the_number_of_queues_is_the_ports(void **state)
{
	message.fd_num = 3;
	pv_vhost_guard_answer_queue_num(&guard, &message);
	assert_int_equal(message.payload.u64, QUEUES);
	assert_int_equal(message.size, 8);
	assert_int_equal(message.fd_num, 0);
}

static void
a_reply_that_was_asked_for_is_owed_once(void **state)
{
	message.request = PV_VHOST_SET_MEM_TABLE;
	message.flags = PV_VHOST_VERSION | PV_VHOST_FLAG_NEED_REPLY;
	message.fd_num = 2;
	message.payload.u64 = 7;
	pv_vhost_guard_take_reply(&guard, &message);
	assert_int_equal(message.flags, PV_VHOST_VERSION);
	assert_true(pv_vhost_guard_owes_reply(&guard, &message));
	assert_int_equal(message.payload.u64, 0);
	assert_int_equal(message.size, 8);
	assert_int_equal(message.fd_num, 0);
	assert_false(pv_vhost_guard_owes_reply(&guard, &message));
}

static void
no_reply_is_owed_to_what_was_answered_or_is_unknown(void **state)
{
	message.request = PV_VHOST_GET_FEATURES;
	message.flags = PV_VHOST_VERSION | PV_VHOST_FLAG_NEED_REPLY;
	pv_vhost_guard_take_reply(&guard, &message);
	message.flags |= PV_VHOST_FLAG_REPLY; /* as the library does when it answers */
	assert_false(pv_vhost_guard_owes_reply(&guard, &message));
	message.request = 23;
	message.flags = PV_VHOST_VERSION | PV_VHOST_FLAG_NEED_REPLY;
	pv_vhost_guard_take_reply(&guard, &message);
	assert_int_equal(message.flags, PV_VHOST_VERSION | PV_VHOST_FLAG_NEED_REPLY);
	assert_false(pv_vhost_guard_owes_reply(&guard, &message));
}

static void
descriptors_of_a_message_are_closed_once(void **state)
{
	int fd = eventfd(0, 0);

	message.fd_num = 3;
	message.fds[0] = fd;
	message.fds[1] = -1;
	message.fds[2] = dup(fd);
	pv_vhost_message_close_fds(&message);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(message.fd_num, 0);
	assert_int_equal(message.fds[0], -1);
	pv_vhost_message_close_fds(&message);
}

static void
a_reason_is_cut_to_its_room(void **state)
{
	char room[10];

	message.flags = 0;
	message.request = PV_VHOST_SET_PROTOCOL_FEATURES;
	assert_int_equal(pv_vhost_guard(&guard, &message, room, sizeof(room)), -EPERM);
	assert_string_equal(room, "SET_PROTO");
	assert_int_equal(pv_vhost_guard(&guard, &message, room, 1), -EPERM);
	assert_string_equal(room, "");
}

/* Nonsense */

static uint64_t
random_value(void)
{
	static const uint64_t corners[] = { 0,		1,	   2,	       4,
					    8,		0x100,	   0xfff,      0x1000,
					    0x7fff,	0x8000,	   0xffff,     MEMORY,
					    AT,		INT64_MAX, UINT64_MAX, UINT64_MAX - 0xfff,
					    1ull << 33, 1ull << 40 };
	uint64_t value = ((uint64_t)random() << 33) ^ ((uint64_t)random() << 11) ^ (uint64_t)random();

	return random() % 2 == 0 ? corners[value % (sizeof(corners) / sizeof(corners[0]))] : value >> (value % 64);
}

static void
random_message(void)
{
	const int fds[] = { memory, doorbell, ends[0], -1, 0, 99999 };

	for (size_t i = 0; i < 34; i++) {
		uint64_t value = random_value();

		memcpy(&message.payload.bytes[8 * i], &value, sizeof(value));
	}
	if (random() % 2 == 0)
		message.payload.state =
			(struct pv_vhost_vring_state){ (uint32_t)random() % 5, (uint32_t)random_value() };
	message.fd_num = random() % 4 == 0 ? (int)random() % 12 - 1 : random() % 2;
	for (size_t i = 0; i < PV_VHOST_REGIONS_MAX; i++)
		message.fds[i] = fds[random() % 6];
	message.request = (uint32_t)random() % (PV_VHOST_REQUESTS + 2);
	message.flags = random() % 8 != 0 ? PV_VHOST_VERSION : (uint32_t)random();
	message.size = random() % 2 == 0 ? PV_VHOST_PAYLOAD_SIZE : (uint32_t)random_value();
}

/* What must hold however a frontend got there. */
static void
assert_sound(void)
{
	for (uint16_t i = 0; i < guard.rings; i++) {
		const struct pv_vhost_guard_ring *ring = &guard.ring[i];
		uint64_t into = ring->at.descriptor - guard.regions[0].user_address;

		assert_true(ring->size <= 32768);
		if (!ring->addressed)
			continue;
		assert_true(ring->size > 0 && guard.n_regions > 0);
		if (guard.n_regions == 1 && (guard.features & BIT(VIRTIO_F_ACCESS_PLATFORM)) == 0)
			assert_true(into + 16ull * ring->size <= guard.regions[0].size);
	}
	assert_int_equal(guard.features & ~guard.offered, 0);
}

static void
nonsense_harms_nobody(void **state)
{
	unsigned int accepted = 0;

	srandom(1);
	for (unsigned int i = 0; i < MESSAGES; i++) {
		if (i % 1000 == 0) {
			pv_vhost_guard_init(&guard, QUEUES, false, random_value(), EVERYTHING);
			assert_accepted(say_u64(PV_VHOST_SET_PROTOCOL_FEATURES, EVERYTHING));
			share_memory();
		}
		random_message();
		accepted += pv_vhost_guard(&guard, &message, why, sizeof(why)) == 0;
		assert_sound();
	}
	assert_in_range(accepted, MESSAGES / 100, MESSAGES * 9 / 10);
}

#define TEST(name) cmocka_unit_test_setup(name, connected)
#define PROTOCOL_TEST(name) cmocka_unit_test_setup(name, all_of_the_protocol)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_frontend_that_behaves_is_served),
		TEST(a_guest_that_starts_again_is_served),
		TEST(rings_may_be_told_before_the_features),
		TEST(a_request_that_is_unknown_is_left_to_the_library),
		PROTOCOL_TEST(a_payload_that_is_too_short_is_refused),
		TEST(a_version_other_than_1_and_a_reply_are_refused),
		TEST(what_nobody_negotiates_is_refused),
		TEST(what_was_not_negotiated_is_refused),
		TEST(descriptors_that_do_not_belong_are_refused),
		TEST(a_region_beyond_the_end_of_its_file_is_refused),
		TEST(addresses_that_overflow_are_refused),
		TEST(regions_that_overlap_are_refused),
		TEST(the_number_of_regions_is_1_to_8_and_of_descriptors),
		TEST(what_cannot_be_mapped_is_refused),
		TEST(memory_of_more_than_8_tib_is_refused),
		TEST(a_ring_that_the_port_does_not_have_is_refused),
		TEST(a_control_queue_is_one_ring_more),
		TEST(the_size_of_a_split_ring_is_a_power_of_two),
		TEST(the_size_of_a_packed_ring_is_1_to_32768),
		TEST(the_size_of_a_ring_in_use_does_not_change),
		TEST(the_base_of_a_packed_ring_is_in_the_ring),
		TEST(the_base_of_a_split_ring_is_of_16_bits),
		TEST(a_base_that_was_told_for_a_split_ring_does_not_hold_for_a_packed_one),
		TEST(addresses_out_of_the_memory_are_refused),
		TEST(event_indices_belong_to_the_ring),
		TEST(a_ring_is_in_one_region),
		TEST(addresses_are_aligned),
		TEST(with_an_iommu_addresses_are_not_the_frontends),
		TEST(addresses_come_after_memory_and_size),
		TEST(rings_in_use_stay_in_the_memory),
		TEST(a_second_pair_needs_multiqueue),
		TEST(a_control_queue_is_behind_the_pairs_that_were_negotiated),
		TEST(rings_that_the_library_frees_are_forgotten),
		TEST(a_ring_starts_when_all_was_told),
		TEST(a_doorbell_is_an_eventfd_a_pipe_or_a_socket),
		TEST(a_doorbell_comes_unless_the_flag_says_otherwise),
		TEST(a_ring_is_enabled_or_not),
		TEST(features_that_were_not_offered_are_refused),
		TEST(features_of_rings_in_use_do_not_change_but_logging),
		TEST(a_ring_that_has_a_size_does_not_become_a_packed_one),
		TEST(a_reset_comes_after_the_rings_were_stopped),
		PROTOCOL_TEST(the_log_begins_where_its_file_does),
		PROTOCOL_TEST(the_log_is_in_its_file_and_covers_the_memory),
		PROTOCOL_TEST(in_flight_areas_are_as_large_as_their_queues_need),
		PROTOCOL_TEST(in_flight_queues_are_those_of_the_port),
		TEST(iotlb_entries_need_an_iommu),
		TEST(iotlb_entries_are_in_the_memory),
		PROTOCOL_TEST(the_mtu_and_the_status_have_ranges),
		PROTOCOL_TEST(the_channel_back_is_a_socket),
		TEST(the_number_of_queues_is_the_ports),
		TEST(a_reply_that_was_asked_for_is_owed_once),
		TEST(no_reply_is_owed_to_what_was_answered_or_is_unknown),
		TEST(descriptors_of_a_message_are_closed_once),
		TEST(a_reason_is_cut_to_its_room),
		TEST(nonsense_harms_nobody),
	};

	return cmocka_run_group_tests(tests, open_files, close_files);
}
