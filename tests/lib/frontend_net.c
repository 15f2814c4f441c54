/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames: the virtio-net header before them (virtio 1.2, 5.1.6), and what a device may put into it. */
#include "frontend_private.h"

#include <errno.h>
#include <string.h>

static bool
is_mergeable(const struct frontend *frontend)
{
	return (frontend->features & FRONTEND_BIT(VIRTIO_NET_F_MRG_RXBUF)) != 0;
}

struct frontend_ring *
frontend_transmit_ring(struct frontend *frontend, uint16_t pair)
{
	return &frontend->rings[2 * pair + 1];
}

struct frontend_ring *
frontend_receive_ring(struct frontend *frontend, uint16_t pair)
{
	return &frontend->rings[2 * pair];
}

int
frontend_reclaim(struct frontend *frontend, uint16_t pair)
{
	struct frontend_ring *ring = frontend_transmit_ring(frontend, pair);
	int n = 0;

	if (frontend_ring_look(ring) != 0)
		return -EPROTO;
	for (; ring->ready.count > 0; n++)
		frontend_ring_release(ring, frontend_fifo_take(&ring->ready, NULL));
	return n;
}

bool
frontend_send(struct frontend *frontend, uint16_t pair, const void *frame, uint32_t length)
{
	struct frontend_ring *ring = frontend_transmit_ring(frontend, pair);

	if (frontend_ring_offer_tx(ring, frame, length, &frontend->setup.transmit))
		return true;
	return frontend_reclaim(frontend, pair) > 0 &&
	       frontend_ring_offer_tx(ring, frame, length, &frontend->setup.transmit);
}

uint32_t
frontend_room(const struct frontend *frontend, uint16_t pair, uint32_t length)
{
	const struct frontend_ring *ring = &frontend->rings[2 * pair];
	uint32_t bytes = frontend->setup.receive_bytes;
	uint32_t needed = (length + frontend->header_bytes + bytes - 1) / bytes;

	return frontend_ring_outstanding(ring) / needed;
}

/* How many buffers the frame has, as its header says; -EPROTO when the header is not what it may be. */
static int
read_header(struct frontend_ring *ring, uint16_t slot, uint32_t length)
{
	struct frontend *frontend = ring->frontend;
	struct virtio_net_hdr_mrg_rxbuf header = { .num_buffers = 1 };
	bool told = frontend->header_bytes == sizeof(header) &&
		    !(frontend->setup.num_buffers_unset && !is_mergeable(frontend));

	if (length <= frontend->header_bytes)
		return frontend_complain(frontend, "ring %u: a frame of %u bytes, with its header", ring->index,
					 length);
	frontend_ring_read(ring, slot, 0, &header, frontend->header_bytes);
	if (header.hdr.flags != 0 || header.hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return frontend_complain(frontend, "ring %u: a header with flags %#x and type %#x, and no offload",
					 ring->index, header.hdr.flags, header.hdr.gso_type);
	if (!told)
		return 1;
	/* 5.1.6.4.1: 1 if mergeable buffers were not negotiated. */
	if (header.num_buffers == 0 || (header.num_buffers > 1 && !is_mergeable(frontend)))
		return frontend_complain(frontend, "ring %u: num_buffers is %u", ring->index, header.num_buffers);
	return header.num_buffers;
}

/* Copies the next buffer's part of a frame, and offers the buffer again. */
static int
take_part(struct frontend_ring *ring, uint32_t skipped, uint8_t *frame, uint32_t room)
{
	uint32_t length;
	uint16_t slot = frontend_fifo_take(&ring->ready, &length);

	if (length <= skipped || length - skipped > room)
		return frontend_complain(ring->frontend, "ring %u: %u bytes in a buffer of a frame", ring->index,
					 length);
	frontend_ring_read(ring, slot, skipped, frame, length - skipped);
	frontend_ring_release(ring, slot);
	return (int)(length - skipped);
}

int
frontend_receive(struct frontend *frontend, uint16_t pair, void *frame)
{
	struct frontend_ring *ring = frontend_receive_ring(frontend, pair);
	uint32_t skipped = frontend->header_bytes, length = 0;
	int buffers;

	if (frontend_ring_look(ring) != 0)
		return -EPROTO;
	if (ring->ready.count == 0)
		return 0;
	buffers = read_header(ring, ring->ready.item[ring->ready.first], ring->ready.length[ring->ready.first]);
	if (buffers < 0)
		return buffers;
	/* 5.1.6.4: they become visible at once. */
	if (buffers > ring->ready.count)
		return frontend_complain(frontend, "ring %u: a frame in %d buffers, of which %u are used", ring->index,
					 buffers, ring->ready.count);
	for (; buffers > 0; buffers--) {
		int part = take_part(ring, skipped, (uint8_t *)frame + length, FRONTEND_FRAME_MAX - length);

		if (part < 0)
			return part;
		length += (uint32_t)part;
		skipped = 0;
	}
	frontend_ring_fill(ring);
	return (int)length;
}
