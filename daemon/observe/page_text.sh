#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# page_text.sh DIRECTORY: print page_text.c, the live page made of page.html, page.css and page.js of that directory.

set -eu
directory=$1

# literal: the standard input as C string literals.
literal()
{
	sed 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$/\\n"/'
}

# hash FILE: what Content-Security-Policy has for an element with this file between its two tags.
hash()
{
	{ echo; cat "$1"; } | sha256sum | cut -c 1-64 | tr a-f A-F | basenc --base16 -d | base64
}

# page: page.html, with the files in place of the lines that name them.
page()
{
	sed -e "/^@page.css@\$/{r $directory/page.css
d}" -e "/^@page.js@\$/{r $directory/page.js
d}" "$directory/page.html"
}

script=$(hash "$directory/page.js")
style=$(hash "$directory/page.css")

cat <<END
/* Made by page_text.sh. */
#include "observe/page_text.h"

const char page_text_policy[] = "default-src 'none'; script-src 'sha256-$script'; style-src 'sha256-$style'; "
	"connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const char page_text_begin[] =
$(page | sed '/^@status@$/,$d' | literal);

const char page_text_end[] =
$(page | sed '1,/^@status@$/d' | literal);
END
