/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all of these programs need: a channel of the module with its ring, the faults of the simulated
 * DMA engine behind it, and short ways to test for an error. Each program runs as root, in a machine
 * where the modules are loaded, and prints TAP:
 *
 *	PROGRAM [DEVICE]
 *
 * Where the rest of a test makes no sense after a failure, need() ends the program with that failure.
 */
#ifndef DMACAST_TEST_CHANNEL_H
#define DMACAST_TEST_CHANNEL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tap.h"
#include "uapi/dmacast.h"

#define KIB 1024ULL
#define MIB (1024ULL * KIB)
#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL

struct channel {
	int fd; /* -1 when it is closed */
	uint64_t block_size;
	uint32_t block_count;
	uint64_t map_size;
	uint64_t stride;
	const unsigned char *map; /* NULL when it is not mapped */
};

/* The device's path and name, its page size, the name of its platform device. */
extern const char *device, *channel_name;
extern size_t page_size;
extern char platform_device[64];

/* Pointers to nothing; the compiler does not know that. */
extern void *volatile null_pointer, *volatile wild_pointer;

/* need() - what all that follows depends on. */
#define need(condition, ...)                        \
	do {                                        \
		if (!check(condition, __VA_ARGS__)) \
			give_up();                  \
	} while (0)

/* refused() - check that a call returns -1 with that errno. */
#define refused(call, error)                                                                      \
	({                                                                                        \
		errno = 0;                                                                        \
		long long returned = (call);                                                      \
		int number = errno;                                                               \
		check(returned == -1 && number == (error), "%s: returned %lld, errno %d, not %d", \
		      #call, returned, number, error);                                            \
	})

void give_up(void) __attribute__((noreturn));

/* patience() - factor for time limits: DMACAST_TEST_PATIENCE, or 1. */
unsigned int patience(void);

/* begin() - the first call of main(): takes the arguments; sets the engine to a rate of 0. */
void begin(int argc, char **argv);

/* begin_without_sim() - the same for another engine. */
void begin_without_sim(int argc, char **argv);

/* ---- The channel: every call needs success ---- */

struct channel channel_open(void);
void channel_setup(struct channel *channel, uint64_t block_size, uint32_t block_count,
		   uint32_t flags);
void channel_map(struct channel *channel);
void channel_unmap(struct channel *channel);
void channel_start(struct channel *channel);
void channel_stop(struct channel *channel);
/* channel_close() - unmaps it first. */
void channel_close(struct channel *channel);

/* channel_run() - open, set up, map, start. */
struct channel channel_run(uint64_t block_size, uint32_t block_count, uint32_t flags);

/**
 * channel_stop_often() - start it, and stop it when nobody read and there were overruns, @times times.
 *
 * Meanwhile another processor gives the engine one block after the other.
 */
void channel_stop_often(struct channel *channel, unsigned int times);

/* Without any need for success. Return: 0, or -1 with errno. */
int try_setup(const struct channel *channel, uint64_t block_size, uint32_t block_count,
	      uint32_t flags);
int try_recycle(const struct channel *channel, uint32_t index);

/* channel_stats() - STATS; checks that the blocks add up to the block count. */
struct dmacast_stats channel_stats(const struct channel *channel);

/**
 * channel_read() - read until there are @count records, or for @seconds.
 *
 * Return: how many there are.
 */
unsigned int channel_read(const struct channel *channel, struct dmacast_block *blocks,
			  unsigned int count, double seconds);

/* read_one(), recycle(): with need for success. */
struct dmacast_block read_one(const struct channel *channel);
void recycle(const struct channel *channel, uint32_t index);

/* read_blocks() - read, check and recycle @count blocks, one after the other. */
void read_blocks(const struct channel *channel, unsigned int count);

/* channel_go_round() - let each block of a ring that stalls come twice, and check the content. */
void channel_go_round(const struct channel *channel);

/* wait_for() - until a member of the stats is at least @least. Return: false after @seconds. */
#define wait_for(channel, member, least, seconds)                      \
	wait_for_stat(channel, offsetof(struct dmacast_stats, member), \
		      sizeof(((struct dmacast_stats *)0)->member), least, UINT64_MAX, seconds)
#define wait_while(channel, member, more_than, seconds)                \
	wait_for_stat(channel, offsetof(struct dmacast_stats, member), \
		      sizeof(((struct dmacast_stats *)0)->member), 0, more_than, seconds)
bool wait_for_stat(const struct channel *channel, size_t offset, size_t size, uint64_t least,
		   uint64_t most, double seconds);

/* ---- The content ---- */

const unsigned char *content(const struct channel *channel, const struct dmacast_block *block);

/* stream_offset() - of the first byte, as the content has it. */
uint64_t stream_offset(const struct channel *channel, const struct dmacast_block *block);

/* check_content() - the whole record's content is the pattern. */
bool check_content(const struct channel *channel, const struct dmacast_block *block);

/* ---- References to pages ---- */

/* A block's first page, in a pipe. */
struct held_page {
	int ends[2];
	uint64_t sum;
};

/* hold_page() - let a pipe refer to the block's first page, as a socket could. */
struct held_page hold_page(const struct channel *channel, const struct dmacast_block *block);

/* release_page() - read and close the pipe. Return: false if the page changed in it. */
bool release_page(struct held_page *held);

/* ---- The simulated engine, sysfs ---- */

/* sim() - write to a file of its channel in debugfs; sim_value() - read a number from one. */
void __attribute__((format(printf, 2, 3))) sim(const char *file, const char *format, ...);
uint64_t sim_value(const char *file);

/* number_from() - return the number in a file. */
uint64_t number_from(const char *path);

/* check_held() - check the bytes of pages that rings have, in a module with fault points (kmod/fault.h). */
void check_held(uint64_t bytes, const char *when);

/*
 * check_held_soon() - the same, but wait for pages of former channels: the module notices some time after the
 * last reference that it can free them.
 */
void check_held_soon(uint64_t bytes, const char *when);

/* sim_unplug() - remove the engine, and restore it after @ms milliseconds; 0: never. */
void sim_unplug(unsigned int ms);

/* sysfs_value() - return a number of /sys/class/dmacast/NAME, UINT64_MAX if there is none. */
uint64_t sysfs_value(const char *attribute);

bool write_file(const char *path, const char *text);

/* unbind(), bind_again(): the module's driver and the platform device, by sysfs. */
void unbind(void);
void bind_again(void);

/*
 * accept_client() - listen, say so on the standard output, take one client that can be sent to with
 * MSG_ZEROCOPY. Return: its socket.
 */
int accept_client(int port);

/* ---- The rest ---- */

/* touch() - read a byte. Return: the signal that this gave, or 0. */
int touch(const volatile void *address);

/* hash() - a checksum over memory, to see that nothing changed in it. */
uint64_t hash(const void *memory, size_t size);

uint64_t clock_ns(int clock);
void sleep_ms(unsigned int ms);

/* guarded() - memory of @size bytes, with an inaccessible page behind its last byte. */
void *guarded(size_t size);

/*
 * kmsg_open() - the kernel log from now on. kmsg_count() - the number of lines with that word;
 * kmsg_says() - was there one? Both take all lines so far.
 */
int kmsg_open(void);
unsigned int kmsg_count(int kmsg, const char *word);
bool kmsg_says(int kmsg, const char *word);

#endif
