/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Data and any number of open descriptors in the queue of a Unix socket. The receiving end is one descriptor that holds
 * them all, so that it can be inherited, or kept by the service manager.
 *
 *     BEGIN, with the data in a sealed memory file ─ DESCRIPTORS, up to 253 of them ─ ... ─ END ─ end of file
 *
 * The sender keeps its end until it ends itself: the end of file tells that nothing can follow. It revokes the parcel
 * with REVOKED, at any time. A parcel that is not complete, or revoked, must not be used.
 */
#ifndef DMACAST_PARCEL_H
#define DMACAST_PARCEL_H

#include <stdbool.h>
#include <stddef.h>

/* Version of all that is in a parcel of the daemon, the meaning of the data, too: `dmacastd --handover-format`. */
#define PARCEL_FORMAT 4

/* Enough for each reason of a failure. */
#define PARCEL_WRONG_TEXT 256

/* What the sender holds. */
struct parcel {
	int sender;   /* the end that writes */
	int receiver; /* the other end, to be passed on; -1 after parcel_is_kept() */
};

/* What the receiver gets. */
struct parcel_content {
	char *data;
	size_t length; /* bytes of `data` */
	int *descriptors;
	size_t count;	  /* of descriptors */
	bool *changed;	  /* for each descriptor: parcel_abort_on_close() has changed it */
	char version[32]; /* of the program that made it */
	size_t reset;	  /* connections that were reset since it cannot be used */
};

/**
 * parcel_pack() - make a parcel. The descriptors stay open here.
 * @wrong: out: on failure, why, and what to do
 *
 * Return: false after a failure.
 */
bool parcel_pack(struct parcel *parcel, const char *data, size_t length, const int *descriptors,
		 size_t count, char wrong[PARCEL_WRONG_TEXT]);

/**
 * parcel_is_kept() - close the receiving end of this process, and return true if there is another one. Otherwise the
 * parcel is gone.
 */
bool parcel_is_kept(struct parcel *parcel);

/** parcel_revoke() - make the parcel unusable, wherever it is, and close the ends of this process. */
void parcel_revoke(struct parcel *parcel);

/**
 * parcel_unpack() - receive a parcel, within 5 seconds. Each of its descriptors has close-on-exec set.
 * @receiver: closed
 * @content: out: on success, free it with parcel_free_content(); on failure, only @content->reset
 * @wrong: out: on failure, why
 *
 * Return: false if it cannot be used; then its connections were reset, and all descriptors closed.
 */
bool parcel_unpack(int receiver, struct parcel_content *content, char wrong[PARCEL_WRONG_TEXT]);

/** parcel_free_content() - free the memory; the descriptors stay open. */
void parcel_free_content(struct parcel_content *content);

/** parcel_abort_on_close() - let each TCP connection be reset when it is closed. Return: the number of connections. */
size_t parcel_abort_on_close(const struct parcel_content *content);

/** parcel_close_as_before() - undo that where it has changed something: most connections of clients were so already. */
void parcel_close_as_before(const struct parcel_content *content);

/** parcel_discard() - reset each TCP connection at once, close all descriptors. Return: the number of connections. */
size_t parcel_discard(const int *descriptors, size_t count);

#endif
