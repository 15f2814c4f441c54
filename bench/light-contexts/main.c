/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * light-contexts QUEUE_SIZE SOCKET...
 *
 * As many guests as there are sockets, each with one vhost-user port and an address, of which none costs anything while
 * it does nothing: for measuring what a switch does with many. One thread, which polls those that send or receive and
 * sleeps when there are none. It says "ready"; then it takes commands, a line each, and answers each with a line of
 * JSON. Contexts are numbered from 0, as their sockets.
 *
 *     attach COUNT                        as many, from the first on, are attached; the others are not
 *     hello                               each sends a frame, so that the switch knows its address
 *     send FROM TO SIZES [RATE]           send frames of these sizes in turn, RATE a second; 0: as fast as it goes
 *     receive WHO [RATE]                  take what comes in
 *     loop ONE OTHER FRAMES SIZES         as many frames go round each way between them, until "stop"
 *     stop                                nobody sends any more, and what is under way is taken
 *     ping FROM TO COUNT IDLE_MS SIZE     as often, after a rest: how long a frame takes from one to the other
 *     wake COUNT IDLE_MS CPU              as often, after a rest: how long it takes to wake a thread on that CPU
 *                                         (wake.h)
 *     stats [COUNT]                       what those contexts did that did anything, of the first so many
 *
 * A ping's time is from before the frame is shown to the switch until it is found by polling, on one clock. Who sends
 * with a rate and cannot keep to it does not make up for more than two milliseconds.
 *
 * It ends at the end of its input, or with status 1 when the switch closes a connection.
 */
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "context.h"
#include "wake.h"

#define ROUNDS 1024 /* between two looks at the commands, while some are active; */
#define LOOKS 64    /* and at the connections of all: one of so many of those looks */
#define PINGS_MAX 100000
#define PING_LOST_NS 1000000000ULL
#define QUIET_NS 20000000ULL /* without a frame, after which none is under way */
#define STOP_NS 2000000000ULL

static struct contexts contexts;
static char **sockets;
static struct pollfd *watched; /* the input, and the connections of all */

static void
answer_error(const char *what)
{
	printf("{\"error\": \"%s\"}\n", what);
}

/* A context that is attached, or NULL after saying so. */
static struct context *
find(unsigned int number)
{
	if (number < contexts.attached)
		return &contexts.all[number];
	answer_error("no such context is attached");
	return NULL;
}

static struct pace
pace(unsigned int rate)
{
	return (struct pace){ .rate = rate, .since_ns = now_ns() };
}

/* --- Commands ----------------------------------------------------------------------------------------------------- */

static void
attach(const char *words)
{
	unsigned int count;

	if (sscanf(words, "%u", &count) != 1 || count > contexts.count) {
		answer_error("attach: expected at most as many as there are sockets");
		return;
	}
	while (contexts.attached > count)
		contexts_detach(&contexts);
	while (contexts.attached < count && contexts_attach(&contexts, sockets[contexts.attached]) == 0)
		watched[contexts.attached] =
			(struct pollfd){ .fd = contexts.all[contexts.attached - 1].connection, .events = POLLRDHUP };
	contexts_choose(&contexts);
	if (contexts.attached == count)
		printf("{\"attached\": %u}\n", contexts.attached);
	else
		answer_error("attach: refused");
}

/* Takes what there is at all contexts. Whether there was something, or the switch has not taken all that they sent. */
static bool
take_some(uint64_t now)
{
	bool some = false;

	for (uint16_t i = 0; i < contexts.attached; i++) {
		some |= context_take(&contexts, &contexts.all[i], now) > 0;
		some |= !context_has_all_back(&contexts.all[i]);
	}
	return some;
}

/* The same until there is nothing, and still nothing after a while: however long the CPU was somebody else's. */
static void
take_all(void)
{
	uint64_t now = now_ns(), last = now, end = now + STOP_NS;

	for (; now < end; now = now_ns()) {
		if (take_some(now))
			last = now;
		else if (now >= last + QUIET_NS)
			return;
	}
}

static void
hello(const char *words)
{
	for (uint16_t i = 0; i < contexts.attached; i++)
		context_send(&contexts.all[i], contexts.all[i == 0].address, FRAME_MIN);
	take_all();
	printf("{\"attached\": %u}\n", contexts.attached);
}

/* Reads the sizes of the frames that a context is to send; false after saying what is wrong. */
static bool
take_sizes(struct context *context, char *text)
{
	context->n_sizes = parse_sizes(text, FRAME_MIN, FRAME_MAX, context->sizes);
	context->next_size = 0;
	if (context->n_sizes == 0)
		printf("{\"error\": \"expected 1 to %d sizes of %d to %d bytes\"}\n", SIZES_MAX, FRAME_MIN, FRAME_MAX);
	return context->n_sizes > 0;
}

