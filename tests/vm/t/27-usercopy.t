#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# User memory that is not there holds up the call that needs it, and nobody else: no lock is held while data
# is copied to or from it.

. tests/vm/lib.sh

vm_start
check "the modules load" guest modprobe dmacast_sim rate=0
check "with a channel" guest modprobe dmacast channels=sim0
guest_seconds=200 guest_tap usercopy build/tests/vm/abi/usercopy /dev/dmacast/sim0
check "the modules can go" guest modprobe -r dmacast
vm_stop

done_testing
