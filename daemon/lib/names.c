// SPDX-License-Identifier: BSD-2-Clause
#include "lib/names.h"

#include <bsd/sys/queue.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct name {
	LIST_ENTRY(name) entry;
	struct names *names;
	char *host;
	struct resolver_query *query; /* NULL: `resolved` is valid */
	struct resolved resolved;
};

struct names {
	struct event_base *base;
	void (*settled)(void *argument);
	void *argument;
	LIST_HEAD(, name) list;
	unsigned int pending;
};

struct names *names_create(struct event_base *base, void (*settled)(void *argument), void *argument)
{
	struct names *names = calloc(1, sizeof(*names));

	if (!names)
		return NULL;
	names->base = base;
	names->settled = settled;
	names->argument = argument;
	return names;
}

static void name_resolved(void *argument, const struct resolved *resolved)
{
	struct name *name = argument;
	struct names *names = name->names;

	name->query = NULL;
	name->resolved = *resolved;
	if (!--names->pending)
		names->settled(names->argument);
}

static struct name *names_search(const struct names *names, const char *host)
{
	struct name *name;

	LIST_FOREACH (name, &names->list, entry) {
		if (!strcasecmp(name->host, host))
			break;
	}
	return name;
}

bool names_add(struct names *names, const char *host)
{
	struct name *name;

	if (names_search(names, host))
		return true;
	name = calloc(1, sizeof(*name));
	if (!name)
		return false;
	name->names = names;
	name->host = strdup(host);
	if (name->host)
		name->query = resolver_start(names->base, host, 0, name_resolved, name);
	if (!name->query) {
		free(name->host);
		free(name);
		return false;
	}
	LIST_INSERT_HEAD(&names->list, name, entry);
	names->pending++;
	return true;
}

unsigned int names_pending(const struct names *names)
{
	return names->pending;
}

const struct resolved *names_find(const struct names *names, const char *host)
{
	const struct name *name = names_search(names, host);

	return name && !name->query ? &name->resolved : NULL;
}

void names_free(struct names *names)
{
	struct name *name;

	while (names && (name = LIST_FIRST(&names->list))) {
		LIST_REMOVE(name, entry);
		if (name->query)
			resolver_cancel(name->query);
		free(name->host);
		free(name);
	}
	free(names);
}
