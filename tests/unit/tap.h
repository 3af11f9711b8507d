/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Results in TAP, for prove(1). A test point is a number of checks under one name:
 *
 *	check(length == 3, "length is %u", length);
 *	check(list.first == &a, "another first item");
 *	point("a list of three");
 *	return tap_end();
 *
 * A point without a single check fails, too.
 */
#ifndef DMACAST_TEST_TAP_H
#define DMACAST_TEST_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Failed checks of one point that are described. */
#define TAP_DESCRIBED 10

/* One for all files of a program: a check counts wherever it is. */
__attribute__((weak)) struct {
	unsigned int points, failed_points;
	uint64_t checks, failed; /* since the last point */
} tap;

static inline bool tap_pass(void)
{
	tap.checks++;
	return true;
}

static inline bool __attribute__((format(printf, 4, 5)))
tap_fail(const char *file, int line, const char *condition, const char *format, ...)
{
	char text[2048];
	va_list args;

	tap.checks++;
	if (tap.failed++ >= TAP_DESCRIBED)
		return false;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	printf("# %s:%d: not true: %s: ", file, line, condition);
	for (const char *c = text; *c; c++) {
		if (*c == '\n')
			fputs("\n#  ", stdout);
		else
			putchar(*c < ' ' || *c > '~' ? '?' : *c);
	}
	putchar('\n');
	fflush(stdout);
	return false;
}

/* check() - a part of the next point; the rest is for printf(). Return: @condition. */
#define check(condition, ...) \
	((condition) ? tap_pass() : tap_fail(__FILE__, __LINE__, #condition, __VA_ARGS__))

/* point() - the checks since the last point are one result. */
static inline void __attribute__((format(printf, 1, 2))) point(const char *format, ...)
{
	va_list args;

	if (!tap.checks)
		tap_fail(__FILE__, __LINE__, "checks > 0", "nothing was checked");
	printf("%sok %u - ", tap.failed ? "not " : "", ++tap.points);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	if (tap.failed)
		printf("# %llu of %llu checks failed\n", (unsigned long long)tap.failed,
		       (unsigned long long)tap.checks);
	fflush(stdout);
	tap.failed_points += tap.failed != 0;
	tap.checks = tap.failed = 0;
}

/* tap_skip() - what cannot be tried here. */
static inline void tap_skip(const char *title, const char *why)
{
	printf("ok %u - %s # SKIP %s\n", ++tap.points, title, why);
}

/* tap_under_valgrind() - valgrind makes some system calls itself, and not as the kernel does. */
static inline bool tap_under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

/* tap_end() - the plan. Return: the exit status. */
static inline int tap_end(void)
{
	if (tap.checks)
		point("checks after the last point");
	printf("1..%u\n", tap.points);
	return tap.failed_points || !tap.points;
}

#endif
