// SPDX-License-Identifier: BSD-2-Clause
/*
 * A TCG plugin for QEMU: counts the instructions that a guest with one CPU executes, by task and by phase. It changes
 * nothing in the guest, and counts exactly.
 *
 *   -plugin count.so,control=FIFO,kernel=ADDRESS
 *
 * Code below `kernel` is user code. The lines of the FIFO are commands; numbers are hexadecimal:
 *
 *   entry ADDRESS PHASE       from the function's entry until it returns the task is in this phase; phases nest
 *   range START END PHASE     code in this range counts for this phase
 *   switch ADDRESS MASK       the function that the kernel enters when it switched tasks: its first access to memory is
 *                             to the stack of the task that goes on, and without these bits the address is the same
 *                             each time; observe the guest from now on, after all other marks
 *   start                     count from now on, from 0
 *   stop FILE                 stop counting, write the counts:
 *                                 task KEY PHASE INSTRUCTIONS
 *                                 entries PHASE NUMBER
 *                                 block PHASE START END INSTRUCTIONS
 *
 * Phases are numbers below MAX_PHASES; 0 is user code, 1 is the kernel outside of all others. All iterations of a
 * repeated string instruction of x86 count as one instruction: QEMU repeats per byte what a CPU does per cache line.
 */
#include "plugin_api.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PHASES 24
#define MAX_TASKS 512
#define MAX_DEPTH 192
#define MAX_ENTRIES 64
#define BUCKETS (1 << 16)

enum { PHASE_USER, PHASE_KERNEL, PHASE_NONE = -1 };

/* A piece of straight code, as QEMU translates it. */
struct code {
	struct code *next;
	uint64_t start, end, last;
	uint32_t instructions;
	bool calls;	   /* the last instruction is a call */
	bool returns;	   /* or a return */
	bool is_repeated;  /* the first instruction repeats itself */
	_Atomic int entry; /* the phase that begins here */
	_Atomic int range; /* the phase of the code itself */
	uint64_t counts[MAX_PHASES];
};

struct frame {
	uint64_t back; /* address to which the function returns */
	int phase;
};

struct task {
	uint64_t key;
	unsigned int depth;
	struct frame frames[MAX_DEPTH];
	uint64_t counts[MAX_PHASES];
};

struct mark {
	uint64_t start, end; /* the same: an entry */
	int phase;
};

int qemu_plugin_version = 1;

static pthread_mutex_t code_lock = PTHREAD_MUTEX_INITIALIZER;
static struct code *buckets[BUCKETS];
static struct mark marks[MAX_ENTRIES];
static unsigned int mark_count;

static uint64_t switch_address, kernel_address;
static uint64_t task_mask;
static bool is_arm64, is_arm;

/* The guest's CPU. */
static struct task tasks[MAX_TASKS];
static struct task *current = tasks;
static unsigned int task_count = 1;
static uint64_t last_executed; /* address of the last instruction */
static bool is_switching;      /* the next access to memory tells which task goes on */
static bool was_return;	       /* that was a return */
static uint64_t entry_counts[MAX_PHASES];
static _Atomic bool is_counting, is_reset, is_wanted;
static bool is_armed, is_arming;

static struct task *task_find(uint64_t key)
{
	unsigned int i;

	for (i = 1; i < task_count; i++)
		if (tasks[i].key == key)
			return &tasks[i];
	/* Task 0 stands for those that do not fit. */
	if (task_count == MAX_TASKS)
		return tasks;
	tasks[task_count].key = key;
	return &tasks[task_count++];
}

static void on_switch_access(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t address,
			     void *data)
{
	(void)cpu;
	(void)info;
	(void)data;
	if (!is_switching)
		return;
	is_switching = false;
	current = task_find(address & ~task_mask);
}

/* Leave the functions that return to this address. Only a return may leave several of them. */
static void task_return_to(uint64_t address, bool is_return)
{
	unsigned int least = is_return || current->depth < 2 ? 0 : current->depth - 2;
	unsigned int i;

	for (i = current->depth; i > least; i--)
		if (current->frames[i - 1].back == address) {
			current->depth = i - 1;
			return;
		}
}

static void task_call(uint64_t back)
{
	int phase = current->depth > 0 ? current->frames[current->depth - 1].phase : PHASE_KERNEL;

	if (current->depth < MAX_DEPTH)
		current->frames[current->depth++] = (struct frame){ .back = back, .phase = phase };
}

/* The function that was called, or to which the called one jumped, has a phase of its own. */
static void task_enter_phase(int phase)
{
	if (current->depth > 0)
		current->frames[current->depth - 1].phase = phase;
	entry_counts[phase]++;
}

static int task_phase(const struct code *code)
{
	int range = atomic_load_explicit(&code->range, memory_order_relaxed);
	int entry = atomic_load_explicit(&code->entry, memory_order_relaxed);

	if (code->start < kernel_address) {
		current->depth = 0;
		return PHASE_USER;
	}
	task_return_to(code->start, was_return);
	if (entry != PHASE_NONE)
		task_enter_phase(entry);
	if (range != PHASE_NONE)
		return range;
	return current->depth > 0 ? current->frames[current->depth - 1].phase : PHASE_KERNEL;
}

