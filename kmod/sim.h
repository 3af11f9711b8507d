/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dmacast_sim: a DMA engine in software, registered as an ordinary dmaengine provider.
 *
 * Each channel fills its transfers with a checkable pattern at a chosen rate: the aligned 64-bit
 * little-endian word at offset o of the channel's stream holds o. Like hardware it writes to the
 * DMA addresses of the scatterlist, never to the pages behind it. A client that omits a dma_sync
 * therefore sees wrong data when its memory is bounced (swiotlb=force).
 *
 * A transfer goes through these states, changed under the channel's lock:
 *
 *	tx_submit()	-> submitted	waits for issue_pending()
 *	issue_pending()	-> issued	waits for the channel's thread
 *	the thread	-> active	is being filled; one at a time
 *	the thread	-> done		waits for the tasklet, which calls the client and frees it
 *
 * terminate_all() frees all transfers except the active one, which it marks as aborted. The thread
 * frees that one, and synchronize() waits for it. No client is called for any of these.
 *
 * The stream is continuous over transfers. A short transfer ends where the next one begins. A
 * failed transfer loses the data of its whole length; the first half of it is written. A terminated
 * transfer loses the data that it has received.
 */
#ifndef DMACAST_SIM_H
#define DMACAST_SIM_H

#include <linux/dmaengine.h>
#include <linux/interrupt.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/time64.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#define SIM_NAME	 "dmacast_sim"
/* Finished transfers whose outcome tx_status() still knows; a power of two. */
#define SIM_OUTCOMES	 1024
/* Bytes per second. A second of data times the nanoseconds of a second must fit 64 bits. */
#define SIM_MAX_RATE	 10000000000ULL
#define SIM_MAX_DELAY_MS (3600 * MSEC_PER_SEC)

struct dentry;
struct dma_slave_map;
struct task_struct;

struct sim_segment {
	dma_addr_t address;
	u32 length;
};

struct sim_desc {
	struct dma_async_tx_descriptor tx;
	struct list_head node;
	unsigned int terminations;	/* `terminations` of the channel at its preparation */
	u32 length;
	/* Faults, fixed when the transfer becomes active. */
	u32 extent;	/* bytes taken from the stream; less than length: short */
	u32 written;	/* bytes of these that are written; less than extent: failed */
	bool unpaced;
	/* Set under the lock when the active transfer is terminated. */
	bool aborted;
	/* Used by the thread only. */
	u32 done;	/* bytes taken; also read by tx_status() */
	unsigned int segment;
	u32 segment_done;
	struct dmaengine_result result;
	unsigned int segments;
	struct sim_segment segment_list[];
};

struct sim_outcome {
	dma_cookie_t cookie;
	enum dma_status status;
	u32 residue;
};

struct sim_chan {
	struct dma_chan chan;
	unsigned int index;
	struct dentry *debugfs;
	struct task_struct *thread;
	struct tasklet_struct tasklet;
	wait_queue_head_t work;		/* the thread waits here for transfers */
	wait_queue_head_t aborted;	/* synchronize() waits here for the thread */

	spinlock_t lock;		/* protects the following and the cookies */
	bool dead;			/* the device is being or was removed */
	bool paused;
	unsigned int late_ms;		/* module parameter `late` */
	u32 terminate_error;		/* calls of terminate_all() that will fail */
	unsigned int terminations;	/* calls of terminate_all() until now */
	struct list_head submitted;
	struct list_head issued;
	struct list_head done;
	struct sim_desc *active;
	struct sim_outcome outcomes[SIM_OUTCOMES];
	u64 offset;
	u64 rate;
	u64 stall_until_ns;
	u64 error_next;
	u64 burst_next;
	u32 short_next;
	u32 short_bytes;
	u64 transfers;			/* finished transfers, including the next two */
	u64 errors;
	u64 shorts;
	u64 refused;

	bool lossy;			/* written by debugfs */

	/* The thread's clock. */
	u64 clock_ns;			/* time of the last look */
	u64 credit;			/* due and not yet written, in bytes * ns per second */
};

/* Freed with its last user: the bound driver, or a client that holds a channel. */
struct sim {
	struct dma_device dma;
	struct delayed_work free_work;
	struct dma_slave_map *map;
	char (*map_names)[24];
	unsigned int count;
	struct sim_chan channels[];
};

static inline struct sim_chan *to_sim_chan(struct dma_chan *chan)
{
	return container_of(chan, struct sim_chan, chan);
}

static inline struct sim_desc *to_sim_desc(struct dma_async_tx_descriptor *tx)
{
	return container_of(tx, struct sim_desc, tx);
}

/* Fill transfers: the function of a channel's thread; @data is the channel. */
int dmacast_sim_thread(void *data);
/* Call the clients of finished transfers. */
void dmacast_sim_tasklet(struct tasklet_struct *tasklet);

/* Fill in the capabilities and operations of the provider. */
void dmacast_sim_provider_init(struct dma_device *dma, bool late);
/* Drop all transfers, in any context. The active one ends when the thread notices it. */
int dmacast_sim_terminate_all(struct dma_chan *chan);

/* Make the directory chN of the channel below @parent; remove it by removing ch->debugfs. */
void dmacast_sim_debugfs_add(struct sim_chan *ch, struct dentry *parent);

#endif
