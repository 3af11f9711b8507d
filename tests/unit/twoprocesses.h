/* SPDX-License-Identifier: BSD-2-Clause */
/* A state and its descriptors on the way from a child process that saved it to this one: in a parcel, as the daemon's. */
#ifndef DMACAST_TEST_TWOPROCESSES_H
#define DMACAST_TEST_TWOPROCESSES_H

#include "lib/parcel.h"
#include "lib/state.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

union two_control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

/* Send these bytes with a descriptor. Exit on failure. */
static inline void two_send_descriptor(int to, const void *bytes, size_t length, int fd)
{
	union two_control control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
						  .cmsg_level = SOL_SOCKET,
						  .cmsg_type = SCM_RIGHTS } };
	struct iovec piece = { (void *)(uintptr_t)bytes, length };
	struct msghdr message = { .msg_iov = &piece,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (sendmsg(to, &message, 0) != (ssize_t)length)
		err(1, "sendmsg");
}

/* Wait for a descriptor. Return: -1 if the sender ended without. */
static inline int two_receive_descriptor(int from)
{
	union two_control control;
	char byte;
	struct iovec piece = { &byte, 1 };
	struct msghdr message = { .msg_iov = &piece,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message))
		return -1;
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	return fd;
}

/* Send what @state has. Exit on failure. */
static inline void two_send(int to, struct state *state)
{
	char wrong[PARCEL_WRONG_TEXT];
	struct parcel parcel;
	size_t count, length = 0;
	const int *descriptors = state_descriptors(state, &count);
	const char *data = state_encode(state, &length);

	if (!data)
		errx(1, "saving failed: %s", state_why(state));
	if (!parcel_pack(&parcel, data, length, descriptors, count, wrong))
		errx(1, "%s", wrong);
	two_send_descriptor(to, "", 1, parcel.receiver);
	close(parcel.receiver);
	close(parcel.sender);
}

/* Wait for what the other process sends. Return: false, and @saved is empty, if it ended without. */
static inline bool two_receive(int from, struct parcel_content *saved)
{
	char wrong[PARCEL_WRONG_TEXT];
	int receiver = two_receive_descriptor(from);

	*saved = (struct parcel_content){ 0 };
	if (receiver < 0)
		return false;
	if (!parcel_unpack(receiver, saved, wrong))
		errx(1, "%s", wrong);
	return true;
}

/* Close the descriptors, and free @saved. */
static inline void two_close(struct parcel_content *saved)
{
	for (size_t i = 0; i < saved->count; i++)
		close(saved->descriptors[i]);
	parcel_free_content(saved);
}

/* fork() with a socket between both. @end: out: in each process, its own */
static inline pid_t two_fork(int *end)
{
	int pair[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		err(1, "socketpair");
	fflush(NULL);
	child = fork();
	if (child < 0)
		err(1, "fork");
	*end = pair[child ? 0 : 1];
	close(pair[child ? 1 : 0]);
	return child;
}

/*
 * Call @save in a child process, which must leave its descriptors open and return true, or return false to save
 * nothing. @saved: out: its text is NULL if it saved nothing; @exit_code: out: of the child
 */
static inline void two_processes(bool (*save)(struct state *state), int (*code)(void),
				 struct parcel_content *saved, int *exit_code)
{
	struct state *state;
	int end, status;
	pid_t child = two_fork(&end);

	if (!child) {
		state = state_create();
		if (state && save(state))
			two_send(end, state);
		/* As the daemon ends: nothing is closed in order. */
		_exit(code());
	}
	two_receive(end, saved);
	close(end);
	if (waitpid(child, &status, 0) != child)
		err(1, "waitpid");
	*exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
