/* SPDX-License-Identifier: BSD-2-Clause */
/* The connection of dmacastctl to the daemon; dmacastctl(8) describes requests and answers. */
#ifndef DMACAST_CTL_CONNECTION_H
#define DMACAST_CTL_CONNECTION_H

#include <jansson.h>
#include <stdbool.h>

#define CTL_DEFAULT_SOCKET "/run/dmacast/control"

/* Size of a buffer for an error. */
#define CTL_ERROR_TEXT 1024

struct ctl;

/**
 * ctl_open() - prepare a connection, which the first request makes.
 * @path: of the control socket; not copied
 *
 * Return: NULL without memory.
 */
struct ctl *ctl_open(const char *path);

/** ctl_request() - return a new request of @command; NULL without memory. */
json_t *ctl_request(const char *command);

/**
 * ctl_request_set() - set a member of @request.
 * @value: the reference is taken over; NULL: without memory
 *
 * Return: @request; NULL without memory, and then @request is freed. Each may be NULL already.
 */
json_t *ctl_request_set(json_t *request, const char *name, json_t *value);

/**
 * ctl_request_set_text() - like ctl_request_set(), with a text.
 * @text: NULL: without this member
 *
 * Return: like ctl_request_set(); NULL also if @text is not valid UTF-8.
 */
json_t *ctl_request_set_text(json_t *request, const char *name, const char *text);

/**
 * ctl_ask() - connect if necessary, send a request, and wait for the answer, with a timeout.
 * @request: the reference is taken over
 * @error: out: the error and its remedy on one line; only if NULL is returned
 *
 * Return: the answer, a new reference; NULL if the request failed.
 */
json_t *ctl_ask(struct ctl *ctl, json_t *request, char error[CTL_ERROR_TEXT]);

/**
 * ctl_wait_without_limit() - from now on, wait for answers without a timeout, as long as the connection exists.
 * For requests whose work takes long.
 */
void ctl_wait_without_limit(struct ctl *ctl);

/** ctl_was_closed() - return true if the last request failed because the daemon ended the connection. */
bool ctl_was_closed(const struct ctl *ctl);

/**
 * ctl_subscribe() - like ctl_ask(), send a request whose answer is followed by more lines.
 *
 * Return: the descriptor that they come from, until ctl_close(); -1 if the request failed.
 */
int ctl_subscribe(struct ctl *ctl, json_t *request, char error[CTL_ERROR_TEXT]);

/**
 * ctl_ask_clients() - like ctl_ask(), request the complete list of clients.
 * @stream: name of a stream; NULL: all streams
 */
json_t *ctl_ask_clients(struct ctl *ctl, const char *stream, char error[CTL_ERROR_TEXT]);

/* Answers with all that the daemon reports; all NULL without one. */
struct ctl_answers {
	json_t *status, *streams, *clients;
};

/** ctl_ask_all() - set @answers to new ones. Return: false with @error, and without answers, after an error. */
bool ctl_ask_all(struct ctl *ctl, struct ctl_answers *answers, char error[CTL_ERROR_TEXT]);

/** ctl_answers_free() - release the answers, and set them to NULL. */
void ctl_answers_free(struct ctl_answers *answers);

/**
 * ctl_peer_is_visible() - return true if the daemon's process has a number here; false without a connection, and if it
 * is in another PID namespace, where its own number means another process.
 */
bool ctl_peer_is_visible(const struct ctl *ctl);

/** ctl_close() - close the connection and free @ctl. */
void ctl_close(struct ctl *ctl);

#endif