static void
start_sending(const char *words)
{
	unsigned int from, to, rate = 0;
	char sizes[COMMAND_MAX];
	struct context *context;

	if (sscanf(words, "%u %u %511s %u", &from, &to, sizes, &rate) < 3 || to >= contexts.count) {
		answer_error("send: expected FROM TO SIZES [RATE]");
		return;
	}
	context = find(from);
	if (context == NULL || !take_sizes(context, sizes))
		return;
	memcpy(context->to, contexts.all[to].address, ADDRESS_BYTES);
	context->sending = pace(rate);
	context->sends = true;
	contexts_choose(&contexts);
	puts("{}");
}

static void
start_receiving(const char *words)
{
	unsigned int who, rate = 0;
	struct context *context;

	if (sscanf(words, "%u %u", &who, &rate) < 1) {
		answer_error("receive: expected WHO [RATE]");
		return;
	}
	context = find(who);
	if (context == NULL)
		return;
	context->taking = pace(rate);
	context->receives = true;
	contexts_choose(&contexts);
	puts("{}");
}

/* Has a context send back to another what it receives, and puts frames on their way. Returns how many. */
static unsigned int
begin_loop(struct context *from, const struct context *to, unsigned int frames)
{
	unsigned int loaded = 0;

	memcpy(from->to, to->address, ADDRESS_BYTES);
	from->reflects = from->receives = true;
	from->taking = pace(0);
	while (loaded < frames && context_send(from, from->to, from->sizes[loaded % from->n_sizes]))
		loaded++;
	return loaded;
}

static void
start_loop(const char *words)
{
	unsigned int one, other, frames;
	char sizes[COMMAND_MAX], same[COMMAND_MAX];
	struct context *a, *b;

	if (sscanf(words, "%u %u %u %511s", &one, &other, &frames, sizes) != 4) {
		answer_error("loop: expected ONE OTHER FRAMES SIZES");
		return;
	}
	memcpy(same, sizes, sizeof(same));
	a = find(one);
	b = a != NULL ? find(other) : NULL;
	if (b == NULL || !take_sizes(a, sizes) || !take_sizes(b, same))
		return;
	frames = begin_loop(a, b, frames) + begin_loop(b, a, frames);
	contexts_choose(&contexts);
	printf("{\"loaded\": %u}\n", frames);
}

static void
stop(const char *words)
{
	for (uint16_t i = 0; i < contexts.attached; i++) {
		struct context *context = &contexts.all[i];

		context->sends = context->receives = context->reflects = false;
		context->taking = pace(0);
	}
	contexts_choose(&contexts);
	take_all();
	puts("{}");
}

/* What a ping is sent on. */
struct path {
	struct context *from, *to;
	uint16_t size;
};

/* How long a frame takes from one to the other, in nanoseconds; 0 when it does not come. */
static uint64_t
ping_once(void *given)
{
	const struct path *path = given;
	uint64_t start = now_ns(), now = start;

	if (!context_send(path->from, path->to->address, path->size))
		return 0;
	while (context_take(&contexts, path->to, now) == 0) {
		now = now_ns();
		if (now > start + PING_LOST_NS)
			return 0;
	}
	return now_ns() - start;
}

static void
rest(unsigned int ms)
{
	const struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&time, NULL);
}

/* Says how long something takes, each time after a rest. */
static void
answer_latencies(unsigned int count, unsigned int idle_ms, uint64_t (*once)(void *given), void *given)
{
	const char *comma = "";
	unsigned int lost = 0;

	printf("{\"latencies_ns\": [");
	for (unsigned int i = 0; i < count; i++) {
		uint64_t took;

		rest(idle_ms);
		took = once(given);
		lost += took == 0;
		if (took > 0) {
			printf("%s%lu", comma, took);
			comma = ", ";
		}
	}
	printf("], \"lost\": %u}\n", lost);
}

static void
ping(const char *words)
{
	unsigned int one, other, count, idle_ms, size;
	struct path path;

	if (sscanf(words, "%u %u %u %u %u", &one, &other, &count, &idle_ms, &size) != 5 || count == 0 ||
	    count > PINGS_MAX || size < FRAME_MIN || size > FRAME_MAX) {
		answer_error("ping: expected FROM TO COUNT IDLE_MS SIZE");
		return;
	}
	path.size = (uint16_t)size;
	path.from = find(one);
	path.to = path.from != NULL ? find(other) : NULL;
	if (path.to != NULL)
		answer_latencies(count, idle_ms, ping_once, &path);
}

