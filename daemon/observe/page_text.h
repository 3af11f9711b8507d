/* SPDX-License-Identifier: BSD-2-Clause */
/* The live page as the build embeds it: page.html with page.css and page.js in their places; see page_text.sh. */
#ifndef DMACAST_PAGE_TEXT_H
#define DMACAST_PAGE_TEXT_H

/* Before and after the place for the numbers of a browser without scripts. */
extern const char page_text_begin[];
extern const char page_text_end[];

/* Value of Content-Security-Policy: only this script and this style, and requests to this listener. */
extern const char page_text_policy[];

#endif
