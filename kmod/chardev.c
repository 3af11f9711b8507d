// SPDX-License-Identifier: GPL-2.0-only
#include "chardev.h"

#include "channel.h"
#include "channel_feed.h"
#include "channel_ring.h"
#include "channel_state.h"
#include "guard.h"
#include "mapping.h"

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/uaccess.h>

/* Take the mutex, unless the channel is unbound. Return: 0 or a negative error number. */
static int chardev_lock(struct channel *channel)
{
	if (mutex_lock_interruptible(&channel->mutex))
		return -ERESTARTSYS;
	if (!channel->dead)
		return 0;
	mutex_unlock(&channel->mutex);
	return -ENODEV;
}

/* ---- mapping ---- */

static int chardev_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct channel *channel = file->private_data;
	int error;

	if (vma->vm_flags & (VM_WRITE | VM_EXEC)) {
		dev_notice_ratelimited(&channel->dev,
				       "mmap: only PROT_READ is allowed; the engine writes the ring\n");
		return -EACCES;
	}
	if (!(vma->vm_flags & VM_MAYSHARE)) {
		dev_notice_ratelimited(&channel->dev, "mmap: MAP_SHARED is required\n");
		return -EINVAL;
	}
	if (READ_ONCE(channel->dead))
		return -ENODEV;
	error = dmacast_mappings_add(channel, vma);
	if (error)
		dev_notice_ratelimited(&channel->dev,
				       "mmap: map the whole ring after DMACAST_IOC_SETUP, map_size bytes from offset 0\n");
	return error;
}

/* ---- blocks ---- */

/* Records per copy to the user. */
#define MAX_RECORDS_AT_ONCE 16

/* Lend up to @count blocks. Under mutex. Return: the number of records. */
static size_t chardev_lend_some(struct channel *channel, struct dmacast_block *records,
				size_t count)
{
	size_t n = 0;

	while (n < count && dmacast_channel_lend(channel, &records[n]))
		n++;
	return n;
}

/* Undo the lending of blocks whose records could not be copied to the user. */
static void chardev_unlend(struct channel *channel, const struct dmacast_block *records,
			   size_t count, u32 setups)
{
	mutex_lock(&channel->mutex);
	while (count--)
		dmacast_channel_unlend(channel, &records[count], setups);
	mutex_unlock(&channel->mutex);
	wake_up_interruptible_poll(&channel->wait, EPOLLIN | EPOLLRDNORM);
}

/*
 * Lend up to MAX_RECORDS_AT_ONCE blocks, and at most @count. Return: the number of records; 0 when
 * none is READY; or a negative error number.
 */
static ssize_t chardev_read_some(struct channel *channel, struct dmacast_block __user *user,
				 size_t count)
{
	struct dmacast_block records[MAX_RECORDS_AT_ONCE];
	unsigned long left;
	bool running;
	u32 setups;
	size_t n, copied;
	int error;

	error = chardev_lock(channel);
	if (error)
		return error;
	/* Read this before lending: blocks that were READY at a STOP are still found. */
	running = channel->running;
	setups = channel->setups;
	n = chardev_lend_some(channel, records, min_t(size_t, count, MAX_RECORDS_AT_ONCE));
	mutex_unlock(&channel->mutex);
	if (!n)
		return running ? 0 : -ENODATA;

	left = copy_to_user(user, records, n * sizeof(records[0]));
	if (!left)
		return n;
	copied = n - DIV_ROUND_UP(left, sizeof(records[0]));
	chardev_unlend(channel, records + copied, n - copied, setups);
	return copied ?: -EFAULT;
}

/* Read as many records as fit and are READY. Return: the same as chardev_read_some(). */
static ssize_t chardev_read_records(struct channel *channel, struct dmacast_block __user *user,
				    size_t count)
{
	size_t done = 0;
	ssize_t n;

	do {
		n = chardev_read_some(channel, user + done, count - done);
		if (n <= 0)
			return done ?: n;
		done += n;
	} while (n == MAX_RECORDS_AT_ONCE && done < count);
	return done;
}

/* Return true if read() would not wait. */
static bool chardev_read_returns(struct channel *channel)
{
	bool returns;

	spin_lock_irq(&channel->lock);
	returns = channel->dead || !channel->running || !list_empty(&channel->list[BLOCK_READY]);
	spin_unlock_irq(&channel->lock);
	return returns;
}

static ssize_t chardev_read(struct file *file, char __user *buffer, size_t size, loff_t *offset)
{
	struct channel *channel = file->private_data;
	size_t count = size / sizeof(struct dmacast_block);
	ssize_t n;

	if (!count)
		return -EINVAL;
	for (;;) {
		n = chardev_read_records(channel, (struct dmacast_block __user *)buffer, count);
		if (n)
			return n > 0 ? n * sizeof(struct dmacast_block) : n;
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(channel->wait, chardev_read_returns(channel)))
			return -ERESTARTSYS;
	}
}

/* Indices per copy from the user. */
#define MAX_INDICES_AT_ONCE 64

