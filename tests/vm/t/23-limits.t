#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Blocks of one page to 64 MiB on engines with limits of all kinds: every block is one that the engine takes,
# or SETUP says why it cannot be.

. tests/vm/lib.sh

# limits PAGES OPTION...: of dmacast_sim
limits()
{
	local pages=$1 option

	shift
	check "an engine: ${*:-without limits}" guest modprobe dmacast_sim "$@"
	# The kernel ignores a parameter that a module does not have.
	for option; do
		check "it has ${option%=*}" guest test -e "/sys/module/dmacast_sim/parameters/${option%=*}"
	done
	check "and a channel" guest insmod fault/dmacast.ko channels=sim0
	guest_seconds=200 guest_tap "${*:-no limits}" build/tests/vm/abi/limits /dev/dmacast/sim0 "$pages"
}

unload()
{
	is "no page is held" "$(guest cat /sys/module/dmacast/parameters/held_pages)" 0
	check "the modules can go" guest modprobe -r dmacast
	check "both of them" guest modprobe -r dmacast_sim
}

vm_start --seconds 600
limits 16384
unload
limits 1100 max_segments=1
unload
limits 300 contiguous=1 max_segment_size=131072
unload
limits 300 max_segments=4 max_segment_size=65536
unload
limits 1100 max_segments=3
unload
limits 300 max_segment_size=4096
unload
limits 100 max_segments=8 max_segment_size=9000
unload
limits 300 max_segment_size=2048
unload
limits 16 max_segments=8 max_segment_size=2048
unload
limits 1100 seg_boundary=65535
unload
limits 64 seg_boundary=1023
unload
limits 256 dma_bits=24
unload
vm_stop

# Memory that 32 bits do not reach comes first, if it is not asked for other.
vm_start --memory 6G --seconds 600
for bits in dma_bits bus_bits; do
	limits 1100 $bits=32
	is "$bits: nothing is bounced" "$(guest cat /sys/kernel/debug/swiotlb/io_tlb_used)" 0
	unload
done
vm_stop

done_testing
