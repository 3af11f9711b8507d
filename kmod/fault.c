// SPDX-License-Identifier: GPL-2.0-only
#include "fault.h"

#include <linux/atomic.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static atomic_t until_failure = ATOMIC_INIT(0);
static atomic_long_t held_pages = ATOMIC_LONG_INIT(0);

static int set_fail_nth(const char *text, const struct kernel_param *param)
{
	int number, error = kstrtoint(text, 0, &number);

	if (!error)
		atomic_set(&until_failure, number);
	return error;
}

/* Shows 0 after the failure. */
static int get_fail_nth(char *text, const struct kernel_param *param)
{
	return sprintf(text, "%d\n", atomic_read(&until_failure));
}

static const struct kernel_param_ops fail_nth_ops = {
	.set = set_fail_nth,
	.get = get_fail_nth,
};

module_param_cb(fail_nth, &fail_nth_ops, NULL, 0600);
MODULE_PARM_DESC(fail_nth, "Tests only: fail the n-th allocation from now on, once");

bool dmacast_fault(void)
{
	return atomic_read(&until_failure) > 0 && atomic_dec_and_test(&until_failure);
}

static int get_held_pages(char *text, const struct kernel_param *param)
{
	return sprintf(text, "%ld\n", atomic_long_read(&held_pages));
}

static const struct kernel_param_ops held_pages_ops = { .get = get_held_pages };

module_param_cb(held_pages, &held_pages_ops, NULL, 0400);
MODULE_PARM_DESC(held_pages, "Tests only: number of pages that all rings hold");

void dmacast_count_pages(long pages)
{
	atomic_long_add(pages, &held_pages);
}
