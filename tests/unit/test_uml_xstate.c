/* SPDX-License-Identifier: BSD-3-Clause */
/* What apps/uml-xstate makes of ptrace(): a process's registers are read and written as User-mode Linux does. */
#include <dlfcn.h>
#include <elf.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define UML_AREA_BYTES 2696
#define XMM0_AT 160 /* of the legacy part of the area (Intel SDM, volume 1, 13.4.1) */
#define HEADER_AT 512
#define SSE 2ULL

typedef long traced(int request, pid_t pid, void *address, void *data);

static traced *traced_by_library;

static pid_t
start_tracee(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return pid;
}

static void
end_tracee(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void
set_area(pid_t pid, uint8_t *area, size_t size)
{
	struct iovec part = { .iov_base = area, .iov_len = size };

	assert_int_equal(traced_by_library(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, &part), 0);
}

static size_t
get_area(pid_t pid, uint8_t *area, size_t size)
{
	struct iovec part = { .iov_base = area, .iov_len = size };

	assert_int_equal(traced_by_library(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &part), 0);
	return part.iov_len;
}

static void
registers_are_written_from_as_much_as_user_mode_linux_keeps(void **state)
{
	static const uint8_t mark[16] = "sixteen bytes..";
	uint8_t area[UML_AREA_BYTES] = { 0 }, back[UML_AREA_BYTES];
	pid_t pid = start_tracee();
	size_t size = get_area(pid, area, sizeof(area));
	uint64_t components;

	memcpy(area + XMM0_AT, mark, sizeof(mark));
	memcpy(&components, area + HEADER_AT, sizeof(components));
	components |= SSE;
	memcpy(area + HEADER_AT, &components, sizeof(components));
	set_area(pid, area, size);
	get_area(pid, back, sizeof(back));
	assert_memory_equal(back + XMM0_AT, mark, sizeof(mark));
	end_tracee(pid);
}

static void
the_whole_area_is_written_as_it_is(void **state)
{
	static uint8_t area[65536], back[65536];
	pid_t pid = start_tracee();
	size_t size = get_area(pid, area, sizeof(area));

	area[XMM0_AT] ^= 0xff;
	area[HEADER_AT] |= SSE;
	set_area(pid, area, size);
	assert_int_equal(get_area(pid, back, sizeof(back)), size);
	assert_memory_equal(back + XMM0_AT, area + XMM0_AT, 16);
	end_tracee(pid);
}

static void
other_requests_pass(void **state)
{
	pid_t pid = start_tracee();

	assert_int_equal(traced_by_library(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_EXITKILL), 0);
	assert_int_equal(traced_by_library(PTRACE_CONT, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(traced_by_library(PTRACE_CONT, pid, NULL, NULL), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_are_written_from_as_much_as_user_mode_linux_keeps),
		cmocka_unit_test(the_whole_area_is_written_as_it_is),
		cmocka_unit_test(other_requests_pass),
	};
	void *library = dlopen(getenv("PV_UML_XSTATE"), RTLD_NOW | RTLD_LOCAL);

	traced_by_library = library != NULL ? (traced *)dlsym(library, "ptrace") : NULL;
	if (traced_by_library == NULL)
		return EXIT_FAILURE;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
