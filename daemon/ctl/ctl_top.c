// SPDX-License-Identifier: BSD-2-Clause
/*
 * A picture shows the daemon's current answers, with rates since the previous picture. On a terminal
 * the program waits for keys between two pictures; curses reports a resized terminal as a key.
 */
#include "ctl/ctl_top.h"

#include "ctl/ctl_connection.h"
#include "ctl/ctl_rates.h"
#include "ctl/ctl_show.h"
#include "ctl/ctl_table.h"
#include "lib/clock.h"

#include <bsd/string.h>
#include <curses.h>
#include <jansson.h>
#include <locale.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1024

/* Delay in seconds before the first picture with rates, also if a longer one is set. */
#define MAX_FIRST_DELAY 0.5

enum order { ORDER_LAG, ORDER_RATE, ORDER_DROPPED, ORDER_PINNED };

static const struct {
	int key;
	const char *member, *name;
} orders[] = {
	[ORDER_LAG] = { 'l', "lag_bytes", "lag" },
	[ORDER_RATE] = { 'r', "out_rate", "rate" },
	[ORDER_DROPPED] = { 'd', "dropped_bytes", "dropped" },
	[ORDER_PINNED] = { 'p', "pinned_blocks", "pinned" },
};

struct top {
	struct ctl *ctl;
	enum order order;
	size_t scrolled;	    /* clients above the first one that is shown */
	struct ctl_answers last;    /* none if the daemon did not answer */
	char error[CTL_ERROR_TEXT]; /* set if it did not answer */
};

static volatile sig_atomic_t stopped;

static void top_signalled(int number)
{
	stopped = number;
}

/* ---- answers ---- */

/* Request new answers and compute rates. Return: false with top->error after an error. */
static bool refresh_answers(struct top *top)
{
	struct ctl_answers now;
	bool answered = ctl_ask_all(top->ctl, &now, top->error);

	if (answered) {
		rates_of_streams(now.streams, top->last.streams);
		rates_of_clients(now.clients, top->last.clients);
	}
	ctl_answers_free(&top->last);
	top->last = now;
	return answered;
}

/* ---- clients in order ---- */

static const char *order_member;

static int compare_clients(const void *a, const void *b)
{
	double one = json_number_value(json_object_get(*(json_t *const *)a, order_member));
	double other = json_number_value(json_object_get(*(json_t *const *)b, order_member));

	return (one < other) - (one > other);
}

/* Return: a new answer with the same clients, highest value first. */
static json_t *sorted_clients(const struct top *top)
{
	const json_t *clients = json_object_get(top->last.clients, "clients");
	size_t count = json_array_size(clients);
	json_t **client = calloc(count + 1, sizeof(json_t *)), *list = json_array();

	for (size_t i = 0; client && i < count; i++)
		client[i] = json_array_get(clients, i);
	order_member = orders[top->order].member;
	if (client)
		qsort(client, count, sizeof(json_t *), compare_clients);
	for (size_t i = 0; client && i < count; i++)
		json_array_append(list, client[i]);
	free(client);
	return json_pack("{s:o}", "clients", list);
}

/* ---- without a terminal ---- */

static void print_picture(const struct top *top)
{
	char line[LINE_BYTES];
	struct table *table;
	json_t *sorted = sorted_clients(top);

	puts(show_headline(top->last.status, line, sizeof(line)));
	puts(show_totals(top->last.status, top->last.streams, line, sizeof(line)));
	table = show_streams(top->last.streams);
	table_print(table, stdout);
	table_free(table);
	table = show_clients(sorted);
	table_print(table, stdout);
	table_free(table);
	json_decref(sorted);
	fflush(stdout);
}

static void pause_for(double seconds)
{
	struct timespec time = {
		.tv_sec = (time_t)seconds,
		.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
	};

	nanosleep(&time, NULL);
}

static int run_without_terminal(struct top *top, const struct top_options *options)
{
	double delay = options->delay < MAX_FIRST_DELAY ? options->delay : MAX_FIRST_DELAY;
	bool looking = refresh_answers(top);

	for (uint64_t i = 0; looking && !stopped && (!options->rounds || i < options->rounds);
	     i++) {
		pause_for(delay);
		delay = options->delay;
		looking = refresh_answers(top);
		if (!looking)
			break;
		if (i)
			putchar('\n');
		print_picture(top);
	}
	if (!looking)
		fprintf(stderr, "dmacastctl: %s\n", top->error);
	return !looking;
}

/* ---- on a terminal ---- */

/* Write text in a line of the screen, cut at the right edge. */
static void draw_line(int row, const char *text)
{
	if (row < LINES)
		mvaddnstr(row, 0, text, COLS);
}

