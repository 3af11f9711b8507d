/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket's place in the file system: where it is, who may connect, and its end. */
#ifndef DMACAST_CONTROL_SOCKET_H
#define DMACAST_CONTROL_SOCKET_H

#include <sys/types.h>
#include <sys/un.h>

/* Whose members may connect, where it exists. */
#define CONTROL_SOCKET_GROUP "dmacast"

struct control_socket {
	struct sockaddr_un address;
	dev_t device;
	ino_t inode;
};

/**
 * control_socket_path() - where it is to be.
 * @wanted: as configured, or NULL: "control" in the first directory of $RUNTIME_DIRECTORY
 *
 * Return: to be freed; NULL: there is to be no socket.
 */
char *control_socket_path(const char *wanted);

/**
 * control_socket_open() - bind it, in the place of one that nobody listens on any more.
 * @socket: out
 *
 * Return: the descriptor, non-blocking, not listening yet; -1 after an error, which was logged.
 */
int control_socket_open(struct control_socket *socket, const char *path);

/** control_socket_remove() - remove it, unless another one is there by now. */
void control_socket_remove(const struct control_socket *socket);

#endif
