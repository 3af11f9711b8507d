// SPDX-License-Identifier: BSD-2-Clause
/* The state that one process saves and its successor restores. */
#include "lib/state.h"

#include "lib/shared_bytes.h"

#include "dice.h"
#include "statejson.h"
#include "statepass.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct sample {
	uint64_t large;
	uint32_t number;
	uint16_t port;
	int64_t negative;
	bool yes;
	int choice;
	uint64_t counter[3];
	char text[8];
	char *copy, *nothing;
	unsigned char *bytes;
	size_t length;
	unsigned char fixed[4];
	size_t items;
	uint32_t item[4];
	bool has_extra;
	uint32_t extra;
	int fd, no_fd;
};

static void sample_transfer_items(struct state *state, struct sample *sample)
{
	state_list(state, "items", 4);
	if (!state_is_saving(state)) {
		while (state_next_item(state))
			state_u32(state, "value", &sample->item[sample->items++]);
		return;
	}
	for (size_t i = 0; i < sample->items; i++) {
		state_item(state);
		state_u32(state, "value", &sample->item[i]);
		state_leave(state);
	}
	state_list_end(state);
}

static void sample_transfer(struct state *state, struct sample *sample)
{
	state_enter(state, "sample");
	state_u64(state, "large", &sample->large);
	state_u32(state, "number", &sample->number);
	state_u16(state, "port", &sample->port);
	state_i64(state, "negative", &sample->negative);
	state_bool(state, "yes", &sample->yes);
	state_choice(state, "choice", &sample->choice, 3);
	state_numbers(state, "counter", sample->counter, 3);
	state_string(state, "text", sample->text, sizeof(sample->text));
	state_string_copy(state, "copy", &sample->copy);
	state_string_copy(state, "nothing", &sample->nothing);
	state_bytes(state, "bytes", &sample->bytes, &sample->length, 16);
	state_fixed_bytes(state, "fixed", sample->fixed, sizeof(sample->fixed));
	sample_transfer_items(state, sample);
	sample->has_extra = state_optional(state, "extra", sample->has_extra);
	if (sample->has_extra) {
		state_u32(state, "value", &sample->extra);
		state_leave(state);
	}
	state_descriptor(state, "fd", &sample->fd);
	state_descriptor(state, "no_fd", &sample->no_fd);
	state_leave(state);
}

static struct sample sample_make(void)
{
	static unsigned char bytes[] = { 0, 255, 16 };
	static char copy[] = "a copy \"with\" quotes";

	return (struct sample){
		.large = UINT64_MAX - 5,
		.number = UINT32_MAX,
		.port = 65535,
		.negative = -7,
		.yes = true,
		.choice = 2,
		.counter = { 1, UINT64_MAX, 3 },
		.text = "1234567",
		.copy = copy,
		.bytes = bytes,
		.length = sizeof(bytes),
		.fixed = { 1, 2, 3, 255 },
		.items = 3,
		.item = { 7, 8, 9 },
		.has_extra = true,
		.extra = 77,
		.fd = -1,
		.no_fd = -1,
	};
}

/* Return the state of a sample, which the caller frees. @fd: duplicated as the descriptor of the sample, or -1 */
static char *sample_encode(int fd, size_t *length)
{
	struct state *state = state_create();
	struct sample sample = sample_make();
	const int *descriptors;
	size_t count;
	char *data;

	sample.fd = fd;
	sample_transfer(state, &sample);
	data = state_encode_copy(state, length);
	descriptors = state_descriptors(state, &count);
	check(count == (fd >= 0) && (fd < 0 || descriptors[0] == fd), "%zu descriptors", count);
	state_free(state);
	return data;
}

