#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# An engine that cannot be stopped: its blocks are leaked, loudly, and all else goes on.

. tests/vm/lib.sh

vm_start
check "the engine's module loads" guest modprobe dmacast_sim channels=4
check "with channels" guest insmod fault/dmacast.ko channels=sim0,sim1,sim2,sim3
number=0
for test in stop close unbind; do
	guest_tap $test build/tests/vm/abi/stuck /dev/dmacast/sim$number $test
	number=$((number + 1))
done
guest_seconds=200 guest_tap "another channel" build/tests/vm/abi/reading /dev/dmacast/sim3
# The engine may call it at any time.
guest modprobe -r dmacast 2>"$work/errors"
status=$?
compare "the module stays" $status -ne 0
vm_stop

done_testing
