# SPDX-License-Identifier: BSD-2-Clause
#
# make                       build dmacastd and dmacastctl; make daemon: the first of them only
# make help                  print this
# make demo                  see it work: a pattern, three nc clients, a check of what they got
# make kmod                  build the kernel modules, in build/kmod/RELEASE
# make kmod KDIR=DIRECTORY   for the kernel of these headers; by default, for the running one
# make deps                  install what the tests need; without root, print the command. See tests/packages
# make check                 all tests (installs what is missing, as root); make check-quick: under a minute
# make fuzz SECONDS=60       run each fuzzer of tests/fuzz for that time; FUZZERS='config request' only these
# make mutants              break one rule after another, about 100: do the tests notice? under three hours;
#                            MUTANTS_OPTIONS='--random 5' five of them; see tests/mutants
# make model                 search the model of recycling further than make check does; see tests/model
# make check-vm              the tests of the kernel modules, in virtual machines with Debian's kernels
# make check-kernels         each of these tests on each kernel: about an hour
# make check-debug           the same in a kernel with its own checks, which is compiled first: 15 minutes
# make check-scale           10,000 clients: joining, leaving, a reload; about eight minutes
# make check-handover        50 restarts under load, with 1000 clients; a part of make check-scale
# make check-relay           an origin, two relays and 50 clients, killed at random; DMACAST_TEST_MINUTES=3
# make check-nats            a cluster of NATS servers, each of which is killed; DMACAST_TEST_MINUTES and _GB; a part of check-scale
# make check-service         the tests as a service of systemd, in a virtual machine with Debian 12
# make bench                 the daemon beside a bare loop and other programs, as root, in under 20 minutes
# make bench-quick           a part of it, in under two, and a part of the next
# make bench-device          instructions of the device's path, in a virtual machine, in under 20
# make V=1                   show the commands
# make CC=clang              any compiler that knows gnu11
# make CROSS_COMPILE=arm-linux-gnueabihf-    for another machine, with its compiler and pkg-config; for kmod
#                            also ARCH=arm, and its KDIR
# make SAN=address,undefined instrumented, in a build directory of its own
# make FUZZ=1 fuzz-programs  the fuzzers of tests/fuzz, with clang, in build/fuzz; see make fuzz
# make POISON=1              recycled blocks are overwritten at once, to be seen when it was too early
# make WERROR=1              warnings are errors
# make clean                 remove what was built; with BUILD, SAN, FUZZ or POISON, of that build only
# make compile_commands.json for clangd and other tools: how each file is compiled
# make NATS=no               without dmacast-nats, the bridge to NATS; so it is, too, where libnats is not installed
# make SYSTEMD=no            without libsystemd, for machines without systemd; the same for make install: no units
# make install               DESTDIR, PREFIX and SYSCONFDIR are honoured
# make dist                  the source as a tarball, in build; the same tree gives the same bytes
# make deb                   Debian packages, in build/deb; see conf/PACKAGES.md
# make deb DEB_HOST_ARCH=arm64    for another architecture; with DEB_CHROOT=yes in a root of its own
# make check-packages        the Debian packages: native, arm64, armhf, lintian, dkms; about ten minutes
# make dkms-install          build and install the kernel modules by Debian's dkms, now and for each new kernel
# make dkms-install DKMS_KERNEL=RELEASE      first for this kernel; by default, for the running one

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
VERSION := 0.1

BUILD ?= build$(if $(FUZZ),/fuzz,$(if $(SAN),/san-$(subst $(comma),-,$(SAN))))$(if $(POISON),/poison)
comma := ,

# gcc has no libFuzzer.
ifneq ($(FUZZ),)
ifeq ($(origin CC),default)
CC := clang
endif
SAN := fuzzer-no-link,address,undefined
endif

ifneq ($(CROSS_COMPILE),)
ifeq ($(origin CC),default)
CC := $(CROSS_COMPILE)gcc
endif
ifeq ($(origin AR),default)
AR := $(CROSS_COMPILE)ar
endif
PKG_CONFIG ?= $(CROSS_COMPILE)pkg-config
endif
CC ?= cc
CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wmissing-prototypes -Wshadow -Wpointer-arith -Wcast-qual \
	-Wstrict-prototypes $(if $(WERROR),-Werror)