static void test_round_trip(void)
{
	char wrong[STATE_WRONG_TEXT];
	struct sample sample = { .fd = -1, .no_fd = -1 }, before = sample_make();
	int pipes[2];
	size_t length = 0;
	char *data, byte = 'x';
	struct state *state;

	check(!pipe(pipes), "no pipe");
	data = sample_encode(pipes[1], &length);
	state = state_decode(data, length, &pipes[1], 1, wrong);
	check(state, "%s", wrong);
	sample_transfer(state, &sample);
	check(!state_failed(state), "%s", state_why(state));
	check(sample.large == before.large && sample.number == before.number &&
		      sample.port == before.port && sample.negative == before.negative &&
		      sample.yes && sample.choice == 2 && sample.counter[1] == UINT64_MAX,
	      "other numbers");
	check(!strcmp(sample.text, before.text) && !strcmp(sample.copy, before.copy) &&
		      !sample.nothing,
	      "other texts");
	check(sample.length == 3 && !memcmp(sample.bytes, before.bytes, 3) &&
		      !memcmp(sample.fixed, before.fixed, 4),
	      "other bytes");
	check(sample.items == 3 && sample.item[2] == 9 && sample.extra == 77, "other items");
	check(sample.no_fd == -1 && fcntl(sample.fd, F_GETFD) == FD_CLOEXEC, "other descriptors");
	state_free(state);
	check(write(sample.fd, &byte, 1) == 1 && read(pipes[0], &byte, 1) == 1, "it is closed");
	close(sample.fd);
	close(pipes[0]);
	free(sample.copy);
	free(sample.bytes);
	free(data);
	point("each value comes back as it was saved");
}

/* Return the sum of the items of @text, a list of values, as state_next_item() finds them. @state: out: to look at, and to free */
static uint64_t sum_of_items(const char *text, struct state **state)
{
	char wrong[STATE_WRONG_TEXT];
	uint64_t sum = 0;
	uint32_t value = 0;

	*state = statejson_decode_text(text, NULL, 0, wrong);
	check(*state, "%s", wrong);
	state_list(*state, "items", 3);
	while (state_next_item(*state)) {
		state_u32(*state, "value", &value);
		sum += value;
	}
	return sum;
}

static void test_next_item(void)
{
	static const struct {
		const char *text, *why;
		uint64_t sum;
	} lists[] = {
		{ "{\"items\":[]}", "", 0 },
		{ "{\"items\":[{\"value\":7},{\"value\":8},{\"value\":9}]}", "", 24 },
		{ "{\"items\":[{\"value\":7},8]}", "expected an object", 7 },
		{ "{\"items\":[{\"value\":7},{\"wert\":8},{\"value\":9}]}", "value is missing",
		  14 },
		{ "{\"items\":[{\"value\":7},{\"value\":7},{\"value\":7},{\"value\":7}]}",
		  "more than 3", 21 },
		{ "{\"list\":[]}", "items is missing", 0 },
	};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct state *state;
		uint64_t sum = sum_of_items(lists[i].text, &state);

		check(sum == lists[i].sum, "%s: %" PRIu64, lists[i].text, sum);
		check(*lists[i].why ? strstr(state_why(state), lists[i].why) != NULL
				    : !state_failed(state),
		      "%s: %s", lists[i].text, state_why(state));
		state_free(state);
	}
	point("the items of a list are restored one after the other, up to a failure");
}

static void test_list_bound(void)
{
	struct state *state = state_create();
	size_t length;

	state_list(state, "items", 2);
	for (int i = 0; i < 3; i++) {
		check(!state_failed(state), "item %d: %s", i, state_why(state));
		state_item(state);
		state_leave(state);
	}
	state_list_end(state);
	check(strstr(state_why(state), "items: more than 2 items") != NULL, "%s", state_why(state));
	check(!state_encode(state, &length), "saved");
	state_free(state);
	point("a list with too many items is not saved");
}

/* Replace @from by @to in the text of a sample, and restore it. Return: why that failed. */
static const char *restore_with(const char *from, const char *to)
{
	static char why[STATE_WRONG_TEXT];
	struct sample sample = { .fd = -1, .no_fd = -1 };
	size_t length = 0;
	char *data = sample_encode(-1, &length), *text = statejson_text(data, length),
	     changed[4096];
	const char *at = strstr(text, from);
	struct state *state;

	check(at, "no %s in %s", from, text);
	snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text, to,
		 at + strlen(from));
	free(text);
	free(data);
	state = statejson_decode_text(changed, NULL, 0, why);
	if (!state)
		return why;
	sample_transfer(state, &sample);
	check(state_failed(state), "%s was accepted", to);
	snprintf(why, sizeof(why), "%s", state_why(state));
	state_free(state);
	free(sample.copy);
	free(sample.bytes);
	return why;
}

