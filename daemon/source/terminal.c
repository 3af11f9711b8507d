// SPDX-License-Identifier: BSD-2-Clause
#include "source/terminal.h"

#include "lib/interrupted.h"
#include "lib/state.h"

/* For termios2, which has any speed. <termios.h> has other structs of the same names. */
#include <asm/termbits.h>
#include <bsd/sys/queue.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* Where the kernel has no termios2, its termios has the speeds. */
#ifndef TCGETS2
#define termios2 termios
#define TCGETS2 TCGETS
#define TCSETS2 TCSETS
#endif

struct terminal {
	LIST_ENTRY(terminal) entry;
	int fd;
	dev_t device;
	struct termios2 before;
	int exclusive_before;
	uint64_t speed; /* bit/s */
};

/* The terminals of all sources: during a reload the successor of a stream waits until the former one has released it. */
static LIST_HEAD(, terminal) claimed_terminals = LIST_HEAD_INITIALIZER(claimed_terminals);

/* Change settings at once; bytes that have arrived stay. Return: 0 or an errno. */
static int terminal_set(int fd, const struct termios2 *wanted)
{
	sigset_t stop, before;
	int error;

	/* SIGTTOU would stop a daemon in the background whose controlling terminal this is. */
	sigemptyset(&stop);
	sigaddset(&stop, SIGTTOU);
	sigprocmask(SIG_BLOCK, &stop, &before);
	error = REPEAT_INTERRUPTED(ioctl(fd, TCSETS2, wanted)) ? errno : 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	return error;
}

/* Change @settings to those of cfmakeraw(3), and clear software flow control, which would send bytes. */
static void terminal_make_raw(struct termios2 *settings, uint64_t baud)
{
	settings->c_iflag = 0;
	settings->c_oflag &= ~(tcflag_t)OPOST;
	settings->c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	settings->c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
	settings->c_cflag |= CS8 | CREAD;
	settings->c_cc[VMIN] = 1; /* with 0, read() would return 0 while nothing arrives */
	settings->c_cc[VTIME] = 0;
	if (!baud)
		return;
	settings->c_cflag &= ~(tcflag_t)(CBAUD | CBAUD << IBSHIFT);
	settings->c_cflag |= BOTHER;
	settings->c_ispeed = settings->c_ospeed = (speed_t)baud;
}

struct terminal *terminal_claim(int fd, dev_t device, uint64_t baud)
{
	struct terminal *terminal = calloc(1, sizeof(*terminal));
	struct termios2 settings;
	int error;

	if (!terminal)
		return NULL;
	terminal->fd = fd;
	terminal->device = device;
	if (REPEAT_INTERRUPTED(ioctl(fd, TCGETS2, &terminal->before))) {
		error = errno == EIO ? EIO
				     : ENOTTY; /* EIO: unplugged; drivers of other devices vary */
		goto fail;
	}
	ioctl(fd, TIOCGEXCL, &terminal->exclusive_before); /* 0 if it cannot tell */
	settings = terminal->before;
	terminal_make_raw(&settings, baud);
	error = terminal_set(fd, &settings);
	if (error)
		goto fail;
	ioctl(fd, TIOCEXCL);
	if (!ioctl(fd, TCGETS2, &settings))
		terminal->speed = settings.c_ospeed;
	LIST_INSERT_HEAD(&claimed_terminals, terminal, entry);
	return terminal;
fail:
	free(terminal);
	errno = error;
	return NULL;
}

uint64_t terminal_speed(const struct terminal *terminal)
{
	return terminal->speed;
}

void terminal_drop_input(const struct terminal *terminal)
{
	ioctl(terminal->fd, TCFLSH, TCIFLUSH); /* fails if it was unplugged */
}

bool terminal_is_claimed(dev_t device)
{
	const struct terminal *terminal;

	LIST_FOREACH (terminal, &claimed_terminals, entry) {
		if (terminal->device == device)
			return true;
	}
	return false;
}

static void terminal_transfer(struct terminal *terminal, struct state *state)
{
	bool was_exclusive = terminal->exclusive_before;

	state_fixed_bytes(state, "before", &terminal->before, sizeof(terminal->before));
	state_bool(state, "exclusive_before", &was_exclusive);
	state_u64(state, "speed", &terminal->speed);
	terminal->exclusive_before = was_exclusive;
}

void terminal_save(struct terminal *terminal, struct state *state)
{
	terminal_transfer(terminal, state);
}

struct terminal *terminal_restore(int fd, struct state *state)
{
	struct terminal *terminal = calloc(1, sizeof(*terminal));
	struct stat status;

	if (!terminal) {
		state_fail(state, "no memory");
		return NULL;
	}
	terminal_transfer(terminal, state);
	if (fstat(fd, &status) || !S_ISCHR(status.st_mode))
		state_fail(state, "the descriptor is no terminal");
	if (state_failed(state)) {
		free(terminal);
		return NULL;
	}
	terminal->fd = fd;
	terminal->device = status.st_rdev;
	LIST_INSERT_HEAD(&claimed_terminals, terminal, entry);
	return terminal;
}

void terminal_release(struct terminal *terminal)
{
	if (!terminal->exclusive_before)
		ioctl(terminal->fd, TIOCNXCL);
	terminal_set(terminal->fd, &terminal->before); /* fails if it was unplugged */
	/* Echo of bytes from before it was raw: closing would wait up to 30 s until it is sent. */
	ioctl(terminal->fd, TCFLSH, TCOFLUSH);
	LIST_REMOVE(terminal, entry);
	free(terminal);
}