static void reset_counts(void)
{
	unsigned int i;
	struct code *code;

	for (i = 0; i < task_count; i++)
		memset(tasks[i].counts, 0, sizeof(tasks[i].counts));
	memset(entry_counts, 0, sizeof(entry_counts));
	pthread_mutex_lock(&code_lock);
	for (i = 0; i < BUCKETS; i++)
		for (code = buckets[i]; code; code = code->next)
			memset(code->counts, 0, sizeof(code->counts));
	pthread_mutex_unlock(&code_lock);
}

static void on_executed(unsigned int cpu, void *data)
{
	struct code *code = data;
	bool again = code->is_repeated && last_executed == code->start;
	int phase;

	(void)cpu;
	if (atomic_load_explicit(&is_reset, memory_order_relaxed)) {
		reset_counts();
		atomic_store(&is_reset, false);
	}
	last_executed = code->last;
	is_switching = code->start == switch_address;
	if (again && code->instructions == 1)
		return;
	phase = task_phase(code);
	if (code->calls && code->start >= kernel_address)
		task_call(code->end);
	was_return = code->returns;
	if (!atomic_load_explicit(&is_counting, memory_order_relaxed))
		return;
	current->counts[phase] += code->instructions;
	code->counts[phase] += code->instructions;
}

static bool is_call_x86(const uint8_t *bytes, size_t size)
{
	size_t i = 0;

	while (i < size && ((bytes[i] & 0xf0) == 0x40 || bytes[i] == 0x2e || bytes[i] == 0x3e))
		i++;
	return i + 1 < size &&
	       (bytes[i] == 0xe8 || (bytes[i] == 0xff && (bytes[i + 1] & 0x38) == 0x10));
}

static bool is_call(const uint8_t *bytes, size_t size)
{
	uint32_t word = 0;

	if (!is_arm64 && !is_arm)
		return is_call_x86(bytes, size);
	if (size != sizeof(word))
		return false;
	memcpy(&word, bytes, sizeof(word));
	if (is_arm64)
		return (word & 0xfc000000) == 0x94000000 || (word & 0xfffffc1f) == 0xd63f0000;
	return (word & 0x0f000000) == 0x0b000000 || (word & 0x0ffffff0) == 0x012fff30;
}

/* On 32-bit ARM a return is any load of the program counter. */
static bool is_return(const uint8_t *bytes, size_t size)
{
	uint32_t word = 0;

	if (is_arm)
		return true;
	if (!is_arm64)
		return bytes[0] == 0xc3;
	if (size == sizeof(word))
		memcpy(&word, bytes, sizeof(word));
	return (word & 0xfffffc1f) == 0xd65f0000;
}

/* Return true for movs and stos with a rep prefix. */
static bool is_string_loop(const uint8_t *bytes, size_t size)
{
	uint8_t last = bytes[size - 1];

	if (is_arm64 || is_arm || size < 2 || size > 4 || (bytes[0] != 0xf3 && bytes[0] != 0xf2))
		return false;
	return (last & 0xfe) == 0xa4 || (last & 0xfe) == 0xaa;
}

static void code_mark(struct code *code, const struct mark *mark)
{
	if (mark->start == mark->end && code->start == mark->start)
		atomic_store(&code->entry, mark->phase);
	else if (code->start >= mark->start && code->start < mark->end)
		atomic_store(&code->range, mark->phase);
}

static struct code *code_make(struct qemu_plugin_tb *tb)
{
	struct code *code = calloc(1, sizeof(*code));
	size_t count = qemu_plugin_tb_n_insns(tb);
	struct qemu_plugin_insn *first = qemu_plugin_tb_get_insn(tb, 0);
	struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, count - 1);
	unsigned int i;

	if (!code)
		abort();
	code->start = qemu_plugin_tb_vaddr(tb);
	code->last = qemu_plugin_insn_vaddr(last);
	code->end = code->last + qemu_plugin_insn_size(last);
	code->instructions = count;
	code->calls = is_call(qemu_plugin_insn_data(last), qemu_plugin_insn_size(last));
	code->returns = is_return(qemu_plugin_insn_data(last), qemu_plugin_insn_size(last));
	code->is_repeated =
		is_string_loop(qemu_plugin_insn_data(first), qemu_plugin_insn_size(first));
	code->entry = code->range = PHASE_NONE;
	for (i = 0; i < mark_count; i++)
		code_mark(code, &marks[i]);
	return code;
}

/* Return the code of this translation, the same for each one alike: QEMU translates again what it forgot. */
static struct code *code_find(struct qemu_plugin_tb *tb)
{
	uint64_t start = qemu_plugin_tb_vaddr(tb);
	size_t count = qemu_plugin_tb_n_insns(tb);
	struct code **bucket = &buckets[(start ^ start >> 16) % BUCKETS];
	struct code *code;