static void test_state_failures(void)
{
	static const struct {
		const char *from, *to, *why;
	} broken[] = {
		{ "\"number\"", "\"nummer\"", "sample: number is missing" },
		{ "\"yes\":", "\"more\":1,\"yes\":", "sample: yes is missing" },
		{ "4294967295", "4294967296", "number: expected a number up to" },
		{ "65535", "-1", "port: expected" },
		{ "\"choice\":2", "\"choice\":3", "choice: expected" },
		{ "1234567", "12345678", "text: longer than 7 bytes" },
		{ "00ff10", "00fx10", "bytes: expected bytes" },
		{ "010203ff", "010203", "fixed: expected 4 bytes" },
		{ "{\"value\":8}", "{\"wert\":8}", "sample.items[1]: value is missing" },
		{ "{\"value\":8}", "8", "item 1: expected an object" },
		{ "{\"value\":8}", "{\"value\":8},{\"value\":8},{\"value\":8}", "more than 4" },
		{ "\"fd\":-1", "\"fd\":0", "there is no descriptor 0" },
		{ "true", "1", "yes: expected true or false" },
		{ "{\"sample\"", "[\"sample\"", "" },
	};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		const char *why = restore_with(broken[i].from, broken[i].to);

		check(strstr(why, broken[i].why), "%s: %s", broken[i].to, why);
	}
	point("a value that is missing, wrong, or not known is a failure that is named");
}

/* Return true if a sample is restored from @data. */
static bool sample_decode(const char *data, size_t length)
{
	struct sample sample = { .fd = -1, .no_fd = -1 };
	char why[STATE_WRONG_TEXT];
	struct state *state = state_decode(data, length, NULL, 0, why);
	bool right;

	if (!state)
		return false;
	sample_transfer(state, &sample);
	right = !state_failed(state);
	check(right || *state_why(state), "no reason");
	state_free(state);
	free(sample.copy);
	free(sample.nothing); /* a text, if the byte of null was changed */
	free(sample.bytes);
	return right;
}

static void test_cut_short(void)
{
	size_t length = 0;
	char *data = sample_encode(-1, &length);

	/* Only the end of the whole is not asked for. */
	for (size_t cut = 0; cut < length; cut++)
		check(sample_decode(data, cut) == (cut == length - 1), "%zu of %zu bytes", cut,
		      length);
	free(data);
	point("a state that is cut short is a failure");
}

static void test_random_bytes(void)
{
	struct dice dice = { 4711 };
	unsigned int right = 0;
	size_t length = 0;
	char *data = sample_encode(-1, &length);

	for (int i = 0; i < 20000; i++) {
		char *byte = &data[dice_roll(&dice, 0, (uint32_t)length - 1)], before = *byte;

		*byte = (char)dice_roll(&dice, 0, 255);
		right += sample_decode(data, length);
		*byte = before;
	}
	check(right && right < 20000, "%u", right);
	free(data);
	point("any byte may have any value");
}

static void test_descriptors_are_closed(void)
{
	char wrong[STATE_WRONG_TEXT];
	int pipes[2];

	check(!pipe(pipes), "no pipe");
	check(!state_decode("\xbf", 0, pipes, 2, wrong) && *wrong, "parsed");
	check(fcntl(pipes[0], F_GETFD) < 0 && fcntl(pipes[1], F_GETFD) < 0, "open after a failure");
	check(!pipe(pipes), "no pipe");
	state_free(state_decode("\xbf\xff", 2, pipes, 2, wrong));
	check(fcntl(pipes[0], F_GETFD) < 0 && fcntl(pipes[1], F_GETFD) < 0, "open afterwards");
	point("descriptors that nothing asked for are closed");
}

/* Restore from what no state_encode() wrote. Return: why that failed. */
static const char *restore_shared(const char *text)
{
	static char why[STATE_WRONG_TEXT];
	struct state *state = statejson_decode_text(text, NULL, 0, why);
	struct shared_bytes *bytes = NULL;

	check(state, "%s", why);
	state_shared_bytes(state, "a", &bytes, 3);
	check(!bytes && state_failed(state), "%s was accepted", text);
	snprintf(why, sizeof(why), "%s", state_why(state));
	state_free(state);
	return why;
}

