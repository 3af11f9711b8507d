#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Another DMA controller with Linux' own driver for it, on 64-bit ARM, from a device tree: that of the
# Raspberry Pi 3. From its system timer; stopped and unbound in the middle of it; and by the daemon to a
# client outside. Then once more with bounce buffers, where a missing sync shows.
# On arm64.

. tests/vm/daemon.sh

timer=0x3f003004

# bounces: slots of 2 KiB that are in use
bounces()
{
	guest_script <<'END'
file=/sys/kernel/debug/swiotlb/io_tlb_used
[ -e $file ] && cat $file || echo 0
END
}

for append in '' swiotlb=force; do
	name=${append:-plain}
	vm_start --kernel arm64 --append "$append"
	check "$name: the module loads" guest modprobe dmacast
	is "$name: with a channel for the node of the device tree" "$(guest ls /dev/dmacast)" timer
	guest dmesg >"$work/dmesg"
	matches "$name: the engine's driver is the kernel's own" "$work/dmesg" \
		'dmacast timer: DMA channel .* of bcm2835-dma'
	guest_seconds=300 guest_tap "$name" build/tests/vm/abi/engine /dev/dmacast/timer timer $timer

	daemon_with --device /dev/dmacast/timer --listen 0.0.0.0:7000 --block-size 64K --ring-size 2M \
		--overrun stall --lag-policy block
	used=$(bounces)
	[ -z "$append" ] || compare "$name: the ring is behind bounce buffers" "$used" -ge 1024
	[ -n "$append" ] || compare "$name: the ring is not" "$used" -lt 1024
	timeout 100 socat -u "TCP:$(at 7000)" - 2>/dev/null | head -c 524288 >"$work/values"
	is "$name: the daemon's client gets what it wants" "$(stat -c %s "$work/values")" 524288
	"$BUILD/tests/vm/abi/engine" check <"$work/values" >"$work/check"
	ok $? "$name: in order" || diag_file "$work/check"
	check "$name: the daemon ends" daemon_end TERM 20
	is "$name: no block is lent, none waits" "$(guest sh -c 'cat /sys/class/dmacast/*/blocks_lent \
		/sys/class/dmacast/*/blocks_quarantine' | tr '\n' ' ')" "0 0 "
	check "$name: the module can go" guest modprobe -r dmacast
	vm_stop
done

done_testing
