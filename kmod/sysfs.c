// SPDX-License-Identifier: GPL-2.0-only
#include "sysfs.h"

#include "channel.h"
#include "channel_state.h"

#include <linux/device.h>
#include <linux/stddef.h>
#include <linux/sysfs.h>

struct counter {
	struct device_attribute attribute;
	size_t offset;	/* in struct dmacast_stats */
	size_t size;
};

static ssize_t show_counter(struct device *dev, struct device_attribute *attribute, char *text)
{
	struct channel *channel = container_of(dev, struct channel, dev);
	const struct counter *counter = container_of(attribute, struct counter, attribute);
	struct dmacast_stats stats;
	const void *value = (const char *)&stats + counter->offset;

	dmacast_channel_read_stats(channel, &stats);
	if (counter->size == sizeof(u64))
		return sysfs_emit(text, "%llu\n", *(const u64 *)value);
	return sysfs_emit(text, "%u\n", *(const u32 *)value);
}

#define COUNTER(name)									\
	static struct counter counter_ ## name = {					\
		.attribute = __ATTR(name, 0444, show_counter, NULL),			\
		.offset = offsetof(struct dmacast_stats, name),				\
		.size = sizeof_field(struct dmacast_stats, name),			\
	}

COUNTER(completed);
COUNTER(bytes);
COUNTER(lent);
COUNTER(recycled);
COUNTER(overruns);
COUNTER(stalls);
COUNTER(errors);
COUNTER(short_transfers);
COUNTER(quarantined);
COUNTER(replaced);
COUNTER(left_behind);
COUNTER(left_refused);
COUNTER(blocks_free);
COUNTER(blocks_queued);
COUNTER(blocks_ready);
COUNTER(blocks_lent);
COUNTER(blocks_quarantine);
COUNTER(running);

/* Read the ring's geometry; all 0 without a ring. */
static void read_geometry(struct device *dev, struct ring *geometry)
{
	struct channel *channel = container_of(dev, struct channel, dev);

	mutex_lock(&channel->mappings.lock);
	if (channel->ring)
		memcpy(geometry, channel->ring, sizeof(*geometry));
	else
		memset(geometry, 0, sizeof(*geometry));
	mutex_unlock(&channel->mappings.lock);
}

static ssize_t block_size_show(struct device *dev, struct device_attribute *attribute, char *text)
{
	struct ring geometry;

	read_geometry(dev, &geometry);
	return sysfs_emit(text, "%zu\n", geometry.block_size);
}
static DEVICE_ATTR_RO(block_size);

static ssize_t block_count_show(struct device *dev, struct device_attribute *attribute, char *text)
{
	struct ring geometry;

	read_geometry(dev, &geometry);
	return sysfs_emit(text, "%u\n", geometry.block_count);
}
static DEVICE_ATTR_RO(block_count);

static ssize_t policy_show(struct device *dev, struct device_attribute *attribute, char *text)
{
	struct ring geometry;

	read_geometry(dev, &geometry);
	return sysfs_emit(text, "%s\n",
			  geometry.flags & DMACAST_SETUP_STALL ? "stall" : "drop-oldest");
}
static DEVICE_ATTR_RO(policy);

static struct attribute *channel_attrs[] = {
	&dev_attr_block_size.attr,
	&dev_attr_block_count.attr,
	&dev_attr_policy.attr,
	&counter_completed.attribute.attr,
	&counter_bytes.attribute.attr,
	&counter_lent.attribute.attr,
	&counter_recycled.attribute.attr,
	&counter_overruns.attribute.attr,
	&counter_stalls.attribute.attr,
	&counter_errors.attribute.attr,
	&counter_short_transfers.attribute.attr,
	&counter_quarantined.attribute.attr,
	&counter_replaced.attribute.attr,
	&counter_left_behind.attribute.attr,
	&counter_left_refused.attribute.attr,
	&counter_blocks_free.attribute.attr,
	&counter_blocks_queued.attribute.attr,
	&counter_blocks_ready.attribute.attr,
	&counter_blocks_lent.attribute.attr,
	&counter_blocks_quarantine.attribute.attr,
	&counter_running.attribute.attr,
	NULL,
};

static const struct attribute_group channel_group = { .attrs = channel_attrs };

const struct attribute_group *dmacast_sysfs_groups[] = { &channel_group, NULL };