static void test_shared_bytes(void)
{
	static const struct {
		const char *text, *why;
	} broken[] = {
		{ "{\"a\":{\"number\":1,\"bytes\":\"hex:00\"}}", "no bytes 1" },
		{ "{\"a\":{\"number\":0}}", "bytes is missing" },
		{ "{\"a\":{\"bytes\":\"hex:00000000\"}}", "at most 3" },
	};
	struct shared_bytes *many = shared_bytes_create("many", 4), *one = NULL, *nothing = NULL;
	struct shared_bytes *empty = shared_bytes_create("", 0), *again[4] = { NULL };
	struct state *state = state_begin_saving();

	shared_bytes_keep(many);
	one = shared_bytes_create("one", 3);
	state_shared_bytes(state, "a", &many, 4);
	state_shared_bytes(state, "b", &many, 4);
	state_shared_bytes(state, "c", &one, 3);
	state_shared_bytes(state, "d", &nothing, 3);
	state_shared_bytes(state, "e", &empty, 0);
	check(many->owners == 2 && one->owners == 1, "saving changed the owners");
	state = state_pass(state);
	state_shared_bytes(state, "a", &again[0], 4);
	state_shared_bytes(state, "b", &again[1], 4);
	state_shared_bytes(state, "c", &again[2], 3);
	state_shared_bytes(state, "d", &nothing, 3);
	state_shared_bytes(state, "e", &again[3], 0);
	state_end_pass(state);
	check(again[0] == again[1] && again[0]->owners == 2 &&
		      !memcmp(again[0]->bytes, "many", again[0]->length),
	      "they are not shared");
	check(again[2] && again[2]->owners == 1 && !memcmp(again[2]->bytes, "one", 3) && !nothing &&
		      again[3] && !again[3]->length,
	      "other bytes");
	shared_bytes_release(many);
	shared_bytes_release(many);
	shared_bytes_release(one);
	shared_bytes_release(empty);
	for (size_t i = 0; i < 4; i++)
		shared_bytes_release(again[i]);
	point("bytes with several owners are saved once, and are shared again");

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		const char *why = restore_shared(broken[i].text);

		check(strstr(why, broken[i].why), "%s: %s", broken[i].text, why);
	}
	point("a number without bytes is a failure");
}

/* Restore bytes from what no state_encode() wrote, with a memory file of 10 bytes. Return: why that failed. */
static const char *restore_long(const char *text)
{
	static char why[STATE_WRONG_TEXT];
	int file = memfd_create("test", 0);
	struct state *state;
	unsigned char *bytes = NULL;
	size_t length = 0;

	check(write(file, "0123456789", 10) == 10, "%s", strerror(errno));
	state = statejson_decode_text(text, &file, 1, why);
	check(state, "%s", why);
	state_bytes(state, "a", &bytes, &length, 20);
	check(!bytes && state_failed(state), "%s was accepted", text);
	snprintf(why, sizeof(why), "%s", state_why(state));
	state_free(state);
	check(fcntl(file, F_GETFD) < 0, "the memory file is open");
	return why;
}

static void test_long_bytes(void)
{
	static const char *const broken[] = {
		"{\"a\":[0,0,11]}", "{\"a\":[0,9,2]}",
		"{\"a\":[0,-1,2]}", "{\"a\":[0,\"u64:18446744073709551615\",2]}",
		"{\"a\":[0,0,-2]}", "{\"a\":[0,0,21]}",
		"{\"a\":[1,0,2]}",  "{\"a\":[0,0]}",
		"{\"a\":[]}",	    "{\"a\":\"numbers:\"}",
		"{\"a\":2}",
	};
	size_t length = 1 << 20, count, again_length = 0, text_length;
	unsigned char *bytes = malloc(length), *again[2] = { NULL };
	struct state *state = state_begin_saving();

	for (size_t i = 0; i < length; i++)
		bytes[i] = (unsigned char)(i * 7 >> 3);
	state_bytes(state, "a", &bytes, &length, length);
	state_bytes(state, "b", &bytes, &length, length);
	check(state_encode(state, &text_length), "%s", state_why(state));
	state_descriptors(state, &count);
	check(text_length < 1000 && count == 1, "%zu bytes of text, %zu descriptors", text_length,
	      count);
	state = state_pass(state);
	state_bytes(state, "a", &again[0], &again_length, length);
	state_bytes(state, "b", &again[1], &again_length, length);
	state_end_pass(state);
	for (size_t i = 0; i < 2; i++) {
		check(again_length == length && !memcmp(again[i], bytes, length), "other bytes");
		free(again[i]);
	}
	free(bytes);
	point("long bytes are not with the other values");
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		check(*restore_long(broken[i]), "%s", broken[i]);
	point("bytes beyond the memory file are a failure");
}

int main(void)
{
	test_long_bytes();
	test_round_trip();
	test_next_item();
	test_list_bound();
	test_state_failures();
	test_cut_short();
	test_random_bytes();
	test_descriptors_are_closed();
	test_shared_bytes();
	return tap_end();
}
