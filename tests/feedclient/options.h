/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options - the command line of feedclient.
 */
#ifndef FEEDCLIENT_OPTIONS_H
#define FEEDCLIENT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_CLIENTS 10000

/* Largest --read-size, and the size of the pieces that --generate writes. */
#define BUFFER_SIZE (256 * 1024)

/* Value of a number that was not given. */
#define UNSET UINT64_MAX

/* Each is described by --help. */
struct options {
	uint64_t clients;
	uint64_t bytes;
	double seconds;
	bool until_end;
	bool allow_end;
	bool allow_reset;
	const char *expect_end;
	uint64_t expect_bytes;
	bool from_start;
	bool allow_gaps;
	bool block_gaps;
	uint64_t block_size;
	bool discard;
	bool lines;
	bool framed;
	const char *http;
	const char *metadata;
	const char *preamble;
	uint64_t rate;
	uint64_t rcvbuf;
	uint64_t read_size;
	uint64_t stall;
	uint64_t stall_after;
	uint64_t reset;
	uint64_t reset_after;
	uint64_t leave;
	uint64_t leave_after;
	bool churn;
	bool half_close;
	uint64_t send;
	uint64_t ready_fd;
	const char *ready;
	bool progress;
	const char *pauses;
	uint64_t min_rate;
	double spread;
	const char *source;
	uint64_t connect_timeout;
	uint64_t generate;
	const char *check_file;
	bool help;
};

/* Set by options_parse() alone. */
extern struct options opt;

/** options_parse() - set opt from the command line; exit with 2 if it is wrong, with 0 after --help.
 * Return: HOST:PORT, or NULL with --generate or --check-file.
 */
char *options_parse(int argc, char **argv);

/** options_error() - print why the command line cannot be carried out; exit with 2. */
void options_error(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
