// SPDX-License-Identifier: BSD-2-Clause
#include "stream/section.h"

#include "lib/log.h"
#include "stream/client_options.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Return: the label, to be freed; NULL without memory. */
static char *section_make_label(const char *stream, const char *name)
{
	char *label;

	if (!name)
		return strdup(stream);
	return asprintf(&label, "%s: endpoint %s", stream, name) < 0 ? NULL : label;
}

struct section *section_create(struct stream *stream, const char *name,
			       const struct client_group *common, struct stream_stats *stats,
			       const struct listener_callbacks *callbacks)
{
	struct section *section = calloc(1, sizeof(*section));

	if (section) {
		section->stream = stream;
		section->name = name ? strdup(name) : NULL;
		section->label = section_make_label(common->stream_name, name);
		section->stats = stream_stats_endpoint(stats, name);
	}
	if (!section || (name && !section->name) || !section->label || !section->stats) {
		log_error("stream %s: no memory for its endpoints", common->stream_name);
		if (section)
			section_free(section);
		return NULL;
	}
	section->group = *common;
	section->group.stream_name = section->label;
	section->group.section_name = section->name;
	section->group.argument = section;
	stream_crowd_init(&section->crowd);
	endpoints_init(&section->endpoints, common->base, section->label, callbacks, section);
	stream_admission_init(&section->admission, &section->group, stats, section->stats);
	return section;
}

void section_use(struct section *section, const struct client_settings *settings,
		 const struct text_list *listen)
{
	section->group.settings = settings;
	section->endpoints.settings = settings;
	section->listen = listen;
}

void section_remove(struct section *section)
{
	static const struct text_list nothing;

	section->last = *section->group.settings;
	section->last.congestion = NULL;
	section->last.interface = NULL;
	section->last.access = (struct access_list){ 0 };
	section_use(section, &section->last, &nothing);
	section->removed = true;
}

/* Return what to do about an error of a congestion control; "" for others. */
static const char *section_hint(const char *option, int error)
{
	if (strcmp(option, "congestion") != 0)
		return "";
	if (error == ENOENT)
		return "; see net.ipv4.tcp_available_congestion_control";
	return error == EPERM ? "; see net.ipv4.tcp_allowed_congestion_control" : "";
}

bool section_check(const struct client_settings *settings, const char *label)
{
	char value[CLIENT_OPTION_TEXT];
	const char *refused = NULL;
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		log_error("stream %s: socket: %s", label, strerror(errno));
		return false;
	}
	if (!client_options_check(fd, settings, &refused, value))
		log_error("stream %s: %s = %s: refused by the kernel: %s%s", label, refused, value,
			  strerror(errno), section_hint(refused, errno));
	close(fd);
	return !refused;
}

void section_free(struct section *section)
{
	assert(!section->crowd.count);
	endpoints_close_all(&section->endpoints);
	free(section->label);
	free(section->name);
	free(section);
}
