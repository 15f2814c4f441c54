/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that writes what it likes into its memory, and bursts in between: the harness of fuzz_split and fuzz_packed,
 * which define PACKED.
 *
 * The memory may lie in a window, too. Then the third region is behind a hole, addresses are masked, and what is
 * nowhere is zeroes until the port has stopped.
 *
 * A unit is struct unit and then steps, each an operation and its arguments (enum operation). The guest's memory is
 * two regions that touch for the guest and one at the end of all addresses, each between pages that nobody may touch.
 * The beginning of the first has both rings. A broken rule ends the program:
 *
 *  - a burst from the guest changes nothing but what marks chains as used; one to the guest nothing but that and the
 *    buffers that the rings call writable;
 *  - what was taken and not given back is what is on loan; a split ring gets back just the chains that it offered;
 *  - packets have the lengths that they say, and no more than a frame may have; none is lost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <rte_eal.h>
#include <rte_malloc.h>

#include "../lib/vio_bench.h"
#include "vio/fault.h"

#define REGION 0x2000u
#define LOW 0x10000u
#define END (LOW + 2 * REGION)
#define TOP (UINT64_MAX - REGION + 1)
#define BEHIND 0x30000u	 /* where the third region is in a window */
#define WINDOWED 0x80u	 /* in the size of the rings: in a window, unless addresses are translated */
#define RING_AREA 0x400u /* of each ring, from LOW on: descriptors, driver's area, device's area */
#define DRIVER_AREA 0x200u
#define DEVICE_AREA 0x300u
#define STEPS_MAX 120
#define KEPT_MAX 64
#define PACKETS 96
#define PAGE 4096u
#define LINE 64u

enum option { V1 = 1, MERGE = 2, TABLES = 4, EVENTS = 8, SHARE = 16, TRANSLATE = 32, LOG = 64, OFFLOADS = 128 };

struct unit {
	uint8_t options;
	uint8_t size; /* of the rings, as it suits the format; and WINDOWED */
	uint8_t base; /* where they begin */
	uint8_t packets;
};

/* Lengths in bytes follow in parentheses. All numbers are little-endian. */
enum operation {
	WRITE_BYTES, /* offset (2) from LOW, or from TOP if it is above 0x8000, count (1), bytes */
	WRITE_ENTRY, /* offset (2) from LOW, address (2) as offset from LOW - 0x100, length (2), flags (2), next or id
			(2) */
	MAKE_AVAILABLE, /* ring (1), split: head (1); packed: flags (1), of the place that the device looks at next */
	SET_INDEX,	/* ring (1), index or driver event suppression (4) */
	RECEIVE,	/* count (1) */
	TRANSMIT,	/* count (1), length (2), segments (1), kind of offload (1) */
	FREE,		/* count (1), of those that are kept */
	PAUSE,		/* settle, and begin again where the rings' bases say, if nothing is on loan */
	REVIVE,		/* attach anew after a stop */
	TLB,		/* page (1) from LOW on, how (1): forget, or permit as VHOST_ACCESS_… */
	OPERATIONS
};

struct input {
	const uint8_t *at;
	size_t left;
};

static struct rte_mempool *pool;
static uint8_t *regions[3];
static struct pv_grant_files files; /* that those are mapped from */
static struct pv_iotlb *iotlb;
static _Atomic uint8_t *page_log;

static struct bench *bench;
static struct pv_virtqueue_setup setups[2];
static struct rte_mbuf *kept[KEPT_MAX];
static uint32_t n_kept;
static uint8_t before[2 * REGION], after[2 * REGION];
static bool writable[2 * REGION];

/* What looks after the rules is nothing to be steered by. */
#define WATCHING __attribute__((no_sanitize("coverage")))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

WATCHING static void
must(bool condition, const char *rule)
{
	if (condition)
		return;
	fprintf(stderr, "broken rule: %s\n", rule);
	abort();
}

/* --- beginning ---------------------------------------------------------------------------------------------------- */

