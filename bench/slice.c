// SPDX-License-Identifier: BSD-2-Clause
#include "slice.h"

#include "clock.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_US UINT64_C(1000)

void slice_begin(struct slice *slice, pid_t server, uint64_t length_us)
{
	*slice = (struct slice){ .length_ns = length_us * NS_PER_US, .server = server };
	slice->ends_ns = clock_monotonic_ns() + slice->length_ns;
}

uint64_t slice_clock_ns(const struct slice *slice)
{
	return clock_monotonic_ns() - slice->away_ns;
}

static struct cpu_time less(struct cpu_time all, const struct cpu_time *part)
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
	return less(cpu_time_read(slice->server), &slice->away);
}

uint64_t slice_left_ns(const struct slice *slice)
{
	uint64_t now = slice_clock_ns(slice);

	if (!slice->length_ns)
		return UINT64_MAX;
	return slice->ends_ns > now ? slice->ends_ns - now : 0;
}

/* Of /proc/PID/stat, behind the name, which may hold anything but ')'. */
static bool is_stopped(FILE *stat)
{
	char line[256];
	const char *state;

	rewind(stat);
	if (!fgets(line, sizeof(line), stat))
		return false;
	state = strrchr(line, ')');
	return state && state[1] && (state[2] == 'T' || state[2] == 't' || state[2] == 'Z');
}

/* On another CPU it goes on to the end of what it is at in the kernel. */
void slice_stop_server(const struct slice *slice)
{
	char path[64];
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)slice->server);
	stat = fopen(path, "re");
	if (!stat || kill(slice->server, SIGSTOP))
		err(1, "process %d cannot be stopped", (int)slice->server);
	setvbuf(stat, NULL, _IONBF, 0);
	while (!is_stopped(stat) && !ferror(stat))
		;
	fclose(stat);
}

bool slice_is_over(const struct slice *slice, uint64_t now_ns)
{
	return slice->length_ns && now_ns >= slice->ends_ns;
}

void slice_pass(struct slice *slice)
{
	uint64_t stopped_ns = slice_clock_ns(slice);
	struct cpu_time before = cpu_time_read(slice->server), used;

	raise(SIGSTOP);
	used = less(cpu_time_read(slice->server), &before);
	slice->away.own += used.own;
	slice->away.server += used.server;
	slice->away.softirq += used.softirq;
	slice->away.machine += used.machine;
	if (kill(slice->server, SIGCONT))
		err(1, "process %d cannot be continued", (int)slice->server);
	slice->away_ns = clock_monotonic_ns() - stopped_ns;
	slice->ends_ns = stopped_ns + slice->length_ns;
}
