// SPDX-License-Identifier: BSD-2-Clause
/*
 * For LD_PRELOAD: calls of dmacastd, dmacastctl and dmacast-nats are interrupted at random, and do less than they could.
 *
 * DMACAST_FAULTY_IO=SEED turns it on in programs whose name begins with "dmacast". One call in INTERRUPTED fails
 * with EINTR, and one in SHORTENED transfers fewer bytes, where POSIX allows it and Linux does it: the bytes of
 * files, pipes, terminals and stream sockets may come in any pieces; a datagram, a record of a device, a number of an
 * eventfd, a file of /proc, and what sendmsg() and recvmsg() have are whole. A write to a pipe of up to
 * PIPE_BUF bytes is whole, too. Calls that never wait for anything are not interrupted. At its end a program adds "NAME
 * INTERRUPTED SHORTENED", the numbers of its faults, to the file DMACAST_FAULTY_IO_COUNT.
 */
/* Both the functions with 64 bits and the others are defined here. */
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define INTERRUPTED 6
#define SHORTENED 3
#define MAX_PIECES 1024 /* of readv() and its like; UIO_MAXIOV */

static uint64_t random_state; /* 0: no faults */
static unsigned long interrupted, shortened;

/* The next function of this name. */
#define REAL(name) ((__typeof__(&name))real_function(#name))

static void *real_function(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

static void __attribute__((constructor)) begin_faults(void)
{
	const char *seed = getenv("DMACAST_FAULTY_IO");

	if (seed && !strncmp(program_invocation_short_name, "dmacast", strlen("dmacast")))
		random_state = (strtoull(seed, NULL, 10) + (uint64_t)getpid()) * 2 + 1;
}

static void __attribute__((destructor)) tell_faults(void)
{
	const char *path = getenv("DMACAST_FAULTY_IO_COUNT");
	FILE *file = path && random_state ? fopen(path, "ae") : NULL;

	if (!file)
		return;
	fprintf(file, "%s %lu %lu\n", program_invocation_short_name, interrupted, shortened);
	fclose(file);
}

/* A number below @limit; xorshift64* */
static uint64_t random_below(uint64_t limit)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 2685821657736338717u >> 11) % limit;
}

static bool is_interrupted(void)
{
	if (!random_state || random_below(INTERRUPTED))
		return false;
	interrupted++;
	errno = EINTR;
	return true;
}

/* Return how much of @length bytes, at least one, a call transfers at most. */
static size_t shorten(size_t length)
{
	if (!random_state || length < 2 || random_below(SHORTENED))
		return length;
	shortened++;
	return 1 + random_below(length - 1);
}

static bool fd_is_stream(int fd)
{
	int type = 0;
	socklen_t size = sizeof(type);

	return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_STREAM;
}

static bool is_proc(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) || fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC;
}

/* Return true if the bytes of this descriptor may come, and go, in any pieces. */
static bool has_pieces(int fd)
{
	int error = errno;
	struct stat info;
	bool pieces = random_state && !fstat(fd, &info) &&
		      (S_ISFIFO(info.st_mode) || (S_ISREG(info.st_mode) && !is_proc(fd)) ||
		       (S_ISCHR(info.st_mode) && isatty(fd)) || fd_is_stream(fd));

	errno = error;
	return pieces;
}

static bool is_pipe(int fd)
{
	struct stat info;

	return !fstat(fd, &info) && S_ISFIFO(info.st_mode);
}

static size_t shorten_input(int fd, size_t length)
{
	return has_pieces(fd) ? shorten(length) : length;
}

static size_t shorten_output(int fd, size_t length)
{
	return length > PIPE_BUF || !is_pipe(fd) ? shorten_input(fd, length) : length;
}

/* Copy the pieces to @copy, up to @limit bytes, which are at least one. Return their number. */
static int cut_pieces(struct iovec *copy, const struct iovec *pieces, int count, size_t limit)
{
	int used = 0;

	while (used < count && limit) {
		copy[used] = pieces[used];
		if (copy[used].iov_len > limit)
			copy[used].iov_len = limit;
		limit -= copy[used++].iov_len;
	}
	return used;
}

static size_t all_bytes(const struct iovec *pieces, int count)
{
	size_t all = 0;

	for (int i = 0; i < count; i++)
		all += pieces[i].iov_len;
	return all;
}

