// SPDX-License-Identifier: BSD-2-Clause
/*
 * feedclient - many clients of one feed, which check every byte they receive.
 *
 * Opens --clients connections to HOST:PORT and serves them all from one epoll loop. The feed must be
 * the test pattern of pattern.h, so each byte is checked against its place in the stream. One line
 * of key=value pairs on stdout gives the result, each failure has a line on stderr.
 *
 *   clients, connected     number of clients wanted, and connected at least once
 *   ended, resets          connections that the server ended in order (EOF), or with a reset
 *   bytes_*                received by the clients that do not stall
 *   first_offset_*         stream offsets of the connections' first bytes, "none" without any
 *   gaps, gap_bytes        forward jumps of the stream (--allow-gaps), and the bytes they left out
 *   cut_gaps               those of the gaps that begin within a block
 *   frames, metadata, preambles, ends, starts   with --framed: blocks, frames with metadata, a preamble, END, START
 *   gap_blocks             ... blocks in the gaps
 *   lost_blocks, lost_bytes   ... lost at the source, by the headers
 *   bad                    connections with wrong bytes
 *   unsure                 connections that ended less than 16 bytes after a gap, which is a guess
 *   seconds, rate          time since all were connected, and bytes per second
 *   joins, left, done      connections made, left by --leave or --reset, closed after --bytes
 *   stalled_ended, stalled_resets   as "ended" and "resets", of the stalled clients alone
 *   sent                   bytes of rubbish sent to the server
 *   errors                 failures; the exit status is 1 if there are any
 *
 * It uses plain epoll on purpose: a test must not share the machinery of what it tests.
 *
 *   options   command line            loop      epoll, timed work, signals
 *   tally     counts and failures     client    one client: reading, sending, endings
 *   check     bytes of a connection   connect   connections to the server
 *   lines     those of --lines        offline   --check-file, --generate
 *   frames    those of --framed       report    result
 *   answer    HTTP of --http           run       state of all clients together
 */
#include <stdlib.h>

#include "client.h"
#include "connect.h"
#include "loop.h"
#include "offline.h"
#include "options.h"
#include "report.h"

int main(int argc, char **argv)
{
	char *server = options_parse(argc, argv);

	if (opt.generate != UNSET) {
		offline_generate();
		return tally_status();
	}
	client_create_all();
	if (server) {
		connect_resolve(server);
		loop_run();
	} else {
		offline_check();
	}
	report_verify();
	report_print();
	free(run.clients);
	return tally_status();
}
