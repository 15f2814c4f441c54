/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/control_queue.h"

#include <errno.h>

#include <linux/virtio_net.h>

#include <rte_atomic.h>
#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_ether.h>

#define COMMANDS_MAX 4 /* of one call: the worker has frames to move */
#define VLANS 4096

/* A command: its beginning, copied, and what follows that in the guest's memory. */
struct command {
	struct virtio_net_ctrl_hdr header;
	const struct pv_pieces *readable;
	uint64_t length; /* bytes behind the header */
};

void
pv_control_init(struct pv_control *control, uint16_t pairs, uint32_t mtu, const struct pv_mac *mac,
		_Atomic uint16_t *active)
{
	*control = (struct pv_control){
		.pairs_max = pairs,
		.mtu = (uint16_t)RTE_MIN(mtu, (uint32_t)UINT16_MAX),
		.mac = *mac,
		.active = active,
		.pairs = 1,
	};
}

void
pv_control_reset(struct pv_control *control)
{
	control->multiqueue = false;
	control->pairs = 1;
	control->modes = 0;
	control->address = 0;
}

/* Copies from somewhere in the readable buffers; false when they end before. */
static bool
copy_out(const struct pv_pieces *pieces, uint64_t offset, void *to, size_t length)
{
	uint8_t *at = to;

	for (uint32_t i = 0; i < pieces->n && length > 0; i++) {
		const struct iovec *piece = &pieces->piece[i];
		size_t part;

		if (offset >= piece->iov_len) {
			offset -= piece->iov_len;
			continue;
		}
		part = RTE_MIN(piece->iov_len - offset, length);
		memcpy(at, (const uint8_t *)piece->iov_base + offset, part);
		at += part;
		length -= part;
		offset = 0;
	}
	rte_compiler_barrier(); /* what is used from here on is the copy */
	return length == 0;
}

/* What a command carries, when it is `size` bytes. */
static bool
read_data(const struct command *command, void *to, size_t size)
{
	return command->length == size && copy_out(command->readable, sizeof(command->header), to, size);
}

/* 5.1.6.5.1: a mode, on or off. */
static bool
set_mode(struct pv_control *control, const struct command *command)
{
	uint8_t on, bit;

	if (command->header.cmd > VIRTIO_NET_CTRL_RX_NOBCAST || !read_data(command, &on, sizeof(on)))
		return false;
	bit = (uint8_t)(1u << command->header.cmd);
	if (on != 0)
		atomic_fetch_or(&control->modes, bit);
	else
		atomic_fetch_and(&control->modes, (uint8_t)~bit);
	return true;
}

/* Behind a port that has one address no other would be of use: what it sends would be dropped, without a word. */
static bool
set_address(struct pv_control *control, const struct command *command)
{
	struct rte_ether_addr given;
	uint64_t address = 0;

	if (!read_data(command, &given, sizeof(given)) || !rte_is_valid_assigned_ether_addr(&given))
		return false;
	if (control->mac.set && memcmp(control->mac.bytes, given.addr_bytes, sizeof(given)) != 0)
		return false;
	memcpy(&address, given.addr_bytes, sizeof(given));
	control->address = address;
	return true;
}

/* One of the two tables: how many addresses, and those (struct virtio_net_ctrl_mac). Goes on behind it. */
static bool
skip_table(const struct command *command, uint64_t *offset)
{
	uint64_t left = command->length - *offset;
	uint32_t entries;

	if (left < sizeof(entries) ||
	    !copy_out(command->readable, sizeof(command->header) + *offset, &entries, sizeof(entries)))
		return false;
	entries = rte_le_to_cpu_32(entries);
	if (entries > (left - sizeof(entries)) / RTE_ETHER_ADDR_LEN)
		return false;
	*offset += sizeof(entries) + (uint64_t)entries * RTE_ETHER_ADDR_LEN;
	return true;
}

/* 5.1.6.5.2: unicast and multicast addresses; both tables, to the byte. */
static bool
check_tables(const struct command *command)
{
	uint64_t offset = 0;
	bool good = true;

	for (int table = 0; good && table < 2; table++)
		good = skip_table(command, &offset);
	return good && offset == command->length;
}

static bool
set_mac(struct pv_control *control, const struct command *command)
{
	if (command->header.cmd == VIRTIO_NET_CTRL_MAC_ADDR_SET)
		return set_address(control, command);
	return command->header.cmd == VIRTIO_NET_CTRL_MAC_TABLE_SET && check_tables(command);
}

/* 5.1.6.5.3 */
static bool
set_vlan(const struct command *command)
{
	uint16_t vlan;

	return command->header.cmd <= VIRTIO_NET_CTRL_VLAN_DEL && read_data(command, &vlan, sizeof(vlan)) &&
	       rte_le_to_cpu_16(vlan) < VLANS;
}

