/* SPDX-License-Identifier: BSD-2-Clause */
/* Capture of the text that the code under test writes to a descriptor. */
#ifndef DMACAST_TEST_CAPTURE_H
#define DMACAST_TEST_CAPTURE_H

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct capture {
	int fd, saved, file;
	char text[16384]; /* longer texts are cut */
};

static inline void capture_begin(struct capture *capture, int fd)
{
	fflush(NULL);
	capture->fd = fd;
	capture->saved = dup(fd);
	capture->file = memfd_create("capture", MFD_CLOEXEC);
	if (capture->saved < 0 || capture->file < 0 || dup2(capture->file, fd) < 0)
		err(1, "capture");
}

static inline const char *capture_end(struct capture *capture)
{
	ssize_t length;

	fflush(NULL);
	length = pread(capture->file, capture->text, sizeof(capture->text) - 1, 0);
	if (length < 0 || dup2(capture->saved, capture->fd) < 0)
		err(1, "capture");
	close(capture->saved);
	close(capture->file);
	capture->text[length] = '\0';
	return capture->text;
}

#endif
