/* SPDX-License-Identifier: BSD-3-Clause */
#include "top.h"

#include <curses.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "rates.h"

#define HEAD_LINES 2

struct top {
	const char *path;
	int interval_ms;
	int fd; /* -1: not connected */
	json_t *before;
	json_t *rates; /* NULL until there are two samples */
	enum rates_order order;
	bool paused, lost;
	int first_line; /* of the tables, when scrolled */
	char notice[CLIENT_WHY_MAX];
};

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
forget_connection(struct top *top)
{
	if (top->fd >= 0)
		close(top->fd);
	json_decref(top->before);
	json_decref(top->rates);
	top->fd = -1;
	top->before = top->rates = NULL;
}

/* Compares with the last sample, if there is one. */
static void
take_sample(struct top *top, json_t *now)
{
	strcpy(top->notice, top->lost ? "connected again, measuring" : "measuring");
	if (top->before != NULL) {
		json_decref(top->rates);
		top->rates = rates_between(top->before, now);
		json_decref(top->before);
		top->notice[0] = '\0';
	}
	top->before = now;
}

/* Asks for the next sample, over a new connection if the last one is gone. */
static void
sample(struct top *top)
{
	json_t *now = NULL;

	if (top->fd < 0)
		top->fd = client_connect(top->path, top->notice);
	if (top->fd >= 0)
		now = rates_sample(top->fd, top->notice);
	if (now != NULL) {
		take_sample(top, now);
		return;
	}
	forget_connection(top);
	top->lost = true;
}

static void
draw_head(const struct top *top)
{
	char line[CLIENT_WHY_MAX];

	attron(A_REVERSE);
	mvhline(0, 0, ' ', COLS);
	mvaddnstr(0, 0, "pktvirt-ctl top   q quit   p pause   s sort   up/down scroll", COLS);
	attroff(A_REVERSE);
	if (top->notice[0] != '\0')
		snprintf(line, sizeof(line), "%s", top->notice);
	else
		snprintf(line, sizeof(line), "%s, every %.3g s, ports by %s%s", top->path, top->interval_ms / 1000.0,
			 rates_order_names[top->order], top->paused ? ", PAUSED" : "");
	mvaddnstr(1, 0, line, COLS);
}

/* The tables as text; the caller frees it. NULL when there is nothing to show. */
static char *
tables_text(const struct top *top)
{
	char *text = NULL;
	size_t size;
	FILE *out;

	if (top->rates == NULL)
		return NULL;
	out = open_memstream(&text, &size);
	if (out == NULL)
		return NULL;
	rates_print(top->rates, top->order, out);
	fclose(out);
	return text;
}

static void
draw_line(int row, const char *line, bool is_head)
{
	if (row <= HEAD_LINES || row >= LINES)
		return;
	if (is_head)
		attron(A_BOLD);
	mvaddnstr(row, 0, line, COLS);
	attroff(A_BOLD);
}

/* The first line and each one after an empty line is the head of a table. */
static void
draw_tables(struct top *top)
{
	char *text = tables_text(top), *rest = text, *line;
	bool is_head = true;
	int n = 0;

	while ((line = strsep(&rest, "\n")) != NULL) {
		draw_line(HEAD_LINES + 1 + n - top->first_line, line, is_head);
		is_head = line[0] == '\0';
		n++;
	}
	free(text);
	if (n > 0 && top->first_line >= n)
		top->first_line = n - 1;
}

static void
draw(struct top *top)
{
	erase();
	draw_head(top);
	draw_tables(top);
	refresh();
}

/* False: the user wants to leave. */
static bool
take_key(struct top *top, int key)
{
	switch (key) {
	case 'q':
		return false;
	case 'p':
		top->paused = !top->paused;
		break;
	case 's':
		top->order = (top->order + 1) % RATES_ORDERS;
		break;
	case KEY_DOWN:
		top->first_line++;
		break;
	case KEY_UP:
		top->first_line -= top->first_line > 0;
		break;
	}
	return true;
}

static void
run(struct top *top)
{
	int64_t next = now_ms(), wait;
	bool stay = true;

	while (stay) {
		wait = next - now_ms();
		if (wait <= 0) {
			if (!top->paused)
				sample(top);
			next = now_ms() + top->interval_ms;
			wait = top->interval_ms;
		}
		draw(top);
		timeout((int)wait);
		stay = take_key(top, getch());
	}
}

int
top_run(const char *path, int interval_ms)
{
	struct top top = { .path = path, .interval_ms = interval_ms, .fd = -1 };
	SCREEN *screen = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) ? newterm(NULL, stdout, stdin) : NULL;

	if (screen == NULL) {
		fputs("pktvirt-ctl: top needs a terminal; without one use: pktvirt-ctl top --once\n", stderr);
		return EXIT_FAILURE;
	}
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	run(&top);
	endwin();
	delscreen(screen);
	forget_connection(&top);
	return EXIT_SUCCESS;
}
