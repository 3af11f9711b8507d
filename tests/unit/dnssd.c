// SPDX-License-Identifier: BSD-2-Clause
/* Services of DNS-SD: which there are, the limits of their records, and that files are read as they were meant. */
#include "ctl/dnssd_file.h"

#include "ctl/dnssd_service.h"
#include "ctl/dnssd_txt.h"
#include "tap.h"

#include <ctype.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SEEN 16

/* A service, with copies of its texts. */
struct seen_service {
	char name[DNSSD_NAME], type[32], avahi[4096], resolved[4096];
	char txt[2048]; /* strings, each with a newline */
	unsigned int port;
	enum dnssd_protocol protocol;
};

static struct seen_service seen[MAX_SEEN];
static size_t seen_count;
static char seen_log[4096];

static void seen_write(const struct dnssd_format *format, const struct dnssd_service *service,
		       char *text, size_t size)
{
	FILE *file = fmemopen(text, size, "w");

	format->write(service, file);
	fclose(file);
}

static void seen_add(void *argument, const struct dnssd_service *service)
{
	struct seen_service *copy = &seen[seen_count++];

	(void)argument;
	*copy = (struct seen_service){ .port = service->port, .protocol = service->protocol };
	dnssd_instance_name(service, ' ', copy->name);
	snprintf(copy->type, sizeof(copy->type), "%s", service->type);
	seen_write(&dnssd_avahi, service, copy->avahi, sizeof(copy->avahi));
	seen_write(&dnssd_resolved, service, copy->resolved, sizeof(copy->resolved));
	for (size_t i = 0; i < service->txt.count; i++) {
		strcat(copy->txt, service->txt.string[i]);
		strcat(copy->txt, "\n");
	}
}

/* Find the services of a stream in JSON. */
static void seen_read(json_t *stream)
{
	FILE *log;

	memset(seen_log, 0, sizeof(seen_log));
	log = fmemopen(seen_log, sizeof(seen_log), "w");
	if (!stream || !log)
		errx(1, "stream");
	seen_count = 0;
	dnssd_each_service(stream, seen_add, NULL, log);
	fclose(log);
	json_decref(stream);
}

/* Return the text as a reader of the list TxtText= in a .dnssd file gets it: a string a line. */
static const char *read_resolved(const char *text)
{
	static char read[2048];
	const char *from = strstr(text, "\nTxtText=");
	char *to = read;
	unsigned int byte;

	for (from += strlen("\nTxtText="); *from != '\n'; from++) {
		if (*from == ' ') {
			*to++ = '\n';
		} else if (*from == '\\' && sscanf(from, "\\x%2x", &byte) == 1) {
			*to++ = (char)byte;
			from += 3;
		} else {
			check(*from != '"' && *from != '\'' && *from != '\\', "%s", text);
			*to++ = *from;
		}
	}
	*to++ = '\n';
	*to = '\0';
	return read;
}

/* ---- records ---- */

static void test_record(void)
{
	struct dnssd_txt txt = { .count = 0 };
	char value[MAX_TXT_STRING];

	memset(value, 'v', sizeof(value));
	value[sizeof(value) - 2] = '\0'; /* with "k=" 255 bytes */
	check(!dnssd_txt_add(&txt, "k", value), "255 bytes");
	check(txt.bytes == 256 && strlen(txt.string[0]) == 255, "%zu", txt.bytes);
	value[sizeof(value) - 2] = 'v';
	value[sizeof(value) - 1] = '\0';
	check(dnssd_txt_add(&txt, "l", value), "256 bytes");
	check(dnssd_txt_add(&txt, "K", "other"), "a key in upper case");
	check(dnssd_txt_add(&txt, "a=b", "c"), "a key with =");
	check(dnssd_txt_add(&txt, "", "c"), "no key");
	check(dnssd_txt_add(&txt, "a", "one\ntwo"), "a new line");
	check(dnssd_txt_add(&txt, "a", "\x7f"), "DEL");
	check(!dnssd_txt_add(&txt, "a", "=\xc2\xb5"), "UTF-8");
	check(!dnssd_txt_add(&txt, "ab", ""), "no value");
	check(txt.count == 3, "%zu", txt.count);
	dnssd_txt_clear(&txt);
	check(!txt.count && !txt.bytes, "cleared");
	point("strings of a record: length, characters, keys");
}

static void test_record_length(void)
{
	struct dnssd_txt txt = { .count = 0 };
	unsigned int refused = 0;
	size_t bytes = 0;
	char key[16];

	for (unsigned int i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "%u", i);
		refused += dnssd_txt_add(&txt, key, "") != NULL;
	}
	for (size_t i = 0; i < txt.count; i++)
		bytes += 1 + strlen(txt.string[i]);
	check(refused && txt.count + refused == 2000, "%u", refused);
	check(bytes == txt.bytes && bytes <= MAX_TXT_RECORD && bytes + 6 > MAX_TXT_RECORD,
	      "%zu of %zu", bytes, txt.bytes);
	dnssd_txt_clear(&txt);
	point("the length of a record");
}

/* ---- services ---- */

