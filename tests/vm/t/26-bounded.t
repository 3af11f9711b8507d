#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Pages that sockets keep cost at most one ring more, whatever the owners of the channel do, and are charged
# to the owner's memory cgroup.

. tests/vm/lib.sh

vm_start
check "the engine's module loads" guest modprobe dmacast_sim rate=0
check "with a channel" guest insmod fault/dmacast.ko channels=sim0
guest_seconds=200 guest_tap bounded build/tests/vm/abi/bounded /dev/dmacast/sim0

check "a memory cgroup" guest_script <<-'END'
	mkdir -p /sys/fs/cgroup && mount -t cgroup2 cgroup /sys/fs/cgroup
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control
	mkdir /sys/fs/cgroup/owner
END
# 5.10 cannot charge mapped pages.
if [ "$(guest uname -r | cut -d . -f 1-2)" = 5.10 ]; then
	skip "charge" "the kernel is older than 5.11"
else
	# shellcheck disable=SC2016 # the guest's
	guest_tap charge sh -c 'echo $$ >/sys/fs/cgroup/owner/cgroup.procs
		exec build/tests/vm/abi/bounded /dev/dmacast/sim0 charge /sys/fs/cgroup/owner'
fi

check "the modules can go" guest modprobe -r dmacast
check "both of them" guest modprobe -r dmacast_sim
vm_stop

done_testing
