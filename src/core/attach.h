/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PV_CORE_ATTACH_H
#define PV_CORE_ATTACH_H

#include <stddef.h>

struct pv_port;

/* "qemu", "libvirt", "uml", "virtio-user", NULL. */
extern const char *const pv_attach_kinds[];

/*
 * The exact lines that attach a guest of a kind to a vhost-user port: a shell command, or XML for libvirt, ending with
 * a newline. Where the guest image of bench/guest has been built the command boots it; otherwise it has the place where
 * the user's own disk goes. Allocated; the caller frees it. NULL with the reason in `error`.
 */
char *pv_attach_lines(const struct pv_port *port, const char *kind, char *error, size_t size);

#endif
