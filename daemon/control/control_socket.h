/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket in the file system: its path, its permissions, and its removal. */
#ifndef DMACAST_CONTROL_SOCKET_H
#define DMACAST_CONTROL_SOCKET_H

#include <sys/types.h>
#include <sys/un.h>

/* Group whose members may connect, where it exists. */
#define CONTROL_SOCKET_GROUP "dmacast"

struct control_socket {
	struct sockaddr_un address;
	dev_t device;
	ino_t inode;
};

/**
 * control_socket_path() - return the path to use.
 * @wanted: as configured, or NULL: "control" in the first directory of $RUNTIME_DIRECTORY
 *
 * Return: a string that the caller frees; NULL for no socket.
 */
char *control_socket_path(const char *wanted);

/**
 * control_socket_open() - bind the socket, and replace one that nothing listens on any more.
 * @socket: out
 *
 * Return: the descriptor, non-blocking, not listening yet; -1 after an error, which was logged.
 */
int control_socket_open(struct control_socket *socket, const char *path);

/** control_socket_remove() - remove the socket, unless another one has replaced it. */
void control_socket_remove(const struct control_socket *socket);

#endif
