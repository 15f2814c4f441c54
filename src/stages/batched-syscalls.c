/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * batched-syscalls: one system call per burst, not per packet, where packets cross into the host kernel.
 *
 * Source: Koh et al., "Efficient Packet Processing in User-Level OSes: A Study of UML" (LCN 2006), section 4.2,
 * "Aggregated System Calls": the enhanced UML core crosses the boundary to the host once where UML crosses it several
 * times. pktvirt's boundary to the host is its kernel ports and the notification of guests.
 *
 * per-packet, the baseline of UML: a tap costs one read(2) or write(2) per frame, as UML's tuntap transport does
 * (vio/host_file.c), a raw port one recvmsg(2) or sendmsg(2) (vio/host_socket.c), and a guest is notified (one eventfd
 * write) for every used buffer.
 *
 * per-burst, the stage, and what runs where no baseline asks otherwise: a tap costs one call per burst
 * (vio/host_uring.c), and a raw port one sendmmsg(2) or recvmmsg(2), and one more to see that there is nothing left
 * (vio/host_socket.c). A look that finds nothing new costs none. A guest is notified once per burst.
 *
 * Limits: a kernel without io_uring (or with kernel.io_uring_disabled) has no per-burst way for taps; the port then
 * does not open and says so.
 */
#include "base/limits.h"
#include "core/primitive.h"
#include "core/stage.h"
#include "vio/host_io.h"

static const struct pv_host_io single_io = {
	.frames_per_notification = 1,
	.channels = { [PV_HOST_FILE] = &pv_host_file_per_packet, [PV_HOST_SOCKET] = &pv_host_socket_per_packet },
};

static const struct pv_host_io batched_io = {
	.frames_per_notification = PV_BURST_MAX,
	.channels = { [PV_HOST_FILE] = &pv_host_file_per_burst, [PV_HOST_SOCKET] = &pv_host_socket_per_burst },
};

static const struct pv_implementation per_packet = {
	.primitive = PV_PRIMITIVE_HOST_IO,
	.name = "per-packet",
	.summary = "one system call for each frame of a tap or raw port and each used buffer of a guest",
	.baselines = 1u << PV_BASELINE_UML,
	.ops = &single_io,
};
PV_IMPLEMENTATION(per_packet)

static const struct pv_implementation per_burst = {
	.primitive = PV_PRIMITIVE_HOST_IO,
	.name = "per-burst",
	.summary = "one system call for a burst of frames (io_uring, sendmmsg), one notification of a guest per burst",
	.plain = true,
	.ops = &batched_io,
};
PV_IMPLEMENTATION(per_burst)

static const char *
bind_host_io(const void *options)
{
	return per_burst.name;
}

static const struct pv_stage batched_syscalls = {
	.name = "batched-syscalls",
	.summary = "one system call per burst at every boundary to the host, not one per packet",
	.source = "Koh et al., LCN 2006, section 4.2 (aggregated system calls)",
	.primitive = PV_PRIMITIVE_HOST_IO,
	.bind = bind_host_io,
};
PV_STAGE(batched_syscalls)
