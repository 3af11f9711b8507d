// SPDX-License-Identifier: BSD-2-Clause
#include "lib/refuse.h"

#include <stdarg.h>
#include <stdio.h>

bool refuse(char *wrong, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(wrong, size, format, args);
	va_end(args);
	return false;
}
