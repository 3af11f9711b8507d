#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Where DMA goes through bounce buffers, only right syncs bring the data into the blocks.

. tests/vm/daemon.sh

vm_start --append swiotlb=force
check "the modules load" guest modprobe dmacast_sim
check "with a channel" guest modprobe dmacast channels=sim0
for program in reading faults; do
	guest_seconds=200 guest_tap "$program" "build/tests/vm/abi/$program" /dev/dmacast/sim0
done

check "a stream's rate" guest_script <<<"echo $((4000000 / scale)) >/sys/kernel/debug/dmacast_sim/ch0/rate"
daemon_with --device /dev/dmacast/sim0 --listen 0.0.0.0:7000
compare "DMA to the ring is bounced: slots of 2 KiB" "$(guest cat /sys/kernel/debug/swiotlb/io_tlb_used)" -ge 8192
feed --bytes 16M --allow-gaps --seconds 100 "$(at 7000)"
ok "$status" "every byte of the stream is right" || {
	diag_file "$work/feed.err"
	diag "$(guest cat /tmp/daemon.log)"
}
check "the daemon ends" guest killall dmacastd
vm_stop

done_testing
