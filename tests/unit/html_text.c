// SPDX-License-Identifier: BSD-2-Clause
/* Texts in HTML: no byte of them begins markup, or ends an attribute. */
#include "lib/html_text.h"

#include "tap.h"

#include <stdlib.h>
#include <string.h>

static char *html_of(const char *text)
{
	size_t length;
	char *written;
	FILE *file = open_memstream(&written, &length);

	html_write(file, text);
	fclose(file);
	return written;
}

static void check_html(const char *text, const char *expected)
{
	char *written = html_of(text);

	check(!strcmp(written, expected), "\"%s\" becomes \"%s\", not \"%s\"", text, expected,
	      written);
	free(written);
}

static void test_html_bytes(void)
{
	for (unsigned int byte = 1; byte < 256; byte++) {
		char text[2] = { (char)byte, 0 }, *written = html_of(text);

		check(!strpbrk(written, "<>\"'`\n\r\t") &&
			      (*written != '&' || !strncmp(written, "&#", 2)),
		      "byte %u becomes harmless, not \"%s\"", byte, written);
		free(written);
	}
}

int main(void)
{
	check_html("", "");
	check_html("127.0.0.1:80 \xc3\xa9", "127.0.0.1:80 \xc3\xa9");
	check_html("<b a=\"c\">", "&#60;b a=&#34;c&#34;&#62;");
	check_html("a&amp;'", "a&#38;amp;&#39;");
	check_html("a\nb\x7f", "a b ");
	point("markup and control characters are replaced, the rest is as it was");
	test_html_bytes();
	point("no byte begins markup or ends an attribute");
	return tap_end();
}
