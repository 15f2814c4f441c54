/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Drives a running daemon with frontends of our own (tests/lib/frontend.h), over all combinations of features.
 *
 * Usage: vhost_suite DATA_PATH DIRECTORY [CASE…]. DIRECTORY holds the sockets of the daemon's ports, DATA_PATH is their
 * "data-path", or what it is called in the table below; a CASE is a pattern of cmocka's. datapaths.py starts it.
 */
#include "vhost_suite.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DEADLINE_S 20
#define FRONTENDS_MAX 4
#define LINEUP_BYTES 18 /* of a frame: addresses, type, number */

/* What a data path does not do, and why: such cases are skipped. All that is set of a line must be so. */
static const struct exclusion {
	const char *data_path;
	const char *name;  /* a part of the case's name, or NULL */
	uint64_t features; /* that the case asks for */
	uint64_t protocol;
	const char *reason;
} exclusions[] = {
	{ "rte_vhost", NULL, 0, FRONTEND_BIT(FRONTEND_PROTOCOL_INFLIGHT_SHMFD),
	  "the library offers in-flight tracking to applications that do it themselves" },
	{ "rte_vhost", NULL, FRONTEND_BIT(VIRTIO_F_ACCESS_PLATFORM), 0,
	  "the library offers it only with RTE_VHOST_USER_IOMMU_SUPPORT, which the daemon does not ask for" },
	{ "rte_vhost", "chained_receive_buffers", FRONTEND_BIT(VIRTIO_F_RING_PACKED), 0,
	  "any four long descriptors of a packed receive ring are taken for four buffers (22.11)" },
	{ "rte_vhost", "num_buffers_is_one", 0, 0, "num_buffers is written with mergeable buffers only (22.11)" },
};

/* What a data path gets wrong: the matrix goes without that, and the table above names the cases that are about it. */
static const struct {
	const char *data_path;
	enum suite_quirk quirk;
	const char *reason;
} quirks[] = {
	{ "rte_vhost", SUITE_NUM_BUFFERS_UNSET,
	  "num_buffers is written with mergeable buffers only (virtio 1.2, 5.1.6.4.1 wants 1)" },
	{ "rte_vhost", SUITE_PACKED_RECEIVES_SINGLE,
	  "four descriptors of a packed receive ring that are long enough are taken for four buffers, although they "
	  "are a "
	  "chain, or refer to indirect tables: virtio_dev_rx_sync_batch_check() looks at no flags" },
};

static const struct {
	const char *name;
	bool listens;
} ports[SUITE_PORTS] = { [VM0] = { "vm0", false },
			 [VM1] = { "vm1", false },
			 [MQ0] = { "mq0", false },
			 [MQ1] = { "mq1", false },
			 [CLIENT0] = { "client0", true } };

static const char *data_path;
static char sockets[SUITE_PORTS][108];
static struct suite_case cases[CASES_MAX];
static struct CMUnitTest tests[CASES_MAX];
static size_t n_cases;
static struct frontend *frontends[FRONTENDS_MAX]; /* of the case that runs */
static char doing[600];				  /* what that case does now */

bool
suite_has(enum suite_quirk quirk)
{
	for (size_t i = 0; i < sizeof(quirks) / sizeof(quirks[0]); i++)
		if (strcmp(quirks[i].data_path, data_path) == 0 && quirks[i].quirk == quirk)
			return true;
	return false;
}

/* --- Cases --- */

static const char *
why_not(const struct suite_case *one)
{
	for (size_t i = 0; i < sizeof(exclusions) / sizeof(exclusions[0]); i++) {
		const struct exclusion *excluded = &exclusions[i];

		if (strcmp(excluded->data_path, data_path) == 0 &&
		    (excluded->name == NULL || strstr(one->name, excluded->name) != NULL) &&
		    (one->features & excluded->features) == excluded->features &&
		    (one->protocol & excluded->protocol) == excluded->protocol)
			return excluded->reason;
	}
	return NULL;
}

static void
run_case(void **state)
{
	const struct suite_case *one = *state;
	const char *reason = why_not(one);

	if (reason != NULL) {
		print_message("%s: not with %s: %s\n", one->name, data_path, reason);
		skip();
	}
	doing[0] = '\0';
	one->run(one);
	doing[0] = '\0';
}

void
suite_say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(doing, sizeof(doing), format, arguments);
	va_end(arguments);
}

