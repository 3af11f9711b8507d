// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_subject.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define HOST "{host}"
#define STREAM "{stream}"

/* Longest subject: with what is appended, a name of a JetStream stream is a name of a directory. */
#define MAX_SUBJECT_BYTES 200

struct subject_text {
	char *text;
	size_t length;
};

bool nats_subject_has_stream(const char *template)
{
	return strstr(template, STREAM);
}

static bool subject_may_have(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/* Return the length of the placeholder at @text; 0: there is none. */
static size_t subject_placeholder(const char *text)
{
	if (!strncmp(text, HOST, strlen(HOST)))
		return strlen(HOST);
	return strncmp(text, STREAM, strlen(STREAM)) ? 0 : strlen(STREAM);
}

bool nats_subject_check(const char *template, const char **expected)
{
	bool token = false;

	*expected = "tokens of letters, digits, '_', '-', {host} and {stream} with dots between "
		    "them, such as " NATS_SUBJECT_DEFAULT;
	if (strlen(template) > MAX_SUBJECT_BYTES)
		return false;
	for (const char *at = template; *at; at++) {
		size_t placeholder = subject_placeholder(at);

		if (*at == '.' && !token)
			return false;
		if (placeholder)
			at += placeholder - 1;
		else if (*at != '.' && !subject_may_have(*at))
			return false;
		token = *at != '.';
	}
	return token;
}

static void subject_append(struct subject_text *subject, char c)
{
	if (subject->length < MAX_SUBJECT_BYTES)
		subject->text[subject->length] = c;
	subject->length++;
}

static void subject_append_name(struct subject_text *subject, const char *name, const char *end)
{
	for (size_t i = 0; name[i] && !strchr(end, name[i]); i++)
		subject_append(subject, subject_may_have(name[i]) ? name[i] : '_');
}

bool nats_subject_expand(const char *template, const char *host, const char *stream,
			 char subject[NATS_SUBJECT_BYTES])
{
	struct subject_text text = { .text = subject };

	for (const char *at = template; *at; at++) {
		size_t placeholder = subject_placeholder(at);

		if (!placeholder)
			subject_append(&text, *at);
		else if (placeholder == strlen(HOST))
			subject_append_name(&text, host, ".");
		else
			subject_append_name(&text, stream, "");
		at += placeholder ? placeholder - 1 : 0;
	}
	if (text.length > MAX_SUBJECT_BYTES)
		return false;
	subject[text.length] = '\0';
	return true;
}

/* A stream of others may have longer subjects. */
void nats_subject_events(const char *subject, char events[NATS_SUBJECT_BYTES])
{
	snprintf(events, NATS_SUBJECT_BYTES, "%.*s.ev", MAX_SUBJECT_BYTES, subject);
}

const char *nats_subject_stream(const char *subject, char name[NATS_SUBJECT_BYTES])
{
	size_t i;

	for (i = 0; subject[i] && i < NATS_SUBJECT_BYTES - 1; i++)
		name[i] = subject[i];
	name[i] = '\0';
	for (i = 0; name[i]; i++)
		name[i] = name[i] == '.' ? '_' : name[i];
	return name;
}
