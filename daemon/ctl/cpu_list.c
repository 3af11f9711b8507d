// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cpu_list.h"

#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>

/* Read one number. Return: the text behind it; NULL if there is none. */
static const char *cpu_parse(const char *text, unsigned long *cpu)
{
	char *end;

	if (*text < '0' || *text > '9')
		return NULL;
	*cpu = strtoul(text, &end, 10);
	return *cpu < CPU_SETSIZE ? end : NULL;
}

/* Read "3" or "0-3" into the set. Return: the text behind it; NULL if it is malformed. */
static const char *cpu_parse_range(const char *text, cpu_set_t *set)
{
	unsigned long first, last;

	text = cpu_parse(text, &first);
	last = first;
	if (text && *text == '-')
		text = cpu_parse(text + 1, &last);
	for (unsigned long cpu = first; text && cpu <= last; cpu++)
		CPU_SET(cpu, set);
	return text;
}

bool cpu_list_parse(const char *text, cpu_set_t *set)
{
	CPU_ZERO(set);
	do {
		text = cpu_parse_range(text, set);
	} while (text && *text == ',' && text++);
	if (text && (*text == '\0' || *text == '\n'))
		return true;
	CPU_ZERO(set);
	return false;
}

const char *cpu_list_format(const cpu_set_t *set, char text[CPU_LIST_TEXT])
{
	char range[32];

	*text = '\0';
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		int first = cpu;

		if (!CPU_ISSET(cpu, set))
			continue;
		while (cpu + 1 < CPU_SETSIZE && CPU_ISSET(cpu + 1, set))
			cpu++;
		if (first == cpu)
			snprintf(range, sizeof(range), "%s%d", *text ? "," : "", first);
		else
			snprintf(range, sizeof(range), "%s%d-%d", *text ? "," : "", first, cpu);
		strlcat(text, range, CPU_LIST_TEXT);
	}
	return text;
}
