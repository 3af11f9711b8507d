/* SPDX-License-Identifier: BSD-2-Clause */
/* dmacastctl cat: receive a stream, check it, and write its payload to standard output or to files. */
#ifndef DMACAST_CAT_H
#define DMACAST_CAT_H

/**
 * cat_run() - run the command.
 * @argv: from "cat" on
 *
 * Return: the exit status.
 */
int cat_run(int argc, char **argv);

#endif
