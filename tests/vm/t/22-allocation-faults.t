#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Every allocation of the module fails, one after the other: each time the error is the right one, nothing is
# left behind, and all works after it. And when all is over, the memory is where it was.

. tests/vm/lib.sh

vm_start --seconds 600
parameters=/sys/module/dmacast/parameters

# In KiB; with the free pages that each CPU has at hand, which are missing in /proc/meminfo.
free_memory()
{
	guest_script <<-'END'
		echo 3 >/proc/sys/vm/drop_caches
		awk '/ nr_free_pages / || / count:/ { sum += $2 } END { print sum * 4 }' /proc/zoneinfo
	END
}

# What the first use of anything leaves in caches is not for the account.
guest_script <<'END'
for round in 1 2; do
	modprobe dmacast_sim
	insmod fault/dmacast.ko channels=sim0
	cat /sys/class/dmacast/sim0/* /proc/slabinfo >/dev/null 2>&1
	rmmod dmacast dmacast_sim
done
END
before=$(free_memory)

check "the engine's module loads" guest modprobe dmacast_sim
# Loading, with the n-th allocation failing; some are of probing, for which loading does not fail.
guest_script >"$work/loading" <<'END'
for ((n = 1; n < 100; n++)); do
	text=$(insmod fault/dmacast.ko channels=sim0 fail_nth=$n 2>&1)
	status=$?
	left=$(cat /sys/module/dmacast/parameters/fail_nth 2>/dev/null)
	[ -e /dev/dmacast/sim0 ] && node=yes || node=no
	echo "$n status $status left ${left:--} node $node $text"
	[ $status -ne 0 ] || rmmod dmacast
	[ "${left:-0}" = 0 ] || break
done
END
diag_file "$work/loading"
is "loading fails for want of memory, or makes no node, and never both or neither" \
	"$(head -n -1 "$work/loading" | grep -cvE '(status [1-9].*node no .*annot allocate memory|status 0 left 0 node no $)')" 0
compare "it fails where it should" "$(grep -c 'status [1-9]' "$work/loading")" -ge 4
compare "without a node where it should" "$(grep -c 'status 0 left 0 node no' "$work/loading")" -ge 6
matches "until nothing fails" "$work/loading" 'status 0 left [1-9][0-9]* node yes'

check "with all allocations" guest insmod fault/dmacast.ko channels=sim0
guest_seconds=400 guest_tap allocation build/tests/vm/abi/allocation /dev/dmacast/sim0
is "no page is held" "$(guest cat $parameters/held_pages)" 0
check "the modules can go" guest modprobe -r dmacast
check "both of them" guest modprobe -r dmacast_sim
compare "memory is where it was, but for 4 MiB" "$(free_memory)" -gt $((before - 4096))
vm_stop

done_testing
