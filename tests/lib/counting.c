/* SPDX-License-Identifier: BSD-3-Clause */
#include "counting.h"

#include <string.h>

#include <rte_ether.h>
#include <rte_mbuf.h>

struct counting_guest counting_guests[COUNTING_GUESTS_MAX];

static void
write_address(uint8_t *address, uint16_t guest)
{
	if (guest == COUNTING_ALL)
		memset(address, 0xff, RTE_ETHER_ADDR_LEN);
	else
		memcpy(address, (uint8_t[]){ 0x52, 0x54, 0, 0, 0, (uint8_t)guest }, RTE_ETHER_ADDR_LEN);
}

struct rte_mbuf *
counting_frame(const struct pv_port *port, uint64_t number)
{
	const struct pv_datapath *datapath = port->framework;
	struct rte_mbuf *packet = rte_pktmbuf_alloc(datapath->pool);
	uint8_t *frame = packet != NULL ? (uint8_t *)rte_pktmbuf_append(packet, COUNTING_FRAME_BYTES) : NULL;

	if (frame == NULL)
		return NULL;
	memset(frame, 0, COUNTING_FRAME_BYTES);
	write_address(frame, counting_guests[port->id].receiver(port->id, number));
	write_address(frame + RTE_ETHER_ADDR_LEN, port->id);
	memcpy(frame + RTE_ETHER_HDR_LEN, &number, sizeof(number));
	return packet;
}

uint64_t
counting_number(const struct rte_mbuf *packet)
{
	uint64_t number;

	memcpy(&number, rte_pktmbuf_mtod_offset(packet, const void *, RTE_ETHER_HDR_LEN), sizeof(number));
	return number;
}

uint16_t
counting_take(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	struct counting_guest *guest = &counting_guests[port->id];
	uint16_t n = 0;

	while (n < count && guest->taken < guest->offered) {
		packets[n] = counting_frame(port, guest->taken);
		if (packets[n] == NULL)
			break;
		guest->taken++;
		n++;
	}
	return n;
}

uint16_t
counting_give(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	counting_guests[port->id].received += count;
	rte_pktmbuf_free_bulk(packets, count);
	return count;
}

bool
counting_listen(struct pv_port *port, uint16_t queue, bool wanted)
{
	struct counting_guest *guest = &counting_guests[port->id];

	guest->wants_kicks = wanted;
	return wanted && guest->taken < guest->offered;
}

void
counting_begin(const struct pv_port *port, counting_receiver *receiver)
{
	struct counting_guest *guest = &counting_guests[port->id];

	memset(guest, 0, sizeof(*guest));
	guest->receiver = receiver;
}

int
counting_start(struct pv_port *port)
{
	port->set_up(port, true);
	return 0;
}

void
counting_close(struct pv_port *port)
{
}