/* Return blocks. Return: number of leading valid indices, or a negative error number if 0. */
static ssize_t chardev_return_blocks(struct channel *channel, const u32 *index, size_t count)
{
	size_t done = 0;
	int error;

	error = chardev_lock(channel);
	if (error)
		return error;
	while (done < count && !error) {
		error = dmacast_channel_return(channel, index[done]);
		done += !error;
	}
	dmacast_guard_look(channel);
	dmacast_channel_feed_by_task(channel);
	mutex_unlock(&channel->mutex);
	return done ?: error;
}

static ssize_t chardev_write(struct file *file, const char __user *buffer, size_t size,
			     loff_t *offset)
{
	struct channel *channel = file->private_data;
	const u32 __user *user = (const u32 __user *)buffer;
	size_t count = size / sizeof(u32), done = 0, asked;
	u32 index[MAX_INDICES_AT_ONCE];
	ssize_t n;

	if (size % sizeof(u32))
		return -EINVAL;
	do {
		asked = min_t(size_t, count - done, MAX_INDICES_AT_ONCE);
		if (copy_from_user(index, user + done, asked * sizeof(u32)))
			n = -EFAULT;
		else
			n = chardev_return_blocks(channel, index, asked);
		if (n < 0)
			return done ? done * sizeof(u32) : n;
		done += n;
	} while (n == asked && done < count);
	return done * sizeof(u32);
}

static __poll_t chardev_poll(struct file *file, struct poll_table_struct *table)
{
	struct channel *channel = file->private_data;
	__poll_t events = 0;

	poll_wait(file, &channel->wait, table);
	spin_lock_irq(&channel->lock);
	if (channel->dead)
		events = EPOLLHUP | EPOLLERR;
	else if (!channel->running || !list_empty(&channel->list[BLOCK_READY]))
		events = EPOLLIN | EPOLLRDNORM;
	spin_unlock_irq(&channel->lock);
	return events;
}

/* ---- control ---- */

static long ioctl_info(struct channel *channel, void __user *argument)
{
	struct dmacast_info info;
	long error;

	error = chardev_lock(channel);
	if (error)
		return error;
	dmacast_channel_describe(channel, &info);
	mutex_unlock(&channel->mutex);
	return copy_to_user(argument, &info, sizeof(info)) ? -EFAULT : 0;
}

static long ioctl_setup(struct channel *channel, void __user *argument)
{
	struct dmacast_setup setup;
	long error;

	if (copy_from_user(&setup, argument, sizeof(setup)))
		return -EFAULT;
	error = chardev_lock(channel);
	if (error)
		return error;
	error = dmacast_channel_set_up(channel, &setup);
	mutex_unlock(&channel->mutex);
	if (error)
		return error;
	return copy_to_user(argument, &setup, sizeof(setup)) ? -EFAULT : 0;
}

static long ioctl_stats(struct channel *channel, void __user *argument)
{
	struct dmacast_stats stats;
	long error;

	error = chardev_lock(channel);
	if (error)
		return error;
	dmacast_channel_read_stats(channel, &stats);
	mutex_unlock(&channel->mutex);
	return copy_to_user(argument, &stats, sizeof(stats)) ? -EFAULT : 0;
}

static long ioctl_plain(struct channel *channel, int (*action)(struct channel *channel))
{
	long error;

	error = chardev_lock(channel);
	if (error)
		return error;
	error = action(channel);
	mutex_unlock(&channel->mutex);
	return error;
}

static long chardev_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct channel *channel = file->private_data;
	void __user *user = (void __user *)argument;

	switch (command) {
	case DMACAST_IOC_INFO:
		return ioctl_info(channel, user);
	case DMACAST_IOC_SETUP:
		return ioctl_setup(channel, user);
	case DMACAST_IOC_START:
		return ioctl_plain(channel, dmacast_channel_start);
	case DMACAST_IOC_STOP:
		return ioctl_plain(channel, dmacast_channel_stop);
	case DMACAST_IOC_STATS:
		return ioctl_stats(channel, user);
	default:
		return READ_ONCE(channel->dead) ? -ENODEV : -ENOTTY;
	}
}

/* ---- one owner at a time ---- */

static int chardev_open(struct inode *inode, struct file *file)
{
	struct channel *channel = container_of(inode->i_cdev, struct channel, cdev);
	int error = 0;

	if (mutex_lock_interruptible(&channel->mutex))
		return -ERESTARTSYS;
	if (channel->dead)
		error = -ENODEV;
	else if (channel->is_open)
		error = -EBUSY;
	else
		channel->is_open = true;
	mutex_unlock(&channel->mutex);
	if (error)
		return error;
	get_device(&channel->dev);
	mutex_lock(&channel->mappings.lock);
	channel->mappings.file = file->f_mapping;
	mutex_unlock(&channel->mappings.lock);
	file->private_data = channel;
	return stream_open(inode, file);
}

/* No mapping is left: each one holds a reference to the file. */
static int chardev_close(struct inode *inode, struct file *file)
{
	struct channel *channel = file->private_data;

	mutex_lock(&channel->mutex);
	dmacast_channel_release(channel);
	mutex_unlock(&channel->mutex);
	put_device(&channel->dev);
	return 0;
}

const struct file_operations dmacast_chardev_fops = {
	.owner = THIS_MODULE,
	.open = chardev_open,
	.release = chardev_close,
	.read = chardev_read,
	.write = chardev_write,
	.poll = chardev_poll,
	.mmap = chardev_mmap,
	.unlocked_ioctl = chardev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};
