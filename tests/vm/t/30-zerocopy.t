#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The network sends from the ring's pages without a copy, and releases them; it refuses memory that is mapped
# as most drivers do it.
# On every kernel.

. tests/vm/lib.sh

# sender ARGUMENT...: a zerocopy_send on port 7000.
sender()
{
	guest_start sender build/tests/vm/abi/zerocopy_send 7000 "$@"
	wait_until 20 guest grep -q '# listening' /tmp/sender.log
}

# sender_end TEXT
sender_end()
{
	wait_until 60 guest grep -q '^1\.\.' /tmp/sender.log
	guest_tap "$1" cat /tmp/sender.log
}

# sends TEXT BLOCK_SIZE BYTES CHUNK [contiguous]
sends()
{
	local text=$1 block=$2 bytes

	# Whole blocks.
	bytes=$(($3 / scale / block * block))
	shift 3
	sender /dev/dmacast/sim0 "$block" "$bytes" "$@"
	feed --expect-end end --seconds 100 "127.0.0.1:$(vm_port 7000)"
	ok "$status" "$text: every byte is right" || diag_file "$work/feed.err"
	compare "$text: all are there" "$(field bytes_min)" -ge "$bytes"
	sender_end "$text"
}

for nic in e1000e vmxnet3; do
	# zerocopy_send counts small frames there.
	vm_start --nic $nic --append "$([ $nic = e1000e ] || echo trace_event=net:net_dev_start_xmit)"
	check "$nic: the modules load" guest modprobe dmacast_sim rate=0
	check "$nic: with a channel" guest modprobe dmacast channels=sim0
	sends "$nic, blocks of 256 KiB" 262144 8388608 262144
	sends "$nic, blocks of 1 MiB" 1048576 8388608 1048576
	sends "$nic, contiguous, 12 KiB" 12288 1228800 12288 contiguous
	sends "$nic, contiguous, 100 KiB" 102400 4096000 102400 contiguous
	sends "$nic, 256 KiB in odd pieces" 262144 2097152 12347
	sends "$nic, 100 KiB in odd pieces" 102400 1024000 5001 contiguous

	check "$nic: a module with the other mapping" guest modprobe pfnmap_test
	sender /dev/pfnmap_test
	socat -u "TCP:127.0.0.1:$(vm_port 7000)" "CREATE:$work/copy"
	is "$nic: what was sent in the end" "$(stat -c %s "$work/copy")" 4096
	sender_end "$nic, remap_pfn_range()"
	check "$nic: the modules can go" guest modprobe -r dmacast
	vm_stop
done

done_testing
