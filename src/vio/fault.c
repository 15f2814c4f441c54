/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a fault is mended. A page that is gone: the kernel sends SIGBUS to the very thread that touched a page behind the
 * end of its file (or one of huge pages or broken memory that it cannot give). The handler finds the watched mapping
 * that the address is in, maps anonymous zeroes over it from that page to its end (MAP_FIXED replaces in one step: no
 * other thread sees a hole) and returns; the instruction is tried again and finds zeroes. So there are no checks on the
 * path of a packet, and nothing is unwound: code that reads zeroes, or writes to what nobody reads, is in no worse a
 * state than with a guest that writes zeroes there. The owner sees the flag soon after and puts an end to the guest.
 *
 * Several threads may fault in one mapping at once, each in its own handler: each replaces what is from its page on,
 * and the later of two may take what the earlier thread has just written there. It is garbage either way.
 *
 * A hole of a window: SIGSEGV, of a page that is there and may not be touched. All of the hole, up to the mappings
 * before and after it, is made accessible by mprotect(): one call and one more mapping for the kernel to keep, however
 * many pages of it a guest has us touch. It was made of anonymous memory, so zeroes are what is found in it.
 *
 * Part of a huge page cannot be replaced (EINVAL): then all of the mapping is, with whatever the file still had of it.
 *
 * The table is read by handlers while others change it. An entry is valid from the time its base is stored, last; one
 * whose base has changed while it was read is read again. A handler cannot find a mapping that has been unwatched
 * meanwhile, as it runs on a thread that touches the mapping, and none may then. Everything called is
 * async-signal-safe: mmap() is not on POSIX's list, but a system call and no more.
 *
 * What is not a fault of a guest goes where it went before: the action that was there is restored, and on return from
 * the handler the access faults again (or the signal that somebody sent is sent again).
 *
 * Limits: EAL has a SIGBUS handler of its own while it adds huge pages to its heap, which it does at the start, and
 * again when the heap grows; a guest's fault in just that moment still ends the process. A kernel thread that works on
 * guest memory for us gets an error, not a signal.
 */
#include "vio/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>

/* Regions, log, in-flight area, a window and the regions in it of as many ports as there may be. */
#define WATCHES_MAX 16384
#define PAGE ((uintptr_t)4096)
#define HUGE_PAGE_MAX ((uintptr_t)1 << 30)
#define RESERVED ((uintptr_t)1) /* a base that no mapping has */

struct watch {
	_Atomic uintptr_t base; /* 0: free; RESERVED: being written */
	_Atomic uintptr_t length;
	_Atomic uint32_t fault; /* what is mended: PV_FAULT_… */
	_Atomic(_Atomic uint32_t *) faulted;
};

/* What a handler has read of a watch. */
struct mapping {
	uintptr_t base, length;
	uint32_t fault;
	_Atomic uint32_t *faulted;
};

static struct watch watches[WATCHES_MAX];
static _Atomic size_t watches_used; /* none at this place or after it was ever taken */
static struct sigaction previous_bus, previous_segv;

/* initial-exec: a handler must not be the first to ask for a thread's storage, which may allocate it. */
static __thread __attribute__((tls_model("initial-exec"))) _Atomic uint32_t *shield;

static __thread __attribute__((tls_model("initial-exec"))) sigjmp_buf *catcher;

/* Reads a watch while it may be changed; false when it is none. */
static bool
read_watch(struct watch *watch, struct mapping *mapping)
{
	do {
		mapping->base = watch->base;
		if (mapping->base == 0 || mapping->base == RESERVED)
			return false;
		mapping->length = watch->length;
		mapping->fault = watch->fault;
		mapping->faulted = watch->faulted;
	} while (mapping->base != watch->base);
	return true;
}

/* What is watched for such a fault and has the address. */
static bool
find_mapping(uintptr_t address, uint32_t fault, struct mapping *mapping)
{
	size_t n = watches_used;

	for (size_t i = 0; i < n; i++)
		if (read_watch(&watches[i], mapping) && mapping->fault == fault &&
		    address - mapping->base < mapping->length)
			return true;
	return false;
}