without_systemd := $(filter no,$(SYSTEMD))
PACKAGES := libevent_core libevent_extra libbsd inih $(if $(without_systemd),,libsystemd) jansson libcbor
PKG_CONFIG ?= pkg-config

CPPFLAGS_ALL = -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DDMACAST_VERSION='"$(VERSION)"' -Idaemon -Ikmod \
	$(if $(POISON),-DDMACAST_POISON) $(if $(without_systemd),-DDMACAST_WITHOUT_SYSTEMD) $(shell $(PKG_CONFIG) --cflags $(PACKAGES)) $(CPPFLAGS)
CFLAGS_ALL = -std=gnu11 $(WARNINGS) $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN) \
	-fno-sanitize-recover=all -fno-omit-frame-pointer)
LDFLAGS_ALL = $(CFLAGS_ALL) $(LDFLAGS)
# http-parser has no file for pkg-config.
LIBS = $(shell $(PKG_CONFIG) --libs $(PACKAGES)) -lhttp_parser
CTL_PACKAGES := libbsd jansson libcbor $(if $(without_systemd),,libsystemd) ncursesw
# libnats is optional.
with_nats := $(if $(filter no,$(NATS)),,$(shell $(PKG_CONFIG) --exists libnats 2>/dev/null && echo yes))
CTL_LIBS = $(shell $(PKG_CONFIG) --libs $(CTL_PACKAGES)) -lhttp_parser

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

