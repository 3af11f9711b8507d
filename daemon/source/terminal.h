/* SPDX-License-Identifier: BSD-2-Clause */
/* A terminal, such as a serial port, as an input: raw and exclusive while it is open, then as before. */
#ifndef DMACAST_TERMINAL_H
#define DMACAST_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct state;
struct terminal;

/**
 * terminal_claim() - make a terminal raw (8 bit, no echo, no line editing, no signals) and exclusive.
 * @fd: its descriptor; must stay open until terminal_release()
 * @device: its number, st_rdev
 * @baud: speed in bit/s; 0: keep the present one
 *
 * Return: NULL with errno set; ENOTTY: @fd is no terminal.
 */
struct terminal *terminal_claim(int fd, dev_t device, uint64_t baud);

/** terminal_speed() - return the speed in bit/s that the driver has set. */
uint64_t terminal_speed(const struct terminal *terminal);

/** terminal_drop_input() - drop what has arrived and was not read. */
void terminal_drop_input(const struct terminal *terminal);

/** terminal_is_claimed() - return true if a source of this process has the terminal @device. */
bool terminal_is_claimed(dev_t device);

/** terminal_save() - save what terminal_release() needs; the terminal stays as it is. */
void terminal_save(struct terminal *terminal, struct state *state);

/** terminal_restore() - have the terminal @fd as it was claimed. Return: NULL if the state has failed. */
struct terminal *terminal_restore(int fd, struct state *state);

/** terminal_release() - restore the settings from before terminal_claim(), and free @terminal. */
void terminal_release(struct terminal *terminal);

#endif