/* Of a file that is returned in *fd. */
static uint8_t *
map_between_guards(size_t length, int *fd)
{
	uint8_t *all = mmap(NULL, length + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*fd = memfd_create("fuzz", MFD_CLOEXEC);
	must(all != MAP_FAILED && *fd >= 0 && ftruncate(*fd, (off_t)length) == 0 &&
		     mmap(all + PAGE, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, *fd, 0) == all + PAGE,
	     "memory is there");
	return all + PAGE;
}

static void
remove_runtime_directory(void)
{
	rmdir(rte_eal_get_runtime_dir());
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char *arguments[] = { "fuzz",
				     "--no-huge",
				     "--no-pci",
				     "--no-telemetry",
				     "--no-shconf",
				     "-m",
				     "64",
				     "--log-level=*:error",
				     "--file-prefix=pvfuzz",
				     "-l0" };
	int fd;

	(void)argc;
	(void)argv;
	must(rte_eal_init(RTE_DIM(arguments), arguments) >= 0, "EAL starts");
	atexit(remove_runtime_directory);
	pool = bench_pool(PACKETS - 1);
	for (int i = 0; i < 3; i++) {
		regions[i] = map_between_guards(REGION, &fd);
		pv_grant_files_add(&files, fd, regions[i], REGION);
	}
	page_log = (_Atomic uint8_t *)map_between_guards(PAGE, &fd) + PAGE - (END / PAGE + 7) / 8;
	iotlb = calloc(1, sizeof(*iotlb));
	must(iotlb != NULL, "memory is there");
	return 0;
}

static uint64_t
features_of(uint8_t options)
{
	uint64_t features = PACKED ? 1ULL << VIRTIO_F_RING_PACKED : 0;

	features |= (options & V1) != 0 ? 1ULL << VIRTIO_F_VERSION_1 : 0;
	features |= (options & MERGE) != 0 ? 1ULL << VIRTIO_NET_F_MRG_RXBUF : 0;
	features |= (options & TABLES) != 0 ? 1ULL << VIRTIO_RING_F_INDIRECT_DESC : 0;
	features |= (options & EVENTS) != 0 ? 1ULL << VIRTIO_RING_F_EVENT_IDX : 0;
	return features | ((options & OFFLOADS) != 0 ? 0xffff & ~(1ULL << VIRTIO_NET_F_MRG_RXBUF) : 0);
}

static void
permit(uint64_t page, uint8_t access)
{
	uint64_t offset = page * PAGE;

	pv_iotlb_insert(iotlb, LOW + offset, PAGE, regions[offset / REGION] + offset % REGION, access);
}

static void
describe_memory(struct pv_memory *memory, uint8_t options, bool windowed)
{
	const uint64_t guests[] = { LOW, LOW + REGION, windowed ? BEHIND : TOP };

	*memory = (struct pv_memory){ .n_regions = 3, .n_direct = 3 };
	for (int i = 0; i < 3; i++) {
		memset(regions[i], 0, REGION);
		memory->regions[i] = (struct pv_region){ .guest = guests[i], .size = REGION, .host = regions[i] };
	}
	if ((options & TRANSLATE) != 0) {
		memory->n_direct = 0;
		memory->iotlb = iotlb;
		pv_iotlb_clear(iotlb);
		for (uint64_t page = 0; page < 3; page++) /* the last one is missing */
			permit(page, VHOST_ACCESS_RW);
	}
	if ((options & LOG) != 0) {
		memory->log = page_log;
		memory->log_size = (END / PAGE + 7) / 8;
	}
}

/* False when the rings cannot be so: that is no unit. */
static bool
begin(const struct unit *unit)
{
	const bool windowed = (unit->size & WINDOWED) != 0 && (unit->options & TRANSLATE) == 0;
	const uint32_t size = unit->size & ~WINDOWED;
	const struct bench_setup setup = {
		.features = features_of(unit->options),
		.copy_break = (unit->options & SHARE) != 0 ? PV_HEADER_COPY : 0,
		.pool = pool,
		.window_files = windowed ? &files : NULL,
	};
	struct pv_memory memory;
	bool good = true;

	must(pv_fault_install() == 0, "faults are mended"); /* libFuzzer may have taken them back */
	describe_memory(&memory, unit->options, windowed);
	bench = bench_new(&setup, &memory);
	for (uint16_t i = 0; i < 2; i++) {
		uint8_t *area = regions[0] + i * RING_AREA;
		uint16_t base = PACKED ? (uint16_t)((unit->base & 15) | (unit->base & 0x80) << 8) :
					 (uint16_t)(unit->base << 8 | unit->base);
		const struct pv_virtqueue_setup queue = setups[i] = (struct pv_virtqueue_setup){
			.descriptors = area,
			.driver = area + DRIVER_AREA,
			.device = area + DEVICE_AREA,
			.size = PACKED ? size % 17 : 1u << size % 5,
			.avail_base = base,
			.used_base = base,
			.features = setup.features,
			.log_used = (unit->options & LOG) != 0,
			.used_guest = LOW + i * RING_AREA + DEVICE_AREA,
		};

		if (!PACKED) /* the guest's index begins where the ring does */
			((struct vring_avail *)queue.driver)->idx = ((struct vring_used *)queue.device)->idx = base;
		good = good && bench_add_ring(bench, i, &queue) == 0;
	}
	return good;
}

/* --- the guest ---------------------------------------------------------------------------------------------------- */

static uint32_t
number(struct input *input, size_t bytes)
{
	uint32_t value = 0;

	for (size_t i = 0; i < bytes && input->left > 0; i++, input->left--)
		value |= (uint32_t)*input->at++ << 8 * i;
	return value;
}

/* A place in the two regions that touch for the guest; they do not here. */
static uint8_t *
at(uint32_t offset)
{
	return regions[offset / REGION] + offset % REGION;
}

static void
write_bytes(struct input *input)
{
	uint32_t offset = number(input, 2), count = number(input, 1);

	for (uint32_t i = 0; i < count && input->left > 0; i++) {
		uint8_t byte = (uint8_t)number(input, 1);

		if (offset >= 0x8000)
			regions[2][(offset + i) % REGION] = byte;
		else
			*at((offset + i) % (2 * REGION)) = byte;
	}
}

/* A descriptor of the format, in a ring or in a table. */
static void
write_entry(struct input *input)
{
	uint32_t offset = number(input, 2) % (2 * REGION - 16), address = number(input, 2), length = number(input, 2);
	uint16_t flags = (uint16_t)number(input, 2), next = (uint16_t)number(input, 2);
	const struct vring_desc split = { LOW - 0x100 + address, length, flags, next };
	const struct vring_packed_desc packed = { LOW - 0x100 + address, length, next, flags };
	const uint8_t *bytes = PACKED ? (const uint8_t *)&packed : (const uint8_t *)&split;

	for (uint32_t i = 0; i < 16; i++)
		*at(offset + i) = bytes[i];
}

static void
make_available(struct input *input)
{
	struct pv_virtqueue *queue = &bench->vio.rings[number(input, 1) % 2].queue;
	uint8_t argument = (uint8_t)number(input, 1);

	if (PACKED) {
		queue->ring[queue->next_avail].flags =
			(uint16_t)((argument & 7) | (queue->avail_wrap ? PV_PACKED_AVAIL : PV_PACKED_USED));
	} else {
		queue->avail->ring[queue->avail->idx & (queue->size - 1)] = argument;
		queue->avail->idx++;
	}
}

static void
set_index(struct input *input)
{
	struct pv_virtqueue *queue = &bench->vio.rings[number(input, 1) % 2].queue;
	uint32_t value = number(input, 4);

	memcpy(PACKED ? (uint8_t *)queue->driver_event : (uint8_t *)queue->avail, &value, sizeof(value));
}

static void
change_tlb(struct input *input)
{
	uint32_t page = number(input, 1), how = number(input, 1);

	if (page >= 2 * REGION / PAGE)
		pv_iotlb_clear(iotlb);
	else if (how == 0)
		pv_iotlb_remove(iotlb, LOW + page * PAGE, 1);
	else
		permit(page, (uint8_t)how);
}

/* --- what a burst may do ------------------------------------------------------------------------------------------ */

static void
copy_memory(uint8_t *to)
{
	memcpy(to, regions[0], REGION);
	memcpy(to + REGION, regions[1], REGION);
}

/* Where the device marks chains of ring `i` as used. */
WATCHING static bool
is_used_area(uint32_t offset, uint16_t i)
{
	uint32_t area = i * RING_AREA, size = bench->vio.rings[i].queue.size;

	if (PACKED)
		return offset >= area && offset < area + size * sizeof(struct vring_packed_desc);
	return offset >= area + DEVICE_AREA && offset < area + DEVICE_AREA + 6 + size * sizeof(struct vring_used_elem);
}

/* An address as an offset from LOW; a window has others of the same place. */
WATCHING static uint64_t
offset_of(uint64_t address)
{
	const struct pv_memory *memory = &bench->vio.memory;

	return (memory->window != NULL ? address & memory->window_mask : address) - LOW;
}

WATCHING static void
mark_writable(uint64_t address, uint64_t length)
{
	uint64_t offset = offset_of(address);

	/* Of a buffer that begins outside, nothing is ever written, unless it begins in a hole before them. */
	if (bench->vio.memory.window != NULL && offset > UINT64_MAX - LOW && length > 0 - offset) {
		length += offset;
		offset = 0;
	}
	if (offset < 2 * REGION)
		memset(writable + offset, true, RTE_MIN(length, 2 * REGION - offset));
}

/* Nothing is known of what is in a table that is not all in the two regions, and in a window. */
WATCHING static bool
knows_table(const struct vring_desc *entry)
{
	uint64_t offset = offset_of(entry->addr);

	return bench->vio.memory.window == NULL || (offset < 2 * REGION && entry->len <= 2 * REGION - offset);
}

/* Address, length and flags of the entry at an offset, in either format. */
WATCHING static struct vring_desc
entry_at(uint64_t offset)
{
	struct vring_packed_desc packed;
	struct vring_desc split;

	memcpy(&packed, before + offset, sizeof(packed));
	memcpy(&split, before + offset, sizeof(split));
	if (PACKED)
		split = (struct vring_desc){ .addr = packed.addr, .len = packed.len, .flags = packed.flags };
	return split;
}

/* What of `before` the entries from `offset` on call writable. False when that could change within the burst. */
WATCHING static bool
find_writable(uint64_t offset, uint64_t entries, bool in_table)
{
	for (uint64_t i = 0; i < entries && offset + 16 * i + 16 <= 2 * REGION; i++) {
		struct vring_desc entry = entry_at(offset + 16 * i);

		if ((entry.flags & VRING_DESC_F_INDIRECT) != 0) {
			if (!in_table && !knows_table(&entry))
				return false;
			if (!in_table && offset_of(entry.addr) < 2 * REGION &&
			    !find_writable(offset_of(entry.addr), entry.len / 16, true))
				return false;
		} else if ((entry.flags & VRING_DESC_F_WRITE) != 0) {
			mark_writable(entry.addr, entry.len);
		}
	}
	return offset >= 2 * REGION ||
	       memchr(writable + offset, true, RTE_MIN(16 * entries, 2 * REGION - offset)) == NULL;
}

/* A guest may have its rings or tables overwritten. Then there is nothing to say about what is writable. */
WATCHING static bool
knows_writable(void)
{
	memset(writable, 0, sizeof(writable));
	for (int pass = 0; pass < 2; pass++) /* a table may be overwritten by a buffer that is found after it */
		if (!find_writable(0, bench->vio.rings[0].queue.size, false))
			return false;
	return memchr(writable, true, 2 * RING_AREA) == NULL;
}

WATCHING static void
check_changes(bool receives, bool transmits)
{
	copy_memory(after);
	for (uint32_t line = 0; line < sizeof(after); line += LINE) {
		if (memcmp(before + line, after + line, LINE) == 0)
			continue;
		for (uint32_t i = line; i < line + LINE; i++)
			must(before[i] == after[i] || (receives && is_used_area(i, 1)) ||
				     (transmits && (is_used_area(i, 0) || writable[i])),
			     "only writable buffers are written to");
	}
}

/* The position of a split ring, or of a packed one over two laps. */
WATCHING static uint32_t
distance(const struct pv_virtqueue *queue)
{
	if (!PACKED)
		return (uint16_t)(queue->next_avail - queue->next_used);
	return (2u * queue->size + queue->next_avail - queue->next_used +
		(queue->avail_wrap != queue->used_wrap) * queue->size) %
	       (2u * queue->size);
}

WATCHING static void
check_loans(void)
{
	const struct pv_vio_ring *ring = &bench->vio.rings[1];
	uint32_t out = 0;

	must(ring->loan_tail - ring->loan_head <= RTE_MAX(ring->n_loans, 1u), "there are no more loans than there are");
	for (uint32_t i = ring->loan_head; i != ring->loan_tail; i++)
		out += ring->loans[i & (ring->n_loans - 1)].slots;
	must(distance(&ring->queue) == out % (PACKED ? 2u * ring->queue.size : 0x10000),
	     "what was taken and not given back is on loan");
	must(distance(&bench->vio.rings[0].queue) == 0, "what was written to is given back");
}

/* The chains that a split ring got back are those that it had offered, in order, when nobody overwrites the rings. */
WATCHING static void
check_returns(uint16_t i, uint16_t taken_from, uint16_t used_from)
{
	const struct pv_virtqueue *queue = &bench->vio.rings[i].queue;
	uint16_t mask = (uint16_t)(queue->size - 1);

	if (PACKED || bench->vio.copy_break != PV_COPY_ALL)
		return;
	for (uint16_t n = 0; (uint16_t)(used_from + n) != queue->next_used; n++)
		must(queue->used->ring[(used_from + n) & mask].id == queue->avail->ring[(taken_from + n) & mask],
		     "a chain that was not offered came back");
}

WATCHING static void
check_packet(const struct rte_mbuf *packet)
{
	uint32_t length = 0;
	uint16_t segments = 0;

	for (const struct rte_mbuf *segment = packet; segment != NULL; segment = segment->next, segments++) {
		volatile uint8_t sum = 0; /* all of it is there */

		for (uint32_t i = 0; i < segment->data_len; i++)
			sum = (uint8_t)(sum + *rte_pktmbuf_mtod_offset(segment, const uint8_t *, i));
		length += segment->data_len;
	}
	must(length == packet->pkt_len && segments == packet->nb_segs, "a packet has what it says");
	must(length > 0 && length <= bench->vio.frame_limit, "a frame is no longer than it may be");
	must(packet->data_len >= RTE_MIN(length, (uint32_t)PV_HEADER_COPY), "the headers are copied");
}

static void
free_kept(uint32_t n)
{
	for (; n > 0 && n_kept > 0; n--)
		rte_pktmbuf_free(kept[--n_kept]);
}

static void
receive(struct input *input)
{
	struct pv_virtqueue *queue = &bench->vio.rings[1].queue;
	uint16_t count = (uint16_t)(number(input, 1) % (PV_BURST_MAX + 1)), n;
	uint16_t taken_from = queue->next_avail, used_from = queue->next_used;
	struct rte_mbuf *packets[PV_BURST_MAX];
	bool delivers = bench->vio.rings[0].n_held > 0, known; /* what was kept for want of a translation */

	copy_memory(before);
	known = !delivers || knows_writable();
	n = pv_vio_receive(&bench->vio, 0, packets, count);
	must(n <= count && n <= queue->size, "a burst is no longer than it may be");
	check_loans();
	if (known) {
		check_changes(true, delivers);
		check_returns(1, taken_from, used_from);
	}
	if (n > KEPT_MAX - n_kept)
		free_kept(n);
	for (uint16_t i = 0; i < n; i++) {
		check_packet(packets[i]);
		kept[n_kept++] = packets[i];
	}
}

static void
ask_for_offload(struct rte_mbuf *packet, uint32_t kind)
{
	static const uint64_t flags[] = { 0, RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4, RTE_MBUF_F_TX_IP_CKSUM,
					  RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IPV4 };

	packet->ol_flags |= flags[kind % RTE_DIM(flags)];
	packet->l2_len = 14;
	packet->l3_len = 20;
	packet->l4_len = 20;
	packet->tso_segsz = (uint16_t)kind;
}

static void
transmit(struct input *input)
{
	struct pv_virtqueue *queue = &bench->vio.rings[0].queue;
	uint16_t count = (uint16_t)(number(input, 1) % (PV_BURST_MAX + 1)), made = 0, sent;
	uint16_t taken_from = queue->next_avail, used_from = queue->next_used;
	uint32_t length = 1 + number(input, 2) % 1522, segments = 1 + number(input, 1) % 3, kind = number(input, 1);
	struct rte_mbuf *packets[PV_BURST_MAX];
	bool known;

	while (made < count && (packets[made] = bench_packet(pool, length, (uint16_t)segments, 1)) != NULL)
		ask_for_offload(packets[made++], kind);
	copy_memory(before);
	known = knows_writable();
	sent = pv_vio_transmit(&bench->vio, 0, packets, made);
	must(sent <= made, "no more is sent than there is");
	rte_pktmbuf_free_bulk(packets + sent, made - sent);
	check_loans();
	if (known) {
		check_changes(false, true);
		check_returns(0, taken_from, used_from);
	}
}

/* What the frontend is told where a ring stands, it may say again. */
static void
begin_again(uint16_t i)
{
	struct pv_virtqueue *queue = &bench->vio.rings[i].queue, before_it = *queue;
	struct pv_virtqueue_setup setup = bench_move(bench, &setups[i]);

	setup.avail_base = pv_virtqueue_avail_base(queue);
	setup.used_base = pv_virtqueue_used_base(queue);
	pv_virtqueue_fini(queue);
	must(pv_virtqueue_init(queue, &setup, &bench->vio.memory) == 0, "a ring can begin where it has ended");
	must(queue->next_avail == before_it.next_avail && queue->next_used == before_it.next_used,
	     "the bases of a ring say where it is");
	must(!PACKED || (queue->avail_wrap == before_it.avail_wrap && queue->used_wrap == before_it.used_wrap),
	     "the bases of a packed ring have its wrap counters");
}

static void
pause_rings(void)
{
	bool settled = pv_vio_settle(&bench->vio.rings[1]);

	for (uint16_t i = 0; i < 2; i++) {
		struct pv_virtqueue *queue = &bench->vio.rings[i].queue;

		pv_virtqueue_set_kicks(queue, true);
		if (!pv_virtqueue_has_work(queue))
			pv_virtqueue_set_kicks(queue, false);
		if (settled && queue->stopped == NULL)
			begin_again(i);
	}
}

static void
revive(void)
{
	if (!bench->vio.stopped)
		return;
	free_kept(KEPT_MAX);
	must(pv_vio_settle(&bench->vio.rings[1]), "nothing is on loan when all packets are free");
	for (int i = 0; i < 2; i++)
		bench->vio.rings[i].queue.stopped = NULL;
	bench->vio.stopped = false;
	bench->vio.faulted = 0;
	bench->vio.running = true;
}

static void
step(struct input *input)
{
	switch (number(input, 1) % OPERATIONS) {
	case WRITE_BYTES:
		return write_bytes(input);
	case WRITE_ENTRY:
		return write_entry(input);
	case MAKE_AVAILABLE:
		return make_available(input);
	case SET_INDEX:
		return set_index(input);
	case RECEIVE:
		return receive(input);
	case TRANSMIT:
		return transmit(input);
	case FREE:
		return free_kept(number(input, 1));
	case PAUSE:
		return pause_rings();
	case REVIVE:
		return revive();
	case TLB:
		return change_tlb(input);
	default:
		return;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data + sizeof(struct unit), size - sizeof(struct unit) };
	struct unit unit;

	if (size < sizeof(unit))
		return -1;
	memcpy(&unit, data, sizeof(unit));
	if (begin(&unit)) {
		struct rte_mbuf *taken[PACKETS];
		unsigned int n = unit.packets % PACKETS;

		must(n == 0 || rte_pktmbuf_alloc_bulk(pool, taken, n) == 0, "the pool is whole");
		for (int steps = 0; input.left > 0 && steps < STEPS_MAX; steps++)
			step(&input);
		rte_pktmbuf_free_bulk(taken, n);
	}
	free_kept(KEPT_MAX);
	bench_free(bench);
	must(rte_mempool_full(pool), "no packet is lost");
	return 0;
}