/* Return: the row after the table. */
static int draw_table(int row, const struct table *table, size_t skip, int rows)
{
	char line[LINE_BYTES];

	for (size_t i = 0; i < table_rows(table) && rows > 0; i++) {
		if (i == 1)
			i += skip;
		if (i >= table_rows(table))
			break;
		if (i == 0)
			attron(A_BOLD);
		draw_line(row++, table_line(table, i, (size_t)COLS, line, sizeof(line)));
		attroff(A_BOLD);
		rows--;
	}
	return row;
}

static void draw_clients(struct top *top, int row)
{
	json_t *sorted = sorted_clients(top);
	struct table *table = show_clients(sorted);
	size_t clients = table_rows(table) - 1;
	int rows = LINES - row - 1; /* without the line of keys */

	/* Scroll at most to the last client. */
	if (top->scrolled >= clients)
		top->scrolled = clients ? clients - 1 : 0;
	draw_table(row, table, top->scrolled, rows);
	table_free(table);
	json_decref(sorted);
}

static void draw_picture(struct top *top)
{
	char line[LINE_BYTES];
	struct table *table;
	int row = 0;

	erase();
	if (top->last.status) {
		draw_line(row++, show_headline(top->last.status, line, sizeof(line)));
		draw_line(row++,
			  show_totals(top->last.status, top->last.streams, line, sizeof(line)));
		table = show_streams(top->last.streams);
		/* Streams get at most half of the screen; the rest is for clients. */
		row = draw_table(row + 1, table, 0, LINES / 2 - 1);
		table_free(table);
		draw_clients(top, row + 1);
	} else {
		draw_line(0, top->error);
		draw_line(2, "Trying again.");
	}
	snprintf(line, sizeof(line),
		 "q quit  up/down scroll  by l lag, r rate, d dropped, p pinned: %s",
		 orders[top->order].name);
	attron(A_REVERSE);
	draw_line(LINES - 1, line);
	attroff(A_REVERSE);
	refresh();
}

/* Return: false to quit. */
static bool handle_key(struct top *top, int key)
{
	switch (key) {
	case 'q':
	case 'Q':
		return false;
	case KEY_DOWN:
		top->scrolled++;
		return true;
	case KEY_UP:
		top->scrolled -= top->scrolled > 0;
		return true;
	case KEY_NPAGE:
		top->scrolled += (size_t)LINES / 2;
		return true;
	case KEY_PPAGE:
		top->scrolled -=
			top->scrolled < (size_t)LINES / 2 ? top->scrolled : (size_t)LINES / 2;
		return true;
	case KEY_HOME:
		top->scrolled = 0;
		return true;
	default:
		break;
	}
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (orders[i].key == key)
			top->order = (enum order)i;
	}
	return true;
}

/* A resized terminal must not interrupt the wait for an answer; a signal to stop may. */
static void refresh_without_resize(struct top *top)
{
	sigset_t changed_size;

	sigemptyset(&changed_size);
	sigaddset(&changed_size, SIGWINCH);
	sigprocmask(SIG_BLOCK, &changed_size, NULL);
	refresh_answers(top);
	sigprocmask(SIG_UNBLOCK, &changed_size, NULL);
}

/* Handle keys until the next picture is due. Return: false to quit. */
static bool serve_keys(struct top *top, double seconds)
{
	uint64_t end = clock_monotonic_ns() + (uint64_t)(seconds * 1e9), now;

	while (!stopped && (now = clock_monotonic_ns()) < end) {
		int key;

		timeout((int)((end - now) / 1000000 + 1));
		key = getch();
		if (key == ERR)
			continue;
		if (!handle_key(top, key))
			return false;
		draw_picture(top);
	}
	return !stopped;
}

static void top_catch_signals(void)
{
	static const int number[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction action = { .sa_handler = top_signalled };

	for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++)
		sigaction(number[i], &action, NULL);
}

static void run_on_terminal(struct top *top, const struct top_options *options)
{
	double delay = options->delay < MAX_FIRST_DELAY ? options->delay : MAX_FIRST_DELAY;

	initscr();
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	for (uint64_t i = 0; !options->rounds || i <= options->rounds; i++) {
		refresh_without_resize(top);
		draw_picture(top);
		if (i == options->rounds && i)
			break;
		if (!serve_keys(top, delay))
			break;
		delay = options->delay;
	}
	endwin();
}

int top_run(struct ctl *ctl, const struct top_options *options)
{
	struct top top = { .ctl = ctl };
	int status = 0;

	setlocale(LC_CTYPE, "");
	top_catch_signals();
	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
		status = run_without_terminal(&top, options);
	} else if (!refresh_answers(&top)) {
		fprintf(stderr, "dmacastctl: %s\n", top.error);
		status = 1;
	} else {
		run_on_terminal(&top, options);
	}
	ctl_answers_free(&top.last);
	return status;
}
