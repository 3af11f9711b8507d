/* SPDX-License-Identifier: BSD-2-Clause */
/* A state and its descriptors on the way from a child process that saved it to this one, which restores it. */
#ifndef DMACAST_TEST_TWOPROCESSES_H
#define DMACAST_TEST_TWOPROCESSES_H

#include "lib/state.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Descriptors of one message, as the kernel allows. */
#define TWO_DESCRIPTORS 253U

/* What the child saved. */
struct two_saved {
	char *text; /* NULL: it saved nothing */
	size_t length;
	int descriptor[TWO_DESCRIPTORS];
	size_t count;
};

/* Send what @state has, in a memfd and beside it. Exit on failure. */
static inline void two_send(int fd, struct state *state)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(TWO_DESCRIPTORS * sizeof(int))];
	} control = { 0 };
	size_t count, length = 0;
	const int *descriptor = state_descriptors(state, &count);
	char *text = state_text(state, &length), byte = 0;
	struct iovec piece = { &byte, 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control };
	int memory = memfd_create("state", MFD_CLOEXEC);
	int *place = (int *)(void *)CMSG_DATA(&control.header);

	if (!text || memory < 0 || count + 1 > TWO_DESCRIPTORS)
		errx(1, "saving failed: %s", state_why(state));
	if (pwrite(memory, text, length, 0) != (ssize_t)length)
		err(1, "state");
	free(text);
	place[0] = memory;
	for (size_t i = 0; i < count; i++)
		place[i + 1] = descriptor[i];
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN((count + 1) * sizeof(int));
	message.msg_controllen = control.header.cmsg_len;
	if (sendmsg(fd, &message, 0) != 1)
		err(1, "sendmsg");
}

static inline void two_read_text(struct two_saved *saved, int memory)
{
	saved->length = (size_t)lseek(memory, 0, SEEK_END);
	saved->text = malloc(saved->length + 1);
	if (!saved->text || pread(memory, saved->text, saved->length, 0) != (ssize_t)saved->length)
		err(1, "state");
	saved->text[saved->length] = '\0';
	close(memory);
}

/* Wait for what the child sends; text is NULL if it ended without. */
static inline void two_receive(int fd, struct two_saved *saved)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(TWO_DESCRIPTORS * sizeof(int))];
	} control = { 0 };
	char byte;
	struct iovec piece = { &byte, 1 };
	struct msghdr message = { .msg_iov = &piece,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int descriptor[TWO_DESCRIPTORS];

	memset(saved, 0, sizeof(*saved));
	if (recvmsg(fd, &message, MSG_CMSG_CLOEXEC) != 1)
		return;
	saved->count = (control.header.cmsg_len - CMSG_LEN(0)) / sizeof(int) - 1;
	memcpy(descriptor, CMSG_DATA(&control.header), (saved->count + 1) * sizeof(int));
	memcpy(saved->descriptor, descriptor + 1, saved->count * sizeof(int));
	two_read_text(saved, descriptor[0]);
}

/*
 * Call @save in a child process, which must leave its descriptors open and return true, or return false to save
 * nothing. @exit_code: out: of the child
 */
static inline void two_processes(bool (*save)(struct state *state), int (*code)(void),
				 struct two_saved *saved, int *exit_code)
{
	struct state *state;
	int pair[2], status;
	pid_t child;

	fflush(stdout);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		err(1, "socketpair");
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (!child) {
		close(pair[0]);
		state = state_create();
		if (state && save(state))
			two_send(pair[1], state);
		/* As the daemon ends: nothing is closed in order. */
		_exit(code());
	}
	close(pair[1]);
	two_receive(pair[0], saved);
	close(pair[0]);
	if (waitpid(child, &status, 0) != child)
		err(1, "waitpid");
	*exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
