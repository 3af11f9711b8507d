// SPDX-License-Identifier: BSD-2-Clause
/*
 * probe allowed|denied - try what a streaming daemon has no business to do; the results are TAP.
 *
 * As root and without a sandbox all is allowed: that shows that each attempt is a real one. As the
 * service all is denied. Each attempt has a process of its own, as a filter of system calls may kill
 * it. The files /tmp/probe, /home/probe, /root/probe and the device /dev/probe, a disk, are there for
 * everyone to read: it takes more than permissions to deny them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

#define NEW_FILE (O_WRONLY | O_CREAT | O_EXCL)

static const struct file_attempt {
	const char *what, *path;
	int flags;
} files[] = {
	{ "read the passwords", "/etc/shadow", O_RDONLY },
	{ "write to /etc", "/etc/probe.new", NEW_FILE },
	{ "write to its own configuration", "/etc/dmacast/probe.new", NEW_FILE },
	{ "write to /usr", "/usr/probe.new", NEW_FILE },
	{ "write to /var", "/var/lib/probe.new", NEW_FILE },
	{ "write to /run", "/run/probe.new", NEW_FILE },
	{ "write to /dev", "/dev/probe.new", NEW_FILE },
	{ "read in /home", "/home/probe", O_RDONLY },
	{ "read in /root", "/root/probe", O_RDONLY },
	{ "read in the /tmp of others", "/tmp/probe", O_RDONLY },
	{ "change a kernel setting", "/proc/sys/kernel/printk", O_WRONLY },
	{ "change a device's setting", "/sys/kernel/mm/ksm/run", O_WRONLY },
	{ "change control groups", "/sys/fs/cgroup/cgroup.procs", O_WRONLY },
	{ "read the kernel's log", "/dev/kmsg", O_RDONLY | O_NONBLOCK },
	{ "read the kernel's memory", "/proc/kcore", O_RDONLY },
	{ "look into debugfs", "/sys/kernel/debug", O_RDONLY | O_DIRECTORY },
	{ "see the modules of the kernel", "/lib/modules", O_RDONLY | O_DIRECTORY },
	{ "open a disk", "/dev/vda", O_RDONLY },
	{ "open a disk that everyone may", "/dev/probe", O_RDONLY },
	{ "open physical memory", "/dev/mem", O_RDONLY },
	{ "open a serial line", "/dev/ttyS1", O_RDWR | O_NOCTTY | O_NONBLOCK },
	{ "see other processes", "/proc/1/status", O_RDONLY },
	{ "read their environment", "/proc/1/environ", O_RDONLY },
};

static const struct socket_attempt {
	const char *what;
	int family, type, protocol;
} sockets[] = {
	{ "make a netlink socket", AF_NETLINK, SOCK_RAW, 0 },
	{ "make a packet socket", AF_PACKET, SOCK_RAW, 0 },
	{ "make a raw socket", AF_INET, SOCK_RAW, 1 },
};

/* A system call with arguments that are right, or else give @reached when it may be used. */
static const struct call_attempt {
	const char *what;
	long number, argument[5];
	int reached;
} calls[] = {
	{ "become root", SYS_setresuid, { 0, 0, 0 }, 0 },
	{ "leave its groups", SYS_setgroups, { 0, 0 }, 0 },
	{ "change the root directory", SYS_chroot, { (long)"/" }, 0 },
	{ "change the host's name", SYS_sethostname, { (long)"probe", 5 }, 0 },
	{ "mount", SYS_mount, { (long)"probe", (long)"/mnt", (long)"tmpfs", 0, 0 }, 0 },
	{ "unmount", SYS_umount2, { (long)"/tmp/not-there", 0 }, ENOENT },
	{ "make namespaces of users", SYS_unshare, { CLONE_NEWUSER }, 0 },
	{ "make namespaces of mounts", SYS_unshare, { CLONE_NEWNS }, 0 },
	{ "make namespaces of networks", SYS_unshare, { CLONE_NEWNET }, 0 },
	{ "join namespaces", SYS_setns, { -1, 0 }, EBADF },
	{ "trace others", SYS_ptrace, { 0x4206 /* PTRACE_SEIZE */, 1, 0, 0 }, 0 },
	{ "send signals to others", SYS_kill, { 1, 0 }, 0 },
	{ "change its personality", SYS_personality, { ADDR_NO_RANDOMIZE }, 0 },
	{ "be nicer to itself", SYS_setpriority, { 0, 0, -5 }, 0 },
	{ "set the clock", SYS_clock_settime, { 0, 0 }, EFAULT },
	{ "restart the machine", SYS_reboot, { 0, 0, 0, 0 }, EINVAL },
	{ "swap", SYS_swapoff, { (long)"/tmp/not-there" }, ENOENT },
	{ "load a module", SYS_finit_module, { -1, (long)"", 0 }, EBADF },
	{ "unload a module", SYS_delete_module, { (long)"not-there", 0 }, ENOENT },
	{ "load another kernel", SYS_kexec_load, { 0, 0, 0, 1 << 30 }, EINVAL },
	{ "use io ports", SYS_iopl, { 3 }, 0 },
	{ "use bpf", SYS_bpf, { 0, 0, 0 }, EINVAL },
	{ "keep keys", SYS_keyctl, { 0, -3 /* the session's */, 1 }, 0 },
	{ "read the log of the kernel", SYS_syslog, { 10, 0, 0 }, 0 },
	{ "open a file by handle", SYS_open_by_handle_at, { -1, 0, 0 }, EFAULT },
	{ "account for processes", SYS_acct, { (long)"/tmp/not-there" }, ENOENT },
	{ "handle page faults itself", SYS_userfaultfd, { O_CLOEXEC }, 0 },
};

