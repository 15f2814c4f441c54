/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that a guest's device model shares with us is a file of his, and he may make it shorter while we use it.
 * Whoever touches a page that is gone then gets SIGBUS, which would end the daemon. Here such a fault costs only the
 * guest whose memory it is: fault.c says how.
 *
 * A system call that is given such memory fails with EFAULT instead; that is for its caller to see.
 */
#ifndef PV_VIO_FAULT_H
#define PV_VIO_FAULT_H

#include <setjmp.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Takes SIGBUS of the process over, after EAL has started and before any guest is let in; any other SIGBUS goes the way
 * it went before. Nothing happens when it is ours already. 0 or -errno.
 */
int pv_fault_install(void);

/*
 * Watches a mapping: from now on a fault in it, on any thread, makes the rest of it zeroes that are ours alone, and
 * sets *faulted to 1. The caller clears it, looks at it, and ends what uses the mapping. `base` and `length` are those
 * of mmap(), so that a mapping of huge pages is whole ones. `faulted` must live until pv_fault_unwatch(), and until
 * every thread that touched the mapping has stopped. Any thread. 0; -EINVAL for no mapping; -ENOSPC when there are too
 * many.
 */
int pv_fault_watch(void *base, size_t length, _Atomic uint32_t *faulted);

/*
 * Ends that, before the mapping is unmapped and the addresses are somebody else's, and when no thread touches it any
 * more. Nothing happens when `base` is not watched. Any thread.
 */
void pv_fault_unwatch(void *base);

/*
 * Until the next call, faults of the calling thread alone in mappings that nobody watches are mended, too, page by
 * page: for code that maps a file of a guest and touches it at once, before anyone could watch it (rte_vhost does, in
 * SET_MEM_TABLE). NULL ends it.
 */
void pv_fault_shield(_Atomic uint32_t *faulted);

/*
 * Until the next call, a fault of the calling thread is not mended: it jumps to `out`, which sigsetjmp() has set with
 * the mask of signals, once. NULL ends it.
 */
void pv_fault_catch(sigjmp_buf *out);

#endif
