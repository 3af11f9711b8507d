// SPDX-License-Identifier: BSD-2-Clause
#include "lib/unix_socket.h"

#include "lib/interrupted.h"
#include "lib/log.h"
#include "lib/state.h"

#include <bsd/string.h>
#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWNER_ONLY 0600
#define OWNER_AND_GROUP 0660

static int unix_socket_create(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Return: 0 if a process listens there, even with a full queue; or an errno. */
static int unix_socket_try(const struct sockaddr_un *address)
{
	int fd = unix_socket_create(), error = 0;

	if (fd < 0)
		return errno;
	if (REPEAT_INTERRUPTED(connect(fd, (const struct sockaddr *)address, sizeof(*address))) &&
	    errno != EAGAIN)
		error = errno;
	close(fd);
	return error;
}

/* Remove a socket that nothing listens on. Return: false with the reason in @wrong. */
static bool unix_socket_clear_path(const struct sockaddr_un *address, const char *what,
				   char wrong[UNIX_SOCKET_WRONG])
{
	const char *path = address->sun_path;
	struct stat status;
	int error;

	if (lstat(path, &status)) {
		error = errno;
		strlcpy(wrong, strerror(error), UNIX_SOCKET_WRONG);
		return error == ENOENT;
	}
	if (!S_ISSOCK(status.st_mode)) {
		strlcpy(wrong, "exists and is not a socket; expected a path of its own",
			UNIX_SOCKET_WRONG);
		return false;
	}
	error = unix_socket_try(address);
	if (!error) {
		strlcpy(wrong,
			"another process listens there; stop it, or choose another "
			"path",
			UNIX_SOCKET_WRONG);
		return false;
	}
	if (error != ECONNREFUSED || unlink(path)) {
		snprintf(wrong, UNIX_SOCKET_WRONG, "exists and cannot be replaced: %s",
			 strerror(error == ECONNREFUSED ? errno : error));
		return false;
	}
	log_info("%s: replaced one that nothing listened on", what);
	return true;
}

/* A daemon that does not run as root can only give it to a group of its own. */
static void unix_socket_admit_group(const char *path, const char *what)
{
	const struct group *group = getgrnam(UNIX_SOCKET_GROUP);

	if (!group)
		log_debug("%s: there is no group %s", what, UNIX_SOCKET_GROUP);
	else if (lchown(path, (uid_t)-1, group->gr_gid) || chmod(path, OWNER_AND_GROUP))
		log_info("%s: the group dmacast may not connect: %s", what, strerror(errno));
}

/* Let no other user connect before the group is set; until listen(), connections are refused anyway. */
static bool unix_socket_bind(int fd, const struct sockaddr_un *address)
{
	mode_t mask = umask((mode_t)~OWNER_ONLY & 0777);
	int status = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	int error = errno;

	umask(mask);
	errno = error;
	return status == 0;
}

static const char *hint_for(int error)
{
	if (error == ENOENT)
		return "; create the directory (RuntimeDirectory= of a service does)";
	if (error == EROFS)
		return "; expected a directory that the service may write to (ReadWritePaths=)";
	return "";
}

int unix_socket_open(struct unix_socket *socket, const char *path, const char *what,
		     char wrong[UNIX_SOCKET_WRONG])
{
	struct stat status;
	int fd;

	memset(socket, 0, sizeof(*socket));
	socket->address.sun_family = AF_UNIX;
	if (strlcpy(socket->address.sun_path, path, sizeof(socket->address.sun_path)) >=
	    sizeof(socket->address.sun_path)) {
		snprintf(wrong, UNIX_SOCKET_WRONG, "expected at most %zu bytes",
			 sizeof(socket->address.sun_path) - 1);
		return -1;
	}
	if (!unix_socket_clear_path(&socket->address, what, wrong))
		return -1;
	fd = unix_socket_create();
	if (fd < 0 || !unix_socket_bind(fd, &socket->address) || lstat(path, &status)) {
		snprintf(wrong, UNIX_SOCKET_WRONG, "%s%s", strerror(errno), hint_for(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	socket->device = status.st_dev;
	socket->inode = status.st_ino;
	unix_socket_admit_group(path, what);
	return fd;
}

void unix_socket_transfer(struct unix_socket *socket, const char *path, struct state *state)
{
	uint64_t device = socket->device, inode = socket->inode;

	state_enter(state, "unix_socket");
	state_u64(state, "device", &device);
	state_u64(state, "inode", &inode);
	state_leave(state);
	if (state_is_saving(state))
		return;
	socket->address.sun_family = AF_UNIX;
	strlcpy(socket->address.sun_path, path, sizeof(socket->address.sun_path));
	socket->device = (dev_t)device;
	socket->inode = (ino_t)inode;
}

void unix_socket_remove(const struct unix_socket *socket)
{
	const char *path = socket->address.sun_path;
	struct stat status;

	if (lstat(path, &status) == 0 && status.st_dev == socket->device &&
	    status.st_ino == socket->inode)
		unlink(path);
}