static uint64_t
wake_once(void *waker)
{
	return waker_wake(waker);
}

static void
wake(const char *words)
{
	unsigned int count, idle_ms, cpu;
	struct waker *waker;

	if (sscanf(words, "%u %u %u", &count, &idle_ms, &cpu) != 3 || count == 0 || count > PINGS_MAX ||
	    cpu >= CPU_SETSIZE) {
		answer_error("wake: expected COUNT IDLE_MS CPU");
		return;
	}
	waker = waker_start(cpu);
	if (waker != NULL) {
		waker_wake(waker); /* what it does first takes longer */
		answer_latencies(count, idle_ms, wake_once, waker);
	} else {
		answer_error("wake: no thread on that CPU");
	}
	waker_stop(waker);
}

static void
print_context(const struct context *context)
{
	printf("{\"context\": %u, \"tx_packets\": %lu, \"tx_bytes\": %lu, \"rx_packets\": %lu, \"rx_bytes\": %lu, "
	       "\"delivered_packets\": %lu, \"delivered_bytes\": %lu, \"bogus\": %lu}",
	       context->number, context->tx_packets, context->tx_bytes, context->rx_packets, context->rx_bytes,
	       context->delivered_packets, context->delivered_bytes, context->bogus);
}

static void
stats(const char *words)
{
	const char *comma = "";
	unsigned int count = UINT16_MAX;

	sscanf(words, "%u", &count);
	printf("{\"time_ns\": %lu, \"contexts\": [", now_ns());
	for (uint16_t i = 0; i < contexts.attached && i < count; i++) {
		const struct context *context = &contexts.all[i];

		if (context->tx_packets + context->rx_packets + context->bogus == 0)
			continue;
		fputs(comma, stdout);
		print_context(context);
		comma = ", ";
	}
	puts("]}");
}

static const struct {
	const char *name;
	void (*obey)(const char *words);
} commands[] = {
	{ "attach", attach },	{ "hello", hello }, { "send", start_sending }, { "receive", start_receiving },
	{ "loop", start_loop }, { "stop", stop },   { "ping", ping },	       { "wake", wake },
	{ "stats", stats },
};

static void
obey(void *given, const char *line)
{
	size_t length = strcspn(line, " "), i = 0;

	while (i < sizeof(commands) / sizeof(*commands) &&
	       (strncmp(commands[i].name, line, length) != 0 || commands[i].name[length] != '\0'))
		i++;
	if (i < sizeof(commands) / sizeof(*commands))
		commands[i].obey(line + length);
	else
		answer_error("unknown command: expected attach, hello, send, receive, loop, stop, ping, wake or stats");
	fflush(stdout);
}

/* --- The program -------------------------------------------------------------------------------------------------- */

/*
 * Waits for a command if there is nothing else to do. While there is, a look at all connections is dear enough to be
 * seen in what is measured beside many. False when a connection was closed.
 */
static bool
watch(void)
{
	static unsigned int looks;
	uint16_t attached = contexts.n_active > 0 && ++looks % LOOKS != 0 ? 0 : contexts.attached;

	poll(watched, 1 + attached, contexts.n_active > 0 ? 0 : -1);
	for (uint16_t i = 1; i <= attached; i++)
		if (watched[i].revents != 0)
			return false;
	return true;
}

static int
serve(void)
{
	while (commands_read(obey, NULL)) {
		for (unsigned int i = 0; i < ROUNDS && contexts.n_active > 0; i++)
			contexts_run(&contexts);
		if (!watch()) {
			fputs("light-contexts: the switch has closed a connection\n", stderr);
			return EXIT_FAILURE;
		}
	}
	return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
	unsigned long queue_size = 0, count = argc > 2 ? (unsigned long)argc - 2 : 0;
	char *end = "";

	if (argc > 2)
		queue_size = strtoul(argv[1], &end, 10);
	if (count == 0 || count > UINT16_MAX || *end != '\0' || queue_size < 16 || queue_size > 1024 ||
	    (queue_size & (queue_size - 1)) != 0) {
		fputs("usage: light-contexts QUEUE_SIZE SOCKET...; QUEUE_SIZE: 16 to 1024, a power of two\n", stderr);
		return 2;
	}
	sockets = argv + 2;
	watched = calloc(1 + count, sizeof(*watched));
	if (watched == NULL || contexts_make(&contexts, (uint16_t)count, (uint16_t)queue_size) != 0 ||
	    commands_do_not_wait() != 0)
		return EXIT_FAILURE;
	watched[0].events = POLLIN;
	puts("ready");
	fflush(stdout);
	return serve();
}
