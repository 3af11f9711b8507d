// SPDX-License-Identifier: BSD-2-Clause
/*
 * Calls whose user memory is not there: a page that userfaultfd holds back. Until it is resolved the call
 * waits, and nobody else: other calls, sysfs, unbind and SIGKILL go on. When it fails, nothing happened.
 */
#include "channel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE (16 * KIB)
#define BLOCK_COUNT 8U
#define RECORD ((ssize_t)sizeof(struct dmacast_block))
/* Time within which a call that waits for nobody returns, on a slow machine. */
#define PROMPT_MS 3000U

/* ---- A page that is held back ---- */

static int fault_fd;
static char *pages; /* an ordinary page, then the one that is held back */

static bool open_userfaultfd(void)
{
	struct uffdio_api api = { .api = UFFD_API };

	fault_fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	return fault_fd >= 0 && !ioctl(fault_fd, UFFDIO_API, &api);
}

static char *held_back(void)
{
	return pages + page_size;
}

static void usercopy_hold_back(void)
{
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	pages = mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	need(pages != MAP_FAILED, "mmap: %m");
	memset(pages, 0, page_size);
	range.range.start = (uintptr_t)held_back();
	range.range.len = page_size;
	need(!ioctl(fault_fd, UFFDIO_REGISTER, &range), "UFFDIO_REGISTER: %m");
}

/* wait_for_fault() - until a call waits for the page. */
static void wait_for_fault(void)
{
	struct pollfd wanted = { .fd = fault_fd, .events = POLLIN };
	struct uffd_msg message;

	need(poll(&wanted, 1, 20000) == 1 && read(fault_fd, &message, sizeof(message)) > 0 &&
		     message.event == UFFD_EVENT_PAGEFAULT,
	     "no page fault: %m");
}

/* let_fail() - the page is gone, and so the call gets EFAULT. */
static void let_fail(void)
{
	struct uffdio_range range = { .start = (uintptr_t)held_back(), .len = page_size };

	need(!mprotect(held_back(), page_size, PROT_NONE), "mprotect: %m");
	need(!ioctl(fault_fd, UFFDIO_UNREGISTER, &range), "UFFDIO_UNREGISTER: %m");
}

static void let_go(const void *content_of_page)
{
	struct uffdio_copy copy = { .dst = (uintptr_t)held_back(),
				    .src = (uintptr_t)content_of_page,
				    .len = page_size };

	need(!ioctl(fault_fd, UFFDIO_COPY, &copy), "UFFDIO_COPY: %m");
}

static void forget_pages(void)
{
	munmap(pages, 2 * page_size);
}

/* ---- A call in a thread of its own ---- */

enum kind { READ, WRITE, STATS, SETUP, INFO };

struct call {
	enum kind kind;
	int fd;
	char *memory;
	size_t size;
	pthread_t thread;
	long result;
	int error;
	atomic_bool returned;
};

static void *make_call(void *argument)
{
	struct call *call = argument;

	switch (call->kind) {
	case READ:
		call->result = read(call->fd, call->memory, call->size);
		break;
	case WRITE:
		call->result = write(call->fd, call->memory, call->size);
		break;
	case STATS:
		call->result = ioctl(call->fd, DMACAST_IOC_STATS, call->memory);
		break;
	case SETUP:
		call->result = ioctl(call->fd, DMACAST_IOC_SETUP, call->memory);
		break;
	case INFO:
		call->result = ioctl(call->fd, DMACAST_IOC_INFO, call->memory);
		break;
	}
	call->error = errno;
	call->returned = true;
	return NULL;
}

static void call_start(struct call *call, enum kind kind, const struct channel *channel,
		       char *memory, size_t size)
{
	*call = (struct call){ .kind = kind, .fd = channel->fd, .memory = memory, .size = size };
	need(!pthread_create(&call->thread, NULL, make_call, call), "no thread");
}

static bool returns_soon(const struct call *call)
{
	for (unsigned int ms = 0; ms < PROMPT_MS && !call->returned; ms += 5)
		sleep_ms(5);
	return call->returned;
}

static void call_end(struct call *call)
{
	pthread_join(call->thread, NULL);
}

/* ---- What others do meanwhile ---- */

static void *read_sysfs(void *argument)
{
	struct call *call = argument;

	sysfs_value("block_size");
	sysfs_value("completed");
	call->returned = true;
	return NULL;
}

static void *unbind_in_thread(void *argument)
{
	struct call *call = argument;

	unbind();
	call->returned = true;
	return NULL;
}

/* Check that other calls return while one waits for its page; one that waits is let go after that. */
static void check_others(const struct channel *channel, const char *what)
{
	struct dmacast_stats stats;
	struct call call;
	uint32_t bad = UINT32_MAX;
	struct dmacast_setup setup = { .block_size = page_size, .block_count = 4 };

	call_start(&call, STATS, channel, (char *)&stats, sizeof(stats));
	check(returns_soon(&call), "STATS waits for %s", what);
	if (!call.returned)
		let_fail();
	call_end(&call);
	call_start(&call, WRITE, channel, (char *)&bad, sizeof(bad));
	check(returns_soon(&call), "write() waits for %s", what);
	call_end(&call);
	call_start(&call, SETUP, channel, (char *)&setup, sizeof(setup));
	check(returns_soon(&call), "SETUP waits for %s", what);
	call_end(&call);
	call = (struct call){ 0 };
	need(!pthread_create(&call.thread, NULL, read_sysfs, &call), "no thread");
	check(returns_soon(&call), "sysfs waits for %s", what);
	call_end(&call);
}