static bool
replace(uintptr_t base, uintptr_t length)
{
	return mmap((void *)base, length, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

/* Replaces the page at the address, of whatever size it is: to replace less than all of it is EINVAL. */
static bool
replace_page(uintptr_t address)
{
	bool replaced = false;

	errno = EINVAL;
	for (uintptr_t size = PAGE; !replaced && errno == EINVAL && size <= HUGE_PAGE_MAX; size *= 2)
		replaced = replace(address & ~(size - 1), size);
	return replaced;
}

static bool
replace_rest(const struct mapping *mapping, uintptr_t address)
{
	uintptr_t from = address & ~(PAGE - 1);

	return replace(from, mapping->base + mapping->length - from) || replace(mapping->base, mapping->length);
}

static bool
mend_cut(uintptr_t address)
{
	struct mapping mapping;

	if (find_mapping(address, PV_FAULT_CUT, &mapping)) {
		atomic_fetch_or(mapping.faulted, PV_FAULT_CUT);
		return replace_rest(&mapping, address);
	}
	if (shield == NULL)
		return false;
	atomic_fetch_or(shield, PV_FAULT_CUT);
	return replace_page(address);
}

/* Makes of a window the hole that the address is in: what is between two mappings. False when it is in a mapping. */
static bool
narrow(struct mapping *window, uintptr_t address)
{
	uintptr_t from = window->base, to = window->base + window->length;
	size_t n = watches_used;

	for (size_t i = 0; i < n; i++) {
		struct mapping mapping;

		if (!read_watch(&watches[i], &mapping) || mapping.fault != PV_FAULT_CUT)
			continue;
		if (address - mapping.base < mapping.length)
			return false;
		if (mapping.base > address)
			to = mapping.base < to ? mapping.base : to;
		else
			from = mapping.base + mapping.length > from ? mapping.base + mapping.length : from;
	}
	window->base = from;
	window->length = to - from;
	return true;
}

/* Where a kernel never overcommits it gives no hole as a whole. */
static bool
mend_hole(uintptr_t address)
{
	struct mapping hole;

	if (!find_mapping(address, PV_FAULT_HOLE, &hole) || !narrow(&hole, address))
		return false;
	atomic_fetch_or(hole.faulted, PV_FAULT_HOLE);
	return mprotect((void *)hole.base, hole.length, PROT_READ | PROT_WRITE) == 0 ||
	       mprotect((void *)(address & ~(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE) == 0;
}

/* Whether the signal is of an access that is tried again when the handler returns. */
static bool
is_access(const siginfo_t *info)
{
	return info->si_code == BUS_ADRERR || info->si_code == BUS_MCEERR_AR;
}

/* Who set the catcher had only loads under way. */
static void
jump_out(void)
{
	sigjmp_buf *out = catcher;

	catcher = NULL;
	siglongjmp(*out, 1);
}

static void
on_sigbus(int number, siginfo_t *info, void *context)
{
	int before = errno;

	(void)context;
	if (catcher != NULL && is_access(info))
		jump_out();
	if (!is_access(info) || !mend_cut((uintptr_t)info->si_addr)) {
		sigaction(number, &previous_bus, NULL);
		if (!is_access(info) && info->si_code != BUS_ADRALN)
			raise(number); /* arrives when this handler returns */
	}
	errno = before;
}

static void
on_sigsegv(int number, siginfo_t *info, void *context)
{
	int before = errno;

	(void)context;
	if (info->si_code != SEGV_ACCERR || !mend_hole((uintptr_t)info->si_addr)) {
		sigaction(number, &previous_segv, NULL);
		if (info->si_code <= 0) /* somebody sent it */
			raise(number);
	}
	errno = before;
}

static int
take_over(int number, void (*handler)(int, siginfo_t *, void *), struct sigaction *previous)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART }, now;

	if (sigaction(number, NULL, &now) != 0)
		return -errno;
	if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == handler)
		return 0;
	*previous = now;
	sigemptyset(&action.sa_mask);
	/* No SA_NODEFER: a fault of the handler itself must kill, not recurse. Other threads' are not held up. */
	return sigaction(number, &action, NULL) == 0 ? 0 : -errno;
}

int
pv_fault_install(void)
{
	int result = take_over(SIGBUS, on_sigbus, &previous_bus);

	return result == 0 ? take_over(SIGSEGV, on_sigsegv, &previous_segv) : result;
}

/* Takes a free place in the table, or NULL. */
static struct watch *
reserve(void)
{
	for (size_t i = 0; i < WATCHES_MAX; i++) {
		uintptr_t none = 0;
		size_t used = watches_used;

		if (!atomic_compare_exchange_strong(&watches[i].base, &none, RESERVED))
			continue;
		while (used <= i && !atomic_compare_exchange_weak(&watches_used, &used, i + 1))
			;
		return &watches[i];
	}
	return NULL;
}

static int
watch_for(uint32_t fault, void *base, size_t length, _Atomic uint32_t *faulted)
{
	uintptr_t at = (uintptr_t)base;
	struct watch *watch;

	if (base == NULL || at % PAGE != 0 || length == 0 || faulted == NULL)
		return -EINVAL;
	watch = reserve();
	if (watch == NULL)
		return -ENOSPC;
	watch->length = (length + PAGE - 1) & ~(PAGE - 1);
	watch->fault = fault;
	watch->faulted = faulted;
	watch->base = at;
	return 0;
}

int
pv_fault_watch(void *base, size_t length, _Atomic uint32_t *faulted)
{
	return watch_for(PV_FAULT_CUT, base, length, faulted);
}

int
pv_fault_watch_window(void *base, size_t length, _Atomic uint32_t *faulted)
{
	return watch_for(PV_FAULT_HOLE, base, length, faulted);
}

void
pv_fault_unwatch(void *base)
{
	uintptr_t at = (uintptr_t)base;
	size_t n = watches_used;

	if (at == 0 || at == RESERVED)
		return;
	for (size_t i = 0; i < n; i++) {
		uintptr_t expected = at;

		if (atomic_compare_exchange_strong(&watches[i].base, &expected, 0))
			return;
	}
}

void
pv_fault_shield(_Atomic uint32_t *faulted)
{
	shield = faulted;
}

void
pv_fault_catch(sigjmp_buf *out)
{
	catcher = out;
	atomic_signal_fence(memory_order_seq_cst);
}
