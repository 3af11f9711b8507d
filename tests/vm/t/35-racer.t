#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Four processes call everything in random order, with right and wrong arguments, while the device is unbound and
# its engine unplugged: the errors are documented ones, no lent block changes, and the ring works at the end.

. tests/vm/lib.sh

vm_start
check "the engine's module loads" guest modprobe dmacast_sim
check "with a channel" guest insmod fault/dmacast.ko channels=sim0
guest_seconds=250 guest_tap racer build/tests/vm/abi/racer /dev/dmacast/sim0 1 6 $((5 * patience))
is "no page is held" "$(guest cat /sys/module/dmacast/parameters/held_pages)" 0
check "the modules can go" guest modprobe -r dmacast
check "both of them" guest modprobe -r dmacast_sim
vm_stop

done_testing