static json_t *seen_stream(const char *text)
{
	json_error_t error;
	json_t *stream = json_loads(text, 0, &error);

	if (!stream)
		errx(1, "%s: %s", text, error.text);
	return stream;
}

static void test_services(void)
{
	seen_read(seen_stream(
		"{\"name\":\"adc\",\"block_size\":65536,\"record_size\":0,\"metadata\":{"
		"\"datatype\":"
		"\"ci16_le\"},"
		"\"endpoints\":[{\"listen\":\":0\",\"addresses\":[\"[::]:7000\"]},"
		"{\"listen\":\":0\",\"addresses\":[\"0.0.0.0:7001\",\"127.0.0.1:7009\"]},"
		"{\"listen\":\"h:1\",\"addresses\":[\"10.0.0.1:7002\",\"[fd00::1]:7002\"]},"
		"{\"listen\":\"x\",\"addresses\":[]},"
		"{\"listen\":\"six\",\"addresses\":[\"[fd00::1]:7003\"]}],"
		"\"sections\":[{\"section\":null,\"format\":\"raw\",\"listen\":[\":0\"]},"
		"{\"section\":\"web\",\"format\":\"http\",\"listen\":[\":0\",\"h:1\"]},"
		"{\"section\":\"none\",\"format\":\"raw\",\"listen\":[\"x\"]},"
		"{\"section\":\"six\",\"format\":\"framed\",\"listen\":[\"six\"]}]}"));
	if (!check(seen_count == 4, "%zu services", seen_count))
		exit(1);
	check(!strcmp(seen[0].name, "adc") && seen[0].port == 7000 && seen[0].protocol == DNSSD_ANY,
	      "%s", seen[0].name);
	check(!strcmp(seen[0].type, "_dmacast._tcp"), "%s", seen[0].type);
	check(!strcmp(seen[0].txt,
		      "txtvers=1\nstream=adc\nformat=raw\nblock=65536\ndatatype=ci16_le\n"),
	      "%s", seen[0].txt);
	check(!strcmp(seen[1].name, "adc web 7001") && seen[1].protocol == DNSSD_IPV4, "%s",
	      seen[1].name);
	check(!strcmp(seen[1].type, "_http._tcp") && strstr(seen[1].txt, "\nsection=web\npath=/\n"),
	      "%s: %s", seen[1].type, seen[1].txt);
	check(!strcmp(seen[2].name, "adc web 7002") && seen[2].protocol == DNSSD_ANY, "%s",
	      seen[2].name);
	check(!strcmp(seen[3].name, "adc six") && seen[3].protocol == DNSSD_IPV6, "%s",
	      seen[3].name);
	check(strstr(seen_log, "127.0.0.1:7009 is left out"), "%s", seen_log);
	point("services: one for each port that others can connect to");
	seen_read(seen_stream("{\"name\":\"ended\",\"state\":\"ended\"}"));
	check(!seen_count, "%zu", seen_count);
	point("no service of a stream that has ended");
}

/* Return a stream on port 1 with one line of metadata. */
static json_t *seen_stream_with(const char *key, const char *value)
{
	json_t *stream =
		seen_stream("{\"name\":\"adc\",\"endpoints\":[{\"listen\":\"a\",\"addresses\":"
			    "[\"[::]:1\"]}],\"sections\":[{\"section\":null,\"format\":"
			    "\"raw\",\"listen\":[\"a\"]}]}");

	json_object_set_new(stream, "metadata", json_pack("{s:s}", key, value));
	return stream;
}

static void test_escapes(void)
{
	static const char value[] = "it's \"5 < 6 & 7\" > \\x41 %H %h $HOME \xc2\xb5V;#";

	seen_read(seen_stream_with("note", value));
	if (!check(seen_count == 1 && strstr(seen[0].txt, value), "%s", seen[0].txt))
		exit(1);
	check(strstr(seen[0].avahi, "<txt-record>note=it's \"5 &lt; 6 &amp; 7\" &gt; \\x41 %H %h "
				    "$HOME \xc2\xb5V;#</txt-record>"),
	      "%s", seen[0].avahi);
	check(!strcmp(read_resolved(seen[0].resolved), seen[0].txt), "%s", seen[0].resolved);
	for (unsigned int byte = ' '; byte < 0x7f; byte++) {
		char text[] = { 'a', (char)byte, 'b', '\0' };

		seen_read(seen_stream_with("k", text));
		check(!strcmp(read_resolved(seen[0].resolved), seen[0].txt), "%u: %s", byte,
		      seen[0].resolved);
	}
	point("special characters in both files");
	seen_read(seen_stream_with("k", "a\nb"));
	check(seen_count == 1 && !strstr(seen[0].txt, "k="), "%s", seen[0].txt);
	check(strstr(seen_log, "k is left out"), "%s", seen_log);
	seen_read(seen_stream_with("STREAM", "other"));
	check(strstr(seen[0].txt, "stream=adc") && !strstr(seen[0].txt, "other"), "%s",
	      seen[0].txt);
	point("metadata that no record can have is left out, and that is said");
}

int main(void)
{
	test_record();
	test_record_length();
	test_services();
	test_escapes();
	return tap_end();
}
