// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_stream.h"

#include "lib/clock.h"
#include "lib/units.h"
#include "nats/nats_subject.h"

#include <bsd/string.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_DUPLICATE_US (120ULL * 1000000)

/* ---- creating ---- */

static uint64_t stream_duplicate_us(const struct nats_stream_options *options)
{
	uint64_t window = options->duplicate_us ? options->duplicate_us : DEFAULT_DUPLICATE_US;

	/* The server refuses a window that is longer than what it keeps. */
	return options->max_age_us && options->max_age_us < window ? options->max_age_us : window;
}

static natsStatus stream_add(const struct nats_stream *stream, jsErrCode *code)
{
	const struct nats_stream_options *options = stream->options;
	char events[NATS_SUBJECT_BYTES];
	const char *subjects[] = { stream->subject, events };
	jsStreamConfig config;

	nats_subject_events(stream->subject, events);
	jsStreamConfig_Init(&config);
	config.Name = stream->name;
	config.Description = "dmacast";
	config.Subjects = subjects;
	config.SubjectsLen = 2;
	config.Storage = options->memory ? js_MemoryStorage : js_FileStorage;
	config.MaxBytes = options->max_bytes ? (int64_t)options->max_bytes : -1;
	config.MaxAge = (int64_t)(options->max_age_us * NS_PER_US);
	config.Replicas = options->replicas ? (int64_t)options->replicas : 1;
	config.Duplicates = (int64_t)(stream_duplicate_us(options) * NS_PER_US);
	config.AllowDirect = true;
	return js_AddStream(NULL, nats_server_jetstream(stream->server), &config, NULL, code);
}

/* ---- checking ---- */

static bool stream_has_subject(const jsStreamConfig *config, const char *subject)
{
	for (int i = 0; i < config->SubjectsLen; i++) {
		if (!strcmp(config->Subjects[i], subject))
			return true;
	}
	return false;
}

/* Return: NULL, or what in the stream makes it unusable here. */
static const char *stream_unusable(const struct nats_stream *stream, const jsStreamConfig *config)
{
	char events[NATS_SUBJECT_BYTES];

	nats_subject_events(stream->subject, events);
	if (!stream_has_subject(config, stream->subject) || !stream_has_subject(config, events))
		return "its subjects are others";
	if (config->SubjectsLen != 2 || config->SourcesLen || config->Mirror)
		return "it has messages of others, too";
	if (config->Retention != js_LimitsPolicy)
		return "its retention is not \"limits\"";
	return config->NoAck ? "it does not acknowledge" : NULL;
}

/* Return: NULL, or the option that another value was given for. */
static const char *stream_difference(const struct nats_stream_options *options,
				     const jsStreamConfig *config)
{
	if (options->storage_given && options->memory != (config->Storage == js_MemoryStorage))
		return "--storage";
	if (options->max_bytes && (int64_t)options->max_bytes != config->MaxBytes)
		return "--max-bytes";
	if (options->max_age_us && (int64_t)(options->max_age_us * NS_PER_US) != config->MaxAge)
		return "--max-age";
	if (options->replicas && (int64_t)options->replicas != config->Replicas)
		return "--replicas";
	if (options->duplicate_us &&
	    (int64_t)(stream_duplicate_us(options) * NS_PER_US) != config->Duplicates)
		return "--duplicate-window";
	return NULL;
}

static enum nats_server_result stream_check(const struct nats_stream *stream,
					    const jsStreamConfig *config,
					    char error[NATS_SERVER_ERROR])
{
	const char *fault = stream_unusable(stream, config);
	const char *option = stream_difference(stream->options, config);

	if (fault)
		snprintf(error, NATS_SERVER_ERROR,
			 "the stream %s cannot be used: %s; choose another --stream", stream->name,
			 fault);
	else if (option)
		snprintf(
			error, NATS_SERVER_ERROR,
			"the stream %s was created with another value of %s; leave the option out, "
			"or edit the stream with the tools of NATS",
			stream->name, option);
	return fault || option ? NATS_SERVER_FATAL : NATS_SERVER_OK;
}

/* Return true if the failure of a call is that there is no such stream. */
static bool stream_is_missing(natsStatus status, jsErrCode code)
{
	return status == NATS_NOT_FOUND || code == JSStreamNotFoundErr;
}