/* ---- The tests ---- */

static struct channel full_ring(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);

	need(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "not all are ready");
	return channel;
}

/* Blocks come again as if read() had not been called; and then the next ones. */
static void check_sequence(const struct channel *channel, uint64_t first)
{
	for (uint64_t n = first; n < first + 3 * BLOCK_COUNT; n++) {
		struct dmacast_block block = read_one(channel);

		check(block.sequence == n && !block.lost, "sequence %llu, lost %llu, not %" PRIu64,
		      block.sequence, block.lost, n);
		check_content(channel, &block);
		recycle(channel, block.index);
	}
}

static void test_read(unsigned int before)
{
	struct channel channel = full_ring();
	struct dmacast_stats stats;
	struct call call;

	/* The first records are on the ordinary page. */
	usercopy_hold_back();
	call_start(&call, READ, &channel, held_back() - before * RECORD, 4 * RECORD);
	wait_for_fault();
	check_others(&channel, "a read()");
	if (!call.returned)
		let_fail();
	call_end(&call);
	if (before)
		check(call.result == (long)(before * RECORD), "read gave %ld, errno %d",
		      call.result, call.error);
	else
		check(call.result == -1 && call.error == EFAULT, "read gave %ld, errno %d",
		      call.result, call.error);
	stats = channel_stats(&channel);
	check(stats.blocks_lent == before && stats.lent == before, "%u are lent, %llu counted",
	      stats.blocks_lent, stats.lent);
	check(stats.blocks_ready == BLOCK_COUNT - before, "%u are ready", stats.blocks_ready);
	for (unsigned int i = 0; i < before; i++) {
		const struct dmacast_block *block =
			(const void *)(held_back() - (before - i) * RECORD);

		check(block->sequence == i, "sequence %llu", block->sequence);
		recycle(&channel, block->index);
	}
	check_sequence(&channel, before);
	forget_pages();
	channel_close(&channel);
	point("read() of which record %u cannot be stored", before + 1);
}

/* A record of the former ring, which cannot be stored, has the same index and sequence as one of the next ring. */
static void test_setup_meanwhile(void)
{
	/* Another size than those before, so that blocks are filled in the order of their index. */
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT + 1, DMACAST_SETUP_STALL);
	struct dmacast_stats stats;
	struct dmacast_block block;
	struct call call;

	need(wait_for(&channel, blocks_ready, BLOCK_COUNT + 1, 20), "not all are ready");
	usercopy_hold_back();
	call_start(&call, READ, &channel, held_back(), RECORD);
	wait_for_fault();
	recycle(&channel, 0);
	channel_stop(&channel);
	channel_unmap(&channel);
	channel_setup(&channel, BLOCK_SIZE, 2 * BLOCK_COUNT, DMACAST_SETUP_STALL);
	channel_map(&channel);
	channel_start(&channel);
	need(wait_for(&channel, blocks_ready, 2 * BLOCK_COUNT, 20), "not all are ready");
	block = read_one(&channel);
	check(block.index == 0 && block.sequence == 0, "block %u, sequence %llu", block.index,
	      block.sequence);
	let_fail();
	call_end(&call);
	check(call.result == -1 && call.error == EFAULT, "read gave %ld, errno %d", call.result,
	      call.error);
	stats = channel_stats(&channel);
	check(stats.blocks_lent == 1 && stats.lent == 1, "%u are lent, %llu counted",
	      stats.blocks_lent, stats.lent);
	recycle(&channel, block.index);
	check_sequence(&channel, 1);
	forget_pages();
	channel_close(&channel);
	point("another ring while read() waits for its page");
}

/* What is overrun while a reader waits for its page counts as lost for the next one. */
static void test_overrun(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, 0);
	uint64_t records = 0, lost = 0, next = 0;
	struct dmacast_block block;
	struct dmacast_stats stats;
	struct call call;

	need(wait_for(&channel, overruns, BLOCK_COUNT, 20), "no overrun");
	usercopy_hold_back();
	call_start(&call, READ, &channel, held_back(), RECORD);
	wait_for_fault();
	sleep_ms(200);
	let_fail();
	call_end(&call);
	check(call.result == -1 && call.error == EFAULT, "read gave %ld, errno %d", call.result,
	      call.error);
	for (unsigned int n = 0; n < 2 * BLOCK_COUNT; n++) {
		block = read_one(&channel);
		check(block.sequence == next + block.lost,
		      "sequence %llu, lost %llu, after %" PRIu64, block.sequence, block.lost, next);
		check_content(&channel, &block);
		next = block.sequence + 1;
		records++;
		lost += block.lost;
		recycle(&channel, block.index);
	}
	channel_stop(&channel);
	while (read(channel.fd, &block, sizeof(block)) == RECORD) {
		next = block.sequence + 1;
		records++;
		lost += block.lost;
	}
	stats = channel_stats(&channel);
	check(records + lost == stats.completed && next == stats.completed,
	      "%" PRIu64 " records, %" PRIu64 " lost, of %llu", records, lost, stats.completed);
	check(stats.lent == records, "%llu lent", stats.lent);
	forget_pages();
	channel_close(&channel);
	point("overruns while read() waits for its page");
}

