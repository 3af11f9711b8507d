#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The machine suspends and resumes while a stream runs: the engine gets no block meanwhile, and after it
# clients get right bytes again, with a gap.
# Also on newest.

. tests/vm/daemon.sh

# Devices are suspended for one second, not five.
vm_start --append suspend.pm_test_delay=1 --seconds 400
tracing=/sys/kernel/tracing

# submitted: blocks that the engine got while devices were suspended; and suspensions, in the trace
submitted()
{
	guest cat $tracing/trace | awk '
		/suspend_resume: dpm_suspend\[[0-9]*\] end/ { suspended = 1; times++ }
		/suspend_resume: dpm_resume\[[0-9]*\] begin/ { suspended = 0 }
		suspended && /dmacast_submit:/ { blocks++ }
		END { printf "%d blocks in %d times\n", blocks, times }'
}

check "the modules load" guest modprobe dmacast_sim rate=$((4000000 / scale))
check "with a channel" guest modprobe dmacast channels=sim0
check "events can be had" guest_script <<-END
	echo 8192 >$tracing/buffer_size_kb
	echo 1 >$tracing/events/dmacast/dmacast_submit/enable
	echo 1 >$tracing/events/power/suspend_resume/enable
END
guest_seconds=200 guest_tap suspend build/tests/vm/abi/suspend /dev/dmacast/sim0
is "the engine got no block while devices were suspended" "$(submitted)" "0 blocks in 5 times"

guest_script <<<"echo >$tracing/trace; echo $((4000000 / scale)) >/sys/kernel/debug/dmacast_sim/ch0/rate"
daemon_with --device /dev/dmacast/sim0 --listen 0.0.0.0:7000 --block-size 64K --ring-size 4M
feed_start across --clients 2 --bytes 48M --allow-gaps --seconds 100 "$(at 7000)"
wait_until 20 test -e "$work/across.ready"
sleep 1
check "the machine suspends and resumes" guest_script <<-'END'
	echo devices >/sys/power/pm_test && echo mem >/sys/power/state
END
feed_end_ok "clients get right bytes across it" across
is "the engine got no block meanwhile" "$(submitted)" "0 blocks in 1 times"
says "the daemon says what was lost" 'blocks lost: the machine was suspended'
check "the daemon ends" daemon_end TERM 20
check "the modules can go" guest modprobe -r dmacast
check "both of them" guest modprobe -r dmacast_sim
vm_stop

done_testing
