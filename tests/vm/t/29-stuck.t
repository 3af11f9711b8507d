#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# An engine that cannot be stopped: its blocks are leaked, loudly, and all else goes on.
# On every kernel.

. tests/vm/lib.sh

vm_start
check "the engine's module loads" guest modprobe dmacast_sim
check "with a channel" guest insmod fault/dmacast.ko channels=sim0
guest_tap stuck build/tests/vm/abi/stuck /dev/dmacast/sim0
check "the modules can go" guest modprobe -r dmacast
check "both of them" guest modprobe -r dmacast_sim
vm_stop

done_testing
