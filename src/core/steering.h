/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Steering: with contexts, a wire port whose device can tell addresses apart has the frames for a context arrive at a
 * queue pair that is owned by the worker which owns the context. Others spread frames over their queues, and the worker
 * that gets one hands it to the owner's mailbox: the same result, one ring later.
 *
 * A rule is a hint of where a frame goes first and nothing else: each frame is looked at as if there were none. So it
 * does not matter that rules follow what they are made from by up to a second, or that a device keeps one.
 *
 * Which rules there are to be: for each context that is up, whose address is known (port->address, or its configured
 * "mac") and whose queue pairs in use are one worker's; one of several workers is better off with frames that are
 * spread. Once a second that is compared with the rules there are, on the main thread, since making a rule may sleep.
 * First those that are wrong are taken away, then those that lack are made.
 *
 * What guests can do with it: a context has one rule, and a look changes PV_STEERING_CHANGES at most, beginning where
 * the last one ended; so one that changes its address all the time costs two calls of the driver a second, and has
 * nobody else wait for long. A rule that was not to be had is not asked for again for a minute, unless it is another.
 * A device that says that it has no such rules, or fails at the first one, is not asked for that kind (with or without
 * a VLAN) any more.
 *
 * Limits. When a rule comes or goes, what is in the one queue may be overtaken by what comes into the other, as with
 * every redirection of a device. No device in reach of the tests takes such rules: net_null, net_af_packet and net_pcap
 * have none, and net_tap makes them of tc's flower, which needs a kernel with the qdisc multiq.
 */
#ifndef PV_CORE_STEERING_H
#define PV_CORE_STEERING_H

#include <stdint.h>

#include "base/limits.h"

#define PV_STEERING_CHANGES 64
#define PV_STEERING_AGAIN_S 60

struct pv_datapath;
struct pv_steered;

struct pv_steering {
	struct pv_steered *at[PV_PORTS_MAX]; /* the rules at each wire port; NULL: none were ever made */
};

/* Makes the rules at wire ports what they are to be, as far as it goes. Once a second, on the main thread. */
void pv_steer(struct pv_datapath *datapath, uint32_t now_s);

/*
 * A port goes: takes the rules at it away, and those for it at others. Before it is closed, on the main thread. Again
 * does nothing.
 */
void pv_steering_forget(struct pv_datapath *datapath, uint16_t port);

#endif