static int
clean_up(void **state)
{
	if (doing[0] != '\0')
		print_message("failed while: %s\n", doing);
	for (int i = 0; i < FRONTENDS_MAX; i++) {
		frontend_free(frontends[i]);
		frontends[i] = NULL;
	}
	return 0;
}

void
suite_add(const struct suite_case *one)
{
	if (n_cases == CASES_MAX)
		abort();
	cases[n_cases] = *one;
	tests[n_cases] = (struct CMUnitTest){ .name = cases[n_cases].name,
					      .test_func = run_case,
					      .teardown_func = clean_up,
					      .initial_state = &cases[n_cases] };
	n_cases++;
}

/* --- Frontends --- */

struct frontend_setup
suite_setup(enum suite_port port, uint64_t features)
{
	return (struct frontend_setup){ .socket = sockets[port],
					.listens = ports[port].listens,
					.features = features | FRONTEND_BIT(FRONTEND_F_PROTOCOL),
					.protocol = FRONTEND_BIT(FRONTEND_PROTOCOL_REPLY_ACK),
					.queue_pairs = 1,
					.ring_size = 64,
					.transmit = { .pieces = 1 },
					.receive = { .pieces = 1 },
					.receive_bytes = 2048,
					.num_buffers_unset = suite_has(SUITE_NUM_BUFFERS_UNSET),
					.deadline_s = DEADLINE_S };
}

void
suite_check(struct frontend *frontend)
{
	if (frontend_service(frontend) != 0 || frontend_complaint(frontend) != NULL)
		fail_msg("%s", frontend_complaint(frontend));
}

struct frontend *
suite_connect(const struct frontend_setup *setup)
{
	int i = 0;

	while (i < FRONTENDS_MAX && frontends[i] != NULL)
		i++;
	assert_int_not_equal(i, FRONTENDS_MAX);
	frontends[i] = frontend_new(setup);
	if (frontends[i] == NULL)
		fail_msg("%s: %s", setup->socket, strerror(errno));
	return frontends[i];
}

void
suite_attach_now(struct frontend *frontend)
{
	int result = frontend_attach(frontend);

	if (result == -ENOTSUP)
		fail_msg("not offered: features %#" PRIx64 ", of the protocol %#" PRIx64,
			 frontend_not_offered(frontend), frontend_protocol_not_offered(frontend));
	if (frontend_complaint(frontend) != NULL)
		fail_msg("%s", frontend_complaint(frontend));
	assert_int_equal(result, 0);
}

struct frontend *
suite_attach(const struct frontend_setup *setup)
{
	struct frontend *frontend = suite_connect(setup);

	suite_attach_now(frontend);
	return frontend;
}

void
suite_detach(struct frontend *frontend)
{
	frontend_detach(frontend);
	if (frontend_complaint(frontend) != NULL)
		fail_msg("%s", frontend_complaint(frontend));
	for (int i = 0; i < FRONTENDS_MAX; i++)
		if (frontends[i] == frontend)
			frontends[i] = NULL;
	frontend_free(frontend);
}

/* --- Waiting --- */

/* A frame that is missing was not taken by the device, not delivered, or lost in between. */
static void
print_flow(const struct suite_flow *flow)
{
	print_message("%s to %s: %u sent, %u received, %u with the device, %u buffers to receive with\n",
		      ports[flow->source].name, ports[flow->target].name, flow->sent, flow->received,
		      frontend_ring_outstanding(frontend_transmit_ring(flow->from, 0)),
		      frontend_ring_outstanding(frontend_receive_ring(flow->to, 0)));
}

static void
fail_waiting(const struct suite_wait *wait)
{
	for (size_t i = 0; i < sizeof(wait->flows) / sizeof(wait->flows[0]); i++)
		if (wait->flows[i] != NULL)
			print_flow(wait->flows[i]);
	fail_msg("nothing happens for %d s: %s", DEADLINE_S, wait->what);
}

void
suite_wait(struct suite_wait *wait, bool progress)
{
	const struct timespec pause = { .tv_nsec = 20000 };
	struct timespec now;
	int64_t now_ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	if (progress || wait->end_ms == 0) {
		wait->end_ms = now_ms + DEADLINE_S * 1000;
		return;
	}
	if (now_ms > wait->end_ms)
		fail_waiting(wait);
	nanosleep(&pause, NULL);
}

/* --- Frames --- */