# Everything of the daemon but main is a library, which tests and benchmarks link, too; and so is that of dmacastctl,
# for the units.
ctl_sources := $(wildcard daemon/ctl/*.c)
nats_all_sources := $(wildcard daemon/nats/*.c)
nats_sources := $(if $(with_nats),$(nats_all_sources))
library_sources := $(filter-out daemon/main.c $(ctl_sources) $(nats_all_sources),$(wildcard daemon/*.c daemon/*/*.c))
manuals := $(wildcard daemon/man/*)
unit_sources := $(filter-out $(if $(with_nats),,tests/unit/nats_%),$(wildcard tests/unit/*.c))
tool_sources := $(wildcard tests/*.c) tests/vm/serialfeed.c
feedclient_sources := $(wildcard tests/feedclient/*.c)
nullpeer_sources := $(filter-out %.bpf.c,$(wildcard bench/nullpeer*.c))
bench_shared := $(addprefix bench/,block_input.c block_reader.c cpu_time.c daemon_option.c process_tree.c request.c samples.c \
	server_memory.c slice.c)
bench_sources := $(filter-out $(bench_shared) bench/nullpeer% bench/zmqpub.c,$(wildcard bench/*.c))
# A plugin for QEMU, for bench/device. QEMU calls it by a C interface of its own, so it needs no library.
count_source := bench/qemu/count.c
count_plugin := $(BUILD)/bench/qemu/count.so
abi_sources := $(wildcard tests/vm/abi/*.c)
unit_programs := $(unit_sources:%.c=$(BUILD)/%)
fuzz_sources := $(wildcard tests/fuzz/*.c)
fuzz_programs := $(fuzz_sources:%.c=$(BUILD)/%)
tool_programs := $(tool_sources:%.c=$(BUILD)/%)
feedclient := $(BUILD)/tests/feedclient
bench_programs := $(bench_sources:%.c=$(BUILD)/%)
service_sources := $(wildcard tests/service/*.c)
service_programs := $(service_sources:%.c=$(BUILD)/%)
abi_programs := $(patsubst %.c,$(BUILD)/%,$(filter-out %/channel.c,$(abi_sources)))
library := $(BUILD)/libdmacast.a
page_text := $(BUILD)/daemon/observe/page_text
ctl_library := $(BUILD)/libdmacastctl.a
nats_library := $(if $(with_nats),$(BUILD)/libdmacastnats.a)
nats_program := $(if $(with_nats),$(BUILD)/dmacast-nats)
sources := $(library_sources) daemon/main.c $(ctl_sources) $(nats_sources) $(unit_sources) $(tool_sources) $(feedclient_sources) \
	$(bench_sources) $(bench_shared) $(nullpeer_sources) bench/zmqpub.c $(abi_sources) $(service_sources) $(fuzz_sources) \
	$(count_source)
# The program has the name of the folder with its sources, so its objects are beside it.
feedclient_objects := $(feedclient_sources:tests/feedclient/%.c=$(BUILD)/tests/feedclient-%.o)
objects := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(feedclient_sources),$(sources)))

# The null peer has a BPF program, which is a part of it.
BPF_CLANG ?= clang
nullpeer := $(if $(shell $(PKG_CONFIG) --exists libbpf && command -v $(BPF_CLANG)),$(BUILD)/bench/nullpeer)
nullpeer_bpf := $(BUILD)/bench/nullpeer.bpf.o

# A server of ZeroMQ, to compare with.
zmqpub := $(if $(shell $(PKG_CONFIG) --exists libzmq && echo yes),$(BUILD)/bench/zmqpub)

.PHONY: all daemon ctl nats test-programs bench-programs fuzz-programs vm-programs service-programs kmod \
	kmod-tests check check-build-san check-build-poison check-build-fuzz check-quick fuzz model mutants check-vm check-kernels check-debug check-service check-scale check-handover check-relay check-nats check-faults bench \
	bench-quick bench-device demo install uninstall check-packages dist deb \
	dkms-install dkms-uninstall dkms-source clean format lint deps help
.DELETE_ON_ERROR:

all: daemon ctl nats

daemon: $(BUILD)/dmacastd

ctl: $(BUILD)/dmacastctl

nats: $(nats_program)
	$(if $(nats_program),,@echo "dmacast-nats is not built: it takes libnats (libnats-dev)$(if $(NATS),; NATS=$(NATS))")

test-programs: daemon ctl nats $(unit_programs) $(tool_programs) $(feedclient)

bench-programs: daemon $(bench_programs) $(tool_programs) $(feedclient) $(nullpeer) $(zmqpub) $(count_plugin)
	$(if $(nullpeer),,@echo "bench/nullpeer is not built: it takes clang and libbpf-dev")
	$(if $(zmqpub),,@echo "bench/zmqpub is not built: it takes libzmq3-dev")

fuzz-programs: $(if $(FUZZ),$(fuzz_programs))
	$(if $(FUZZ),,@echo "the fuzzers need a build of their own: make FUZZ=1 $@" >&2; exit 2)

vm-programs: daemon ctl $(abi_programs) $(tool_programs) $(feedclient)

service-programs: all $(tool_programs) $(feedclient) $(service_programs)

$(BUILD)/dmacastd: $(BUILD)/daemon/main.o $(library) $(BUILD)/flags
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(library) $(LIBS)

$(BUILD)/dmacastctl: $(BUILD)/daemon/ctl/dmacastctl.o $(ctl_library) $(library) $(BUILD)/flags
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(ctl_library) $(library) $(CTL_LIBS)

$(BUILD)/dmacast-nats: $(BUILD)/daemon/nats/nats_main.o $(nats_library) $(ctl_library) $(library) $(BUILD)/flags
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(nats_library) $(ctl_library) $(library) \
		$(shell $(PKG_CONFIG) --libs libnats) $(CTL_LIBS) -pthread

$(ctl_sources:%.c=$(BUILD)/%.o): CPPFLAGS_ALL += $(shell $(PKG_CONFIG) --cflags ncursesw)

$(library): $(library_sources:%.c=$(BUILD)/%.o) $(page_text).o

# The live page, as a source with its text.
$(page_text).c: $(addprefix daemon/observe/page,_text.sh .html .css .js)
	$(say) GEN $@
	$(Q)mkdir -p $(@D)
	$(Q)sh $< daemon/observe >$@

$(page_text).o: $(page_text).c $(BUILD)/flags
	$(compile)

$(ctl_library): $(patsubst %.c,$(BUILD)/%.o,$(filter-out %/dmacastctl.c,$(ctl_sources)))

$(BUILD)/libdmacastnats.a: $(patsubst %.c,$(BUILD)/%.o,$(filter-out %/nats_main.c,$(nats_sources)))

$(library) $(ctl_library) $(nats_library):
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^

one_source_programs := $(unit_programs) $(tool_programs) $(bench_programs) $(service_programs)
$(one_source_programs) $(feedclient): $(library) $(BUILD)/flags
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter $(nats_library),$^) $(filter $(ctl_library),$^) $(library) $(LIBS) -lm

$(one_source_programs): $(BUILD)/%: $(BUILD)/%.o

$(fuzz_programs): $(BUILD)/%: $(BUILD)/%.o $(ctl_library) $(library) $(BUILD)/flags
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $< $(ctl_library) $(library) $(LIBS)

$(unit_programs): $(ctl_library)

# The units are of parts without libnats.
$(filter $(BUILD)/tests/unit/nats_%,$(unit_programs)): $(nats_library)

$(feedclient): $(feedclient_objects)

$(bench_programs): $(bench_shared:%.c=$(BUILD)/%.o)

$(abi_programs): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/tests/vm/abi/channel.o $(library) $(BUILD)/flags
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS_ALL) -pthread -o $@ $< $(BUILD)/tests/vm/abi/channel.o $(library)

$(abi_programs:%=%.o) $(service_programs:%=%.o) $(fuzz_programs:%=%.o) \
	$(BUILD)/tests/vm/abi/channel.o: CPPFLAGS_ALL += -Itests/unit

$(BUILD)/bench/nullpeer: $(nullpeer_sources:%.c=$(BUILD)/%.o) $(bench_shared:%.c=$(BUILD)/%.o) $(library) $(BUILD)/flags
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(library) $(shell $(PKG_CONFIG) --libs libbpf) $(LIBS) -lm

$(BUILD)/bench/zmqpub: $(BUILD)/bench/zmqpub.o $(bench_shared:%.c=$(BUILD)/%.o) $(library) $(BUILD)/flags
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(library) $(shell $(PKG_CONFIG) --libs libzmq) $(LIBS) -lm

$(BUILD)/bench/nullpeer_tap.o: $(nullpeer_bpf)
$(BUILD)/bench/nullpeer_tap.o: CPPFLAGS_ALL += -DNULLPEER_BPF='"$(nullpeer_bpf)"'

# Not with the sanitizers of other programs, which QEMU does not have.
$(count_plugin): $(count_source) bench/qemu/plugin_api.h $(BUILD)/flags
	$(say) PLUGIN $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(WARNINGS) -std=gnu11 -O2 -fPIC -shared -pthread -o $@ $<

# The kernel's headers for programs want some of the machine's, which this target does not have.
$(nullpeer_bpf): bench/nullpeer.bpf.c bench/nullpeer_report.h $(BUILD)/flags
	$(say) BPF $@
	$(Q)mkdir -p $(@D)
	$(Q)$(BPF_CLANG) -target bpf $(WARNINGS) -O2 -g -isystem /usr/include/$(shell gcc -print-multiarch) -c -o $@ $<

define compile
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
endef

$(objects): $(BUILD)/%.o: %.c $(BUILD)/flags
	$(compile)

$(feedclient_objects): $(BUILD)/tests/feedclient-%.o: tests/feedclient/%.c $(BUILD)/flags
	$(compile)

# Other flags, or another compiler, build everything again.
flags_now = $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(flags_now))' | cmp -s - $@ || \
		printf '%s\n' '$(subst ','\'',$(flags_now))' > $@
.PHONY: FORCE
FORCE:

-include $(objects:.o=.d) $(page_text).d $(feedclient_objects:.o=.d)

# Libraries for LD_PRELOAD. A sanitizer would have to be loaded before them, so they are built without.
preload_sources := $(wildcard tests/preload/*.c)
preload_libraries := $(preload_sources:%.c=$(BUILD)/%.so)
sources += $(preload_sources)
test-programs: $(preload_libraries)

$(preload_libraries): $(BUILD)/%.so: %.c $(BUILD)/flags
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) -std=gnu11 $(WARNINGS) $(CFLAGS) -fPIC -shared $(LDFLAGS) -o $@ $<

clean:
	$(say) CLEAN $(BUILD)
	$(Q)rm -rf $(BUILD)

help:
	@sed -n '3,/^$$/s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

# Some of the tests' programs have headers in tests/unit.
compile_now = $(CC) $(CPPFLAGS_ALL) -Itests/unit $(CFLAGS_ALL) -c
compile_commands.json: FORCE
	$(say) GEN $@
	$(Q)command=$$(printf '%s' '$(subst ','\'',$(compile_now))' | sed 's/[\\"]/\\&/g'); \
	separator='['; for file in $(sources); do \
		printf '%s\n{"directory": "%s", "file": "%s", "command": "%s %s"}' \
			"$$separator" '$(CURDIR)' "$$file" "$$command" "$$file"; separator=,; \
	done >$@ && printf '\n]\n' >>$@

# ---- kernel modules ----

# Each kernel has a directory of its own, with links to the sources, so that the tree stays clean.
KDIR ?= /lib/modules/$(shell uname -r)/build
kernel_release = $(shell sed -n 's/^override KERNELRELEASE = //p' $(KDIR)/.kernelvariables 2>/dev/null | \
	grep . || cat $(KDIR)/include/config/kernel.release 2>/dev/null)
kmod_dir = $(BUILD)/kmod/$(kernel_release)$(if $(DMACAST_FAULT),-fault)

# Debian's headers ask for the compiler of their own release; another release may not have it.
KCC ?= $(notdir $(shell for cc in $$(grep -o 'gcc-[0-9]*' $(KDIR)/.kernelvariables 2>/dev/null) gcc-12 gcc; \
	do command -v $(CROSS_COMPILE)$$cc && break; done))

# Debian's headers have no vmlinux to take type information from; asking for it costs a warning or fails.
kbuild = $(MAKE) --no-print-directory -C $(KDIR) M=$(abspath $(1)) CC=$(KCC) CONFIG_DEBUG_INFO_BTF_MODULES= \
	KCFLAGS="$(strip $(KCFLAGS) $(if $(WERROR),-Werror))" modules

# link-sources DIRECTORY TO: links to what is in it, and none to what is not.
link_sources = mkdir -p $(2) && find $(2) -maxdepth 1 -type l ! -exec test -e {} \; -delete && \
	for file in $(filter-out %.md,$(wildcard $(1)/*)); do ln -sfn $(CURDIR)/$$file $(2)/; done

kmod:
	@test -n "$(kernel_release)" || { echo "$(KDIR): no kernel headers; say KDIR=DIRECTORY" >&2; exit 2; }
	$(say) KMOD $(kmod_dir)
	$(Q)$(call link_sources,kmod,$(kmod_dir))
	+$(Q)$(call kbuild,$(kmod_dir))

# Modules that only the tests load: with fault points; and one with the mapping that dmacast is not to have.
kmod-tests: kmod
	+$(Q)$(MAKE) --no-print-directory kmod DMACAST_FAULT=y
	$(Q)$(call link_sources,tests/vm/pfnmap,$(kmod_dir)/pfnmap)
	+$(Q)$(call kbuild,$(kmod_dir)/pfnmap)

# ---- tests ----

# For a build of minutes, also where nobody has said how many jobs there may be.
parallel_make = $(MAKE) $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))

# A make of its own builds: the packages may have come only now.
fuzz_build = $(parallel_make) $(1) FUZZ=1 fuzz-programs

check:
	@tests/packages vm
	+$(Q)$(parallel_make) WERROR=1 test-programs bench-programs
	$(Q)tests/run all
	$(Q)tests/vm/run quick

# The kernel modules, on each kernel that they are for.
check-vm:
	@tests/packages vm-all
	$(Q)tests/vm/run all

# The longer way: each of these tests on each kernel.
check-kernels:
	@tests/packages vm-all
	$(Q)tests/vm/run every

# The same in a kernel with KASAN, lockdep, DMA-API debugging and injected faults.
check-debug:
	@tests/packages debug
	$(Q)tests/vm/run all debug

# As a service, on Debian with systemd.
check-service:
	@tests/packages service
	$(Q)tests/service/run

# As Debian packages.
check-packages:
	@tests/packages packages
	$(Q)tests/debian/run

# Many clients.
check-scale:
	@tests/packages check
	+$(Q)$(parallel_make) test-programs
	$(Q)tests/scale/run

# Restarts with clients.
check-handover:
	@tests/packages check
	+$(Q)$(parallel_make) test-programs
	$(Q)tests/scale/run tests/scale/t/20-restarts.t

# What tests/run builds while the first tests run. To optimize less takes half the time.
check-build-san: variant = SAN=address,undefined
check-build-poison: variant = POISON=1
check-build-san check-build-poison:
	+$(Q)$(parallel_make) WERROR=1 CFLAGS="-O1 -g1" $(variant) test-programs
check-build-fuzz:
	+$(Q)$(call fuzz_build,WERROR=1)

# Relays, of which each part is killed.
check-relay:
	@tests/packages check
	+$(Q)$(parallel_make) all test-programs
	$(Q)tests/scale/run tests/scale/t/30-relays.t

# A cluster of NATS servers.
check-nats:
	@tests/packages check
	+$(Q)$(parallel_make) test-programs
	$(Q)tests/scale/run tests/scale/t/40-nats.t

# Daemons with random settings that are stopped and continued.
check-faults:
	@tests/packages check
	+$(Q)$(parallel_make) test-programs
	$(Q)tests/scale/run tests/scale/t/50-faults.t

check-quick:
	@tests/packages check
	+$(Q)$(parallel_make) test-programs
	$(Q)tests/run quick

# Each fuzzer of FUZZERS, by default all, for SECONDS.
SECONDS ?= 60
fuzz:
	@tests/packages check
	+$(Q)$(call fuzz_build)
	$(Q)tests/fuzz/run $(SECONDS) $(FUZZERS)

# The model of recycling, with more sends and events.
model:
	@tests/packages check
	$(Q)tests/model/run

# Broken rules, and whether the tests notice. Some need a virtual machine. MUTANTS_OPTIONS are for tests/mutants/run.
mutants:
	@tests/packages vm
	+$(Q)$(parallel_make) WERROR=1 test-programs vm-programs
	$(Q)tests/mutants/run $(MUTANTS_OPTIONS)

demo:
	@tests/packages demo
	+@$(parallel_make) --no-print-directory daemon $(feedclient)
	@BUILD=$(BUILD) tests/demo

deps:
	@tests/packages check

# BENCH_OPTIONS are for bench/run; BENCH_RESULTS is where samples, tables and figures go.
BENCH_RESULTS ?= $(BUILD)/results
measure = BUILD=$(BUILD) bench/run $(1) --allow-huge-pages $(BENCH_OPTIONS) $(BENCH_RESULTS); status=$$?; \
	bench/report $(BENCH_RESULTS) >$(BENCH_RESULTS)/report.md && cat $(BENCH_RESULTS)/report.md && \
	echo "samples and figures are in $(BENCH_RESULTS)"; exit $$status

bench bench-quick:
	@tests/packages bench
	+@$(MAKE) --no-print-directory bench-programs
	@$(call measure,$(if $(filter bench-quick,$@),--quick))
	$(if $(filter bench-quick,$@),+@$(MAKE) --no-print-directory bench-device DEVICE_OPTIONS=--quick)

# Instructions of the device's path, in a virtual machine. DEVICE_OPTIONS are for bench/device.
bench-device:
	@tests/packages vm
	+@$(MAKE) --no-print-directory vm-programs bench-programs
	@tests/vm/prepare 6.1 >/dev/null
	@DMACAST_VM_READY=1 BUILD=$(BUILD) bench/device $(DEVICE_OPTIONS) $(BENCH_RESULTS)

c_files = $(wildcard daemon/*.[ch] daemon/*/*.[ch] tests/*.[ch] tests/*/*.[ch] tests/vm/abi/*.[ch] bench/*.[ch] bench/*/*.[ch])

