// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/dnssd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct dnssd_output {
	const struct dnssd_format *format;
	const char *directory; /* NULL: print */
	bool failed;
};

/* Write a file beside its place and move it there: a program that watches the directory never reads a part of it. */
static bool dnssd_write_file(const struct dnssd_output *output, const struct dnssd_service *service,
			     const char *path)
{
	char *draft = NULL;
	FILE *file = NULL;
	bool done;

	if (asprintf(&draft, "%s.new", path) >= 0)
		file = fopen(draft, "we");
	if (file)
		output->format->write(service, file);
	done = file && !ferror(file);
	if (file && fclose(file))
		done = false;
	if (done)
		done = !rename(draft, path);
	if (!done)
		fprintf(stderr, "dmacastctl: %s: %s\n", path, strerror(errno));
	if (!done && file)
		unlink(draft);
	free(draft);
	return done;
}

static void dnssd_write(void *argument, const struct dnssd_service *service)
{
	struct dnssd_output *output = argument;
	char name[DNSSD_NAME];
	char *path;

	if (!output->directory) {
		output->format->write(service, stdout);
		return;
	}
	if (asprintf(&path, "%s/dmacast-%s.%s", output->directory,
		     dnssd_instance_name(service, '-', name), output->format->suffix) < 0) {
		output->failed = true;
		return;
	}
	if (dnssd_write_file(output, service, path))
		puts(path);
	else
		output->failed = true;
	free(path);
}

static void dnssd_count(void *argument, const struct dnssd_service *service)
{
	(void)service;
	++*(size_t *)argument;
}

/* Return: the streams that are asked for, as a new array. */
static json_t *dnssd_choose(const json_t *streams, const char *name)
{
	json_t *chosen = json_array(), *stream;
	size_t i;

	json_array_foreach(json_object_get(streams, "streams"), i, stream)
	{
		const char *own = json_string_value(json_object_get(stream, "name"));

		if (!name || (own && !strcmp(own, name)))
			json_array_append(chosen, stream);
	}
	return chosen;
}

/* Return: NULL; or what is wrong with this number of streams and services. */
static const char *dnssd_expected(size_t streams, size_t services, const char *directory)
{
	if (!streams)
		return "no such stream; see dmacastctl streams";
	if (!services)
		return "no endpoint listens for other machines; see listen in dmacastd.conf(5)";
	if (services > 1 && !directory)
		return "several services, and each needs a file: expected --directory PATH, or the "
		       "name of a stream with one port";
	return NULL;
}

/* Count first, with every message; then write. */
static int dnssd_run_chosen(const json_t *chosen, struct dnssd_output *output)
{
	FILE *quiet = fopen("/dev/null", "we");
	size_t services = 0, i;
	const json_t *stream;
	const char *expected;

	json_array_foreach(chosen, i, stream)
		dnssd_each_service(stream, dnssd_count, &services, stderr);
	expected = dnssd_expected(json_array_size(chosen), services, output->directory);
	if (expected)
		fprintf(stderr, "dmacastctl: dnssd: %s\n", expected);
	for (i = 0; !expected && quiet && i < json_array_size(chosen); i++)
		dnssd_each_service(json_array_get(chosen, i), dnssd_write, output, quiet);
	if (quiet)
		fclose(quiet);
	return expected || !quiet || output->failed;
}

int dnssd_run(const json_t *streams, const char *stream, const struct dnssd_format *format,
	      const char *directory)
{
	struct dnssd_output output = { .format = format, .directory = directory };
	json_t *chosen = dnssd_choose(streams, stream);
	int status = dnssd_run_chosen(chosen, &output);

	json_decref(chosen);
	return status;
}
