/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many guests at a running daemon at once, which are frontends of ours (tests/lib/frontend.h), and send frames to one
 * another.
 *
 * Usage: many_guests DIRECTORY COUNT BATCHES BATCH_MAX PAUSE_US SEED. Guest i attaches to DIRECTORY/vmI.sock and claims
 * an address by saying something to nobody known. Then comes one batch after another: after a pause of random length,
 * at most PAUSE_US, a random number of frames, at most BATCH_MAX, go from random guests to random others. Each frame
 * must arrive as it was sent, at its receiver and nowhere else, in the order of its sender; and who has received some
 * must have been called. Only then comes the next batch. The guests kick only when the device asks them to: split rings
 * with and without event indexes, and packed ones. Exit status 0, or 1 after saying what is wrong.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sys/resource.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "frontend.h"

#define GUESTS_MAX 512
#define RING_SIZE 64
#define BATCH_MAX 48 /* fewer than a ring has room for: all may go to one guest */
#define RECEIVE_BYTES 2048
#define LENGTH_MIN 64
#define LENGTH_MAX 1514
#define DEADLINE_S 20
#define TYPE 0x88b5 /* IEEE 802, local experimental ethertype 1 */

struct head {
	uint8_t destination[6], source[6], type[2];
	uint8_t number[4], length[2]; /* of the frame, in this machine's order */
};

struct letter {
	uint16_t sender, receiver, length;
	uint32_t number;
	bool arrived;
};

static struct {
	unsigned long count, batches, batch_max, pause_us, seed;
} wanted;
static struct frontend *guests[GUESTS_MAX];
static struct letter batch[BATCH_MAX];
static uint32_t n_batch, numbers;

static void __attribute__((noreturn, format(printf, 1, 2))) give_up(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* xorshift64: no two runs with one seed differ. */
static uint32_t
dice(uint32_t sides)
{
	static uint64_t state;

	if (state == 0)
		state = wanted.seed;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 16) % sides);
}

/* Call it in a loop, with whether anything has happened. */
static void
wait_a_moment(bool progress, const char *what, uint32_t guest)
{
	const struct timespec pause = { .tv_nsec = 1000 };
	static uint64_t since;

	if (progress || since == 0)
		since = now_ns();
	else if (now_ns() > since + DEADLINE_S * 1000000000ULL)
		give_up("nothing happens for %d s: %s, vm%u", DEADLINE_S, what, guest);
	else
		nanosleep(&pause, NULL);
}

/* --- guests ------------------------------------------------------------------------------------------------------- */

static void
write_address(uint8_t address[6], uint32_t guest)
{
	memcpy(address, (uint8_t[]){ 0x52, 0x54, 0, 1, (uint8_t)(guest >> 8), (uint8_t)guest }, 6);
}

static void
attach(const char *directory, uint32_t guest)
{
	static const uint64_t differs[] = { FRONTEND_BIT(VIRTIO_RING_F_EVENT_IDX), FRONTEND_BIT(VIRTIO_F_RING_PACKED),
					    0 };
	char path[PATH_MAX];
	const struct frontend_setup setup = {
		.socket = path,
		.features = FRONTEND_BIT(VIRTIO_F_VERSION_1) | FRONTEND_BIT(FRONTEND_F_PROTOCOL) | differs[guest % 3],
		.protocol = FRONTEND_BIT(FRONTEND_PROTOCOL_REPLY_ACK),
		.memory = FRONTEND_MEMORY_ONE,
		.queue_pairs = 1,
		.ring_size = RING_SIZE,
		.transmit = { .pieces = 1 },
		.receive = { .pieces = 1 },
		.receive_bytes = RECEIVE_BYTES,
		.deadline_s = DEADLINE_S,
	};

	snprintf(path, sizeof(path), "%s/vm%u.sock", directory, guest);
	guests[guest] = frontend_new(&setup);
	if (guests[guest] == NULL)
		give_up("%s: %s", path, strerror(errno));
	if (frontend_attach(guests[guest]) != 0)
		give_up("vm%u does not attach: %s", guest, frontend_complaint(guests[guest]));
}

static void
reclaim(uint32_t guest)
{
	if (frontend_reclaim(guests[guest], 0) < 0)
		give_up("vm%u: %s", guest, frontend_complaint(guests[guest]));
}

static void
wait_until_taken(uint32_t guest)
{
	while (frontend_ring_outstanding(frontend_transmit_ring(guests[guest], 0)) > 0) {
		reclaim(guest);
		wait_a_moment(false, "what it sends is not taken", guest);
	}
	wait_a_moment(true, "", guest);
}

static void
claim_address(uint32_t guest)
{
	uint8_t frame[LENGTH_MIN] = { 0x52, 0x54, 0, 1, 0xff, 0xff };
	struct head *head = (struct head *)frame;

	write_address(head->source, guest);
	head->type[0] = TYPE >> 8;
	head->type[1] = TYPE & 0xff;
	if (!frontend_send(guests[guest], 0, frame, sizeof(frame)))
		give_up("vm%u has no room to send", guest);
	wait_until_taken(guest);
}

static void
detach(uint32_t guest)
{
	wait_until_taken(guest);
	if (frontend_detach(guests[guest]) != 0 || frontend_complaint(guests[guest]) != NULL)
		give_up("vm%u: %s", guest, frontend_complaint(guests[guest]));
	frontend_free(guests[guest]);
}

/* --- a batch ------------------------------------------------------------------------------------------------------ */