static void test_resolved(void)
{
	struct channel channel = full_ring();
	static char zeroes[64 * KIB];
	struct dmacast_block block;
	struct call call;

	usercopy_hold_back();
	call_start(&call, READ, &channel, held_back(), RECORD);
	wait_for_fault();
	let_go(zeroes);
	call_end(&call);
	memcpy(&block, held_back(), sizeof(block));
	check(call.result == RECORD && !block.sequence, "read gave %ld, sequence %llu", call.result,
	      block.sequence);
	recycle(&channel, block.index);
	forget_pages();
	check_sequence(&channel, 1);
	point("read(), and the page comes");

	block = read_one(&channel);
	usercopy_hold_back();
	memcpy(zeroes, &block.index, sizeof(block.index));
	call_start(&call, WRITE, &channel, held_back(), sizeof(block.index));
	wait_for_fault();
	check_others(&channel, "a write()");
	if (!call.returned)
		let_go(zeroes);
	call_end(&call);
	check(call.result == sizeof(block.index), "write gave %ld, errno %d", call.result,
	      call.error);
	memset(zeroes, 0, sizeof(zeroes));
	forget_pages();
	channel_close(&channel);
	point("write(), and the page comes");
}

static void test_ioctls(void)
{
	static const struct {
		enum kind kind;
		const char *name;
	} ioctls[] = { { STATS, "STATS" }, { INFO, "INFO" }, { SETUP, "SETUP" } };

	for (unsigned int i = 0; i < 3; i++) {
		struct channel channel = full_ring();
		struct call call;

		usercopy_hold_back();
		call_start(&call, ioctls[i].kind, &channel, held_back(), page_size);
		wait_for_fault();
		check_others(&channel, ioctls[i].name);
		if (!call.returned)
			let_fail();
		call_end(&call);
		check(call.result == -1 && call.error == EFAULT, "%s gave %ld, errno %d",
		      ioctls[i].name, call.result, call.error);
		forget_pages();
		check_sequence(&channel, 0);
		channel_close(&channel);
		point("%s", ioctls[i].name);
	}
}

static void test_usercopy_unbind(void)
{
	struct channel channel = full_ring();
	struct call call, other = { 0 };

	usercopy_hold_back();
	call_start(&call, READ, &channel, held_back(), RECORD);
	wait_for_fault();
	need(!pthread_create(&other.thread, NULL, unbind_in_thread, &other), "no thread");
	check(returns_soon(&other), "unbind waits for a read()");
	let_fail();
	call_end(&call);
	call_end(&other);
	check(call.result == -1 && (call.error == EFAULT || call.error == ENODEV),
	      "read gave %ld, errno %d", call.result, call.error);
	forget_pages();
	channel_close(&channel);
	bind_again();
	channel = full_ring();
	check_sequence(&channel, 0);
	channel_close(&channel);
	point("unbind while read() waits for its page");
}

/* The reader, of another process, dies of SIGKILL; what it did not get is there for its parent. */
static void test_usercopy_kill(void)
{
	struct channel channel = full_ring();
	struct call other;
	struct dmacast_stats stats;
	int status, ready[2];
	char one;
	pid_t child;

	need(!pipe(ready), "pipe: %m");
	child = fork();
	need(child >= 0, "fork: %m");
	if (!child) {
		struct call call;

		/* A descriptor of its own: it is for one address space. */
		if (!open_userfaultfd())
			_exit(1);
		usercopy_hold_back();
		call_start(&call, READ, &channel, held_back(), RECORD);
		wait_for_fault();
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	close(ready[1]);
	need(read(ready[0], &one, 1) == 1, "the child has ended");
	call_start(&other, STATS, &channel, (char *)&stats, sizeof(stats));
	check(returns_soon(&other), "STATS waits for the other process' read()");
	kill(child, SIGKILL);
	need(waitpid(child, &status, 0) == child, "waitpid: %m");
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "it ended with %x", status);
	call_end(&other);
	close(ready[0]);
	check_sequence(&channel, 0);
	channel_close(&channel);
	point("SIGKILL while read() waits for its page");
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	if (!open_userfaultfd()) {
		printf("1..0 # SKIP this kernel has no userfaultfd\n");
		return 0;
	}
	test_read(0);
	test_read(1);
	test_read(2);
	test_setup_meanwhile();
	test_overrun();
	test_resolved();
	test_ioctls();
	test_usercopy_unbind();
	test_usercopy_kill();
	return tap_end();
}
