/* SPDX-License-Identifier: BSD-3-Clause */
#include "hang.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static timer_t timer;
static const char *volatile watched;

static void
say(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		_exit(2);
}

static void
on_hang(int number)
{
	say("hang: nothing has moved for a long time: ");
	say(watched);
	say("\n");
	_exit(1);
}

void
hang_watch(const char *what)
{
	const struct sigaction action = { .sa_handler = on_hang };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
	const struct itimerspec once = { .it_value = { .tv_sec = HANG_SECONDS } };

	watched = what;
	if (sigaction(SIGUSR2, &action, NULL) != 0 || timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
	    timer_settime(timer, 0, &once, NULL) != 0)
		abort();
}

void
hang_is_over(void)
{
	timer_delete(timer);
}
