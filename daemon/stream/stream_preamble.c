// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_preamble.h"

#include "lib/interrupted.h"
#include "lib/log.h"
#include "lib/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool stream_preamble_init(struct stream_preamble *preamble, const struct stream_settings *settings)
{
	*preamble = (struct stream_preamble){ .settings = settings, .pending = true };
	if (!settings->preamble.bytes)
		return true;
	preamble->head = malloc(settings->preamble.bytes);
	return preamble->head;
}

/* Return: NULL, or what is wrong with the file and what is expected. */
static const char *preamble_wrong_file(int fd)
{
	struct stat status;

	if (fd < 0)
		return errno == ENOENT ? "no such file; create it, or name another one"
				       : strerror(errno);
	if (fstat(fd, &status))
		return strerror(errno);
	if (S_ISDIR(status.st_mode))
		return "is a directory; expected a regular file";
	if (!S_ISREG(status.st_mode))
		return "is no regular file; expected one";
	return NULL;
}

/* Read up to one byte more than is allowed, so that a larger file is noticed. Return: bytes, or -1. */
static ssize_t preamble_read_all(int fd, unsigned char *bytes)
{
	size_t length = 0;

	while (length <= MAX_PREAMBLE) {
		ssize_t n = REPEAT_INTERRUPTED(read(fd, bytes + length, MAX_PREAMBLE + 1 - length));

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		length += (size_t)n;
	}
	return (ssize_t)length;
}

/* Return: NULL with @shared set, or what is wrong. */
static const char *preamble_load(int fd, struct shared_bytes **shared)
{
	unsigned char *bytes = malloc(MAX_PREAMBLE + 1);
	ssize_t length = bytes ? preamble_read_all(fd, bytes) : 0;
	const char *wrong = NULL;

	if (!bytes)
		wrong = "no memory";
	else if (length < 0)
		wrong = strerror(errno);
	else if (length > (ssize_t)MAX_PREAMBLE)
		wrong = "larger than 1 MiB; expected a smaller file";
	else if (!(*shared = shared_bytes_create(bytes, (size_t)length)))
		wrong = "no memory";
	free(bytes);
	return wrong;
}