/* 5.1.6.5.4: the guest has sent its announcement. Nobody asked for one, so there is nothing to clear. */
static bool
acknowledge_announce(const struct command *command)
{
	return command->header.cmd == VIRTIO_NET_CTRL_ANNOUNCE_ACK && command->length == 0;
}

/* 5.1.6.5.6: in effect before the guest is answered, so that no further frame goes to a queue that it gave up. */
static bool
set_pairs(struct pv_control *control, const struct command *command)
{
	uint16_t pairs;

	if (!control->multiqueue || command->header.cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ||
	    !read_data(command, &pairs, sizeof(pairs)))
		return false;
	pairs = rte_le_to_cpu_16(pairs);
	if (pairs < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN || pairs > control->pairs_max)
		return false;
	control->pairs = pairs;
	if (control->active != NULL)
		*control->active = pairs;
	return true;
}

static bool
execute(struct pv_control *control, const struct command *command)
{
	switch (command->header.class) {
	case VIRTIO_NET_CTRL_RX:
		return set_mode(control, command);
	case VIRTIO_NET_CTRL_MAC:
		return set_mac(control, command);
	case VIRTIO_NET_CTRL_VLAN:
		return set_vlan(command);
	case VIRTIO_NET_CTRL_ANNOUNCE:
		return acknowledge_announce(command);
	case VIRTIO_NET_CTRL_MQ:
		return set_pairs(control, command);
	default:
		return false;
	}
}

/* Executes what the readable buffers say. */
static bool
read_and_execute(struct pv_control *control, const struct pv_pieces *readable)
{
	struct command command = { .readable = readable };

	if (!copy_out(readable, 0, &command.header, sizeof(command.header)))
		return false;
	command.length = readable->bytes - sizeof(command.header);
	return execute(control, &command);
}

/*
 * Answers one chain. Returns how many bytes were written, or -EAGAIN or -EPROTO of gather. What cannot be answered is
 * not executed. The acknowledgement is the first byte that we may write: behind it is room for results, of which the
 * commands here have none.
 */
static int
answer(struct pv_control *control, struct pv_virtqueue *queue, const struct pv_available *chain)
{
	struct pv_pieces readable, writable;
	int result = pv_virtqueue_gather(queue, chain, &readable, &writable);
	bool done;

	if (result == -EAGAIN || result == -EPROTO)
		return result;
	atomic_fetch_add_explicit(&control->commands, 1, memory_order_relaxed);
	done = result == 0 && writable.n > 0 && read_and_execute(control, &readable);
	if (!done)
		atomic_fetch_add_explicit(&control->refused, 1, memory_order_relaxed);
	if (result != 0 || writable.n == 0)
		return 0;
	*(uint8_t *)writable.piece[0].iov_base = done ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	pv_memory_written(queue->memory, writable.piece[0].iov_base, 1);
	return 1;
}

int
pv_control_serve(struct pv_control *control, struct pv_virtqueue *queue)
{
	struct pv_available chains[COMMANDS_MAX];
	struct pv_used used[COMMANDS_MAX];
	uint16_t n = pv_virtqueue_peek(queue, chains, COMMANDS_MAX, queue->packed), done = 0;
	int written = 0;

	while (done < n && (written = answer(control, queue, &chains[done])) >= 0) {
		used[done] = (struct pv_used){ .id = chains[done].id,
					       .slots = chains[done].slots,
					       .length = (uint32_t)written };
		pv_virtqueue_take(queue, &chains[done], queue->packed);
		done++;
	}
	if (done > 0) {
		pv_virtqueue_push(queue, used, done, queue->packed);
		pv_virtqueue_publish(queue, queue->packed);
	}
	return done == 0 && written == -EAGAIN ? -EAGAIN : done;
}

/* The address that the guest has: its own choice, or the port's. */
static void
read_address(const struct pv_control *control, uint8_t *to)
{
	uint64_t address = control->address;

	if (address != 0)
		memcpy(to, &address, RTE_ETHER_ADDR_LEN);
	else if (control->mac.set)
		memcpy(to, control->mac.bytes, RTE_ETHER_ADDR_LEN);
}

void
pv_control_read_config(const struct pv_control *control, uint32_t offset, void *to, uint32_t size)
{
	struct virtio_net_config config = {
		.status = rte_cpu_to_le_16(VIRTIO_NET_S_LINK_UP),
		.max_virtqueue_pairs = rte_cpu_to_le_16(control->pairs_max),
		.mtu = rte_cpu_to_le_16(control->mtu),
	};

	read_address(control, config.mac);
	memset(to, 0, size);
	if (offset < sizeof(config))
		memcpy(to, (const uint8_t *)&config + offset, RTE_MIN(size, (uint32_t)sizeof(config) - offset));
}