format:
	$(Q)clang-format -i $(c_files)

# The rest of linting is a test: tests/t/01-tree.t
lint: daemon
	$(Q)bash tests/t/01-tree.t
	$(Q)clang-tidy --quiet $(wildcard daemon/*.c daemon/*/*.c) -- $(CPPFLAGS_ALL) -std=gnu11

# ---- installing ----

bindir := $(DESTDIR)$(PREFIX)/bin
sbindir := $(DESTDIR)$(PREFIX)/sbin
mandir := $(DESTDIR)$(PREFIX)/share/man
docdir := $(DESTDIR)$(PREFIX)/share/doc/dmacast
exampledir := $(docdir)/examples
confdir := $(DESTDIR)$(SYSCONFDIR)/dmacast

udevdir := $(DESTDIR)$(PREFIX)/lib/udev/rules.d
sysusersdir := $(DESTDIR)$(PREFIX)/lib/sysusers.d
modulesloaddir := $(DESTDIR)$(PREFIX)/lib/modules-load.d
sysctldir := $(DESTDIR)$(PREFIX)/lib/sysctl.d
unitdir := $(DESTDIR)$(PREFIX)/lib/systemd/system
completiondir := $(DESTDIR)$(PREFIX)/share/bash-completion/completions

examples := conf/dmacastd.conf conf/zynq-axi-dma.dtso conf/msgdma.dtso \
	conf/dmacast_reader.py conf/dmacast_frame.ksy conf/dmacast_frame.lua \
	kmod/dmacast.yaml systemd/dmacastd.socket
