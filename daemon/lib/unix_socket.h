/* SPDX-License-Identifier: BSD-2-Clause */
/* A listening Unix socket in the file system: its path, its permissions, and its removal. */
#ifndef DMACAST_UNIX_SOCKET_H
#define DMACAST_UNIX_SOCKET_H

#include <sys/types.h>
#include <sys/un.h>

/* Group whose members may connect, where it exists. */
#define UNIX_SOCKET_GROUP "dmacast"

#define UNIX_SOCKET_WRONG 192

struct state;

struct unix_socket {
	struct sockaddr_un address;
	dev_t device;
	ino_t inode;
};

/**
 * unix_socket_open() - bind a socket, and replace one that nothing listens on any more. Only this user
 * and the members of UNIX_SOCKET_GROUP may connect.
 * @socket: out
 * @what: the socket, for the log: "control socket /run/dmacast/control"
 * @wrong: out: why not, on failure
 *
 * Return: the descriptor, non-blocking, not listening yet; -1 after an error, which was not logged.
 */
int unix_socket_open(struct unix_socket *socket, const char *path, const char *what,
		     char wrong[UNIX_SOCKET_WRONG]);

/**
 * unix_socket_transfer() - save which file it is as the object "unix_socket", or restore that.
 * @path: its path; the descriptor goes elsewhere
 */
void unix_socket_transfer(struct unix_socket *socket, const char *path, struct state *state);

/** unix_socket_remove() - remove the socket, unless another one has replaced it. */
void unix_socket_remove(const struct unix_socket *socket);

#endif
