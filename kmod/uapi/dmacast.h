/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * /dev/dmacast/NAME: a ring of blocks that a DMA engine fills.
 *
 * A block is page-backed memory, mapped read-only into the owner's address space, from which the
 * network can send without copying (MSG_ZEROCOPY). The owner borrows filled blocks and gives them
 * back:
 *
 *	fd = open("/dev/dmacast/adc", O_RDWR);		one owner at a time: else EBUSY
 *	ioctl(fd, DMACAST_IOC_INFO, &info);		what the channel can do
 *	ioctl(fd, DMACAST_IOC_SETUP, &setup);		blocks, zeroed; free, none is filled
 *	ring = mmap(NULL, setup.map_size, PROT_READ, MAP_SHARED, fd, 0);
 *	ioctl(fd, DMACAST_IOC_START);			the DMA engine begins to fill blocks
 *	n = read(fd, blocks, sizeof(blocks));		records of filled blocks: they are lent now
 *	... ring + blocks[i].index * setup.stride, blocks[i].length bytes ...
 *	write(fd, indices, sizeof(indices));		recycle: the engine may fill them again
 *	ioctl(fd, DMACAST_IOC_STOP);
 *	close(fd);					after munmap(): gives everything back
 *
 * Block states, and who owns the content:
 *
 *	FREE		the driver	waits for room in the DMA engine
 *	QUEUED		the engine	is being filled, or will be
 *	READY		the driver	filled, waits for read()
 *	LENT		the owner	from read() to write() of its index, or close()
 *	QUARANTINE	the driver	given back, but something (a socket) still refers to a page
 *
 * No byte of a block changes while it is LENT, nor, after that, while anything but the ring's own
 * mappings refers to one of its pages: a block that comes back too early, or whose owner died,
 * waits in QUARANTINE. When that takes longer than a second, its pages are left to whoever holds
 * them, and it gets fresh, zeroed ones, which appear in the mapping at the same place. What is left
 * in this way is at most as large as the ring; beyond that, blocks stay in QUARANTINE. The promise
 * is for references that were taken while the block was LENT: a block that is not LENT may change
 * at any time.
 *
 * Every block that the engine finished, well or not, takes one sequence number, from 0 after
 * SETUP. So a gap between two records is a loss, and its size is known.
 *
 * All integers are in host byte order; the structs have the same layout for 32 and 64 bits.
 */
#ifndef _UAPI_DMACAST_H
#define _UAPI_DMACAST_H

#include <linux/ioctl.h>
#include <linux/types.h>

#ifdef __KERNEL__
#include <linux/build_bug.h>
#else
#include <assert.h>
#endif

/* Counts up when something is added; what is there never changes its meaning. */
#define DMACAST_ABI_VERSION	2

/* With the final NUL. */
#define DMACAST_NAME_SIZE	32

/**
 * struct dmacast_info - what a channel is, and what its DMA engine can do
 * @abi_version: DMACAST_ABI_VERSION of the driver
 * @flags: DMACAST_INFO_*
 * @name: the last part of the device node's path
 * @page_size: bytes; block sizes are multiples of it
 * @max_segments: pieces of DMA that a block may consist of; 0: any number
 * @max_segment_size: bytes of each piece
 * @max_block_count: of a ring
 * @max_block_size: bytes
 * @reserved: 0
 */
struct dmacast_info {
	__u32 abi_version;
	__u32 flags;
	char name[DMACAST_NAME_SIZE];
	__u32 page_size;
	__u32 max_segments;
	__u32 max_segment_size;
	__u32 max_block_count;
	__u64 max_block_size;
	__u64 reserved[4];
};

/* The engine reports how much of a block it filled; without it, every block counts as full. */
#define DMACAST_INFO_RESIDUE	0x1U
/* The engine takes one piece of memory a block: DMACAST_SETUP_CONTIGUOUS goes without saying. */
#define DMACAST_INFO_CONTIGUOUS	0x2U

/**
 * struct dmacast_setup - the geometry of the ring
 * @block_size: in: bytes, a multiple of the page size, from one page to max_block_size
 * @block_count: in: from 2 to max_block_count; 0 (with a block_size of 0): free the ring's memory
 * @flags: in: DMACAST_SETUP_*; unknown ones are refused
 * @map_size: out: bytes to mmap()
 * @stride: out: bytes from one block to the next in the mapping
 * @reserved: must be 0
 */
struct dmacast_setup {
	__u64 block_size;
	__u32 block_count;
	__u32 flags;
	__u64 map_size;
	__u64 stride;
	__u64 reserved[4];
};

/*
 * When no block is free: let the engine stall, and whatever is in front of it. Without this flag
 * the oldest block that nobody has read yet is taken back (drop-oldest), as soon as the engine has
 * no second block behind the one that it fills; so of n blocks n - 2 can be LENT while it runs.
 * LENT blocks are never taken back.
 */
#define DMACAST_SETUP_STALL	 0x1U
/* Each block in one physically contiguous piece. */
#define DMACAST_SETUP_CONTIGUOUS 0x2U

/**
 * struct dmacast_block - a filled block, as read() returns it
 * @index: of the block: it is at index * stride in the mapping
 * @flags: DMACAST_BLOCK_*
 * @length: bytes that are filled, at least 1
 * @sequence: counts every block that the engine finished
 * @monotonic_ns: CLOCK_MONOTONIC at its completion
 * @realtime_ns: CLOCK_REALTIME at the same moment
 * @lost: blocks lost between the record that was read before this one, and this one
 */
struct dmacast_block {
	__u32 index;
	__u32 flags;
	__u64 length;
	__u64 sequence;
	__u64 monotonic_ns;
	__u64 realtime_ns;
	__u64 lost;
};

