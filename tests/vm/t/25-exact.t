#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The guard is exact: no block is taken for idle while a pipe holds a page of it, whatever is mapped and
# unmapped meanwhile, where the kernel preempts the one that looks.
# Also on rt newest.

. tests/vm/lib.sh

# Kernels without a choice of preemption ignore it.
vm_start --append preempt=full
check "the modules load" guest modprobe dmacast_sim rate=0
check "with a channel" guest modprobe dmacast channels=sim0
guest_seconds=200 guest_tap exact build/tests/vm/abi/exact /dev/dmacast/sim0
check "the modules can go" guest modprobe -r dmacast
vm_stop

done_testing