/* Linux interrupts only what waits. libevent would lose a signal here, as its handler does not try again. */
static bool write_is_interrupted(int fd)
{
	return !(is_pipe(fd) && fcntl(fd, F_GETFL) & O_NONBLOCK) && is_interrupted();
}

/* ---- bytes ---- */

ssize_t read(int fd, void *bytes, size_t length)
{
	return is_interrupted() ? -1 : REAL(read)(fd, bytes, shorten_input(fd, length));
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	return write_is_interrupted(fd) ? -1 : REAL(write)(fd, bytes, shorten_output(fd, length));
}

ssize_t readv(int fd, const struct iovec *pieces, int count)
{
	struct iovec cut[MAX_PIECES];
	size_t limit = shorten_input(fd, all_bytes(pieces, count));

	if (is_interrupted())
		return -1;
	return REAL(readv)(fd, cut, cut_pieces(cut, pieces, count, limit));
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
	struct iovec cut[MAX_PIECES];
	size_t limit = shorten_output(fd, all_bytes(pieces, count));

	if (is_interrupted())
		return -1;
	return REAL(writev)(fd, cut, cut_pieces(cut, pieces, count, limit));
}

ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset)
{
	return is_interrupted() ? -1 : REAL(pread64)(fd, bytes, shorten_input(fd, length), offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
	return is_interrupted() ? -1
				: REAL(pwrite64)(fd, bytes, shorten_output(fd, length), offset);
}

ssize_t recv(int fd, void *bytes, size_t length, int flags)
{
	if (is_interrupted())
		return -1;
	return REAL(recv)(fd, bytes, flags & MSG_WAITALL ? length : shorten_input(fd, length),
			  flags);
}

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
	return is_interrupted() ? -1 : REAL(send)(fd, bytes, shorten_output(fd, length), flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	if (!(flags & MSG_ERRQUEUE) && is_interrupted())
		return -1;
	return REAL(recvmsg)(fd, message, flags);
}

/* Linux sends less only if the socket is full, and says when it is not: that cannot be made up. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	return is_interrupted() ? -1 : REAL(sendmsg)(fd, message, flags);
}

/* ---- connections ---- */

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	return is_interrupted() ? -1 : REAL(accept4)(fd, address, length, flags);
}

/* A connection by TCP is established meanwhile; Linux begins that of a Unix socket again, from the start. */
int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	bool fails = address->sa_family != AF_UNSPEC && is_interrupted();
	int result;

	if (fails && address->sa_family == AF_UNIX)
		return -1;
	result = REAL(connect)(fd, address, length);
	if (!fails || (result && errno != EINPROGRESS))
		return result;
	errno = EINTR;
	return -1;
}

/* ---- waiting ---- */

int poll(struct pollfd *fds, nfds_t count, int ms)
{
	return ms && is_interrupted() ? -1 : REAL(poll)(fds, count, ms);
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
	return is_interrupted() ? -1 : REAL(ppoll)(fds, count, timeout, mask);
}

int nanosleep(const struct timespec *time, struct timespec *left)
{
	if (!is_interrupted())
		return REAL(nanosleep)(time, left);
	if (left)
		*left = *time;
	return -1;
}

pid_t waitpid(pid_t pid, int *status, int options)
{
	return !(options & WNOHANG) && is_interrupted() ? -1 : REAL(waitpid)(pid, status, options);
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	return !(options & WNOHANG) && is_interrupted() ? -1
							: REAL(waitid)(type, id, info, options);
}

/* ---- files ---- */

static mode_t mode_of(int flags, va_list arguments)
{
	return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int open64(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = mode_of(flags, arguments);
	va_end(arguments);
	return is_interrupted() ? -1 : REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));

int openat64(int directory, const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = mode_of(flags, arguments);
	va_end(arguments);
	return is_interrupted() ? -1 : REAL(openat64)(directory, path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...) __attribute__((alias("openat64")));

int fsync(int fd)
{
	return is_interrupted() ? -1 : REAL(fsync)(fd);
}

int ftruncate64(int fd, off64_t length)
{
	return is_interrupted() ? -1 : REAL(ftruncate64)(fd, length);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
	return is_interrupted() ? -1 : REAL(fallocate64)(fd, mode, offset, length);
}

/* The sockets' requests never wait. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	return isatty(fd) && is_interrupted() ? -1 : REAL(ioctl)(fd, request, argument);
}

/* Linux has closed the descriptor in any case. */
int close(int fd)
{
	int result = REAL(close)(fd);

	return !result && is_interrupted() ? -1 : result;
}
