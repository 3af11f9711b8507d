// SPDX-License-Identifier: BSD-2-Clause
#include "request.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>

const char *request_read(const char *name, size_t most, size_t *length)
{
	char *content = malloc(most + 1);
	FILE *file = fopen(name, "re");

	if (!content || !file)
		err(2, "--send %s", name);
	*length = fread(content, 1, most + 1, file);
	if (ferror(file))
		err(2, "--send %s", name);
	fclose(file);
	if (!*length || *length > most)
		errx(2, "--send %s: expected 1 to %zu bytes", name, most);
	return content;
}
