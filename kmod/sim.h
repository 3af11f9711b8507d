/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dmacast_sim: a DMA engine in software, as a dmaengine provider like any other.
 *
 * Each channel fills the transfers that it is given with a checkable pattern, at a chosen rate: the
 * aligned 64-bit little-endian word at offset o of the channel's stream holds o. It writes to the
 * DMA addresses of the scatterlist, as hardware would, never to the pages behind it, so that a
 * client which forgets a dma_sync sees wrong data when its memory is bounced (swiotlb=force).
 *
 * A transfer goes through these hands, moved under the channel's lock:
 *
 *	tx_submit()	-> submitted	waits for issue_pending()
 *	issue_pending()	-> issued	waits for the channel's thread
 *	the thread	-> active	is being filled; one at a time
 *	the thread	-> done		waits for the tasklet, which calls the client and frees it
 *
 * terminate_all() frees all but the active one, which it marks as aborted: the thread frees that
 * one, and synchronize() waits until it has. A client is never called for either.
 *
 * The stream is continuous over transfers. A short transfer ends where the next one begins. A
 * failed one loses the data of its whole length, of which the first half is written. A terminated
 * one loses what it has got.
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
/* Outcomes of finished transfers that tx_status() can still tell; a power of two. */
#define SIM_OUTCOMES	 1024
/* So that a second of data, times the nanoseconds of a second, fits 64 bits. */
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
	unsigned int terminations;	/* of the channel, when it was prepared */
	u32 length;
	/* Faults, fixed when the transfer becomes active. */
	u32 extent;	/* of the stream; less than length: short */
	u32 written;	/* of these; less than extent: failed */
	bool unpaced;
	/* Set under the lock by whoever terminates the active transfer. */
	bool aborted;
	/* The thread's. */
	u32 done;
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
	wait_queue_head_t work;		/* the thread waits for something to do */
	wait_queue_head_t aborted;	/* synchronize() waits for the thread */

	spinlock_t lock;		/* all below, and the cookies */
	bool dead;			/* the device is going or gone */
	bool paused;
	unsigned int late_ms;		/* the module's parameter `late` */
	u32 terminate_error;		/* calls of terminate_all() that will fail */
	unsigned int terminations;	/* calls of terminate_all() */
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
	u64 transfers;			/* all that finished, the next two included */
	u64 errors;
	u64 shorts;
	u64 refused;

	bool lossy;			/* written by debugfs */

	/* The thread's clock: what was due until then and is unused, in bytes * ns per second. */
	u64 clock_ns;
	u64 credit;
};

/* Lives until its last user: the bound driver and each client that holds a channel. */
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

/* The thread that fills transfers; @data is the channel. */
int dmacast_sim_thread(void *data);
/* Calls the clients of finished transfers. */
void dmacast_sim_tasklet(struct tasklet_struct *tasklet);

/* Fill in what the provider can do, and how. */
void dmacast_sim_provider_init(struct dma_device *dma, bool late);
/* Drop all transfers; any context. The active one is only gone after the thread saw that. */
int dmacast_sim_terminate_all(struct dma_chan *chan);

/* Make the directory chN of the channel below @parent; removed by removing ch->debugfs. */
void dmacast_sim_debugfs_add(struct sim_chan *ch, struct dentry *parent);

#endif
