#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# An engine that calls back late, after STOP, another SETUP, unbind: no freed memory is used. The kernel
# poisons what is freed.

. tests/vm/lib.sh

vm_start --append slub_debug=FZPU
for ms in 0 5 60; do
	check "an engine that is $ms ms late" guest modprobe dmacast_sim rate=0 late=$ms
	# The kernel ignores a parameter that a module does not have.
	check "it has the parameter" guest test -e /sys/module/dmacast_sim/parameters/late
	check "with a channel" guest modprobe dmacast channels=sim0
	guest_tap "$ms ms" build/tests/vm/abi/late /dev/dmacast/sim0 $ms
	check "the modules can go" guest modprobe -r dmacast
	check "both of them" guest modprobe -r dmacast_sim
done
vm_stop

done_testing