/* ---- what takes more than one call ---- */

static int probe_make_device(void)
{
	int result = mknod("/tmp/probe-device", S_IFBLK | 0600, makedev(254, 0)), error = errno;

	unlink("/tmp/probe-device");
	errno = error;
	return result;
}

static int map_writable_code(void)
{
	void *data = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return data == MAP_FAILED ? -1 : 0;
}

static int make_code_of_data(void)
{
	void *data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(data, 4096, PROT_READ | PROT_EXEC);
}

static int run_in_real_time(void)
{
	const struct sched_param param = { .sched_priority = 1 };

	return sched_setscheduler(0, SCHED_FIFO, &param);
}

static int watch_performance(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
	};

	return (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0);
}

static int make_a_set_user_id_program(void)
{
	return fchmod(memfd_create("probe", MFD_CLOEXEC), 04755);
}

/* Programs that give privileges give none. */
static int gain_privileges_by_a_program(void)
{
	errno = EPERM;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) ? -1 : 0;
}

static int keep_capabilities(void)
{
	errno = EPERM;
	for (int number = 0; number <= CAP_LAST_CAP; number++) {
		if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1)
			return 0;
	}
	return -1;
}

static const struct other_attempt {
	const char *what;
	int (*run)(void);
} others[] = {
	{ "make a device", probe_make_device },
	{ "map code that it can write", map_writable_code },
	{ "make code of data", make_code_of_data },
	{ "run in real time", run_in_real_time },
	{ "watch the processor", watch_performance },
	{ "make a set-user-ID program", make_a_set_user_id_program },
	{ "gain privileges by a program", gain_privileges_by_a_program },
	{ "keep any capability", keep_capabilities },
};

/* ---- trying ---- */

struct attempt {
	const char *what;
	const struct file_attempt *file;
	const struct socket_attempt *socket;
	const struct call_attempt *call;
	const struct other_attempt *other;
};

/* Return: 0, or the error. */
static int attempt_run(const struct attempt *attempt)
{
	const struct call_attempt *call = attempt->call;
	const long *a;
	long result;

	errno = 0;
	if (attempt->file) {
		result = open(attempt->file->path, attempt->file->flags, 0600);
		if (result >= 0 && attempt->file->flags == NEW_FILE)
			unlink(attempt->file->path);
	} else if (attempt->socket) {
		result = socket(attempt->socket->family, attempt->socket->type,
				attempt->socket->protocol);
	} else if (call) {
		a = call->argument;
		result = syscall(call->number, a[0], a[1], a[2], a[3], a[4]);
		if (result < 0 && errno == call->reached)
			result = 0;
	} else {
		result = attempt->other->run();
	}
	return result < 0 ? errno : 0;
}

/* What the parts of a sandbox answer; a path that is hidden is not there. */
static bool is_denial(int error)
{
	return error == EPERM || error == EACCES || error == EROFS || error == ENOENT ||
	       error == EAFNOSUPPORT || error == ENOSYS;
}

static void try(const struct attempt *attempt, bool denied)
{
	pid_t child;
	int status = 0, error;

	fflush(stdout);
	child = fork();
	if (!child)
		_exit(attempt_run(attempt));
	check(child > 0 && waitpid(child, &status, 0) == child, "no process: %s", strerror(errno));
	if (WIFSIGNALED(status)) {
		check(denied && WTERMSIG(status) == SIGSYS, "killed by signal %d",
		      WTERMSIG(status));
	} else {
		error = WEXITSTATUS(status);
		check(denied ? is_denial(error) : !error, "%s",
		      error ? strerror(error) : "it was allowed");
	}
	point("%s to %s", denied ? "not allowed" : "allowed", attempt->what);
}

#define TRY_ALL(kind, table)                                                                    \
	for (size_t i = 0; i < sizeof(table) / sizeof((table)[0]); i++) {                       \
		try(&(struct attempt){ .what = (table)[i].what, .kind = &(table)[i] }, denied); \
	}

int main(int argc, char **argv)
{
	bool denied = argc == 2 && !strcmp(argv[1], "denied");

	if (!denied && (argc != 2 || strcmp(argv[1], "allowed"))) {
		fprintf(stderr, "usage: %s allowed|denied\n", argv[0]);
		return 2;
	}
	TRY_ALL(file, files);
	TRY_ALL(socket, sockets);
	TRY_ALL(call, calls);
	TRY_ALL(other, others);
	return tap_end();
}
