#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The engine is fed while real-time threads preempt the one who feeds. It matters on kernels with PREEMPT_RT.
# Also on rt.
# Not on debug: it isolates a CPU, which that kernel cannot; an RT kernel is where it matters

. tests/vm/lib.sh

vm_start --append "preempt=full isolcpus=1 rcu_nocbs=1"
check "the modules load" guest modprobe dmacast_sim
check "with a channel" guest modprobe dmacast channels=sim0
guest_tap realtime build/tests/vm/abi/realtime /dev/dmacast/sim0
check "the modules can go" guest modprobe -r dmacast
vm_stop

done_testing