uint32_t
suite_length(uint32_t number)
{
	static const uint16_t edges[] = { 14,  15,  17,	 18,  59,  60,	61,  63,   64,	 65,   127,  128,  129,
					  255, 256, 257, 499, 588, 589, 600, 1023, 1024, 1513, 1514, 1515, 1518 };
	const uint32_t n = sizeof(edges) / sizeof(edges[0]);

	if (number % 2 == 0)
		return edges[number / 2 % n];
	return 14 + number * 2654435761u % (LONGEST - 13);
}

void
suite_make_frame(uint8_t *frame, enum suite_port from, enum suite_port to, uint32_t number, uint32_t length)
{
	const uint8_t head[14] = { 0x52, 0x54, 0, 0, 0, (uint8_t)(1 + to), 0x52, 0x54, 0, 0, 0, (uint8_t)(1 + from),
				   0x88, 0xb5 };
	uint32_t noise = number * 2654435761u + from;

	memcpy(frame, head, sizeof(head));
	for (uint32_t i = sizeof(head); i < length; i++) {
		noise = noise * 1664525u + 1013904223u;
		frame[i] = (uint8_t)(noise >> 24);
	}
	if (length >= LINEUP_BYTES)
		memcpy(frame + sizeof(head), &number, sizeof(number));
}

static bool
is_next(const struct suite_flow *flow, const uint8_t *frame, uint32_t length)
{
	uint32_t wanted = suite_length(flow->received);
	uint8_t expected[LONGEST];

	suite_make_frame(expected, flow->source, flow->target, flow->received, wanted);
	return length == wanted && memcmp(frame, expected, wanted) == 0;
}

/* Compares what has come with what was sent. */
static bool
receive_all(struct suite_flow *flow)
{
	uint8_t frame[FRONTEND_FRAME_MAX];
	bool progress = false;
	int length;

	while ((length = frontend_receive(flow->to, 0, frame)) > 0) {
		if (flow->received == flow->sent)
			fail_msg("a frame of %d bytes that nobody has sent", length);
		while (flow->lossy && flow->received + 1 < flow->sent && !is_next(flow, frame, (uint32_t)length))
			flow->received++;
		if (!is_next(flow, frame, (uint32_t)length))
			fail_msg("frame %u of %u bytes: one of %d bytes has come instead, or other bytes",
				 flow->received, suite_length(flow->received), length);
		flow->received++;
		progress = true;
	}
	suite_check(flow->to);
	return progress;
}

bool
suite_move(struct suite_flow *flow, uint32_t count)
{
	uint8_t frame[LONGEST];
	bool progress = false;

	while (flow->sent < count && flow->sent - flow->received < frontend_room(flow->to, 0, LONGEST)) {
		uint32_t length = suite_length(flow->sent);

		suite_make_frame(frame, flow->source, flow->target, flow->sent, length);
		if (!frontend_send(flow->from, 0, frame, length))
			break;
		flow->sent++;
		progress = true;
	}
	suite_check(flow->from);
	return receive_all(flow) || progress;
}

void
suite_exchange(struct suite_flow *there, struct suite_flow *back, uint32_t count)
{
	struct suite_wait wait = { .what = "frames are under way", .flows = { there, back } };
	uint32_t there_end = there->sent + count, back_end = back->sent + count;

	while (there->received < there_end || back->received < back_end) {
		bool progress = suite_move(there, there_end);

		progress |= suite_move(back, back_end);
		suite_wait(&wait, progress);
	}
	suite_drain(there->from);
	suite_drain(back->from);
}

void
suite_drain(struct frontend *frontend)
{
	struct suite_wait wait = { .what = "transmit buffers are with the device" };

	while (frontend_ring_outstanding(frontend_transmit_ring(frontend, 0)) > 0) {
		suite_wait(&wait, frontend_reclaim(frontend, 0) > 0);
		suite_check(frontend);
	}
}

int
main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: %s DATA_PATH DIRECTORY [CASE]\n", argv[0]);
		return 2;
	}
	data_path = argv[1];
	for (int i = 0; i < SUITE_PORTS; i++)
		snprintf(sockets[i], sizeof(sockets[i]), "%s/%s.sock", argv[2], ports[i].name);
	if (argc > 3)
		cmocka_set_test_filter(argv[3]);
	for (size_t i = 0; i < sizeof(quirks) / sizeof(quirks[0]); i++)
		if (strcmp(quirks[i].data_path, data_path) == 0)
			printf("excused: %s: %s\n", data_path, quirks[i].reason);
	suite_add_matrix();
	suite_add_special();
	return _cmocka_run_group_tests(data_path, tests, n_cases, NULL, NULL) == 0 ? 0 : 1;
}
