/* SPDX-License-Identifier: BSD-2-Clause */
/* A place where bytes of the stream are missing. */
#ifndef DMACAST_CAT_GAP_H
#define DMACAST_CAT_GAP_H

#include <stdint.h>

enum cat_gap_origin {
	CAT_GAP_CLIENT,	 /* the server had them, but not for this client any more */
	CAT_GAP_SOURCE,	 /* the source lost them, for all clients */
	CAT_GAP_UNKNOWN, /* between two connections whose blocks are not counted alike */
	CAT_GAP_ORIGINS
};

struct cat_gap {
	enum cat_gap_origin origin;
	uint64_t blocks, bytes; /* 0 if unknown */
};

#define CAT_GAP_TEXT 160

/** cat_gap_name() - return the name of an origin, for programs. */
const char *cat_gap_name(enum cat_gap_origin origin);

/** cat_gap_format() - write what is missing, and where it was lost. Return: @text. */
const char *cat_gap_format(const struct cat_gap *gap, char text[CAT_GAP_TEXT]);

#endif
