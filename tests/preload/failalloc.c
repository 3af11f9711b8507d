// SPDX-License-Identifier: BSD-2-Clause
/*
 * For LD_PRELOAD: make one allocation of a program fail, whenever a test wants it to.
 *
 * DMACAST_FAIL_ALLOCATION names a file of at least 4 bytes, a 32-bit number in the machine's order. While
 * it is above 0, each allocation subtracts 1, and the one that makes it 0 fails with ENOMEM. The file is
 * mapped, so that a test can write it, in place, and read it while the program runs. Child processes do not count:
 * they run beside it, and in one that calls getaddrinfo() glibc takes missing memory for a name without an address.
 *
 * Everything that the C library allocates comes through here, too: strdup(), asprintf(), getline(), fopen().
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The allocator behind this one. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static volatile uint32_t *allocations_left; /* until the one that fails; 0: none does */

static void forget_number(void)
{
	allocations_left = NULL;
}

static void __attribute__((constructor)) map_number(void)
{
	const char *path = getenv("DMACAST_FAIL_ALLOCATION");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *mapping;

	if (fd < 0)
		return;
	mapping = mmap(NULL, sizeof(*allocations_left), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mapping != MAP_FAILED && !pthread_atfork(NULL, NULL, forget_number))
		allocations_left = mapping;
	close(fd);
}

static int allocation_fails(void)
{
	uint32_t left = allocations_left ? *allocations_left : 0;

	if (!left)
		return 0;
	*allocations_left = left - 1;
	if (left == 1)
		errno = ENOMEM;
	return left == 1;
}

void *malloc(size_t size)
{
	return allocation_fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return allocation_fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return allocation_fails() ? NULL : __libc_realloc(old, size);
}
