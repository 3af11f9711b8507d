// SPDX-License-Identifier: BSD-2-Clause
#include "slice.h"

#include "lib/clock.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void slice_begin(struct slice *slice, pid_t server, uint64_t length_us)
{
	uint64_t length_ns = length_us * NS_PER_US;

	*slice = (struct slice){
		.server = server,
		.length_ns = length_ns,
		.ends_ns = length_ns ? clock_monotonic_ns() + length_ns : UINT64_MAX,
	};
}

uint64_t slice_clock_ns(const struct slice *slice)
{
	return clock_monotonic_ns() - slice->away_ns;
}

static struct cpu_time slice_subtract(struct cpu_time all, const struct cpu_time *part)
{
	return (struct cpu_time){
		.own = all.own - part->own,
		.server = all.server - part->server,
		.softirq = all.softirq - part->softirq,
		.machine = all.machine - part->machine,
	};
}

struct cpu_time slice_cpu_time(const struct slice *slice)
{
	return slice_subtract(cpu_time_read(slice->server), &slice->away);
}

/* Read the state in /proc/PID/stat, after the last ')', which ends the name. */
static bool slice_is_stopped(FILE *stat)
{
	char line[256];
	const char *state;

	rewind(stat);
	if (!fgets(line, sizeof(line), stat))
		return false;
	state = strrchr(line, ')');
	return state && state[1] && (state[2] == 'T' || state[2] == 't' || state[2] == 'Z');
}

/* On another CPU the server first completes its system call: wait for that. */
void slice_stop_server(const struct slice *slice)
{
	char path[64];
	FILE *stat;

	if (!slice->length_ns)
		return;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)slice->server);
	stat = fopen(path, "re");
	if (!stat || kill(slice->server, SIGSTOP))
		err(1, "process %d cannot be stopped", (int)slice->server);
	setvbuf(stat, NULL, _IONBF, 0);
	while (!slice_is_stopped(stat) && !ferror(stat))
		;
	fclose(stat);
}

bool slice_is_over(const struct slice *slice, uint64_t now_ns)
{
	return now_ns >= slice->ends_ns;
}

void slice_pass(struct slice *slice)
{
	uint64_t stopped_ns = slice_clock_ns(slice);
	struct cpu_time used = slice_cpu_time(slice);

	raise(SIGSTOP);
	slice->away = slice_subtract(cpu_time_read(slice->server), &used);
	if (kill(slice->server, SIGCONT))
		err(1, "process %d cannot be continued", (int)slice->server);
	slice->away_ns = clock_monotonic_ns() - stopped_ns;
	slice->ends_ns = stopped_ns + slice->length_ns;
}
