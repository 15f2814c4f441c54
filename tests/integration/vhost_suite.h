/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the vhost-user suite share: cases, frontends that are cleaned up, and frames between them. */
#ifndef TESTS_INTEGRATION_VHOST_SUITE_H
#define TESTS_INTEGRATION_VHOST_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "frontend.h"

#define LONGEST 1518 /* bytes of a frame */
#define CASES_MAX 128

/* A case: its name is a sentence; `run` is given the case itself. */
struct suite_case {
	char name[128];
	void (*run)(const struct suite_case *which);
	uint32_t number;   /* of the variant, for the cases of the matrix */
	uint64_t features; /* that the case is about, besides VERSION_1 */
	uint64_t protocol;
	uint16_t queue_pairs; /* 0 means 1 */
};

/* Adds a case to those that are run. */
void suite_add(const struct suite_case *one);
void suite_add_matrix(void);
void suite_add_special(void);

/* What a data path cannot do that cases of the matrix would do besides what they are about. */
enum suite_quirk {
	/* It does not say in how many buffers a frame is where that is always one. */
	SUITE_NUM_BUFFERS_UNSET = 1,
	/* It takes any four descriptors of a packed receive ring for four buffers. */
	SUITE_PACKED_RECEIVES_SINGLE = 2,
};
bool suite_has(enum suite_quirk quirk);

/* The daemon's ports, by the names of their sockets. */
enum suite_port { VM0, VM1, MQ0, MQ1, CLIENT0, SUITE_PORTS };

/*
 * Fills in what the setup does not say: socket, memory, one queue pair, rings of 64, buffers of one descriptor; and
 * for what the data path must be excused.
 */
struct frontend_setup suite_setup(enum suite_port port, uint64_t features);
/* A frontend that is attached, and freed when the case ends, however it does. Fails the case when that cannot be. */
struct frontend *suite_attach(const struct frontend_setup *setup);
/* The same, with rings that nobody has started. */
struct frontend *suite_connect(const struct frontend_setup *setup);
void suite_attach_now(struct frontend *frontend);
/* Detaches, and fails the case if the device has done anything wrong. */
void suite_detach(struct frontend *frontend);

/* What the case does now, which is said when it fails. */
void suite_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Fails the case with what the device has done wrong, if it has. */
void suite_check(struct frontend *frontend);

struct suite_flow;

/*
 * Waits: call it in a loop, with whether anything has happened. Fails the case after 20 s without, and says then how
 * far the flows are that it is about.
 */
struct suite_wait {
	const char *what;
	const struct suite_flow *flows[2]; /* or NULL */
	int64_t end_ms;
};
void suite_wait(struct suite_wait *wait, bool progress);

/* Frame number `number` from one port to another: its length, and its bytes. */
uint32_t suite_length(uint32_t number);
void suite_make_frame(uint8_t *frame, enum suite_port from, enum suite_port to, uint32_t number, uint32_t length);

/* Frames from one frontend to another, all of one flow. */
struct suite_flow {
	struct frontend *from, *to;
	enum suite_port source, target;
	uint32_t sent, received;
	bool lossy; /* what is under way now may be lost; what comes is as it was sent, and in order */
};
/* One turn: sends what the receiver has room for, up to `count` in all, and compares what has come. True on progress.
 */
bool suite_move(struct suite_flow *flow, uint32_t count);
/* `count` frames each way; every one must come, in order, as it was sent. */
void suite_exchange(struct suite_flow *there, struct suite_flow *back, uint32_t count);
/* Waits until the device has given back all transmit buffers. */
void suite_drain(struct frontend *frontend);

#endif
