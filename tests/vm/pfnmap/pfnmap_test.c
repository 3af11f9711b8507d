// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/pfnmap_test: memory that is mapped as drivers mostly do it, by remap_pfn_range().
 *
 * It shows the problem that dmacast's rings solve: the kernel refuses to send from such a mapping
 * without copying, and to read into it with O_DIRECT.
 */
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>

#define PFNMAP_ORDER 4

static unsigned long pfnmap_memory;

static int pfnmap_mmap(struct file *file, struct vm_area_struct *vma)
{
	unsigned long size = vma->vm_end - vma->vm_start;

	if (vma->vm_pgoff || size > PAGE_SIZE << PFNMAP_ORDER)
		return -EINVAL;
	return remap_pfn_range(vma, vma->vm_start, PHYS_PFN(virt_to_phys((void *)pfnmap_memory)),
			       size, vma->vm_page_prot);
}

static const struct file_operations pfnmap_fops = {
	.owner = THIS_MODULE,
	.mmap = pfnmap_mmap,
};

static struct miscdevice pfnmap_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "pfnmap_test",
	.fops = &pfnmap_fops,
	.mode = 0600,
};

static int __init pfnmap_init(void)
{
	int ret;

	pfnmap_memory = __get_free_pages(GFP_KERNEL | __GFP_ZERO, PFNMAP_ORDER);
	if (!pfnmap_memory)
		return -ENOMEM;
	ret = misc_register(&pfnmap_device);
	if (ret)
		free_pages(pfnmap_memory, PFNMAP_ORDER);
	return ret;
}
module_init(pfnmap_init);

static void __exit pfnmap_exit(void)
{
	misc_deregister(&pfnmap_device);
	free_pages(pfnmap_memory, PFNMAP_ORDER);
}
module_exit(pfnmap_exit);

MODULE_DESCRIPTION("Test: memory mapped by remap_pfn_range()");
MODULE_LICENSE("GPL");
