/* SPDX-License-Identifier: BSD-2-Clause */
/* Subjects by a template, and the name of the JetStream stream that has them. */
#ifndef DMACAST_NATS_SUBJECT_H
#define DMACAST_NATS_SUBJECT_H

#include <stdbool.h>

/* Enough for a subject and for what is appended to it. */
#define NATS_SUBJECT_BYTES 256

#define NATS_SUBJECT_DEFAULT "dmacast.{host}.{stream}"

/** nats_subject_has_stream() - return true if the template has {stream}. */
bool nats_subject_has_stream(const char *template);

/**
 * nats_subject_check() - check a template: tokens with dots between them, and {host} and {stream} as parts of tokens.
 * @expected: out: on failure, what would be right
 */
bool nats_subject_check(const char *template, const char **expected);

/**
 * nats_subject_expand() - write the subject. In the name of the host, all from the first dot on is left out; '_'
 * replaces characters that a token cannot have.
 * @template: passes nats_subject_check()
 * @stream: may be NULL without {stream}
 *
 * Return: false if it is too long.
 */
bool nats_subject_expand(const char *template, const char *host, const char *stream,
			 char subject[NATS_SUBJECT_BYTES]);

/** nats_subject_events() - write the subject of the events beside @subject. */
void nats_subject_events(const char *subject, char events[NATS_SUBJECT_BYTES]);

/** nats_subject_stream() - write the name of the JetStream stream of a subject: '_' for each dot. Return: @name. */
const char *nats_subject_stream(const char *subject, char name[NATS_SUBJECT_BYTES]);

#endif
