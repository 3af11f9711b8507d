// SPDX-License-Identifier: GPL-2.0-only
/* The file operations of /dev/dmacast/NAME, as uapi/dmacast.h describes them. */
#include "channel.h"

#include "compat.h"
#include "fault.h"

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/uaccess.h>

/* ---- mapping ---- */

static int channel_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct channel *channel = file->private_data;
	int error;

	if (vma->vm_flags & (VM_WRITE | VM_EXEC)) {
		dev_notice_ratelimited(&channel->dev,
				       "mmap: a ring is mapped with PROT_READ alone; the engine writes it\n");
		return -EACCES;
	}
	if (!(vma->vm_flags & VM_MAYSHARE)) {
		dev_notice_ratelimited(&channel->dev, "mmap: a ring is mapped with MAP_SHARED\n");
		return -EINVAL;
	}
	if (READ_ONCE(channel->dead))
		return -ENODEV;
	error = mappings_add(channel, vma);
	if (error)
		dev_notice_ratelimited(&channel->dev,
				       "mmap: a ring is mapped as a whole, map_size bytes from offset 0, after DMACAST_IOC_SETUP\n");
	return error;
}

/* ---- blocks ---- */

/* Lend as many blocks as there are and fit. Return: bytes of records, or an error. Under mutex. */
static ssize_t read_records(struct channel *channel, struct dmacast_block __user *user,
			    size_t records)
{
	struct dmacast_block record;
	struct ring_block *block;
	size_t n = 0;

	while (n < records && (block = channel_lend(channel, &record))) {
		if (copy_to_user(user + n, &record, sizeof(record))) {
			channel_keep(channel, block, &record);
			return n ? n * sizeof(record) : -EFAULT;
		}
		n++;
	}
	return n * sizeof(record);
}

static bool has_news(struct channel *channel)
{
	bool news;

	spin_lock_irq(&channel->lock);
	news = channel->dead || !channel->running || !list_empty(&channel->list[BLOCK_READY]);
	spin_unlock_irq(&channel->lock);
	return news;
}

/* Under mutex. Return: as read_records(); 0 to wait. */
static ssize_t try_to_read(struct channel *channel, char __user *buffer, size_t size)
{
	/* Before the blocks are looked at: what is ready when it stops, is there then. */
	bool running = channel->running;
	ssize_t n;

	if (channel->dead)
		return -ENODEV;
	n = read_records(channel, (struct dmacast_block __user *)buffer,
			 size / sizeof(struct dmacast_block));
	return n || running ? n : -ENODATA;
}

static ssize_t channel_read(struct file *file, char __user *buffer, size_t size, loff_t *offset)
{
	struct channel *channel = file->private_data;
	ssize_t n;

	if (size < sizeof(struct dmacast_block))
		return -EINVAL;
	for (;;) {
		if (mutex_lock_interruptible(&channel->mutex))
			return -ERESTARTSYS;
		n = try_to_read(channel, buffer, size);
		mutex_unlock(&channel->mutex);
		if (n)
			return n;
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(channel->wait, has_news(channel)))
			return -ERESTARTSYS;
	}
}

/* Under mutex. Return: bytes of indices that were good, or an error if there was none. */
static ssize_t write_indices(struct channel *channel, const u32 __user *user, size_t count)
{
	u32 index[64];
	size_t done = 0;

	while (done < count) {
		size_t n = min(count - done, ARRAY_SIZE(index));

		if (copy_from_user(index, user + done, n * sizeof(u32)))
			return done ? done * sizeof(u32) : -EFAULT;
		for (size_t i = 0; i < n; i++, done++) {
			int error = channel_return(channel, index[i]);

			if (error)
				return done ? done * sizeof(u32) : error;
		}
	}
	return done * sizeof(u32);
}

static ssize_t channel_write(struct file *file, const char __user *buffer, size_t size,
			     loff_t *offset)
{
	struct channel *channel = file->private_data;
	ssize_t n;

	if (size % sizeof(u32))
		return -EINVAL;
	if (mutex_lock_interruptible(&channel->mutex))
		return -ERESTARTSYS;
	if (channel->dead) {
		n = -ENODEV;
	} else {
		n = write_indices(channel, (const u32 __user *)buffer, size / sizeof(u32));
		guard_look(channel);
		channel_feed(channel);
	}
	mutex_unlock(&channel->mutex);
	return n;
}

static __poll_t channel_poll(struct file *file, struct poll_table_struct *table)
{
	struct channel *channel = file->private_data;
	__poll_t events = 0;

	poll_wait(file, &channel->wait, table);
	spin_lock_irq(&channel->lock);
	if (channel->dead)
		events = EPOLLHUP | EPOLLERR;
	else if (!list_empty(&channel->list[BLOCK_READY]))
		events = EPOLLIN | EPOLLRDNORM;
	spin_unlock_irq(&channel->lock);
	return events;
}

/* ---- control ---- */

static long ioctl_info(struct channel *channel, void __user *argument)
{
	struct dmacast_info info;

	channel_describe(channel, &info);
	return copy_to_user(argument, &info, sizeof(info)) ? -EFAULT : 0;
}

static long ioctl_setup(struct channel *channel, void __user *argument)
{
	struct dmacast_setup setup;
	int error;

	if (copy_from_user(&setup, argument, sizeof(setup)))
		return -EFAULT;
	error = channel_set_up(channel, &setup);
	if (error)
		return error;
	return copy_to_user(argument, &setup, sizeof(setup)) ? -EFAULT : 0;
}

static long ioctl_stats(struct channel *channel, void __user *argument)
{
	struct dmacast_stats stats;

	channel_read_stats(channel, &stats);
	return copy_to_user(argument, &stats, sizeof(stats)) ? -EFAULT : 0;
}

static long do_ioctl(struct channel *channel, unsigned int command, void __user *argument)
{
	if (channel->dead)
		return -ENODEV;
	switch (command) {
	case DMACAST_IOC_INFO:
		return ioctl_info(channel, argument);
	case DMACAST_IOC_SETUP:
		return ioctl_setup(channel, argument);
	case DMACAST_IOC_START:
		return channel_start(channel);
	case DMACAST_IOC_STOP:
		return channel_stop(channel);
	case DMACAST_IOC_STATS:
		return ioctl_stats(channel, argument);
	default:
		return -ENOTTY;
	}
}

static long channel_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct channel *channel = file->private_data;
	long result;

	if (mutex_lock_interruptible(&channel->mutex))
		return -ERESTARTSYS;
	result = do_ioctl(channel, command, (void __user *)argument);
	mutex_unlock(&channel->mutex);
	return result;
}

/* ---- one owner at a time ---- */

static int channel_open(struct inode *inode, struct file *file)
{
	struct channel *channel = container_of(inode->i_cdev, struct channel, cdev);
	int error = 0;

	mutex_lock(&channel->mutex);
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

/* Mappings hold the file: there is none left. */
static int channel_close(struct inode *inode, struct file *file)
{
	struct channel *channel = file->private_data;

	mutex_lock(&channel->mutex);
	channel_release(channel);
	mutex_unlock(&channel->mutex);
	put_device(&channel->dev);
	return 0;
}

const struct file_operations channel_fops = {
	.owner = THIS_MODULE,
	.open = channel_open,
	.release = channel_close,
	.read = channel_read,
	.write = channel_write,
	.poll = channel_poll,
	.mmap = channel_mmap,
	.unlocked_ioctl = channel_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};
