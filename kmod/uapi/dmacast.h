/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * /dev/dmacast/NAME: a ring of blocks that a DMA engine fills.
 *
 * A block is page-backed memory, mapped read-only into the owner's address space, from which the
 * network can send without copying (MSG_ZEROCOPY). The owner borrows filled blocks and returns
 * them:
 *
 *	fd = open("/dev/dmacast/adc", O_RDWR);		one owner at a time, otherwise EBUSY
 *	ioctl(fd, DMACAST_IOC_INFO, &info);		what the channel can do
 *	ioctl(fd, DMACAST_IOC_SETUP, &setup);		all blocks are zeroed and FREE
 *	ring = mmap(NULL, setup.map_size, PROT_READ, MAP_SHARED, fd, 0);
 *	ioctl(fd, DMACAST_IOC_START);			the DMA engine begins to fill blocks
 *	n = read(fd, blocks, sizeof(blocks));		records of filled blocks, which are now lent
 *	... ring + blocks[i].index * setup.stride, blocks[i].length bytes ...
 *	write(fd, indices, sizeof(indices));		recycle: the engine may fill them again
 *	ioctl(fd, DMACAST_IOC_STOP);
 *	close(fd);					after munmap(): returns all blocks
 *
 * Block states, and the owner of the content:
 *
 *	FREE		the driver	waits to be submitted to the DMA engine
 *	QUEUED		the engine	is being filled, or will be
 *	READY		the driver	filled, waits for read()
 *	LENT		the owner	from read() to write() of its index, or close()
 *	QUARANTINE	the driver	returned, but something (a socket) still refers to a page
 *
 * No byte of a block changes while it is LENT, nor after that while anything except the ring's own
 * mappings refers to one of its pages. A block that is returned too early, or whose owner died,
 * waits in QUARANTINE. After a second there its pages are left to their other users, and the block
 * gets fresh, zeroed ones, which appear in the mapping at the same place. The total left behind is
 * limited to the size of the ring; beyond that, blocks stay in QUARANTINE. This guarantee covers
 * references that were taken while the block was LENT: a block that is not LENT may change at any
 * time.
 *
 * Every finished transfer, successful or not, takes one sequence number, from 0 after SETUP. A gap
 * between two records is therefore a loss of known size.
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

/* Incremented when something is added. Existing parts never change their meaning. */
#define DMACAST_ABI_VERSION	2

/* Bytes, including the final NUL. */
#define DMACAST_NAME_SIZE	32

/**
 * struct dmacast_info - name of a channel and limits of its DMA engine
 * @abi_version: DMACAST_ABI_VERSION of the driver
 * @flags: DMACAST_INFO_*
 * @name: the last part of the device node's path
 * @page_size: bytes; block sizes are multiples of it
 * @max_segments: maximum number of DMA segments of a block; 0: no limit
 * @max_segment_size: maximum size of a segment in bytes
 * @max_block_count: maximum number of blocks of a ring
 * @max_block_size: maximum size of a block in bytes
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

/* The engine reports how much of a block it filled. Without this, every block counts as full. */
#define DMACAST_INFO_RESIDUE	0x1U
/* The engine takes one segment per block: DMACAST_SETUP_CONTIGUOUS is always set. */
#define DMACAST_INFO_CONTIGUOUS	0x2U

/**
 * struct dmacast_setup - the geometry of the ring
 * @block_size: in: bytes, a multiple of the page size, from one page to max_block_size
 * @block_count: in: 2 to max_block_count; 0, with a block_size of 0, frees the ring's memory
 * @flags: in: DMACAST_SETUP_*; unknown flags are refused
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
 * If no block is free, let the engine stall, and the device that feeds it. Without this flag the
 * oldest unread block is taken back (drop-oldest) as soon as the engine has no second block behind
 * the one that it fills; of n blocks, n - 2 can therefore be LENT without a stall. LENT blocks are
 * never taken back.
 */
#define DMACAST_SETUP_STALL	 0x1U
/* Make each block physically contiguous. */
#define DMACAST_SETUP_CONTIGUOUS 0x2U

