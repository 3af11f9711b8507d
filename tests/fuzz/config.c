// SPDX-License-Identifier: BSD-2-Clause
/*
 * A configuration file, or if the input begins with "--", options of the command line, one a line, each without
 * its "--" but the first. What is accepted is printed as `dmacastd --check` does, read again, and must be the same;
 * what is refused has an error.
 */
#include "config/arguments.h"
#include "config/config.h"
#include "config/option_table.h"
#include "fuzz.h"

#include <err.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_ARGUMENTS 64

static char program[] = "dmacastd", check_option[] = "--check", file_option[] = "-c";

/* Return the path of a file with these bytes, which is always the same one. */
static char *fuzzed_file(const void *bytes, size_t length)
{
	static char path[64];
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, bytes, length, 0) != (ssize_t)length)
		err(1, "no file");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

/* Parse the arguments. Return: false after errors, at least one of which was logged. */
static bool parse_fuzzed(int count, char **argument, struct config *config)
{
	char errors[4096] = "";
	enum arguments_outcome outcome;

	config_init(config);
	log_collect(errors, sizeof(errors));
	outcome = arguments_parse(count, argument, config);
	log_collect(NULL, 0);
	check(outcome == ARGUMENTS_CHECK || outcome == ARGUMENTS_WRONG, "outcome %d", outcome);
	check(outcome == ARGUMENTS_CHECK || *errors, "refused without an error");
	return outcome == ARGUMENTS_CHECK;
}

static bool parse_file(const void *bytes, size_t length, struct config *config)
{
	char *arguments[] = { program, check_option, file_option, fuzzed_file(bytes, length),
			      NULL };

	return parse_fuzzed(4, arguments, config);
}

static char *print_config(const struct config *config, size_t *length)
{
	char *text = NULL;
	FILE *file = open_memstream(&text, length);

	config_print(config, file);
	fclose(file);
	return text;
}

static void check_same_streams(const struct config *config, const struct config *again)
{
	char names[OPTION_NAMES_TEXT] = "";

	check(!option_changes(OPTION_DAEMON, OPTION_EFFECTS_ALL, &config->daemon, &again->daemon,
			      names),
	      "[daemon] has changed: %s", names);
	if (!check(config->stream_count == again->stream_count, "%zu streams, not %zu",
		   again->stream_count, config->stream_count))
		return;
	for (size_t i = 0; i < config->stream_count; i++) {
		const struct stream_settings *one = &config->streams[i];
		const struct stream_settings *other = &again->streams[i];

		check(!strcmp(one->name, other->name), "%s is %s", one->name, other->name);
		check(!option_changes(OPTION_STREAM, OPTION_EFFECTS_ALL, one, other, names),
		      "[stream %s] has changed: %s", one->name, names);
		check(!option_endpoint_changes(one, other, names), "[stream %s] has changed: %s",
		      one->name, names);
	}
}

static void check_copies(const struct config *config)
{
	char names[OPTION_NAMES_TEXT] = "";

	for (size_t i = 0; i < config->stream_count; i++) {
		struct stream_settings *copy = stream_settings_copy(&config->streams[i]);

		check(copy && !option_changes(OPTION_STREAM, OPTION_EFFECTS_ALL, copy,
					      &config->streams[i], names),
		      "the copy differs: %s", names);
		stream_settings_free(copy);
	}
}

/* Print @config and read it again. */
static void check_config(const struct config *config)
{
	size_t length, again_length;
	char *text = print_config(config, &length), *again_text;
	struct config again;

	if (check(parse_file(text, length, &again), "not accepted again: %s", text)) {
		check_same_streams(config, &again);
		again_text = print_config(&again, &again_length);
		check(!strcmp(text, again_text), "printed: %s\nand then: %s", text, again_text);
		free(again_text);
	}
	config_free(&again);
	free(text);
	check_copies(config);
}

/* Return true for abbreviations of what opens another file, or prints. */
static bool is_other_option(const char *option)
{
	return !strncmp(option, "conf", 4) || !strncmp(option, "he", 2) ||
	       !strncmp(option, "vers", 4);
}

/* Make arguments of the lines; the caller frees each from the third one on. Return: their number. */
static int split_arguments(struct fuzz_input *input, char *argument[MAX_ARGUMENTS + 1])
{
	int count = 2;

	argument[0] = program;
	argument[1] = check_option;
	while (input->left && count < MAX_ARGUMENTS) {
		char *line = fuzz_text(input, true);

		if (!is_other_option(line) && asprintf(&argument[count], "--%s", line) > 0)
			count++;
		free(line);
	}
	argument[count] = NULL;
	return count;
}

static void use_arguments(struct fuzz_input *input)
{
	char *argument[MAX_ARGUMENTS + 1];
	int count = split_arguments(input, argument);
	/* getopt_long() changes the order of the arguments. */
	char *owned[MAX_ARGUMENTS + 1];
	struct config config;

	memcpy(owned, argument, sizeof(owned));
	if (parse_fuzzed(count, argument, &config))
		check_config(&config);
	config_free(&config);
	while (count > 2)
		free(owned[--count]);
}

void fuzz_one(struct fuzz_input *input)
{
	struct config config;

	if (input->left >= 2 && !memcmp(input->next, "--", 2)) {
		input->next += 2;
		input->left -= 2;
		use_arguments(input);
		return;
	}
	if (parse_file(input->next, input->left, &config))
		check_config(&config);
	config_free(&config);
}
