// SPDX-License-Identifier: BSD-2-Clause
/* Texts of inputs and items of metadata. jansson is the model for UTF-8. */
#include "lib/input.h"

#include "fuzz.h"
#include "lib/meta.h"

#include <ctype.h>
#include <jansson.h>

static const struct {
	const char *prefix;
	enum input_kind kind;
} model_kinds[] = {
	{ "unix:", INPUT_UNIX },
	{ "unix-listen:", INPUT_UNIX_LISTEN },
	{ "tcp-listen:", INPUT_TCP_LISTEN },
	{ "tcp:", INPUT_TCP },
	{ "exec:", INPUT_EXEC },
};

/* Return what kind a valid @text is. @argument: out */
static enum input_kind model_kind(const char *text, const char **argument)
{
	*argument = text;
	if (!strcmp(text, "-"))
		return INPUT_STDIN;
	for (size_t i = 0; i < sizeof(model_kinds) / sizeof(model_kinds[0]); i++) {
		size_t length = strlen(model_kinds[i].prefix);

		if (strncmp(text, model_kinds[i].prefix, length))
			continue;
		*argument = text + length;
		return model_kinds[i].kind;
	}
	return INPUT_PATH;
}

static void check_input_address(const struct input *input, const char *text)
{
	unsigned long port = strtoul(input->address.port, NULL, 10);

	check(isdigit((unsigned char)*input->address.port) && port <= 65535, "\"%s\": port \"%s\"",
	      text, input->address.port);
	check(input->kind == INPUT_TCP_LISTEN || (port && *input->address.host),
	      "\"%s\" names no peer", text);
}

static void check_input(const char *text)
{
	struct input input;
	const char *expected = NULL, *argument;
	enum input_kind kind = model_kind(text, &argument);

	if (!input_parse(text, &input, &expected)) {
		check(expected && *expected, "\"%s\" is refused without a reason", text);
		return;
	}
	check(input.kind == kind, "\"%s\" has the kind %d, expected %d", text, input.kind, kind);
	check(input.argument == argument && *argument, "\"%s\" has the argument \"%s\"", text,
	      input.argument);
	if (kind == INPUT_TCP || kind == INPUT_TCP_LISTEN)
		check_input_address(&input, text);
	/* A mistake in a prefix must not wait for a file of that name. */
	check(kind != INPUT_PATH || !isalnum((unsigned char)*text) || !strchr(text, ':') ||
		      strspn(text,
			     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") !=
			      strcspn(text, ":"),
	      "\"%s\" is a path", text);
}

/* Return whether @text is KEY=VALUE. */
static bool model_meta(const char *text)
{
	const char *end = text;
	json_t *value;

	while (isascii(*end) && (isalnum((unsigned char)*end) || (*end && strchr("_.-", *end))))
		end++;
	if (end == text || end - text > META_KEY_TEXT - 1 || *end != '=')
		return false;
	value = json_string(end + 1);
	json_decref(value);
	return value != NULL;
}

static void check_meta_item(char *text)
{
	const char *expected = NULL, *value;
	char key[META_KEY_TEXT];
	struct text_list list = { .item = &text, .count = 1 };
	bool right = meta_check(text, &expected);

	check(right == model_meta(text), "\"%s\": accepted %d", text, right);
	if (!right) {
		check(expected && *expected, "\"%s\" is refused without a reason", text);
		return;
	}
	value = meta_key(text, key);
	check(value == strchr(text, '=') + 1, "\"%s\" has the value \"%s\"", text, value);
	check(!strncmp(text, key, strlen(key)) && text[strlen(key)] == '=',
	      "\"%s\" has the key \"%s\"", text, key);
	check(meta_find(&list, key) == value, "\"%s\" is not found", key);
}

void fuzz_one(struct fuzz_input *input)
{
	char *text = fuzz_text(input, false);

	check_input(text);
	check_meta_item(text);
	free(text);
}
