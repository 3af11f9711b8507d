// SPDX-License-Identifier: BSD-2-Clause
#include "lib/read_proc_integer.h"

#include <inttypes.h>
#include <stdio.h>

int64_t read_proc_integer(const char *path)
{
	FILE *file = fopen(path, "re");
	int64_t number;

	if (!file)
		return -1;
	if (fscanf(file, "%" SCNd64, &number) != 1)
		number = -1;
	fclose(file);
	return number;
}
