/* SPDX-License-Identifier: BSD-2-Clause */
/* Texts that may have any bytes, such as names of files, in HTML. */
#ifndef DMACAST_HTML_TEXT_H
#define DMACAST_HTML_TEXT_H

#include <stdio.h>

/**
 * html_write() - write a text that is safe between tags and in a quoted attribute: markup and quotes are escaped, a
 * space replaces each control character.
 *
 * Bytes above 127 stay. In a document that is declared as UTF-8 no such byte begins markup, valid or not.
 */
void html_write(FILE *file, const char *text);

#endif