/* Return: NULL with @shared set, or what is wrong. */
static const char *preamble_open(const char *path, struct shared_bytes **shared)
{
	int fd = REPEAT_INTERRUPTED(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
	const char *wrong = preamble_wrong_file(fd);

	if (!wrong)
		wrong = preamble_load(fd, shared);
	if (fd >= 0)
		close(fd);
	return wrong;
}

/* Return: NULL, or what is wrong. */
static const char *preamble_renew(struct stream_preamble *preamble)
{
	struct shared_bytes *shared = NULL;
	const char *wrong = preamble_open(preamble->settings->preamble.path, &shared);

	if (wrong)
		return wrong;
	shared_bytes_release(preamble->shared);
	preamble->shared = shared;
	return NULL;
}

bool stream_preamble_read(struct stream_preamble *preamble)
{
	const struct stream_settings *settings = preamble->settings;
	const char *wrong = settings->preamble.path ? preamble_renew(preamble) : NULL;

	if (wrong)
		log_error("stream %s: preamble = %s: %s", settings->name, settings->preamble.path,
			  wrong);
	return !wrong;
}

void stream_preamble_inherit(struct stream_preamble *preamble, const struct stream_preamble *former)
{
	if (preamble->settings->preamble.path)
		preamble->shared = shared_bytes_keep(former->shared);
}

void stream_preamble_set(struct stream_preamble *preamble, const void *bytes, size_t length)
{
	shared_bytes_release(preamble->shared);
	preamble->shared = length ? shared_bytes_create(bytes, length) : NULL;
	if (length && !preamble->shared)
		log_error("stream %s: no memory for the preamble of the origin; clients get none",
			  preamble->settings->name);
}

void stream_preamble_begin_run(struct stream_preamble *preamble)
{
	preamble->pending = true;
}

/* The first block of a run has come. */
static void preamble_start_run(struct stream_preamble *preamble, uint64_t position)
{
	const struct stream_settings *settings = preamble->settings;
	const char *wrong;

	preamble->pending = false;
	preamble->kept = 0;
	preamble->run_position = settings->preamble.bytes ? position : 0;
	if (!settings->preamble.path) {
		shared_bytes_release(preamble->shared);
		preamble->shared = NULL;
		return;
	}
	wrong = preamble_renew(preamble);
	if (wrong)
		log_warning("stream %s: preamble = %s: %s; new clients get its former content",
			    settings->name, settings->preamble.path, wrong);
}

void stream_preamble_add(struct stream_preamble *preamble, const struct block *block,
			 uint64_t position)
{
	size_t part = preamble->settings->preamble.bytes;

	if (!part && !preamble->settings->preamble.path)
		return;
	if (preamble->pending)
		preamble_start_run(preamble, position);
	preamble->end_position = position + block->length;
	if (!preamble->head)
		return;
	part -= preamble->kept;
	if (part > block->length)
		part = block->length;
	memcpy(preamble->head + preamble->kept, block->data, part);
	preamble->kept += part;
}

uint64_t stream_preamble_run_position(const struct stream_preamble *preamble)
{
	return preamble->run_position;
}

/* Return the bytes of the head that are before @position, in the same run. */
static size_t preamble_part(const struct stream_preamble *preamble, uint64_t position)
{
	uint64_t before = position - preamble->run_position;

	/* What comes next is another run. */
	if (position < preamble->run_position ||
	    (preamble->pending && position >= preamble->end_position))
		return 0;
	return before < preamble->kept ? (size_t)before : preamble->kept;
}

/* Return: as stream_preamble_get(). */
static bool preamble_get_head(struct stream_preamble *preamble, size_t part,
			      struct shared_bytes **bytes)
{
	if (!part)
		return true;
	if (!preamble->shared || preamble->shared->length != part) {
		shared_bytes_release(preamble->shared);
		preamble->shared = shared_bytes_create(preamble->head, part);
	}
	*bytes = preamble->shared;
	return *bytes;
}

bool stream_preamble_get(struct stream_preamble *preamble, uint64_t position,
			 struct shared_bytes **bytes)
{
	*bytes = NULL;
	if (preamble->head)
		return preamble_get_head(preamble, preamble_part(preamble, position), bytes);
	/* An empty file is no preamble. */
	if (preamble->shared && preamble->shared->length)
		*bytes = preamble->shared;
	return true;
}

/* ---- handover ---- */

/* The first bytes of the run. */
static void preamble_transfer_head(struct stream_preamble *preamble, struct state *state)
{
	unsigned char *head = preamble->head;

	state_bytes(state, "head", &head, &preamble->kept, preamble->settings->preamble.bytes);
	if (state_is_saving(state))
		return;
	if (!preamble->head && preamble->kept)
		state_fail(state, "head: expected none");
	if (state_failed(state))
		preamble->kept = 0;
	else if (preamble->kept)
		memcpy(preamble->head, head, preamble->kept);
	if (head != preamble->head)
		free(head);
}

void stream_preamble_transfer(struct stream_preamble *preamble, struct state *state)
{
	state_enter(state, "preamble");
	state_bool(state, "pending", &preamble->pending);
	state_u64(state, "run_position", &preamble->run_position);
	state_u64(state, "end_position", &preamble->end_position);
	preamble_transfer_head(preamble, state);
	state_shared_bytes(state, "shared", &preamble->shared, MAX_PREAMBLE);
	state_leave(state);
}

void stream_preamble_free(struct stream_preamble *preamble)
{
	free(preamble->head);
	shared_bytes_release(preamble->shared);
	*preamble = (struct stream_preamble){ 0 };
}
