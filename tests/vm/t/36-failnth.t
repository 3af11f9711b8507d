#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The kernel lets each allocation and each copy of user memory in each call fail, one after the other.
# On debug.

. tests/vm/lib.sh

# Faults reach the kernel's check of DMA, too, which ends itself then.
vm_harmless+='|DMA-API: cacheline tracking ENOMEM, dma-debug disabled$'
vm_dma_disabled=Y

vm_start --seconds 600
check "the engine's module loads" guest modprobe dmacast_sim
check "with a channel" guest insmod fault/dmacast.ko channels=sim0
guest_seconds=500 guest_tap failnth build/tests/vm/abi/failnth /dev/dmacast/sim0
check "the modules can go" guest modprobe -r dmacast
check "both of them" guest modprobe -r dmacast_sim
vm_stop

done_testing
