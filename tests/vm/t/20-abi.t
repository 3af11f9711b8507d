#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The kernel ring's interface: every call, flag and error that uapi/dmacast.h promises.
# On every kernel.

. tests/vm/lib.sh

vm_start --seconds 600
check "the modules load" guest modprobe dmacast_sim
check "with a channel" guest modprobe dmacast channels=sim0
for program in setup mapping reading recycling polling overrun faults guard unbind; do
	guest_seconds=300 guest_tap "$program" "build/tests/vm/abi/$program" /dev/dmacast/sim0
done

# Nothing of all that is left.
is "no block is lent, or waits" "$(guest cat /sys/class/dmacast/sim0/blocks_lent \
	/sys/class/dmacast/sim0/blocks_quarantine | tr '\n' ' ')" "0 0 "
check "the modules can go" guest modprobe -r dmacast
check "both of them" guest modprobe -r dmacast_sim
vm_stop

done_testing