/**
 * struct dmacast_block - a filled block, as read() returns it
 * @index: index of the block, which is at index * stride in the mapping
 * @flags: DMACAST_BLOCK_*
 * @length: filled bytes, at least 1
 * @sequence: number of the transfer, counted from 0 after SETUP
 * @monotonic_ns: CLOCK_MONOTONIC at its completion
 * @realtime_ns: CLOCK_REALTIME at its completion
 * @lost: blocks lost between the record read before this one and this one
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
/* At least one of the lost blocks before this one was lost to a failed transfer. */
#define DMACAST_BLOCK_AFTER_ERROR 0x2U
/*
 * The machine was suspended before this block. The interrupted transfer counts as one lost block;
 * the amount of data that the device produced meanwhile is unknown. (ABI 2)
 */
#define DMACAST_BLOCK_AFTER_SUSPEND 0x4U

/**
 * struct dmacast_stats - counters since SETUP, and the current number of blocks in each state
 * @completed: filled blocks
 * @bytes: bytes in filled blocks
 * @lent: blocks lent by read()
 * @recycled: blocks returned by write()
 * @overruns: blocks taken back unread because the engine was about to run dry
 * @stalls: number of times that the engine ran dry
 * @errors: failed transfers
 * @short_transfers: transfers that ended early, including empty ones
 * @quarantined: number of times that a block was put into QUARANTINE
 * @replaced: number of times that a block got fresh pages after too long in QUARANTINE; may exceed
 *	@quarantined, because blocks may be in QUARANTINE since before SETUP
 * @blocks_free: now FREE
 * @blocks_queued: now QUEUED
 * @blocks_ready: now READY
 * @blocks_lent: now LENT
 * @blocks_quarantine: now in QUARANTINE
 * @running: 1 between START and STOP, else 0
 * @left_behind: bytes of pages that left the ring and are now still referenced (ABI 2)
 * @left_refused: number of times that a block got no fresh pages because @left_behind would have
 *	exceeded the size of the ring (ABI 2)
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
 * Errors of every call: ENODEV after the device was unbound or unplugged. Mappings stay valid until
 * they are unmapped, only close() remains to be called, and poll() reports EPOLLHUP | EPOLLERR.
 *
 * INFO, STATS: EFAULT.
 *
 * SETUP: EFAULT: the request could not be read, and nothing is changed; or the result could not be
 * written, and the ring exists. EINVAL: a size or flag is refused; the kernel log says which and
 * why. ENOMEM: no memory for the ring; the former ring is freed, nothing else is changed. EBUSY:
 * running, mapped, or blocks are LENT; or more of former rings would still be referenced than the
 * size of the larger of the old ring and the new one (the kernel log says how much). The same
 * geometry as before keeps the memory, without zeroing it and with blocks in QUARANTINE, even over
 * close() and the next open().
 *
 * START: EINVAL: no ring. EALREADY: running. EIO: the engine takes no transfer, or has failed to
 * stop before.
 *
 * STOP: EALREADY: not running. EIO: the engine cannot be stopped; it keeps the QUEUED blocks, and
 * their memory is leaked. In every case READY blocks can still be read, and LENT ones remain the
 * owner's.
 *
 * mmap(): EINVAL: not MAP_SHARED, no ring, or not from offset 0 to map_size; EACCES: PROT_WRITE or
 * PROT_EXEC. The mapping cannot be unmapped in part, grown, or made writable. fork() does not copy
 * it, unless madvise(MADV_DOFORK) was called, which some kernels refuse.
 *
 * read(): as many whole records as fit and are READY, oldest first. EINVAL: the buffer is smaller
 * than one record. EAGAIN: O_NONBLOCK and none is READY. ENODATA: none is READY and, because the
 * channel is not running, none will be. ERESTARTSYS/EINTR: interrupted by a signal. EFAULT: nothing
 * was lent. No lock is held while records are copied.
 *
 * write(): an array of __u32 indices, each of a LENT block. Returns the bytes of the indices that
 * were recycled, up to the first invalid one. EINVAL: the size is not a multiple of 4, or the first
 * index is out of range or of a block that is not LENT. EFAULT: the first indices could not be
 * read.
 *
 * poll(): EPOLLIN if read() would not wait: a block is READY, or the channel is not running. Never
 * EPOLLOUT.
 *
 * The engine stops when the machine is suspended, and continues afterwards. The owner notices it
 * only by DMACAST_BLOCK_AFTER_SUSPEND.
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