	pthread_mutex_lock(&code_lock);
	for (code = *bucket; code; code = code->next)
		if (code->start == start && code->instructions == count && start >= kernel_address)
			break;
	if (!code) {
		code = code_make(tb);
		code->next = *bucket;
		*bucket = code;
	}
	pthread_mutex_unlock(&code_lock);
	return code;
}

static void on_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);

/* All code was forgotten. */
static void on_forgotten(qemu_plugin_id_t id)
{
	is_armed = true;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
}

/* Without marks no code calls this plugin: the guest boots at its own speed. */
static bool is_ready(qemu_plugin_id_t id)
{
	if (is_armed || is_arming || !atomic_load(&is_wanted))
		return is_armed;
	is_arming = true;
	qemu_plugin_reset(id, on_forgotten);
	return false;
}

static void on_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	uint64_t start = qemu_plugin_tb_vaddr(tb);
	size_t i;

	if (!is_ready(id))
		return;
	if (start == switch_address)
		for (i = 0; i < qemu_plugin_tb_n_insns(tb); i++)
			qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i),
							 on_switch_access, QEMU_PLUGIN_CB_NO_REGS,
							 QEMU_PLUGIN_MEM_RW, NULL);
	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_executed, QEMU_PLUGIN_CB_NO_REGS,
					     code_find(tb));
}

static void mark_add(uint64_t start, uint64_t end, unsigned int phase)
{
	struct mark *mark = &marks[mark_count];
	struct code *code;
	unsigned int i;

	if (mark_count == MAX_ENTRIES || phase >= MAX_PHASES) {
		fprintf(stderr, "count: too many marks or phases\n");
		exit(2);
	}
	pthread_mutex_lock(&code_lock);
	*mark = (struct mark){ .start = start, .end = end, .phase = (int)phase };
	mark_count++;
	for (i = 0; i < BUCKETS; i++)
		for (code = buckets[i]; code; code = code->next)
			code_mark(code, mark);
	pthread_mutex_unlock(&code_lock);
}

static void write_counts(FILE *file)
{
	struct code *code;
	unsigned int i, phase;

	for (phase = 0; phase < MAX_PHASES; phase++)
		for (i = 0; i < task_count; i++)
			if (tasks[i].counts[phase])
				fprintf(file, "task %llx %u %llu\n",
					(unsigned long long)tasks[i].key, phase,
					(unsigned long long)tasks[i].counts[phase]);
	for (phase = 0; phase < MAX_PHASES; phase++)
		fprintf(file, "entries %u %llu\n", phase, (unsigned long long)entry_counts[phase]);
	pthread_mutex_lock(&code_lock);
	for (i = 0; i < BUCKETS; i++)
		for (code = buckets[i]; code; code = code->next)
			for (phase = 0; phase < MAX_PHASES; phase++)
				if (code->counts[phase])
					fprintf(file, "block %u %llx %llx %llu\n", phase,
						(unsigned long long)code->start,
						(unsigned long long)code->end,
						(unsigned long long)code->counts[phase]);
	pthread_mutex_unlock(&code_lock);
}

static void save_counts(const char *name)
{
	char part[4096];
	FILE *file;

	atomic_store(&is_counting, false);
	snprintf(part, sizeof(part), "%s.part", name);
	file = fopen(part, "w");
	if (!file) {
		perror(part);
		return;
	}
	write_counts(file);
	fclose(file);
	rename(part, name);
}

static void obey(char *line)
{
	unsigned long long start, end;
	unsigned int phase;
	char name[4000];

	if (sscanf(line, "entry %llx %x", &start, &phase) == 2) {
		mark_add(start, start, phase);
	} else if (sscanf(line, "range %llx %llx %x", &start, &end, &phase) == 3) {
		mark_add(start, end, phase);
	} else if (sscanf(line, "switch %llx %llx", &start, &end) == 2) {
		switch_address = start;
		task_mask = end;
		atomic_store(&is_wanted, true);
	} else if (!strcmp(line, "start\n")) {
		atomic_store(&is_reset, true);
		atomic_store(&is_counting, true);
	} else if (sscanf(line, "stop %3999s", name) == 1) {
		save_counts(name);
	} else {
		fprintf(stderr, "count: unknown command: %s", line);
	}
}

static void *control(void *path)
{
	char line[4096];
	FILE *file;

	for (;;) {
		file = fopen(path, "r");
		if (!file) {
			perror(path);
			return NULL;
		}
		while (fgets(line, sizeof(line), file))
			obey(line);
		fclose(file);
	}
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
	const char *target = *(const char *const *)info; /* its first member is the target's name */
	static char path[4096];
	pthread_t thread;
	int i;

	is_arm64 = !strcmp(target, "aarch64");
	is_arm = !strcmp(target, "arm");
	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "control=", 8))
			snprintf(path, sizeof(path), "%s", argv[i] + 8);
		else if (!strncmp(argv[i], "kernel=", 7))
			kernel_address = strtoull(argv[i] + 7, NULL, 16);
	}
	if (!path[0] || !kernel_address || pthread_create(&thread, NULL, control, path))
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
	return 0;
}
