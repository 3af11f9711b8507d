/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket options that come from the options of a client. */
#ifndef DMACAST_CLIENT_OPTIONS_H
#define DMACAST_CLIENT_OPTIONS_H

#include "lib/settings.h"

#include <stdbool.h>

/* Enough for every value that client_options_check() writes. */
#define CLIENT_OPTION_TEXT 64

/**
 * client_options_set() - set the options that the kernel can refuse: congestion, dscp and max-rate.
 * @refused: out: name of the first option that was refused; NULL: none
 * @value: out: its value, as in a file
 *
 * Return: false with errno set. The other options are set nevertheless.
 */
bool client_options_set(int fd, const struct client_settings *settings, const char **refused,
			char value[CLIENT_OPTION_TEXT]);

/** client_options_check() - the same for a TCP socket that is not used, and with interface. */
bool client_options_check(int fd, const struct client_settings *settings, const char **refused,
			  char value[CLIENT_OPTION_TEXT]);

#endif
