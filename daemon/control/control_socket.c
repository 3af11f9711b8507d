// SPDX-License-Identifier: BSD-2-Clause
#include "control/control_socket.h"

#include "lib/log.h"

#include <bsd/string.h>
#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWNER_ONLY 0600
#define OWNER_AND_GROUP 0660

char *control_socket_path(const char *wanted)
{
	const char *directory = getenv("RUNTIME_DIRECTORY");
	char *path;

	if (wanted)
		return strdup(wanted);
	if (!directory || *directory != '/' ||
	    asprintf(&path, "%.*s/control", (int)strcspn(directory, ":"), directory) < 0)
		return NULL;
	return path;
}

static int control_socket_create(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Return: 0 if a process listens there, even with a full queue; or an errno. */
static int control_socket_try(const struct sockaddr_un *address)
{
	int fd = control_socket_create(), error = 0;

	if (fd < 0)
		return errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) && errno != EAGAIN)
		error = errno;
	close(fd);
	return error;
}

/* Remove a socket that nothing listens on. Return: false after an error, which was logged. */
static bool control_socket_clear_path(const struct sockaddr_un *address)
{
	const char *path = address->sun_path;
	struct stat status;
	int error;

	if (lstat(path, &status)) {
		if (errno == ENOENT)
			return true;
		log_error("control = %s: %s", path, strerror(errno));
		return false;
	}
	if (!S_ISSOCK(status.st_mode)) {
		log_error("control = %s: exists and is not a socket; expected a path of its own",
			  path);
		return false;
	}
	error = control_socket_try(address);
	if (!error) {
		log_error("control = %s: another daemon answers there; stop it, or choose another "
			  "path",
			  path);
		return false;
	}
	if (error != ECONNREFUSED || unlink(path)) {
		log_error("control = %s: exists and cannot be replaced: %s", path,
			  strerror(error == ECONNREFUSED ? errno : error));
		return false;
	}
	log_info("control socket %s: replaced one that nothing listened on", path);
	return true;
}

/* A daemon that does not run as root can only give it to a group of its own. */
static void control_socket_admit_group(const char *path)
{
	const struct group *group = getgrnam(CONTROL_SOCKET_GROUP);

	if (!group)
		log_debug("control socket %s: there is no group %s", path, CONTROL_SOCKET_GROUP);
	else if (lchown(path, (uid_t)-1, group->gr_gid) || chmod(path, OWNER_AND_GROUP))
		log_info("control socket %s: the group dmacast may not connect: %s", path,
			 strerror(errno));
}

/* Let no other user connect before the group is set; until listen(), connections are refused anyway. */
static bool control_socket_bind(int fd, const struct sockaddr_un *address)
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
	return "";
}

int control_socket_open(struct control_socket *socket, const char *path)
{
	struct stat status;
	int fd;

	memset(socket, 0, sizeof(*socket));
	socket->address.sun_family = AF_UNIX;
	if (strlcpy(socket->address.sun_path, path, sizeof(socket->address.sun_path)) >=
	    sizeof(socket->address.sun_path)) {
		log_error("control = %s: expected at most %zu bytes", path,
			  sizeof(socket->address.sun_path) - 1);
		return -1;
	}
	if (!control_socket_clear_path(&socket->address))
		return -1;
	fd = control_socket_create();
	if (fd < 0 || !control_socket_bind(fd, &socket->address) || lstat(path, &status)) {
		log_error("control = %s: %s%s", path, strerror(errno), hint_for(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	socket->device = status.st_dev;
	socket->inode = status.st_ino;
	control_socket_admit_group(path);
	return fd;
}

void control_socket_remove(const struct control_socket *socket)
{
	const char *path = socket->address.sun_path;
	struct stat status;

	if (lstat(path, &status) == 0 && status.st_dev == socket->device &&
	    status.st_ino == socket->inode)
		unlink(path);
}
