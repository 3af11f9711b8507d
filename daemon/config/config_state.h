/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Settings in the state of the daemon, see state.h: as the text of a configuration file, which the successor reads with
 * its own option table. So another version may have more options, or other defaults.
 */
#ifndef DMACAST_CONFIG_STATE_H
#define DMACAST_CONFIG_STATE_H

#include "lib/settings.h"

#include <stdbool.h>

struct state;

/** config_state_save_stream() - save the settings of a stream. A failure if they cannot be read again as they are. */
void config_state_save_stream(const struct stream_settings *settings, struct state *state);

/** config_state_restore_stream() - read them again. Return: for stream_settings_free(); NULL: the state failed. */
struct stream_settings *config_state_restore_stream(struct state *state);

/**
 * config_state_save_clients() - save the settings of the clients of a section that the stream does not have any more.
 * @name: of its [endpoint NAME]
 */
void config_state_save_clients(const char *name, const struct client_settings *settings,
			       struct state *state);

/**
 * config_state_restore_clients() - read them again; only the plain values, and without the texts and the list.
 *
 * Return: false if the state failed.
 */
bool config_state_restore_clients(struct client_settings *settings, struct state *state);

#endif
