/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Plays frames into a running daemon and keeps what comes out: two guests, which are frontends of ours
 * (tests/lib/frontend.h), and the kernel's end of a tap.
 *
 * Usage: frame_player VM0-SOCKET VM1-SOCKET INTERFACE CORPUS RESULT. Both files are records, in the byte order of this
 * machine: in CORPUS struct play and the frame, in RESULT struct came and the frame, those of one receiver after those
 * of another. The two guests differ in all that a guest may choose. Exit status 0, or 1 after saying what is wrong.
 *
 * Nothing depends on time: a frame that is marked ends a batch, and the next one begins when every receiver but its
 * sender has it. All that was sent before it has then been delivered or dropped, because nothing overtakes.
 */
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include <arpa/inet.h>

#include "frontend.h"

#define DEADLINE_S 20
#define TAP_BYTES (8 << 20) /* that the kernel may keep for the tap */

enum { VM0, VM1, TAP, PARTS };

struct play {
	uint8_t sender;
	uint8_t header; /* enum frontend_header */
	uint8_t pieces;
	uint8_t indirect;
	uint8_t ends_batch;
	uint8_t unused;
	uint16_t length;
};

struct came {
	uint8_t receiver;
	uint8_t unused;
	uint16_t length;
};

static const char *const names[PARTS] = { "vm0", "vm1", "tap" };
static struct frontend *guests[2];
static int tap;

/* What has come, as it is written. */
static struct {
	uint8_t *bytes;
	size_t size, room;
	size_t last; /* where the last frame begins; `size` when there is none */
} result[PARTS];

static void __attribute__((noreturn, format(printf, 1, 2))) give_up(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

static void
attach(int which, const char *socket, const struct frontend_setup *differs)
{
	struct frontend_setup setup = *differs;

	setup.socket = socket;
	setup.features |= FRONTEND_BIT(VIRTIO_F_VERSION_1) | FRONTEND_BIT(VIRTIO_RING_F_INDIRECT_DESC) |
			  FRONTEND_BIT(FRONTEND_F_PROTOCOL);
	setup.protocol = FRONTEND_BIT(FRONTEND_PROTOCOL_REPLY_ACK);
	setup.queue_pairs = 1;
	setup.ring_size = 256;
	setup.deadline_s = DEADLINE_S;
	guests[which] = frontend_new(&setup);
	if (guests[which] == NULL)
		give_up("%s: %s", socket, strerror(errno));
	if (frontend_attach(guests[which]) != 0)
		give_up("%s: does not attach: %s", names[which], frontend_complaint(guests[which]));
}

static void
open_tap(const char *interface)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int one = 1, bytes = TAP_BYTES;

	address.sll_ifindex = (int)if_nametoindex(interface);
	tap = socket(AF_PACKET, SOCK_RAW, 0);
	if (tap < 0 || address.sll_ifindex == 0 ||
	    setsockopt(tap, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) != 0 ||
	    setsockopt(tap, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)) != 0 ||
	    setsockopt(tap, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0 ||
	    bind(tap, (struct sockaddr *)&address, sizeof(address)) != 0)
		give_up("%s: %s", interface, strerror(errno));
}

/* --- what comes --------------------------------------------------------------------------------------------------- */

static void
keep(uint8_t receiver, const void *frame, uint16_t length)
{
	const struct came came = { .receiver = receiver, .length = length };

	if (result[receiver].size + sizeof(came) + length > result[receiver].room) {
		result[receiver].room = 2 * result[receiver].room + 65536;
		result[receiver].bytes = realloc(result[receiver].bytes, result[receiver].room);
		if (result[receiver].bytes == NULL)
			give_up("out of memory");
	}
	memcpy(result[receiver].bytes + result[receiver].size, &came, sizeof(came));
	memcpy(result[receiver].bytes + result[receiver].size + sizeof(came), frame, length);
	result[receiver].last = result[receiver].size;
	result[receiver].size += sizeof(came) + length;
}

/* The kernel takes the outer VLAN tag out of a frame; it is beside it (packet(7), PACKET_AUXDATA). */
static ssize_t
receive_from_tap(uint8_t *frame, size_t room)
{
	uint8_t control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct iovec piece = { frame + 4, room - 4 };
	struct msghdr message = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	ssize_t length = recvmsg(tap, &message, MSG_DONTWAIT);
	struct cmsghdr *beside = length >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
	struct tpacket_auxdata data = { 0 };

	if (beside != NULL && beside->cmsg_type == PACKET_AUXDATA)
		memcpy(&data, CMSG_DATA(beside), sizeof(data));
	if ((data.tp_status & TP_STATUS_VLAN_VALID) == 0) {
		memmove(frame, frame + 4, length > 0 ? (size_t)length : 0);
		return length;
	}
	memmove(frame, frame + 4, 12);
	memcpy(frame + 12, (uint16_t[]){ htons(data.tp_vlan_tpid), htons(data.tp_vlan_tci) }, 4);
	return length + 4;
}

