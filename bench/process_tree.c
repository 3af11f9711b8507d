// SPDX-License-Identifier: BSD-2-Clause
#include "process_tree.h"

#include <stdio.h>

double process_tree_sum(pid_t root, double (*value)(pid_t pid))
{
	double sum = value(root);
	char path[96];
	FILE *children;
	int child;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)root, (int)root);
	children = fopen(path, "re");
	while (children && fscanf(children, "%d", &child) == 1)
		sum += process_tree_sum(child, value);
	if (children)
		fclose(children);
	return sum;
}
