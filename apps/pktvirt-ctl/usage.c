/* SPDX-License-Identifier: BSD-3-Clause */
#include "usage.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/diag.h"
#include "client.h"

const char usage_text[] = "Usage: pktvirt-ctl [OPTION...] COMMAND\n"
			  "Asks a running pktvirt.\n"
			  "\n"
			  "Commands:\n"
			  "  show ports            ports, their counters and drops by reason\n"
			  "  show stages           cycles per packet and share of each stage\n"
			  "  show workers          how busy each worker is\n"
			  "  show contexts         each guest's context: turns, kicks and what waits\n"
			  "  show fdb              which port each address is behind\n"
			  "  show config           the effective configuration, and what is bound\n"
			  "  top                   rates, refreshed: keys q quit, p pause, s sort\n"
			  "  attach PORT --for qemu|libvirt|uml|virtio-user\n"
			  "                        the exact lines that attach a guest\n"
			  "  doctor PORT           why each feature is or is not in use\n"
			  "  stage set NAME on|off|KEY=VALUE...\n"
			  "                        switch a stage while packets flow\n"
			  "  port add JSON|@FILE|-\n"
			  "                        add a port, described as in a configuration\n"
			  "  port remove NAME      remove a port; the others go on\n"
			  "  context revoke NAME   shut a guest out at once; it stays connected\n"
			  "  context grant NAME    let it in again\n"
			  "  version               the versions of the daemon and of its DPDK\n"
			  "\n"
			  "Options:\n"
			  "      --socket PATH     the daemon's control socket (default: $PKTVIRT_SOCKET)\n"
			  "      --name NAME       name of the daemon; its socket is " CLIENT_DIRECTORY "/NAME.ctl\n"
			  "                        (default: pktvirt, or the only one there is)\n"
			  "      --json            print the result as JSON\n"
			  "      --interval S      top: seconds between samples (default: 1)\n"
			  "      --once            top: print one sample as text and exit\n"
			  "      --version         print the version of pktvirt-ctl\n"
			  "  -h, --help            print this\n"
			  "\n"
			  "Exit status: 0; 1 when the daemon is not there or refuses; 2 for a mistake on\n"
			  "the command line.\n";

int
usage_error(const char *fmt, ...)
{
	va_list arguments;

	fputs("pktvirt-ctl: ", stderr);
	va_start(arguments, fmt);
	vfprintf(stderr, fmt, arguments);
	va_end(arguments);
	fputs("\nSee pktvirt-ctl --help.\n", stderr);
	return EXIT_USAGE;
}

int
usage_unknown(const char *kind, const char *word, const char *const *names)
{
	const char *near = pv_nearest(word, names);
	char expected[256] = "";
	size_t length = 0;

	if (near != NULL)
		return usage_error("unknown %s \"%s\"; did you mean \"%s\"?", kind, word, near);
	for (size_t i = 0; names[i] != NULL && length < sizeof(expected); i++)
		length += snprintf(expected + length, sizeof(expected) - length, "%s%s", i > 0 ? ", " : "", names[i]);
	return usage_error("unknown %s \"%s\": expected one of: %s", kind, word, expected);
}