/* The engine ended the transfer before the block was full. */
#define DMACAST_BLOCK_SHORT	  0x1U
/* Among the lost blocks before this one are some whose transfer failed. */
#define DMACAST_BLOCK_AFTER_ERROR 0x2U
/*
 * The machine was suspended before this block. The transfer that was cut off counts as one lost
 * block; what the device had to give meanwhile is not known. (ABI 2)
 */
#define DMACAST_BLOCK_AFTER_SUSPEND 0x4U

/**
 * struct dmacast_stats - counters since SETUP, and how many blocks are in each state now
 * @completed: blocks that were filled
 * @bytes: in these
 * @lent: blocks handed out by read()
 * @recycled: blocks given back by write()
 * @overruns: blocks taken back unread because the engine was about to run dry
 * @stalls: how often the engine ran dry
 * @errors: transfers that failed
 * @short_transfers: transfers that ended early, the empty ones included
 * @quarantined: how often a block had to wait for its pages
 * @replaced: how often a block got fresh pages because that took too long; may be more than
 *	@quarantined, by blocks that are in quarantine since before SETUP
 * @blocks_free: now FREE
 * @blocks_queued: now QUEUED
 * @blocks_ready: now READY
 * @blocks_lent: now LENT
 * @blocks_quarantine: now in QUARANTINE
 * @running: 1 between START and STOP, else 0
 * @left_behind: bytes of pages that left the ring and are still referenced, now (ABI 2)
 * @left_refused: how often a block got no fresh pages because @left_behind would have been more
 *	than the size of the ring (ABI 2)
 * @reserved: 0
 */
struct dmacast_stats {
	__u64 completed;
	__u64 bytes;
	__u64 lent;
	__u64 recycled;
	__u64 overruns;
	__u64 stalls;
	__u64 errors;
	__u64 short_transfers;
	__u64 quarantined;
	__u64 replaced;
	__u32 blocks_free;
	__u32 blocks_queued;
	__u32 blocks_ready;
	__u32 blocks_lent;
	__u32 blocks_quarantine;
	__u32 running;
	__u64 left_behind;
	__u64 left_refused;
	__u64 reserved[2];
};

/*
 * Errors of every call: ENODEV after the device was unbound or unplugged. Mappings stay valid
 * until they are unmapped, and close() is all that is left to do; poll() says EPOLLHUP | EPOLLERR.
 *
 * INFO, STATS: EFAULT.
 *
 * SETUP: EFAULT: what was asked for could not be read, and nothing is changed; or the answer could
 * not be written, and the ring is there. EINVAL: a size or flag is refused, the kernel log says
 * which and why. ENOMEM: no memory for the ring; nothing is changed but that the ring before it is
 * gone. EBUSY: running, mapped, or blocks are LENT; or too much of former rings is still
 * referenced, and would be more than the larger of the old ring and the new one (the kernel log
 * says how much). The same geometry as before keeps the memory (which is not zeroed then), blocks
 * in quarantine included, also over a close() and the next open().
 *
 * START: EINVAL: no ring. EALREADY: running. EIO: the engine takes no transfer, or could not be
 * stopped once.
 *
 * STOP: EALREADY: not running. EIO: the engine cannot be stopped; the QUEUED blocks are its own for
 * ever, and their memory is leaked. READY blocks can still be read, LENT ones are still the
 * owner's.
 *
 * mmap(): EINVAL: not MAP_SHARED, no ring, or not from offset 0 to map_size; EACCES: PROT_WRITE or
 * PROT_EXEC. The mapping cannot be unmapped in part, grown, or made writable. fork() does not copy
 * it, unless madvise(MADV_DOFORK) asks for it, which some kernels refuse.
 *
 * read(): as many whole records as fit and are READY, oldest first. EINVAL: too little room for
 * one record. EAGAIN: O_NONBLOCK and none is READY. ENODATA: none is READY, and not running: none
 * will be. ERESTARTSYS/EINTR: a signal came. EFAULT: nothing was lent. No lock is held while
 * records are copied.
 *
 * write(): an array of __u32 indices, each of a LENT block. Returns the bytes of those that were
 * recycled, up to the first bad one. EINVAL: the size is no multiple of 4, or the first index is
 * out of range or of a block that is not LENT. EFAULT: the first indices could not be read.
 *
 * poll(): EPOLLIN when read() does not wait: a block is READY, or it is not running. EPOLLOUT
 * never.
 *
 * When the machine is suspended the engine stops, and goes on after it. The owner does not notice,
 * but for DMACAST_BLOCK_AFTER_SUSPEND.
 */
#define DMACAST_IOC_MAGIC	0xDC
#define DMACAST_IOC_INFO	_IOR(DMACAST_IOC_MAGIC, 0, struct dmacast_info)
#define DMACAST_IOC_SETUP	_IOWR(DMACAST_IOC_MAGIC, 1, struct dmacast_setup)
#define DMACAST_IOC_START	_IO(DMACAST_IOC_MAGIC, 2)
#define DMACAST_IOC_STOP	_IO(DMACAST_IOC_MAGIC, 3)
#define DMACAST_IOC_STATS	_IOR(DMACAST_IOC_MAGIC, 4, struct dmacast_stats)

static_assert(sizeof(struct dmacast_info) == 96, "dmacast_info has another layout");
static_assert(sizeof(struct dmacast_setup) == 64, "dmacast_setup has another layout");
static_assert(sizeof(struct dmacast_block) == 48, "dmacast_block has another layout");
static_assert(sizeof(struct dmacast_stats) == 136, "dmacast_stats has another layout");

#endif
