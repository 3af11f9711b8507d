// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_probe.h"

#include "ctl/cat_receiver.h"
#include "ctl/cat_report.h"
#include "ctl/cat_session.h"
#include "ctl/cat_signals.h"
#include "ctl/cat_sink.h"

#include <stdint.h>

static bool probe_take_metadata(void *data, const struct frame *frame, json_t *metadata)
{
	const char *name = json_string_value(json_object_get(metadata, "stream"));

	(void)frame;
	return name && *name && nats_subject_expand("{stream}", "", name, data);
}

/* The rest of the stream is not of interest. */
static bool probe_take_payload(void *data, const struct frame *frame, const unsigned char *bytes,
			       size_t length)
{
	(void)data;
	(void)frame;
	(void)bytes;
	(void)length;
	return true;
}

static void probe_take_gap(void *data, const struct cat_gap *gap, const struct frame *frame)
{
	(void)data;
	(void)gap;
	(void)frame;
}

static void probe_take_epoch(void *data)
{
	(void)data;
}

static const char *probe_error(void *data)
{
	(void)data;
	return "the metadata has no name of the stream that is usable";
}

static void probe_run(struct cat_session *session, const char *name)
{
	while (!*name && !cat_session_finished(session) && !cat_signals_stopped()) {
		uint64_t until_ns = cat_session_keep_time(session);
		struct pollfd fd = cat_session_poll(session, false);

		if (cat_session_finished(session))
			return;
		cat_signals_poll(&fd, 1, until_ns);
		cat_session_handle(session, fd.revents);
	}
}

bool nats_probe(struct stream_url *url, bool wait, struct cat_report *report,
		char name[NATS_SUBJECT_BYTES])
{
	const struct cat_session_options options = {
		.urls = url,
		.url_count = 1,
		.format = CAT_FORMAT_FRAMED,
		.bytes = UINT64_MAX,
		.reconnect = wait,
	};
	const struct cat_sink sink = {
		.data = name,
		.write = probe_take_payload,
		.metadata = probe_take_metadata,
		.gap = probe_take_gap,
		.new_epoch = probe_take_epoch,
		.error = probe_error,
	};
	struct cat_receiver *receiver =
		cat_receiver_create(CAT_FORMAT_FRAMED, UINT64_MAX, false, &sink, report);
	struct cat_session *session =
		receiver ? cat_session_create(&options, receiver, report) : NULL;

	name[0] = '\0';
	if (session)
		probe_run(session, name);
	else
		cat_report_error(report, "no memory");
	cat_session_free(session);
	cat_receiver_free(receiver);
	return *name;
}
