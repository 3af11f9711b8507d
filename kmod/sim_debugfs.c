// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults and counters: /sys/kernel/debug/dmacast_sim/chN/
 *
 *	rate		bytes per second; 0: as fast as possible
 *	offset		offset of the stream's next byte
 *	error		N: the next N transfers fail
 *	short		N BYTES: the next N transfers end after BYTES bytes
 *	burst		N: the next N transfers are not paced
 *	stall		MS: no data for this time
 *	terminate_error	N: the next N calls of terminate_all() fail, and transfers go on
 *	lossy		Y: data is lost while there is no transfer, instead of waiting for one
 *	transfers	finished transfers, including the next two
 *	errors		failed transfers
 *	shorts		short transfers
 *	refused		transfers refused because they exceed the limits in the module's parameters
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "sim.h"

static int sim_rate_get(void *data, u64 *value)
{
	struct sim_chan *ch = data;

	*value = ch->rate;
	return 0;
}

static int sim_rate_set(void *data, u64 value)
{
	struct sim_chan *ch = data;

	if (value > SIM_MAX_RATE)
		return -ERANGE;
	spin_lock_irq(&ch->lock);
	ch->rate = value;
	spin_unlock_irq(&ch->lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sim_rate_fops, sim_rate_get, sim_rate_set, "%llu\n");

static int sim_offset_get(void *data, u64 *value)
{
	struct sim_chan *ch = data;

	spin_lock_irq(&ch->lock);
	*value = ch->offset;
	spin_unlock_irq(&ch->lock);
	return 0;
}

static int sim_offset_set(void *data, u64 value)
{
	struct sim_chan *ch = data;

	spin_lock_irq(&ch->lock);
	ch->offset = value;
	spin_unlock_irq(&ch->lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sim_offset_fops, sim_offset_get, sim_offset_set, "%llu\n");

static int sim_error_get(void *data, u64 *value)
{
	struct sim_chan *ch = data;

	*value = ch->error_next;
	return 0;
}

static int sim_error_set(void *data, u64 value)
{
	struct sim_chan *ch = data;

	spin_lock_irq(&ch->lock);
	ch->error_next = value;
	spin_unlock_irq(&ch->lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sim_error_fops, sim_error_get, sim_error_set, "%llu\n");

static int sim_terminate_error_get(void *data, u64 *value)
{
	struct sim_chan *ch = data;

	*value = ch->terminate_error;
	return 0;
}

static int sim_terminate_error_set(void *data, u64 value)
{
	struct sim_chan *ch = data;

	if (value > U32_MAX)
		return -ERANGE;
	spin_lock_irq(&ch->lock);
	ch->terminate_error = value;
	spin_unlock_irq(&ch->lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sim_terminate_error_fops, sim_terminate_error_get,
			 sim_terminate_error_set, "%llu\n");

static int sim_burst_get(void *data, u64 *value)
{
	struct sim_chan *ch = data;

	*value = ch->burst_next;
	return 0;
}

static int sim_burst_set(void *data, u64 value)
{
	struct sim_chan *ch = data;

	spin_lock_irq(&ch->lock);
	ch->burst_next = value;
	spin_unlock_irq(&ch->lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sim_burst_fops, sim_burst_get, sim_burst_set, "%llu\n");

static int sim_stall_set(void *data, u64 value)
{
	struct sim_chan *ch = data;

	if (value > SIM_MAX_DELAY_MS)
		return -ERANGE;
	spin_lock_irq(&ch->lock);
	ch->stall_until_ns = ktime_get_ns() + value * NSEC_PER_MSEC;
	spin_unlock_irq(&ch->lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sim_stall_fops, NULL, sim_stall_set, "%llu\n");

static ssize_t sim_short_read(struct file *file, char __user *buffer, size_t size, loff_t *pos)
{
	struct sim_chan *ch = file->private_data;
	char text[32];
	int n;

	spin_lock_irq(&ch->lock);
	n = scnprintf(text, sizeof(text), "%u %u\n", ch->short_next, ch->short_bytes);
	spin_unlock_irq(&ch->lock);
	return simple_read_from_buffer(buffer, size, pos, text, n);
}

static ssize_t sim_short_write(struct file *file, const char __user *buffer, size_t size,
			       loff_t *pos)
{
	struct sim_chan *ch = file->private_data;
	unsigned int count, bytes;
	char text[32];

	if (size >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buffer, size))
		return -EFAULT;
	text[size] = '\0';
	if (sscanf(text, "%u %u", &count, &bytes) != 2)
		return -EINVAL;
	spin_lock_irq(&ch->lock);
	ch->short_next = count;
	ch->short_bytes = bytes;
	spin_unlock_irq(&ch->lock);
	return size;
}

static const struct file_operations sim_short_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = sim_short_read,
	.write = sim_short_write,
};

void dmacast_sim_debugfs_add(struct sim_chan *ch, struct dentry *parent)
{
	struct dentry *dir;
	char name[16];

	snprintf(name, sizeof(name), "ch%u", ch->index);
	dir = debugfs_create_dir(name, parent);
	ch->debugfs = dir;
	debugfs_create_file("rate", 0600, dir, ch, &sim_rate_fops);
	debugfs_create_file("offset", 0600, dir, ch, &sim_offset_fops);
	debugfs_create_file("error", 0600, dir, ch, &sim_error_fops);
	debugfs_create_file("short", 0600, dir, ch, &sim_short_fops);
	debugfs_create_file("burst", 0600, dir, ch, &sim_burst_fops);
	debugfs_create_file("stall", 0200, dir, ch, &sim_stall_fops);
	debugfs_create_file("terminate_error", 0600, dir, ch, &sim_terminate_error_fops);
	debugfs_create_bool("lossy", 0600, dir, &ch->lossy);
	debugfs_create_u64("transfers", 0400, dir, &ch->transfers);
	debugfs_create_u64("errors", 0400, dir, &ch->errors);
	debugfs_create_u64("shorts", 0400, dir, &ch->shorts);
	debugfs_create_u64("refused", 0400, dir, &ch->refused);
}
