// SPDX-License-Identifier: BSD-2-Clause
#include "ring/collapse.h"

#include "lib/child.h"
#include "ring/aligned_mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Bytes between two reports. */
#define REPORT_BYTES ((size_t)16 << 20)

/* Processes that were killed and have not been reaped. More are left to the end of the daemon. */
#define MAX_KILLED 8
static pid_t killed[MAX_KILLED];

void collapse_init(struct collapse *collapse)
{
	*collapse = (struct collapse){ .pipe = -1 };
}

/* ---- in the process: system calls only ---- */

enum { COLLAPSE_MEMORY_FD, COLLAPSE_PIPE_FD };

static void collapse_report(uint64_t populated)
{
	(void)!write(COLLAPSE_PIPE_FD, &populated, sizeof(populated));
}

/*
 * Make one huge page, which adds what is missing to the pages that are present: there must be one, and it costs least if
 * there are no more. Return: false if this kernel cannot.
 */
static bool collapse_one(unsigned char *memory, size_t huge)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return !madvise(memory, page, MADV_POPULATE_WRITE) &&
	       (!madvise(memory, huge, MADV_COLLAPSE) || errno != EINVAL);
}

/* Memory without a huge page has small ones: the daemon allocates what is missing here. */
static _Noreturn void collapse_run(size_t size, size_t huge)
{
	struct aligned_mapping mapping;
	size_t reported = 0;
	unsigned char *memory;

	if (!aligned_mapping_create(&mapping, COLLAPSE_MEMORY_FD, size, huge))
		_exit(0);
	memory = mapping.memory;
	(void)madvise(memory, size, MADV_HUGEPAGE);
	for (size_t at = 0; at + huge <= size; at += huge) {
		if (!collapse_one(memory + at, huge))
			_exit(at ? 0 : 1);
		(void)madvise(memory + at, huge, MADV_POPULATE_WRITE);
		if (at - reported < REPORT_BYTES)
			continue;
		reported = at;
		collapse_report(at + huge);
	}
	_exit(0);
}

static _Noreturn void collapse_become(int fd, int reports, pid_t daemon, size_t size, size_t huge)
{
	int memory_fd = fcntl(fd, F_DUPFD, COLLAPSE_PIPE_FD + 1);
	int pipe_fd = fcntl(reports, F_DUPFD, COLLAPSE_PIPE_FD + 1);

	prctl(PR_SET_NAME, "dmacast-memory");
	if (!child_end_with(daemon) || dup2(memory_fd, COLLAPSE_MEMORY_FD) < 0 ||
	    dup2(pipe_fd, COLLAPSE_PIPE_FD) < 0)
		_exit(0);
	closefrom(COLLAPSE_PIPE_FD + 1);
	collapse_run(size, huge);
}

/* ---- in the daemon ---- */

static void collapse_reap_killed(void)
{
	for (size_t i = 0; i < MAX_KILLED; i++) {
		if (killed[i] && waitpid(killed[i], NULL, WNOHANG))
			killed[i] = 0;
	}
}

bool collapse_start(struct collapse *collapse, int fd, size_t size, size_t huge)
{
	const pid_t daemon = getpid();
	int ends[2];

	collapse_reap_killed();
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return false;
	collapse->populated = 0;
	collapse->refused = false;
	collapse->child = child_fork();
	if (collapse->child == 0)
		collapse_become(fd, ends[1], daemon, size, huge);
	close(ends[1]);
	collapse->pipe = ends[0];
	if (collapse->child > 0)
		return true;
	collapse->child = 0;
	collapse_cancel(collapse);
	return false;
}

/* Return: false once the process reports no more. */
static bool collapse_read(struct collapse *collapse)
{
	uint64_t populated;
	ssize_t n;

	do {
		n = read(collapse->pipe, &populated, sizeof(populated));
		if (n == (ssize_t)sizeof(populated))
			collapse->populated = (size_t)populated;
	} while (n > 0);
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

enum collapse_progress collapse_poll(struct collapse *collapse)
{
	int status = 0;
	pid_t ended;

	if (!collapse->child)
		return collapse->refused ? COLLAPSE_REFUSED : COLLAPSE_DONE;
	if (collapse_read(collapse))
		return COLLAPSE_WAITING;
	ended = waitpid(collapse->child, &status, WNOHANG);
	if (!ended)
		return COLLAPSE_WAITING;
	collapse->refused = ended > 0 && WIFEXITED(status) && WEXITSTATUS(status);
	collapse->child = 0;
	collapse_cancel(collapse);
	return collapse->refused ? COLLAPSE_REFUSED : COLLAPSE_DONE;
}

void collapse_wait(const struct collapse *collapse)
{
	struct pollfd reports = { .fd = collapse->pipe, .events = POLLIN };

	poll(&reports, 1, 100);
}

static void collapse_remember_killed(pid_t child)
{
	for (size_t i = 0; i < MAX_KILLED; i++) {
		if (killed[i])
			continue;
		killed[i] = child;
		return;
	}
}

void collapse_cancel(struct collapse *collapse)
{
	if (collapse->child) {
		kill(collapse->child, SIGKILL);
		collapse_remember_killed(collapse->child);
		collapse_reap_killed();
	}
	if (collapse->pipe >= 0)
		close(collapse->pipe);
	collapse->child = 0;
	collapse->pipe = -1;
}