static void
write_letter(const struct letter *letter, uint8_t *frame)
{
	struct head *head = (struct head *)frame;

	write_address(head->destination, letter->receiver);
	write_address(head->source, letter->sender);
	head->type[0] = TYPE >> 8;
	head->type[1] = TYPE & 0xff;
	memcpy(head->number, &letter->number, sizeof(head->number));
	memcpy(head->length, &letter->length, sizeof(head->length));
	memset(frame + sizeof(*head), (int)(letter->number & 0xff), letter->length - sizeof(*head));
}

static void
think_up_batch(void)
{
	n_batch = 1 + dice((uint32_t)wanted.batch_max);
	for (uint32_t i = 0; i < n_batch; i++) {
		struct letter *letter = &batch[i];

		letter->sender = (uint16_t)dice((uint32_t)wanted.count);
		letter->receiver = (uint16_t)((letter->sender + 1 + dice((uint32_t)wanted.count - 1)) % wanted.count);
		letter->length = (uint16_t)(LENGTH_MIN + dice(LENGTH_MAX - LENGTH_MIN + 1));
		letter->number = numbers++;
		letter->arrived = false;
	}
}

/* Forgets calls of before, and asks for one. */
static void
ask_for_call(uint32_t guest)
{
	struct frontend_ring *ring = frontend_receive_ring(guests[guest], 0);

	frontend_ring_calls(ring);
	frontend_ring_call_next(ring);
}

static void
send_batch(void)
{
	uint8_t frame[LENGTH_MAX];

	for (uint32_t i = 0; i < n_batch; i++)
		ask_for_call(batch[i].receiver);
	for (uint32_t i = 0; i < n_batch; i++) {
		write_letter(&batch[i], frame);
		reclaim(batch[i].sender);
		while (!frontend_send(guests[batch[i].sender], 0, frame, batch[i].length)) {
			reclaim(batch[i].sender);
			wait_a_moment(false, "its transmit ring stays full", batch[i].sender);
		}
	}
}

/* The first letter to `receiver` of that sender that has not arrived must be this frame. */
static void
arrive(uint32_t receiver, const uint8_t *frame, int length)
{
	uint8_t expected[LENGTH_MAX], source[6];

	for (uint32_t i = 0; i < n_batch; i++) {
		write_address(source, batch[i].sender);
		if (batch[i].arrived || batch[i].receiver != receiver || memcmp(frame + 6, source, 6) != 0)
			continue;
		write_letter(&batch[i], expected);
		if (length != batch[i].length || memcmp(frame, expected, (size_t)length) != 0)
			give_up("vm%u was given another frame than vm%u has sent to it next", receiver,
				batch[i].sender);
		batch[i].arrived = true;
		return;
	}
	give_up("vm%u was given a frame that is not for it", receiver);
}

/* Takes what has come to a guest; whether something has. */
static bool
receive(uint32_t guest)
{
	uint8_t frame[FRONTEND_FRAME_MAX];
	bool some = false;
	int length;

	while ((length = frontend_receive(guests[guest], 0, frame)) > 0) {
		arrive(guest, frame, length);
		some = true;
	}
	if (length < 0)
		give_up("vm%u: %s", guest, frontend_complaint(guests[guest]));
	return some;
}

static void
wait_for_batch(void)
{
	for (uint32_t i = 0; i < n_batch; i++)
		while (!batch[i].arrived)
			wait_a_moment(receive(batch[i].receiver), "what is for it does not come", batch[i].receiver);
	for (uint32_t i = 0; i < n_batch; i++) {
		bool seen = false; /* its calls were taken with those for an earlier letter */

		for (uint32_t j = 0; j < i; j++)
			seen |= batch[j].receiver == batch[i].receiver;
		while (!seen && frontend_ring_calls(frontend_receive_ring(guests[batch[i].receiver], 0)) == 0)
			wait_a_moment(false, "it is not called", batch[i].receiver);
	}
}

static void
pause_at_random(void)
{
	uint64_t end = now_ns() + (wanted.pause_us > 0 ? dice((uint32_t)wanted.pause_us * 1000) : 0);

	while (now_ns() < end)
		continue;
}

/* Nobody was given anything but what was for it. */
static void
check_that_nothing_is_left(void)
{
	n_batch = 0;
	for (uint32_t i = 0; i < wanted.count; i++)
		receive(i);
}

static bool
parse(char **argv)
{
	unsigned long *const numbers_wanted[] = { &wanted.count, &wanted.batches, &wanted.batch_max, &wanted.pause_us,
						  &wanted.seed };

	for (size_t i = 0; i < sizeof(numbers_wanted) / sizeof(numbers_wanted[0]); i++) {
		char *end;

		*numbers_wanted[i] = strtoul(argv[2 + i], &end, 10);
		if (*end != '\0')
			return false;
	}
	return wanted.count >= 2 && wanted.count <= GUESTS_MAX && wanted.batch_max >= 1 &&
	       wanted.batch_max <= BATCH_MAX && wanted.pause_us <= 1000000 && wanted.seed > 0;
}

int
main(int argc, char **argv)
{
	struct rlimit files;

	if (argc != 7 || !parse(argv))
		give_up("usage: %s DIRECTORY COUNT BATCHES BATCH_MAX PAUSE_US SEED", argv[0]);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	for (uint32_t i = 0; i < wanted.count; i++)
		attach(argv[1], i);
	for (uint32_t i = 0; i < wanted.count; i++)
		claim_address(i);
	for (unsigned long i = 0; i < wanted.batches; i++) {
		pause_at_random();
		think_up_batch();
		send_batch();
		wait_for_batch();
	}
	check_that_nothing_is_left();
	printf("%u frames\n", numbers);
	for (uint32_t i = 0; i < wanted.count; i++)
		detach(i);
	return 0;
}
