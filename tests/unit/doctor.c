// SPDX-License-Identifier: BSD-2-Clause
/* The checks of dmacastctl doctor, with made-up files of the kernel and made-up answers of the daemon. */
#include "ctl/doctor.h"

#include "ctl/cpu_list.h"
#include "ctl/doctor_capture.h"
#include "ctl/doctor_irq.h"
#include "ctl/doctor_kernel.h"
#include "ctl/doctor_module.h"
#include "ctl/doctor_process.h"
#include "ctl/doctor_streams.h"
#include "ctl/finding.h"
#include "tap.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMITS_HEAD \
	"Limit                     Soft Limit           Hard Limit           Units     \n"
#define PACKET_HEAD "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"

static char machine_root[] = "/tmp/dmacast-doctor-XXXXXX";
static char machine_proc[64], machine_sys[64];
static struct doctor patient;
static json_t *patient_streams;

/* ---- the machine ---- */

static void machine_path(const char *name, char path[256])
{
	snprintf(path, 256, "%s/%s", machine_root, name);
	for (char *slash = path; (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
}

/* @name: below the root, such as "proc/meminfo" */
static void machine_write(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	machine_path(name, path);
	file = fopen(path, "w");
	if (!file || fputs(text, file) < 0 || fclose(file))
		err(1, "%s", path);
}

static void machine_link(const char *name, const char *target)
{
	char path[256];

	machine_path(name, path);
	if (symlink(target, path))
		err(1, "%s", path);
}

static void machine_clear(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s/proc %s/sys", machine_root, machine_root);
	if (system(command))
		errx(1, "%s", command);
	mkdir(machine_proc, 0700);
	mkdir(machine_sys, 0700);
}

/* Begin with an empty machine, without a daemon. */
static void machine_begin(void)
{
	machine_clear();
	if (patient.findings)
		findings_free(patient.findings);
	json_decref(patient_streams);
	patient_streams = NULL;
	patient = (struct doctor){ .proc = machine_proc, .sys = machine_sys };
	patient.findings = findings_create();
}

/* Look at the same machine once more. */
static void machine_forget_findings(void)
{
	findings_free(patient.findings);
	patient.findings = findings_create();
}

/* Make it a machine with a daemon, process 77, that has answered with these streams. */
static void machine_add_daemon(const char *streams)
{
	patient.pid = 77;
	patient_streams = json_loads(streams, 0, NULL);
	if (!patient_streams)
		errx(1, "%s", streams);
	patient.streams = patient_streams;
}

static void machine_add_nic(const char *name, unsigned int index)
{
	struct nic *nic = &patient.nic[patient.nics++];

	snprintf(nic->name, sizeof(nic->name), "%s", name);
	nic->index = index;
}

/* ---- the findings ---- */

/* Return the finding of this check whose text has @part, or NULL. */
static const struct finding *found(const char *check_name, const char *part)
{
	for (size_t i = 0; i < findings_count(patient.findings); i++) {
		const struct finding *finding = findings_at(patient.findings, i);

		if (!strcmp(finding->check, check_name) && strstr(finding->what, part))
			return finding;
	}
	return NULL;
}

/* Check that there is such a finding; a warning or a failure has its reason and its remedy. */
static void expect_finding(enum finding_level level, const char *check_name, const char *part)
{
	const struct finding *finding = found(check_name, part);

	if (!check(finding, "no finding of %s with \"%s\"", check_name, part))
		return;
	check(finding->level == level, "%s: %s: level %s", check_name, part,
	      finding_word(finding->level));
	if (level >= FINDING_WARNING)
		check(finding->why && finding->mend, "%s: %s", check_name, part);
	if (level == FINDING_OK)
		check(!finding->why && !finding->mend, "%s: %s", check_name, part);
}

static void expect_mend(const char *check_name, const char *part, const char *mend)
{
	const struct finding *finding = found(check_name, part);

	check(finding && finding->mend && strstr(finding->mend, mend), "%s: %s: %s", check_name,
	      part, finding && finding->mend ? finding->mend : "nothing");
}

static void expect_none(const char *check_name)
{
	check(!found(check_name, ""), "a finding of %s: %s", check_name,
	      found(check_name, "") ? found(check_name, "")->what : "");
}

/* ---- the tests ---- */

static void test_cpu_lists(void)
{
	char text[CPU_LIST_TEXT];
	cpu_set_t set;

	check(cpu_list_parse("0-3,8,10-11\n", &set) && CPU_COUNT(&set) == 7, "%d", CPU_COUNT(&set));
	check(!strcmp(cpu_list_format(&set, text), "0-3,8,10-11"), "%s", text);
	check(cpu_list_parse("5", &set) && CPU_COUNT(&set) == 1 && CPU_ISSET(5, &set), "5");
	check(!cpu_list_parse("", &set) && !CPU_COUNT(&set), "an empty list");
	check(!cpu_list_parse("1-", &set) && !CPU_COUNT(&set), "half a range");
	check(!cpu_list_parse("1;2", &set) && !CPU_COUNT(&set), "another separator");
	check(!cpu_list_parse("0-9999999", &set) && !CPU_COUNT(&set), "too many");
	cpu_list_parse("1-1023", &set);
	check(!strcmp(cpu_list_format(&set, text), "1-1023"), "%s", text);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu += 2)
		CPU_CLR(cpu, &set);
	check(strlen(cpu_list_format(&set, text)) < sizeof(text), "%s", text);
	point("lists of processors");
}

static void test_text(void)
{
	char *text;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	machine_begin();
	findings_add(patient.findings, FINDING_OK, "short", NULL, NULL, "well");
	findings_add(patient.findings, FINDING_WARNING, "a-long-name", "because", "a command",
		     "bad\033[2Jname\377");
	findings_print(patient.findings, false, false, file);
	fflush(file);
	check(!strcmp(text, "warn  a-long-name  bad?[2Jname?\n"
			    "                   why: because\n"
			    "                   mend: a command\n"
			    "2 checks; ok: 1, note: 0, skip: 0, warn: 1, fail: 0\n"),
	      "%s", text);
	rewind(file);
	findings_print(patient.findings, true, true, file);
	fflush(file);
	check(!strncmp(text, "\033[32mok  \033[0m  short        well\n\033[33mwarn\033[0m", 40),
	      "%s", text);
	fclose(file);
	free(text);
	check(findings_worst(patient.findings) == FINDING_WARNING, "%d",
	      findings_worst(patient.findings));
	point("findings as text: aligned, only what matters, nothing that moves the cursor");
}

static void test_json(void)
{
	json_t *list = findings_json(patient.findings);
	const json_t *bad = json_array_get(list, 1);

	check(json_array_size(list) == 2, "%zu", json_array_size(list));
	check(!strcmp(json_string_value(json_object_get(bad, "level")), "warn"), "level");
	check(!strcmp(json_string_value(json_object_get(bad, "mend")), "a command"), "mend");
	check(json_is_null(json_object_get(json_array_get(list, 0), "why")), "why");
	json_decref(list);
	point("findings as JSON");
}

static void test_kernel_fine(void)
{
	machine_begin();
	machine_write("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
	machine_write("proc/sys/net/ipv4/tcp_mtu_probing", "0\n");
	machine_write("proc/sys/net/core/optmem_max", "1048576\n");
	machine_write("proc/sys/net/ipv4/tcp_congestion_control", "cubic\n");
	machine_write("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n");
	machine_write("proc/sys/net/ipv4/tcp_mem", "100\t200\t300\n");
	machine_write("proc/net/sockstat", "sockets: used 20\nTCP: inuse 3 orphan 0 tw 21 alloc 3 "
					   "mem 199\nUDP: inuse 0 mem 999\n");
	machine_write("proc/meminfo", "MemTotal: 1000 kB\nHugePages_Free:       12\n");
	doctor_check_kernel(&patient);
	check(findings_worst(patient.findings) == FINDING_OK, "%d",
	      findings_worst(patient.findings));
	expect_finding(FINDING_OK, "kernel", "Linux 6.1");
	expect_finding(FINDING_OK, "optmem_max", "1365 incomplete");
	expect_finding(FINDING_OK, "tcp_mem", "199 pages");
	expect_finding(FINDING_OK, "huge-pages", "12 reserved");
	point("a kernel with good settings");
}

static void test_kernel_bad(void)
{
	machine_begin();
	machine_write("proc/sys/kernel/osrelease", "6.5.0\n");
	machine_write("proc/sys/net/ipv4/tcp_mtu_probing", "1\n");
	machine_write("proc/sys/net/core/optmem_max", "20480\n");
	machine_write("proc/sys/net/ipv4/tcp_congestion_control", "bbr\n");
	machine_write("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t262144\n");
	machine_write("proc/sys/net/ipv4/tcp_mem", "100\t200\t300\n");
	machine_write("proc/net/sockstat", "TCP: inuse 3 orphan 0 tw 21 alloc 3 mem 200\n");
	machine_write("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
	doctor_check_kernel(&patient);
	expect_finding(FINDING_FAILURE, "tcp_mtu_probing", "= 1");
	expect_mend("tcp_mtu_probing", "= 1", "sysctl -w net.ipv4.tcp_mtu_probing=0");
	expect_finding(FINDING_WARNING, "optmem_max", "enough for 26");
	expect_finding(FINDING_NOTE, "congestion", "bbr");
	expect_finding(FINDING_WARNING, "tcp_wmem", "256 KiB");
	expect_finding(FINDING_WARNING, "tcp_mem", "200 pages");
	expect_finding(FINDING_WARNING, "huge-pages", "no reserved");
	point("a kernel with bad settings");
}

static void test_kernel_versions(void)
{
	machine_begin();
	machine_write("proc/sys/kernel/osrelease", "6.1.0\n");
	machine_write("proc/sys/net/ipv4/tcp_mtu_probing", "2\n");
	doctor_check_kernel(&patient);
	expect_finding(FINDING_WARNING, "tcp_mtu_probing", "= 2");
	point("MTU probing on a kernel that reports in time");
	machine_begin();
	machine_write("proc/sys/kernel/osrelease", "4.9.0\n");
	doctor_check_kernel(&patient);
	expect_finding(FINDING_FAILURE, "kernel", "Linux 4.9");
	machine_begin();
	machine_write("proc/sys/kernel/osrelease", "4.19.0\n");
	doctor_check_kernel(&patient);
	expect_finding(FINDING_WARNING, "kernel", "Linux 4.19");
	point("old kernels");
	machine_begin();
	doctor_check_kernel(&patient);
	for (size_t i = 0; i + 1 < findings_count(patient.findings); i++)
		check(findings_at(patient.findings, i)->level == FINDING_SKIPPED, "%s",
		      findings_at(patient.findings, i)->check);
	check(findings_count(patient.findings) == 7, "%zu", findings_count(patient.findings));
	point("nothing can be read: that is said, and is no failure");
}

/* @expected: whether a ring of huge pages can be handed over */
static void check_shared_pages(const char *release, const char *shmem_enabled,
			       enum finding_level expected)
{
	machine_begin();
	machine_write("proc/sys/kernel/osrelease", release);
	machine_write("proc/meminfo", "HugePages_Free:        0\n");
	machine_write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
	if (*shmem_enabled)
		machine_write("sys/kernel/mm/transparent_hugepage/shmem_enabled", shmem_enabled);
	doctor_check_kernel(&patient);
	expect_finding(expected, "huge-pages", "transparent ones: madvise");
}

static void test_shared_pages(void)
{
	check_shared_pages("6.1.0\n", "always advise [never] deny force\n", FINDING_OK);
	check_shared_pages("6.0.0\n", "always advise [never] deny force\n", FINDING_NOTE);
	check_shared_pages("5.10.0\n", "always [advise] never deny force\n", FINDING_OK);
	check_shared_pages("6.1.0\n", "always advise never [deny] force\n", FINDING_NOTE);
	check_shared_pages("6.1.0\n", "", FINDING_NOTE);
	point("whether a ring of transparent huge pages can be handed over");
}

static void test_rings(void)
{
	machine_begin();
	machine_add_daemon("[{\"name\":\"a\",\"memory\":\"anonymous, 4 KiB pages, 16 MiB of it in "
			   "transparent huge pages\"},"
			   "{\"name\":\"b\",\"memory\":\"memfd, 4 KiB pages\"},"
			   "{\"name\":\"c\",\"memory\":\"memfd, 2 MiB pages\"},"
			   "{\"name\":\"d\",\"state\":\"ended\"}]");
	doctor_check_kernel(&patient);
	expect_finding(FINDING_NOTE, "ring", "stream a");
	expect_finding(FINDING_WARNING, "ring", "stream b");
	expect_finding(FINDING_OK, "ring", "stream c");
	check(!found("ring", "stream d"), "a stream that has ended has no ring");
	expect_none("huge-pages");
	point("rings of a daemon");
}

static void test_shell_limits(void)
{
	machine_begin();
	machine_write("proc/self/limits", LIMITS_HEAD
		      "Max locked memory         65536                65536                "
		      "bytes     \n");
	doctor_check_process(&patient);
	expect_finding(FINDING_WARNING, "memlock",
		       "this shell: RLIMIT_MEMLOCK = 64 KiB: enough for about 0");
	expect_none("descriptors");
	point("this shell with little locked memory");
	machine_write("proc/self/status", "Name:\tsh\nCapEff:\t0000000000004000\n");
	machine_write("proc/self/uid_map", "         0          0 4294967295\n");
	machine_forget_findings();
	doctor_check_process(&patient);
	expect_finding(FINDING_OK, "memlock", "CAP_IPC_LOCK");
	point("CAP_IPC_LOCK lifts the limit");
	machine_write("proc/self/uid_map", "         0       1000          1\n");
	machine_forget_findings();
	doctor_check_process(&patient);
	expect_finding(FINDING_WARNING, "memlock", "RLIMIT_MEMLOCK");
	point("but not in a user namespace");
}

static void machine_write_limits(const char *memory, const char *files)
{
	char text[512];

	snprintf(text, sizeof(text),
		 LIMITS_HEAD "Max open files            %-20s %-20s files     \n"
			     "Max locked memory         %-20s %-20s bytes     \n",
		 files, files, memory, memory);
	machine_write("proc/77/limits", text);
}

static void test_daemon_limits(void)
{
	static const char streams[] =
		"[{\"name\":\"a\",\"enobufs\":0,\"sections\":["
		"{\"zerocopy\":\"auto\",\"clients\":3,\"max_clients\":100},"
		"{\"zerocopy\":\"never\",\"clients\":50,\"max_clients\":500}]}]";

	machine_begin();
	machine_add_daemon(streams);
	machine_write_limits("unlimited", "1024");
	doctor_check_process(&patient);
	expect_finding(FINDING_OK, "memlock", "not limited");
	expect_finding(FINDING_OK, "descriptors", "RLIMIT_NOFILE = 1024");
	point("a daemon with high limits");
	machine_begin();
	machine_add_daemon(streams);
	machine_write_limits("8388608", "700");
	doctor_check_process(&patient);
	expect_finding(FINDING_NOTE, "memlock",
		       "about 8 busy clients; there may be 100, there are 3");
	expect_finding(FINDING_WARNING, "descriptors",
		       "RLIMIT_NOFILE = 700; clients that may come: 600");
	point("a daemon whose limits are too low for the clients that may come");
	machine_begin();
	machine_add_daemon(streams);
	machine_write_limits("2097152", "1024");
	for (int i = 0; i < 960; i++) {
		char name[64];

		snprintf(name, sizeof(name), "proc/77/fd/%d", i);
		machine_link(name, "/dev/null");
	}
	doctor_check_process(&patient);
	expect_finding(FINDING_WARNING, "memlock", "about 2 busy clients");
	expect_finding(FINDING_WARNING, "descriptors", "960 are open");
	point("a daemon whose limits are too low now");
}

static void test_captures(void)
{
	machine_begin();
	machine_add_nic("eth0", 2);
	machine_write("proc/net/packet",
		      PACKET_HEAD "000000005040421e 3      3    0003   2     1 0      1000   42\n"
				  "000000005040421e 3      3    0003   0     1 0      0      43\n"
				  "000000005040421e 3      3    0003   9     1 0      0      44\n"
				  "000000005040421e 3      2    88cc   2     1 0      0      45\n"
				  "000000005040421e 3      3    0000   0     0 0      0      46\n");
	machine_write("proc/812/comm", "tcp\tdump\n");
	machine_link("proc/812/fd/3", "socket:[42]");
	machine_link("proc/812/fd/4", "pipe:[43]");
	doctor_check_captures(&patient);
	check(findings_count(patient.findings) == 2, "%zu", findings_count(patient.findings));
	expect_finding(FINDING_WARNING, "capture",
		       "process 812 (tcp?dump) captures packets of eth0");
	expect_mend("capture", "812", "kill 812");
	expect_finding(FINDING_WARNING, "capture",
		       "a process of user 0 captures packets of all interfaces");
	point("packet sockets that see what is sent, and their processes");
	machine_begin();
	machine_write("proc/net/packet", PACKET_HEAD);
	doctor_check_captures(&patient);
	expect_finding(FINDING_OK, "capture", "no program");
	machine_begin();
	doctor_check_captures(&patient);
	expect_finding(FINDING_SKIPPED, "capture", "cannot be read");
	point("no packet socket");
}

static void machine_write_interrupts(const char *allowed)
{
	char text[256];

	machine_write(
		"proc/interrupts",
		"            CPU0       CPU1       CPU2       CPU3\n"
		"  37:          0          0          0          0  PCI-MSIX 0-edge "
		"virtio2-config\n"
		"  38:          0       6925          0          0  PCI-MSIX 1-edge "
		"virtio2-input.0\n"
		"  39:       4961          0          0          0  PCI-MSIX 2-edge "
		"virtio2-output.0\n"
		"  40:          0          0         77          0  GIC-0 54 Level     eth1\n"
		"  41:          0          0         77          0  GIC-0 54 Level     eth10\n"
		" NMI:          1          1          1          1  Non-maskable interrupts\n");
	machine_write("sys/devices/system/cpu/online", "0-3\n");
	machine_write("sys/class/net/eth0/device/msi_irqs/37", "msix\n");
	machine_write("sys/class/net/eth0/device/msi_irqs/38", "msix\n");
	machine_write("sys/class/net/eth0/device/msi_irqs/39", "msix\n");
	machine_write("proc/irq/37/effective_affinity_list", "3\n");
	machine_write("proc/irq/38/effective_affinity_list", "1\n");
	machine_write("proc/irq/39/smp_affinity_list", "0\n");
	machine_write("proc/irq/40/effective_affinity_list", "2\n");
	machine_write("proc/irq/41/effective_affinity_list", "3\n");
	snprintf(text, sizeof(text), "Name:\tdmacastd\nCpus_allowed:\tf\nCpus_allowed_list:\t%s\n",
		 allowed);
	machine_write("proc/77/status", text);
	machine_write(
		"proc/77/stat",
		"77 (a b) c) S 1 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 100 1 1 1 1 1 1 1 "
		"0 0 0 0 0 0 0 0 17 1 0 0 0\n");
}

static void look_at_interrupts(const char *allowed)
{
	machine_begin();
	machine_add_daemon("[]");
	machine_add_nic("eth0", 2);
	machine_add_nic("eth1", 3);
	machine_add_nic("eth2", 4);
	machine_write_interrupts(allowed);
	doctor_check_irqs(&patient);
}

static void test_interrupts(void)
{
	look_at_interrupts("0-3");
	expect_finding(FINDING_OK, "irq",
		       "eth0: interrupts on CPU 0-1; dmacastd may use CPU 0-3, and ran on 1");
	expect_finding(FINDING_OK, "irq", "eth1: interrupts on CPU 2;");
	check(findings_count(patient.findings) == 2, "%zu", findings_count(patient.findings));
	point("a daemon that may run anywhere");
	look_at_interrupts("1");
	expect_finding(FINDING_WARNING, "irq",
		       "eth0: interrupts on CPU 0-1; dmacastd may use CPU 1");
	expect_finding(FINDING_OK, "irq", "eth1");
	look_at_interrupts("2-3");
	expect_finding(FINDING_OK, "irq", "eth0");
	expect_finding(FINDING_OK, "irq", "eth1");
	point("a daemon that is bound to a processor with interrupts, and one that is not");
	machine_begin();
	machine_add_daemon("[]");
	doctor_check_irqs(&patient);
	expect_finding(FINDING_SKIPPED, "irq", "cannot be read");
	point("processors that cannot be read");
}

static void test_module(void)
{
	machine_begin();
	doctor_check_module(&patient);
	expect_finding(FINDING_OK, "device", "not loaded");
	point("no kernel module");
	machine_begin();
	machine_write("sys/class/dmacast/adc/quarantined", "12\n");
	machine_write("sys/class/dmacast/adc/recycled", "1000\n");
	machine_write("sys/class/dmacast/adc/replaced", "0\n");
	machine_write("sys/class/dmacast/adc/overruns", "0\n");
	doctor_check_module(&patient);
	expect_finding(FINDING_OK, "device",
		       "adc: 1000 blocks returned, 12 of them through quarantine");
	check(findings_count(patient.findings) == 1, "%zu", findings_count(patient.findings));
	point("a device without faults");
	machine_write("sys/class/dmacast/adc/quarantined", "900\n");
	machine_write("sys/class/dmacast/adc/overruns", "3\n");
	machine_write("sys/class/dmacast/adc/errors", "1\n");
	machine_write("sys/class/dmacast/adc/left_refused", "2\n");
	machine_forget_findings();
	doctor_check_module(&patient);
	expect_finding(FINDING_WARNING, "device", "900 of them through quarantine");
	expect_finding(FINDING_WARNING, "device", "overruns = 3");
	expect_finding(FINDING_WARNING, "device", "errors = 1");
	expect_finding(FINDING_WARNING, "device", "left_refused = 2");
	check(!found("device", "stalls"), "stalls");
	point("a device with losses, failures, and blocks that come back too early");
}

static void test_streams(void)
{
	machine_begin();
	machine_add_daemon(
		"[{\"name\":\"good\",\"completed\":100,\"completed_copied\":9,\"enobufs\":0,"
		"\"ring\":{\"all\":100,\"pinned\":89},\"socket_memory_granted_bytes\":89,"
		"\"socket_memory_limit_bytes\":100,\"filled\":{\"lost_blocks\":0},\"dropped_"
		"bytes\":0},"
		"{\"name\":\"bad\",\"completed\":100,\"completed_copied\":10,\"enobufs\":4,"
		"\"ring\":{\"all\":100,\"pinned\":90},\"socket_memory_granted_bytes\":90,"
		"\"socket_memory_limit_bytes\":100,\"filled\":{\"lost_blocks\":7},"
		"\"dropped_bytes\":2048}]");
	doctor_check_streams(&patient);
	expect_finding(FINDING_OK, "copies", "stream good: the kernel copied 9 %");
	expect_finding(FINDING_OK, "pinned", "stream good");
	expect_finding(FINDING_OK, "socket-memory", "stream good");
	expect_finding(FINDING_NOTE, "copies", "stream bad: the kernel copied 10 %");
	expect_finding(FINDING_WARNING, "enobufs", "stream bad: 4 sends");
	expect_finding(FINDING_WARNING, "pinned", "stream bad: 90 of 100");
	expect_finding(FINDING_WARNING, "socket-memory", "stream bad");
	expect_finding(FINDING_WARNING, "losses", "stream bad: 7 blocks");
	expect_finding(FINDING_NOTE, "losses", "stream bad: clients missed 2 KiB");
	check(!found("enobufs", "good") && !found("losses", "good"), "nothing was lost");
	point("what a daemon reports of its streams");
	machine_forget_findings();
	machine_add_nic("eth0", 2);
	doctor_check_streams(&patient);
	expect_finding(FINDING_WARNING, "copies", "stream bad");
	point("copies towards another machine are a fault, those on this machine are not");
}

int main(void)
{
	if (!mkdtemp(machine_root))
		err(1, "%s", machine_root);
	snprintf(machine_proc, sizeof(machine_proc), "%s/proc", machine_root);
	snprintf(machine_sys, sizeof(machine_sys), "%s/sys", machine_root);
	test_cpu_lists();
	test_text();
	test_json();
	test_kernel_fine();
	test_kernel_bad();
	test_kernel_versions();
	test_shared_pages();
	test_rings();
	test_shell_limits();
	test_daemon_limits();
	test_captures();
	test_interrupts();
	test_module();
	test_streams();
	machine_begin();
	findings_free(patient.findings);
	machine_clear();
	rmdir(machine_proc);
	rmdir(machine_sys);
	rmdir(machine_root);
	return tap_end();
}