# In folders of their own: names such as dmacast.service say too little.
example_trees := conf/avahi/dmacast.service conf/systemd-resolved/dmacast.dnssd \
	conf/prometheus/dmacast.rules.yml conf/grafana/dmacast.json
units := dmacastd.service dmacastd@.service

install: daemon ctl nats
	install -D -m 755 $(BUILD)/dmacastd $(sbindir)/dmacastd
	install -D -m 755 $(BUILD)/dmacastctl $(sbindir)/dmacastctl
	$(if $(with_nats),install -D -m 755 $(nats_program) $(bindir)/dmacast-nats)
	$(if $(with_nats),install -D -m 644 conf/dmacast-nats.bash-completion $(completiondir)/dmacast-nats)
	$(if $(with_nats),install -D -m 644 daemon/man/dmacast-nats.1 $(mandir)/man1/dmacast-nats.1)
	install -d $(mandir)/man5 $(mandir)/man8
	install -m 644 $(filter %.5,$(manuals)) $(mandir)/man5
	install -m 644 $(filter %.8,$(manuals)) $(mandir)/man8
	install -D -m 644 conf/dmacastctl.bash-completion $(completiondir)/dmacastctl
	install -d $(exampledir)
	install -m 644 $(examples) $(exampledir)
	for file in $(example_trees:conf/%=%); do \
		install -D -m 644 conf/$$file $(exampledir)/$$file || exit; done
	install -D -m 644 kmod/ABI $(docdir)/ABI
	install -D -m 644 conf/60-dmacast.rules $(udevdir)/60-dmacast.rules
	$(if $(without_systemd),,install -D -m 644 conf/dmacast.sysusers $(sysusersdir)/dmacast.conf)
	install -D -m 644 conf/dmacast.modules-load $(modulesloaddir)/dmacast.conf
	install -D -m 644 conf/60-dmacast-sysctl.conf $(sysctldir)/60-dmacast.conf
	$(if $(without_systemd),,install -d $(unitdir))
	for unit in $(if $(without_systemd),,$(units)); do \
		sed 's,/usr/local/sbin/,$(PREFIX)/sbin/,; s,/etc/dmacast/,$(SYSCONFDIR)/dmacast/,' \
			systemd/$$unit > $(unitdir)/$$unit && chmod 644 $(unitdir)/$$unit || exit; done
	test -e $(confdir)/dmacastd.conf || \
		install -D -m 644 conf/dmacastd.conf $(confdir)/dmacastd.conf

