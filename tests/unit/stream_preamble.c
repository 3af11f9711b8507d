// SPDX-License-Identifier: BSD-2-Clause
/* The store of the preamble: what is kept of a run, what a client gets at each moment, and files. */
#include "stream/stream_preamble.h"

#include "lib/log.h"
#include "tap.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char stream_name_text[] = "test";
static char path[] = "/tmp/dmacast-preamble-XXXXXX";
static struct stream_settings settings;
static struct stream_preamble preamble;
static uint64_t position; /* of the next block */

static void preamble_begin(uint64_t bytes, char *file)
{
	position = 0;
	settings = (struct stream_settings){ .name = stream_name_text };
	settings.preamble = (struct preamble_setting){ .bytes = bytes, .path = file };
	if (!stream_preamble_init(&preamble, &settings))
		errx(1, "no memory");
}

static void preamble_push(const char *text)
{
	unsigned char bytes[64];
	const struct block block = { .data = bytes, .length = (uint32_t)strlen(text) };

	memcpy(bytes, text, block.length);
	stream_preamble_add(&preamble, &block, position);
	position += block.length;
}

/* Check what a client gets whose first block is at @first; NULL: nothing. */
static void expect_preamble_at(uint64_t first, const char *text)
{
	struct shared_bytes *bytes;

	check(stream_preamble_get(&preamble, first, &bytes), "no memory");
	check(!bytes == !text, "%s", bytes ? "a preamble" : "none");
	if (bytes && text)
		check(bytes->length == strlen(text) && !memcmp(bytes->bytes, text, bytes->length),
		      "%.*s, expected %s", (int)bytes->length, (const char *)bytes->bytes, text);
}

/* ... of one that joins now. */
static void expect_preamble(const char *text)
{
	expect_preamble_at(position, text);
}

static void test_preamble_bytes(void)
{
	preamble_begin(8, NULL);
	expect_preamble(NULL);
	preamble_push("abc");
	expect_preamble("abc");
	preamble_push("defghijk");
	expect_preamble("abcdefgh");
	preamble_push("lmn");
	expect_preamble("abcdefgh");
	point("the first bytes of the run are kept, and nothing behind them");

	stream_preamble_begin_run(&preamble);
	expect_preamble(NULL);
	stream_preamble_begin_run(&preamble);
	preamble_push("0123456789");
	expect_preamble("01234567");
	point("none between two runs; then those of the new one, also with the same length");
	stream_preamble_free(&preamble);
}

static void test_preamble_shared(void)
{
	struct shared_bytes *former, *now;

	preamble_begin(4, NULL);
	preamble_push("abcd");
	check(stream_preamble_get(&preamble, position, &former), "no memory");
	check(stream_preamble_get(&preamble, position, &now) && now == former, "two copies");
	shared_bytes_keep(former);
	stream_preamble_begin_run(&preamble);
	preamble_push("efgh");
	expect_preamble("efgh");
	check(!memcmp(former->bytes, "abcd", 4), "the former one has changed");
	shared_bytes_release(former);
	stream_preamble_free(&preamble);
	point("clients share one copy, which stays as it is in the next run");
}

static void test_preamble_in_history(void)
{
	preamble_begin(8, NULL);
	preamble_push("abc");
	preamble_push("defg");
	preamble_push("hijk");
	preamble_push("lmn");
	expect_preamble_at(0, NULL);
	expect_preamble_at(3, "abc");
	expect_preamble_at(7, "abcdefg");
	expect_preamble_at(11, "abcdefgh");
	expect_preamble_at(14, "abcdefgh");
	point("a client that begins within the head gets what is before its first block");

	stream_preamble_begin_run(&preamble);
	expect_preamble_at(3, "abc");
	expect_preamble_at(11, "abcdefgh");
	expect_preamble_at(14, NULL);
	check(stream_preamble_run_position(&preamble) == 0, "another run");
	preamble_push("0123");
	check(stream_preamble_run_position(&preamble) == 14, "not the new run");
	expect_preamble_at(14, NULL);
	expect_preamble_at(18, "0123");
	point("the head of the last run is kept until the next one has a byte");
	stream_preamble_free(&preamble);
}

static void preamble_write_file(const char *text)
{
	FILE *file = fopen(path, "w");

	if (!file || fputs(text, file) < 0 || fclose(file))
		err(1, "%s", path);
}

static void test_preamble_file(void)
{
	preamble_write_file("one");
	preamble_begin(0, path);
	check(stream_preamble_read(&preamble), "not read");
	check(stream_preamble_is_late(&preamble), "not late before the first byte");
	preamble_write_file("two");
	preamble_push("abc");
	check(!stream_preamble_is_late(&preamble), "late within a run");
	expect_preamble("two");
	preamble_write_file("three");
	preamble_push("abc");
	expect_preamble("two");
	point("a file is read again with the first block of a run only");

	unlink(path);
	stream_preamble_begin_run(&preamble);
	preamble_push("abc");
	expect_preamble("two");
	check(!stream_preamble_read(&preamble), "a missing file is read");
	point("a missing file leaves the former content");

	preamble_write_file("");
	stream_preamble_begin_run(&preamble);
	preamble_push("abc");
	expect_preamble(NULL);
	point("an empty file is no preamble");
	stream_preamble_free(&preamble);
}

static void test_wrong_preamble_files(void)
{
	unlink(path);
	if (mkfifo(path, 0600))
		err(1, "%s", path);
	preamble_begin(0, path);
	check(!stream_preamble_read(&preamble), "a FIFO");
	unlink(path);
	if (mkdir(path, 0700))
		err(1, "%s", path);
	check(!stream_preamble_read(&preamble), "a directory");
	rmdir(path);
	preamble_write_file("x");
	if (truncate(path, MAX_PREAMBLE + 1))
		err(1, "%s", path);
	check(!stream_preamble_read(&preamble), "a byte too many");
	if (truncate(path, MAX_PREAMBLE))
		err(1, "%s", path);
	check(stream_preamble_read(&preamble) && preamble.shared->length == MAX_PREAMBLE, "1 MiB");
	stream_preamble_free(&preamble);
	point("a FIFO, a directory and a file of more than 1 MiB are refused");
}

int main(void)
{
	int fd = mkstemp(path);

	log_init("test");
	log_set_level(LOG_LEVEL_ERROR);

	if (fd < 0)
		err(1, "%s", path);
	close(fd);
	test_preamble_bytes();
	test_preamble_shared();
	test_preamble_in_history();
	test_preamble_file();
	test_wrong_preamble_files();
	unlink(path);
	return tap_end();
}
