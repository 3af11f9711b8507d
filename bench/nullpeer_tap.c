// SPDX-License-Identifier: BSD-2-Clause
#include "nullpeer_tap.h"

#include <err.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* Maximum number of reports taken before clocks, other clients and waiting frames are served. */
#define MAX_REPORTS_AT_ONCE 512

/* The compiled BPF program is embedded here: NULLPEER_BPF is the name of its file. */
__asm__(".section .rodata\n"
	".balign 8\n"
	"nullpeer_program: .incbin \"" NULLPEER_BPF "\"\n"
	"nullpeer_program_end:\n"
	".previous\n");
extern const char nullpeer_program[], nullpeer_program_end[];

static struct {
	struct bpf_object *object;
	struct bpf_tc_hook hook;
	struct ring_buffer *ring;
	const uint64_t *overflows;
	unsigned int budget; /* remaining reports of this call */
	void (*take)(const struct report *report);
} tap;

/* Take a report; stop libbpf when the budget is used up, or a fast server would keep it here forever. */
static int tap_take_sample(void *context, void *data, size_t size)
{
	(void)context;
	if (size >= sizeof(struct report))
		tap.take(data);
	return --tap.budget ? 0 : -EAGAIN;
}

/* Return a section of the BPF program's variables. Each section has one variable. */
static struct bpf_map *tap_variable(const char *section, size_t size)
{
	struct bpf_map *map = bpf_object__find_map_by_name(tap.object, section);

	if (!map || bpf_map__value_size(map) != size)
		errx(1, "the BPF program has an unexpected section %s", section);
	return map;
}

static int tap_load(bool wake)
{
	struct bpf_program *program;
	size_t size;

	tap.object = bpf_object__open_mem(nullpeer_program,
					  (size_t)(nullpeer_program_end - nullpeer_program), NULL);
	if (!tap.object)
		err(1, "the BPF program");
	if (bpf_map__set_initial_value(tap_variable(".rodata", sizeof(wake)), &wake,
				       sizeof(wake)) ||
	    bpf_object__load(tap.object))
		err(1, "load the BPF program");
	tap.overflows = bpf_map__initial_value(tap_variable(".bss", sizeof(*tap.overflows)), &size);
	program = bpf_object__find_program_by_name(tap.object, "swallow");
	return bpf_program__fd(program);
}

void tap_open(const char *link, bool wake, void (*take)(const struct report *report))
{
	struct bpf_tc_opts program = {
		.sz = sizeof(program), .handle = 1, .priority = 1, .flags = BPF_TC_F_REPLACE
	};
	int error;

	tap.hook = (struct bpf_tc_hook){ .sz = sizeof(tap.hook),
					 .ifindex = (int)if_nametoindex(link),
					 .attach_point = BPF_TC_EGRESS };
	if (!tap.hook.ifindex)
		err(1, "link %s", link);
	tap.take = take;
	program.prog_fd = tap_load(wake);
	tap.ring = ring_buffer__new(bpf_object__find_map_fd_by_name(tap.object, "reports"),
				    tap_take_sample, NULL, NULL);
	if (!tap.ring)
		err(1, "the ring of reports");
	/* A killed process may have left its program attached: replace that. */
	error = bpf_tc_hook_create(&tap.hook);
	if (error == -EEXIST || !error)
		error = bpf_tc_attach(&tap.hook, &program);
	if (error)
		errx(1, "attach to link %s: %s", link, strerror(-error));
}

void tap_take(void)
{
	tap.budget = MAX_REPORTS_AT_ONCE;
	ring_buffer__consume(tap.ring);
}

void tap_wait(int milliseconds)
{
	int error;

	tap.budget = MAX_REPORTS_AT_ONCE;
	error = ring_buffer__poll(tap.ring, milliseconds);
	if (error < 0 && error != -EINTR && error != -EAGAIN)
		errx(1, "the ring of reports: %s", strerror(-error));
}

uint64_t tap_overflows(void)
{
	return __atomic_load_n(tap.overflows, __ATOMIC_RELAXED);
}

void tap_close(void)
{
	tap.hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS; /* including attached programs */
	bpf_tc_hook_destroy(&tap.hook);
	ring_buffer__free(tap.ring);
	bpf_object__close(tap.object);
}
