// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_secrets.h"

#include "lib/refuse.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <nats/nats.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A seed has 58 characters. */
#define SEED_BYTES 128

/* Return: NULL, or what is wrong with the seed. */
static const char *secrets_try_seed(const char *seed)
{
	unsigned char *signature = NULL;
	natsStatus status;
	int length = 0;

	status = nats_Open(-1);
	if (status == NATS_OK)
		status = nats_Sign(seed, "test", &signature, &length);
	free(signature);
	return status == NATS_OK ? NULL
				 : "not the seed of an NKey; expected SU and 56 more characters";
}

/* Return: NULL, or what is wrong with the file. */
static const char *secrets_check_seed(const char *path)
{
	char text[SEED_BYTES];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	int error = errno;
	const char *wrong;

	if (fd >= 0)
		close(fd);
	if (length < 0)
		return strerror(error);
	text[length] = '\0';
	text[strcspn(text, " \t\r\n")] = '\0';
	wrong = secrets_try_seed(text);
	explicit_bzero(text, sizeof(text));
	return wrong;
}

bool nats_secrets_check(const struct nats_server_options *options, char *error, size_t size)
{
	const char *const path[] = { options->credentials, options->nkey_seed, options->tls_ca,
				     options->tls_cert, options->tls_key };
	const char *wrong;

	for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
		if (path[i] && access(path[i], R_OK))
			return refuse(error, size, "%s: %s", path[i], strerror(errno));
	}
	wrong = options->nkey_seed ? secrets_check_seed(options->nkey_seed) : NULL;
	return !wrong || refuse(error, size, "%s: %s", options->nkey_seed, wrong);
}
