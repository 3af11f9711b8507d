// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/ctl_answer.h"

#include <stdio.h>
#include <unistd.h>

uint64_t answer_count(const json_t *object, const char *name)
{
	double number = json_number_value(json_object_get(object, name));

	return number > 0 ? (uint64_t)number : 0;
}

bool answer_print(const json_t *answer)
{
	size_t layout = isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT;

	if (json_dumpf(answer, stdout, JSON_REAL_PRECISION(15) | layout) && !ferror(stdout)) {
		fputs("dmacastctl: no memory to print the answer\n", stderr);
		return false;
	}
	putchar('\n');
	return true;
}
