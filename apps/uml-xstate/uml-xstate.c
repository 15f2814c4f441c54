/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uml-xstate: has User-mode Linux run on processors with more registers than it knows. To be preloaded:
 *
 *   LD_PRELOAD=…/libpktvirt-uml-xstate.so linux.uml …
 *
 * User-mode Linux keeps the extended registers (FPU, AVX, …) of its processes in 2696 bytes, as much as AVX-512 and
 * protection keys take (FP_SIZE in arch/x86/um of Linux 6.1). It reads them with PTRACE_GETREGSET, which gives whatever
 * there is room for, and writes them with PTRACE_SETREGSET, which takes the whole area of the processor or nothing. On
 * one with AMX, whose area has 11008 bytes, the write fails, and with it the first process: the kernel panics.
 *
 * So the area that is written is completed here. What User-mode Linux does not know of is left in its initial state,
 * which is what it is in: a process that uses AMX has to ask for it (arch_prctl), and User-mode Linux does not know
 * that call. Where the area is no larger than it thinks, nothing changes.
 *
 * The buffers are static: the stacks of User-mode Linux are small, and only its one kernel thread traces.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define AREA_MAX 65536
#define HEADER_AT 512 /* of the area: first the bits of the components that are not in their initial state */

typedef long traced(int request, pid_t pid, void *address, void *data);

static uint8_t area[AREA_MAX];

/* How long the area of this processor is; 0 when the kernel does not say. */
static size_t
area_size(traced *next, pid_t pid)
{
	static size_t size;
	struct iovec whole = { .iov_base = area, .iov_len = sizeof(area) };

	if (size == 0 && next(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &whole) == 0)
		size = whole.iov_len;
	return size;
}

static long
write_whole(traced *next, pid_t pid, const struct iovec *given)
{
	size_t size = area_size(next, pid);
	struct iovec whole = { .iov_base = area, .iov_len = size };
	uint64_t components;

	if (size <= given->iov_len || given->iov_len < HEADER_AT + sizeof(components))
		return next(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, (void *)given);
	memset(area, 0, size);
	memcpy(area, given->iov_base, given->iov_len);
	return next(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, &whole);
}

__attribute__((visibility("default"))) long
ptrace(enum __ptrace_request request, ...)
{
	static traced *next;
	va_list list;
	pid_t pid;
	void *address, *data;

	va_start(list, request);
	pid = va_arg(list, pid_t);
	address = va_arg(list, void *);
	data = va_arg(list, void *);
	va_end(list);
	if (next == NULL)
		next = (traced *)dlsym(RTLD_NEXT, "ptrace");
	if (next == NULL) {
		errno = ENOSYS;
		return -1;
	}
	if (request == PTRACE_SETREGSET && (uintptr_t)address == NT_X86_XSTATE)
		return write_whole(next, pid, data);
	return next(request, pid, address, data);
}
