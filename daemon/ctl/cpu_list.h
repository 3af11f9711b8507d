/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of processors as the kernel writes them: "0-3,8". */
#ifndef DMACAST_CPU_LIST_H
#define DMACAST_CPU_LIST_H

#include <sched.h>
#include <stdbool.h>

/* Enough for most lists; longer ones are cut. */
#define CPU_LIST_TEXT 64

/** cpu_list_parse() - read a list. Return: false, and an empty set, if it is malformed. */
bool cpu_list_parse(const char *text, cpu_set_t *set);

/** cpu_list_format() - write a list. Return: @text. */
const char *cpu_list_format(const cpu_set_t *set, char text[CPU_LIST_TEXT]);

#endif
