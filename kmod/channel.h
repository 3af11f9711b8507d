/* SPDX-License-Identifier: GPL-2.0-only */
/* A channel: one device node, one DMA channel, one ring of blocks. */
#ifndef DMACAST_CHANNEL_H
#define DMACAST_CHANNEL_H

#include <linux/fs.h>
#include <linux/types.h>

struct attribute_group;
struct channel;
struct device;
struct dmacast_block;
struct dmacast_info;
struct dmacast_stats;

/**
 * dmacast_channel_create() - make the device node of a channel
 * @parent: the device that requests the DMA channel
 * @name: name of the node in /dev/dmacast
 * @fops: its file operations
 * @groups: its attributes in sysfs
 *
 * Context: May sleep.
 * Return: a channel, or an ERR_PTR(), which is logged unless it is -EPROBE_DEFER.
 */
struct channel *dmacast_channel_create(struct device *parent, const char *name,
				       const struct file_operations *fops,
				       const struct attribute_group **groups);

/**
 * dmacast_channel_remove() - stop, wake all waiting calls and end DMA when the device is removed
 * @channel: the channel, which is freed when its file is closed
 *
 * Context: May sleep.
 */
void dmacast_channel_remove(struct channel *channel);

/**
 * dmacast_channel_start() - start the engine (DMACAST_IOC_START)
 * @channel: the channel
 *
 * Context: May sleep; under mutex.
 * Return: 0 or a negative error number.
 */
int dmacast_channel_start(struct channel *channel);

/**
 * dmacast_channel_stop() - stop the engine (DMACAST_IOC_STOP)
 * @channel: the channel
 *
 * Context: May sleep; under mutex.
 * Return: 0 or a negative error number.
 */
int dmacast_channel_stop(struct channel *channel);

/**
 * dmacast_channel_suspend() - stop the engine before the machine sleeps
 * @channel: the channel
 *
 * The owner sees only a gap before the first block after dmacast_channel_resume().
 *
 * Context: May sleep.
 * Return: 0, or -EIO when the engine cannot be stopped.
 */
int dmacast_channel_suspend(struct channel *channel);

/**
 * dmacast_channel_resume() - undo dmacast_channel_suspend()
 * @channel: the channel
 *
 * Context: May sleep.
 */
void dmacast_channel_resume(struct channel *channel);

/**
 * dmacast_channel_lend() - lend the oldest READY block and sync it for the CPU
 * @channel: the channel
 * @record: out: the record of the block
 *
 * Context: May sleep; under mutex.
 * Return: false if there is none.
 */
bool dmacast_channel_lend(struct channel *channel, struct dmacast_block *record);

/**
 * dmacast_channel_unlend() - undo dmacast_channel_lend() when the owner did not get the record
 * @channel: the channel
 * @record: the record
 * @setups: the channel's number of set-ups when the block was lent
 *
 * Undo several records from the last one to the first.
 *
 * Context: May sleep; under mutex.
 */
void dmacast_channel_unlend(struct channel *channel, const struct dmacast_block *record,
			    u32 setups);

/**
 * dmacast_channel_return() - take back a LENT block
 * @channel: the channel
 * @index: the user's index of the block
 *
 * Context: May sleep; under mutex.
 * Return: 0 or -EINVAL.
 */
int dmacast_channel_return(struct channel *channel, u32 index);

/**
 * dmacast_channel_release() - take all blocks back after the owner closed its file
 * @channel: the channel
 *
 * Context: May sleep; under mutex.
 */
void dmacast_channel_release(struct channel *channel);

/**
 * dmacast_channel_read_stats() - take a consistent snapshot of counters and states
 * @channel: the channel
 * @stats: out
 *
 * Context: May sleep.
 */
void dmacast_channel_read_stats(struct channel *channel, struct dmacast_stats *stats);

/**
 * dmacast_channel_describe() - fill in what the channel can do (DMACAST_IOC_INFO)
 * @channel: the channel
 * @info: out
 *
 * Context: Any.
 */
void dmacast_channel_describe(struct channel *channel, struct dmacast_info *info);

#endif