# Not the directories that a machine has anyway.
uninstall:
	rm -f $(sbindir)/dmacastd $(mandir)/man8/dmacastd.8
	rm -f $(mandir)/man5/dmacastd.conf.5 $(mandir)/man5/dmacast-frame.5
	rm -f $(sbindir)/dmacastctl $(mandir)/man8/dmacastctl.8 $(completiondir)/dmacastctl
	rm -f $(bindir)/dmacast-nats $(mandir)/man1/dmacast-nats.1 $(completiondir)/dmacast-nats
	! cmp -s conf/dmacastd.conf $(confdir)/dmacastd.conf || rm $(confdir)/dmacastd.conf
	rm -f $(addprefix $(exampledir)/,$(notdir $(examples)) $(example_trees:conf/%=%)) $(docdir)/ABI
	rm -f $(udevdir)/60-dmacast.rules $(sysusersdir)/dmacast.conf $(modulesloaddir)/dmacast.conf
	rm -f $(sysctldir)/60-dmacast.conf $(addprefix $(unitdir)/,$(units))
	-rmdir --ignore-fail-on-non-empty $(confdir) $(addprefix $(exampledir)/,$(patsubst conf/%/,%,$(dir $(example_trees)))) \
		$(exampledir) $(docdir) $(dir $(docdir)) $(udevdir) \
		$(dir $(udevdir)) $(sysusersdir) $(modulesloaddir) $(sysctldir) $(unitdir) \
		$(dir $(unitdir)) $(completiondir) $(dir $(completiondir)) $(mandir)/man1 $(mandir)/man5 $(mandir)/man8 \
		2>/dev/null

