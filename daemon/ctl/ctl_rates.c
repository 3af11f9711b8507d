// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/ctl_rates.h"

#include <stdio.h>

static double rates_number_of(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

static void set_rate(json_t *object, const char *name, double bytes, double seconds)
{
	/* Negative if the stream was replaced by one of the same name in between. */
	if (seconds > 0 && bytes >= 0)
		json_object_set_new(object, name, json_real(bytes / seconds));
}

static json_t *index_by_name(const json_t *answer)
{
	json_t *index = json_object(), *stream;
	size_t i;

	json_array_foreach(json_object_get(answer, "streams"), i, stream)
	{
		const char *name = json_string_value(json_object_get(stream, "name"));

		if (name)
			json_object_set(index, name, stream);
	}
	return index;
}

void rates_of_streams(json_t *now, const json_t *before)
{
	double seconds = rates_number_of(now, "monotonic") - rates_number_of(before, "monotonic");
	json_t *index = index_by_name(before), *stream;
	size_t i;

	json_array_foreach(json_object_get(now, "streams"), i, stream)
	{
		const json_t *name = json_object_get(stream, "name");
		const json_t *old = json_object_get(index, json_string_value(name));

		if (!old)
			continue;
		set_rate(stream, "in_rate",
			 rates_number_of(json_object_get(stream, "filled"), "bytes") -
				 rates_number_of(json_object_get(old, "filled"), "bytes"),
			 seconds);
		set_rate(stream, "out_rate",
			 rates_number_of(stream, "sent_bytes") - rates_number_of(old, "sent_bytes"),
			 seconds);
	}
	json_decref(index);
}

/* Return the two addresses of a connection, which identify it while it lasts. */
static const char *connection_key(const json_t *client, char key[256])
{
	const char *peer = json_string_value(json_object_get(client, "peer"));
	const char *endpoint = json_string_value(json_object_get(client, "endpoint"));

	snprintf(key, 256, "%s %s", peer ? peer : "", endpoint ? endpoint : "");
	return key;
}

static json_t *index_by_connection(const json_t *answer)
{
	json_t *index = json_object(), *client;
	char key[256];
	size_t i;

	json_array_foreach(json_object_get(answer, "clients"), i, client)
		json_object_set(index, connection_key(client, key), client);
	return index;
}

void rates_of_clients(json_t *now, const json_t *before)
{
	json_t *index = index_by_connection(before), *client;
	char key[256];
	size_t i;

	json_array_foreach(json_object_get(now, "clients"), i, client)
	{
		const json_t *old = json_object_get(index, connection_key(client, key));
		double seconds = rates_number_of(client, "seconds");

		/* A younger client with the same addresses is another connection. */
		if (old && rates_number_of(old, "seconds") > seconds)
			old = NULL;
		set_rate(client, "out_rate",
			 rates_number_of(client, "sent_bytes") - rates_number_of(old, "sent_bytes"),
			 seconds - rates_number_of(old, "seconds"));
	}
	json_decref(index);
}