static bool
receive_on(uint8_t receiver)
{
	uint8_t frame[FRONTEND_FRAME_MAX];
	ssize_t length =
		receiver == TAP ? receive_from_tap(frame, sizeof(frame)) : frontend_receive(guests[receiver], 0, frame);

	if (receiver != TAP && (frontend_service(guests[receiver]) != 0 || length < 0))
		give_up("%s: %s", names[receiver], frontend_complaint(guests[receiver]));
	if (length > 0)
		keep(receiver, frame, (uint16_t)length);
	return length > 0;
}

static bool
receive_all(void)
{
	bool progress = false;

	for (uint8_t receiver = 0; receiver < PARTS; receiver++)
		while (receive_on(receiver))
			progress = true;
	return progress;
}

static bool
has_come_last(uint8_t receiver, const void *frame, uint16_t length)
{
	const uint8_t *last = result[receiver].bytes + result[receiver].last;
	struct came came;

	if (result[receiver].size == 0)
		return false;
	memcpy(&came, last, sizeof(came));
	return came.length == length && memcmp(last + sizeof(came), frame, length) == 0;
}

/* --- what is sent ------------------------------------------------------------------------------------------------- */

/* Call it in a loop, with whether anything has happened. */
static void
wait_a_moment(bool progress, const char *what)
{
	const struct timespec pause = { .tv_nsec = 20000 };
	static time_t end;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (progress || end == 0)
		end = now.tv_sec + DEADLINE_S;
	else if (now.tv_sec > end)
		give_up("nothing happens for %d s: %s", DEADLINE_S, what);
	else
		nanosleep(&pause, NULL);
}

static void
wait_for_end_of_batch(uint8_t sender, const void *frame, uint16_t length)
{
	for (uint8_t receiver = 0; receiver < PARTS; receiver++)
		while (receiver != sender && !has_come_last(receiver, frame, length))
			wait_a_moment(receive_all(), names[receiver]);
}

static void
send_from_guest(const struct play *play, const void *frame)
{
	const struct frontend_chain chain = { .header = play->header,
					      .pieces = play->pieces,
					      .indirect = play->indirect };
	struct frontend *guest = guests[play->sender];

	while (!frontend_ring_offer_tx(frontend_transmit_ring(guest, 0), frame, play->length, &chain)) {
		int reclaimed = frontend_reclaim(guest, 0);

		if (reclaimed < 0)
			give_up("%s: %s", names[play->sender], frontend_complaint(guest));
		wait_a_moment(reclaimed > 0, "the transmit ring stays full");
	}
}

static void
send_one(const struct play *play, const void *frame)
{
	if (play->sender != TAP)
		send_from_guest(play, frame);
	else if (send(tap, frame, play->length, 0) != play->length)
		give_up("tap: %u bytes: %s", play->length, strerror(errno));
	if (play->ends_batch)
		wait_for_end_of_batch(play->sender, frame, play->length);
}

static void
play_all(const char *path)
{
	uint8_t frame[FRONTEND_FRAME_MAX];
	FILE *corpus = fopen(path, "rb");
	struct play play;

	if (corpus == NULL)
		give_up("%s: %s", path, strerror(errno));
	while (fread(&play, sizeof(play), 1, corpus) == 1) {
		if (play.sender >= PARTS || play.length > sizeof(frame) ||
		    fread(frame, 1, play.length, corpus) != play.length)
			give_up("%s: is no corpus", path);
		send_one(&play, frame);
	}
	fclose(corpus);
}

static void
write_result(const char *path)
{
	FILE *file = fopen(path, "wb");

	for (uint8_t receiver = 0; file != NULL && receiver < PARTS; receiver++)
		fwrite(result[receiver].bytes, 1, result[receiver].size, file);
	if (file == NULL || fclose(file) != 0)
		give_up("%s: %s", path, strerror(errno));
}

static void
detach(int which)
{
	while (frontend_ring_outstanding(frontend_transmit_ring(guests[which], 0)) > 0)
		wait_a_moment(frontend_reclaim(guests[which], 0) > 0, "transmit buffers are not given back");
	if (frontend_detach(guests[which]) != 0 || frontend_complaint(guests[which]) != NULL)
		give_up("%s: %s", names[which], frontend_complaint(guests[which]));
	frontend_free(guests[which]);
}

int
main(int argc, char **argv)
{
	const struct frontend_setup plain = {
		.features = FRONTEND_BIT(VIRTIO_RING_F_EVENT_IDX),
		.memory = FRONTEND_MEMORY_ONE,
		.receive = { .pieces = 1 },
		.receive_bytes = 2048,
	};
	const struct frontend_setup peculiar = {
		.features = FRONTEND_BIT(VIRTIO_F_RING_PACKED) | FRONTEND_BIT(VIRTIO_NET_F_MRG_RXBUF),
		.memory = FRONTEND_MEMORY_TOUCHING,
		.receive = { .header = FRONTEND_HEADER_APART, .pieces = 3, .indirect = true },
		.receive_bytes = 700,
	};

	if (argc != 6)
		give_up("usage: %s VM0-SOCKET VM1-SOCKET INTERFACE CORPUS RESULT", argv[0]);
	open_tap(argv[3]);
	attach(VM0, argv[1], &plain);
	attach(VM1, argv[2], &peculiar);
	play_all(argv[4]);
	detach(VM0);
	detach(VM1);
	write_result(argv[5]);
	return 0;
}