# As root, on the machine itself; with DKMS_ROOT, in a tree of its own, for tests. DKMS_OPTIONS are for
# dkms build and install.
dkms = dkms $(1) dmacast/$(VERSION) $(if $(DKMS_ROOT),--dkmstree $(DKMS_ROOT)/var/lib/dkms \
	--sourcetree $(DKMS_ROOT)/usr/src --installtree $(DKMS_ROOT)/lib/modules)
dkms_source := $(DKMS_ROOT)/usr/src/dmacast-$(VERSION)
dkms_files = $(patsubst kmod/%,%,$(wildcard kmod/*.[ch] kmod/Kbuild kmod/uapi/*.h))
dkms_kernel = $(if $(DKMS_KERNEL),-k $(DKMS_KERNEL))
# The sources of the module as dkms wants them, below DKMS_ROOT.
dkms-source:
	install -d $(dkms_source)/uapi
	cd kmod && for file in $(dkms_files); do install -m 644 $$file $(abspath $(dkms_source))/$$file || exit; done
	sed 's/@VERSION@/$(VERSION)/' kmod/dkms.conf > $(dkms_source)/dkms.conf

dkms_needs = @command -v dkms >/dev/null || { echo "dkms is missing: apt-get install dkms" >&2; exit 2; }

# The same version again: without what is there of it.
dkms-install:
	$(dkms_needs)
	test -z "$$($(call dkms,status))" || $(call dkms,remove) --all
	+$(MAKE) --no-print-directory dkms-source
	$(call dkms,add)
	$(call dkms,build) $(dkms_kernel) $(DKMS_OPTIONS)
	$(call dkms,install) $(dkms_kernel) $(DKMS_OPTIONS)

dkms-uninstall:
	$(dkms_needs)
	test -z "$$($(call dkms,status))" || $(call dkms,remove) --all
	rm -f $(addprefix $(dkms_source)/,$(dkms_files) dkms.conf)
	for dir in $(dkms_source)/uapi $(dkms_source); do \
		test ! -d $$dir || rmdir --ignore-fail-on-non-empty $$dir || exit; done

# ---- packages ----

dist:
	$(say) DIST $(BUILD)/dmacast-$(VERSION).tar.gz
	$(Q)mkdir -p $(BUILD)
	$(Q)conf/dist dmacast-$(VERSION) $(BUILD)/dmacast-$(VERSION).tar.gz

# With make's options of now, Debian's build would build something else.
deb:
	$(Q)env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL DEB_HOST_ARCH='$(DEB_HOST_ARCH)' DEB_CHROOT='$(DEB_CHROOT)' \
		conf/deb $(BUILD)/deb
