/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Notice that a path has become another file, by inotify: nothing is polled. Where it does not exist yet,
 * the nearest directory that does is watched.
 */
#ifndef DMACAST_PATH_WATCH_H
#define DMACAST_PATH_WATCH_H

#include <stdbool.h>

struct event_base;
struct path_watch;

/**
 * path_watch_create() - watch @path, which must outlive the watch.
 * @changed: called from the event loop when the file may be another one, can be opened now, or was written
 *	(see path_watch_arm()). It may call path_watch_arm(), and must not destroy the watch.
 *
 * Return: NULL after an error, with errno set.
 */
struct path_watch *path_watch_create(struct event_base *base, const char *path,
				     void (*changed)(void *argument), void *argument);

/**
 * path_watch_arm() - watch the directories that are on the path now.
 * @writes: also report writes to the file
 */
void path_watch_arm(struct path_watch *watch, bool writes);

/** path_watch_report() - call changed() from the event loop: something may have changed unnoticed. */
void path_watch_report(struct path_watch *watch);

/** path_watch_destroy() - stop, and free @watch. NULL is allowed. */
void path_watch_destroy(struct path_watch *watch);

#endif
