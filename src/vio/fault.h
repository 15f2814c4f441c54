/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that a guest's device model shares with us is a file of his, and he may make it shorter while we use it.
 * Whoever touches a page that is gone then gets SIGBUS, which would end the daemon. Here such a fault costs only the
 * guest whose memory it is: fault.c says how. A guest's memory may also have holes, in a window (window.h): who touches
 * one gets SIGSEGV, and the same is done about it.
 *
 * A system call that is given such memory fails with EFAULT instead; that is for its caller to see.
 */
#ifndef PV_VIO_FAULT_H
#define PV_VIO_FAULT_H

#include <setjmp.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* What a fault was; bits of *faulted. */
#define PV_FAULT_CUT 1u	 /* a page that the file has no more */
#define PV_FAULT_HOLE 2u /* where a window has no memory */

/*
 * Takes SIGBUS and SIGSEGV of the process over, after EAL has started and before any guest is let in; any that is not
 * of a guest's memory goes the way it went before. Nothing happens when they are ours already. 0 or -errno.
 */
int pv_fault_install(void);

/*
 * Watches a mapping: from now on a fault in it, on any thread, makes the rest of it zeroes that are ours alone, and
 * sets PV_FAULT_CUT in *faulted. The caller clears it, looks at it, and ends what uses the mapping. `base` and `length`
 * are those of mmap(), so that a mapping of huge pages is whole ones. `faulted` must live until pv_fault_unwatch(), and
 * until every thread that touched the mapping has stopped. Any thread. 0; -EINVAL for no mapping; -ENOSPC when there
 * are too many.
 */
int pv_fault_watch(void *base, size_t length, _Atomic uint32_t *faulted);

/*
 * Watches a window: from now on an access, on any thread, to a page of it that is PROT_NONE makes the hole that the
 * page is in zeroes that are ours alone, and sets PV_FAULT_HOLE in *faulted. The mappings in the window are watched
 * for themselves, by pv_fault_watch(), and none of them begins where the window does. Else as there.
 */
int pv_fault_watch_window(void *base, size_t length, _Atomic uint32_t *faulted);

/*
 * Ends either, before the mapping is unmapped and the addresses are somebody else's, and when no thread touches it any
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