enum nats_server_result nats_stream_prepare(const struct nats_stream *stream,
					    char error[NATS_SERVER_ERROR])
{
	enum nats_server_result result = NATS_SERVER_RETRY;
	jsStreamInfo *info = NULL;
	jsErrCode code = 0;
	natsStatus status = js_GetStreamInfo(&info, nats_server_jetstream(stream->server),
					     stream->name, NULL, &code);

	if (stream_is_missing(status, code)) {
		code = 0;
		status = stream_add(stream, &code);
		result = status == NATS_OK ? NATS_SERVER_OK : NATS_SERVER_RETRY;
	} else if (status == NATS_OK) {
		result = stream_check(stream, info->Config, error);
	}
	if (status != NATS_OK)
		nats_server_reason(status, code, error);
	jsStreamInfo_Destroy(info);
	return result;
}

/* ---- reading ---- */

const char *nats_stream_get_header(void *data, const char *name)
{
	const char *value;

	return natsMsgHeader_Get(data, name, &value) == NATS_OK ? value : NULL;
}

static void stream_read_last(struct nats_last *last, natsMsg *message)
{
	const char *id = nats_stream_get_header(message, NATS_HEADER_ID), *fault;

	last->length = (size_t)natsMsg_GetDataLength(message);
	last->known = id && nats_message_decode(&last->message, nats_stream_get_header, message,
						last->length, &fault);
	if (last->known)
		strlcpy(last->id, id, sizeof(last->id));
}

bool nats_stream_last(const struct nats_stream *stream, struct nats_last *last,
		      char error[NATS_SERVER_ERROR])
{
	jsCtx *jetstream = nats_server_jetstream(stream->server);
	jsStreamInfo *info = NULL;
	natsMsg *message = NULL;
	jsErrCode code = 0;
	natsStatus status = js_GetStreamInfo(&info, jetstream, stream->name, NULL, &code);

	*last = (struct nats_last){ 0 };
	if (status == NATS_OK && info->State.LastSeq) {
		last->sequence = info->State.LastSeq;
		status = js_GetMsg(&message, jetstream, stream->name, last->sequence, NULL, &code);
		if (status == NATS_OK)
			stream_read_last(last, message);
		else if (status == NATS_NOT_FOUND || code == JSNoMessageFoundErr)
			status = NATS_OK; /* its age was reached */
	}
	if (status != NATS_OK)
		nats_server_reason(status, code, error);
	natsMsg_Destroy(message);
	jsStreamInfo_Destroy(info);
	return status == NATS_OK;
}

/* ---- printing ---- */

static void stream_print_limit(const char *name, int64_t bytes)
{
	char text[UNITS_TEXT];

	if (bytes > 0)
		printf("%s: %s\n", name, units_format_about((uint64_t)bytes, text));
	else
		printf("%s: no limit\n", name);
}

static void stream_print_info(const jsStreamInfo *info)
{
	const jsStreamConfig *config = info->Config;
	char text[UNITS_TEXT];

	printf("stream: %s, %s, %" PRId64 " replica%s\n", config->Name,
	       config->Storage == js_MemoryStorage ? "memory" : "file", config->Replicas,
	       config->Replicas == 1 ? "" : "s");
	printf("messages: %" PRIu64 " to %" PRIu64 ", %s\n", info->State.FirstSeq,
	       info->State.LastSeq, units_format_about(info->State.Bytes, text));
	stream_print_limit("max-bytes", config->MaxBytes);
	if (config->MaxAge > 0)
		printf("max-age: %s\n",
		       units_format_duration((uint64_t)config->MaxAge / NS_PER_US, text));
	else
		printf("max-age: no limit\n");
	printf("duplicate-window: %s\n",
	       units_format_duration((uint64_t)config->Duplicates / NS_PER_US, text));
}

static natsStatus stream_print_account(const struct nats_stream *stream, jsErrCode *code)
{
	jsAccountInfo *account = NULL;
	natsStatus status =
		js_GetAccountInfo(&account, nats_server_jetstream(stream->server), NULL, code);

	if (status == NATS_OK) {
		stream_print_limit("memory of the account", account->Limits.MaxMemory);
		stream_print_limit("storage of the account", account->Limits.MaxStore);
	}
	jsAccountInfo_Destroy(account);
	return status;
}

bool nats_stream_print(const struct nats_stream *stream, char error[NATS_SERVER_ERROR])
{
	jsStreamInfo *info = NULL;
	jsErrCode code = 0;
	natsStatus status = stream_print_account(stream, &code);

	if (status == NATS_OK)
		status = js_GetStreamInfo(&info, nats_server_jetstream(stream->server),
					  stream->name, NULL, &code);
	if (status == NATS_OK)
		stream_print_info(info);
	else if (stream_is_missing(status, code))
		printf("stream: %s does not exist yet\n", stream->name);
	else
		nats_server_reason(status, code, error);
	jsStreamInfo_Destroy(info);
	return status == NATS_OK || stream_is_missing(status, code);
}
