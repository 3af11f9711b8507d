// SPDX-License-Identifier: BSD-2-Clause
#include "source/path_watch.h"

#include <bsd/string.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a directory: a name in it is created, moved there or gets other permissions; it goes away itself. */
#define DIRECTORY_EVENTS \
	(IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

/* The name that matters in one directory. */
struct watched_name {
	int watch; /* -1: none */
	char name[NAME_MAX + 1];
};

struct path_watch {
	const char *path;
	void (*changed)(void *argument);
	void *argument;
	int fd;
	struct event readable;
	struct watched_name link, target; /* target: of a path that is a symbolic link */
	int file;			  /* for writes; -1: none */
	bool writes;
	bool is_due; /* report a change in any case */
};

/* Watch the directory of @path, or the nearest one above it that exists. */
static void path_watch_directory(struct path_watch *watch, struct watched_name *watched,
				 const char *path)
{
	char directory[PATH_MAX];
	char *slash;

	watched->watch = -1;
	if (strlcpy(directory, path, sizeof(directory)) >= sizeof(directory))
		return;
	do {
		slash = strrchr(directory, '/');
		strlcpy(watched->name, slash ? slash + 1 : directory, sizeof(watched->name));
		if (!slash)
			strlcpy(directory, ".", sizeof(directory));
		else if (slash == directory)
			slash[1] = '\0';
		else
			*slash = '\0';
		watched->watch = inotify_add_watch(watch->fd, directory, DIRECTORY_EVENTS);
	} while (watched->watch < 0 && (errno == ENOENT || errno == ENOTDIR) && slash &&
		 slash != directory);
}

static void path_watch_remove(const struct path_watch *watch, int *number)
{
	if (*number >= 0)
		inotify_rm_watch(watch->fd, *number); /* fails if two names had it */
	*number = -1;
}

void path_watch_arm(struct path_watch *watch, bool writes)
{
	char target[PATH_MAX];
	struct stat status;

	path_watch_remove(watch, &watch->link.watch);
	path_watch_remove(watch, &watch->target.watch);
	path_watch_remove(watch, &watch->file);
	path_watch_directory(watch, &watch->link, watch->path);
	if (!lstat(watch->path, &status) && S_ISLNK(status.st_mode) &&
	    realpath(watch->path, target))
		path_watch_directory(watch, &watch->target, target);
	watch->writes = writes;
	if (writes)
		watch->file = inotify_add_watch(watch->fd, watch->path, IN_MODIFY);
}

static bool path_watch_concerns(const struct watched_name *watched,
				const struct inotify_event *event)
{
	if (event->wd != watched->watch)
		return false;
	/* Without a name: the directory itself has gone. */
	return !event->len || !strcmp(event->name, watched->name);
}

static void path_watch_readable(evutil_socket_t fd, short what, void *argument)
{
	struct path_watch *watch = argument;
	_Alignas(struct inotify_event) char buffer[4096];
	ssize_t length = read(fd, buffer, sizeof(buffer)), at = 0;
	bool concerned = false, moved = false;

	(void)what;
	while (at < length) {
		const struct inotify_event *event = (const void *)(buffer + at);

		if ((event->mask & IN_Q_OVERFLOW) || path_watch_concerns(&watch->link, event) ||
		    path_watch_concerns(&watch->target, event))
			moved = true;
		else if (watch->file >= 0 && event->wd == watch->file)
			concerned = true;
		at += (ssize_t)(sizeof(*event) + event->len);
	}
	if (moved)
		path_watch_arm(watch, watch->writes);
	if (moved || concerned || watch->is_due) {
		watch->is_due = false;
		watch->changed(watch->argument);
	}
}

void path_watch_report(struct path_watch *watch)
{
	watch->is_due = true;
	event_active(&watch->readable, EV_READ, 0);
}

struct path_watch *path_watch_create(struct event_base *base, const char *path,
				     void (*changed)(void *argument), void *argument)
{
	struct path_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->path = path;
	watch->changed = changed;
	watch->argument = argument;
	watch->link.watch = watch->target.watch = watch->file = -1;
	watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->fd < 0) {
		free(watch);
		return NULL;
	}
	event_assign(&watch->readable, base, watch->fd, EV_READ | EV_PERSIST, path_watch_readable,
		     watch);
	if (event_add(&watch->readable, NULL)) {
		path_watch_destroy(watch);
		errno = ENOMEM;
		return NULL;
	}
	path_watch_arm(watch, false);
	return watch;
}

void path_watch_destroy(struct path_watch *watch)
{
	if (!watch)
		return;
	event_del(&watch->readable);
	close(watch->fd);
	free(watch);
}
