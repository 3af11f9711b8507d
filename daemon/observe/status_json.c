// SPDX-License-Identifier: BSD-2-Clause
#include "observe/status_json.h"

#include "lib/clock.h"
#include "observe/report.h"

#include <jansson.h>

/* Enough digits for the sums of times, and no more than they have. */
#define STATUS_FORMAT (JSON_EMBED | JSON_REAL_PRECISION(12))

static json_t *status_create(const struct streams *streams)
{
	json_t *status = report_daemon();

	if (!json_object_set_new(status, "monotonic",
				 json_real((double)clock_monotonic_ns() / 1e9)) &&
	    !json_object_set_new(status, "streams", report_streams(streams)))
		return status;
	json_decref(status);
	return NULL;
}

bool status_json_write(FILE *file, const struct streams *streams, bool per_client)
{
	json_t *status = status_create(streams);
	bool complete;

	fputc('{', file);
	complete = status && !json_dumpf(status, file, STATUS_FORMAT | JSON_INDENT(1));
	json_decref(status);
	if (per_client) {
		fputs(",\n \"clients\": ", file);
		complete = complete && report_write_clients(file, streams);
	}
	fputs("\n}\n", file);
	return complete && !ferror(file);
}

/* ---- views ---- */

static bool status_write_chosen(FILE *file, const struct chosen_clients *chosen, uint64_t now_ns)
{
	bool complete = true;

	for (unsigned int i = 0; i < chosen->count && complete; i++) {
		const struct chosen_client *entry = &chosen->client[i];
		json_t *object = report_client(entry->client, entry->stream, now_ns);

		if (i)
			fputc(',', file);
		complete =
			object && !json_dumpf(object, file, JSON_COMPACT | JSON_REAL_PRECISION(12));
		json_decref(object);
	}
	return complete;
}

static bool status_write_choice(FILE *file, const struct status_view *view)
{
	struct chosen_clients chosen;
	uint64_t now_ns = clock_monotonic_ns();
	bool complete;

	client_choice_find(view->choice, view->streams, now_ns, &chosen);
	fprintf(file, ",\"matching\":%llu,\"clients\":[", (unsigned long long)chosen.matching);
	complete = status_write_chosen(file, &chosen, now_ns);
	fputc(']', file);
	return complete;
}

bool status_json_write_view(FILE *file, const struct status_view *view)
{
	json_t *status = status_create(view->streams);
	bool complete;

	if (json_object_set_new(status, "interval", json_real((double)view->interval_ns / 1e9))) {
		json_decref(status);
		return false;
	}
	fputc('{', file);
	complete = !json_dumpf(status, file, STATUS_FORMAT | JSON_COMPACT);
	json_decref(status);
	if (complete && view->choice)
		complete = status_write_choice(file, view);
	fputs("}\n", file);
	return complete && !ferror(file);
}
