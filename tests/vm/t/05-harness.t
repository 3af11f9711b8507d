#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The machines' harness: a failure in a guest soon becomes a failed test outside.
# Not on debug: it tests the harness, which is the same, and waits for machines that fail

. tests/vm/lib.sh

# --- a machine that runs well ---
cat >"$work/good.tap" <<'END'
ok 1 - right
not ok 2 - wrong
# because
ok 3 - not now # SKIP no time
1..3
END
printf 'ok 1 - first\n' >"$work/short.tap"
printf 'ok 1 - all there\n1..1\n' >"$work/late.tap"
head -c 300000 /dev/urandom >"$work/bytes"

vm_start
is "output and order of a command" "$(guest printf '%s\n' one 'two  three' "it's")" "one
two  three
it's"
guest sh -c 'exit 7'
is "status of a command" $? 7
guest_script <<'END'
number=$((1 + 1))
exit $((number + 40))
END
is "status of a script" $? 42
is "no newline is added" "$(guest printf x | od -An -c | tr -d ' ')" x
guest_put "$work/bytes" /tmp/bytes
guest_get /tmp/bytes "$work/back"
check "a file there and back" cmp "$work/bytes" "$work/back"
guest_start napper sleep 1000
check "something in the background" guest_script <<'END'
kill $(cat /tmp/napper.pid)
END
guest_seconds=2 guest sleep 100 2>"$work/errors"
is "a command that hangs is given up" $? 124
matches "with a word why" "$work/errors" "did not end in $((2 * patience)) s"
is "others are not held up by it" "$(guest echo here)" here
is "the kernel is the one asked for" "$(guest uname -r)" \
	"$(cat "$(tests/vm/kernels "${DMACAST_VM_KERNEL:-6.1}")/release")"

# A port leads in.
guest_start echo socat TCP-LISTEN:7001,fork,reuseaddr EXEC:cat
echoes()
{
	[ "$(echo hello | socat -t 5 - "TCP:127.0.0.1:$(vm_port 7001)")" = hello ]
}
check "a client outside gets an answer" wait_until 10 echoes
# And one leads out.
socat -d -d -u TCP-LISTEN:0,bind=127.0.0.1 "CREATE:$work/inward" 2>"$work/listener" &
listener=$!
will_end "$listener"
wait_until 10 grep -q 'listening on' "$work/listener"
outside=$(sed -n 's/.*listening on .*:\([0-9]*\)$/\1/p' "$work/listener")
guest_script <<END
echo outward | socat -u - TCP:10.0.2.2:$outside
END
wait_until 10 process_ended "$listener"
is "the guest reaches a server outside" "$(cat "$work/inward")" outward

# TAP is passed on as it is: in a shell of its own, which has a wrong one.
for file in good short late; do
	guest_put "$work/$file.tap" "/tmp/$file.tap"
done
tap()
{
	(
		test_number=0
		guest_tap "$@"
	)
}
is "TAP of the guest, with its own numbers" "$(tap name cat /tmp/good.tap)" "ok 1 - name: right
not ok 2 - name: wrong
# because
ok 3 - name: not now # SKIP no time"
tap name cat /tmp/short.tap >"$work/out"
matches "no plan is a failed test" "$work/out" '^not ok 2 - name: complete'
tap name sh -c 'cat /tmp/late.tap; exit 3' >"$work/out"
matches "a bad status is a failed test" "$work/out" '^not ok 2 - name: ends well'
tap name sh -c 'kill -SEGV $$' >"$work/out"
matches "no output is a failed test" "$work/out" '^not ok 1 - name: complete'

is "no complaint so far" "$(vm_complaints)" ""
vm_stop

# --- complaints of a kernel ---
# complaint TEXT LINE: this line of a kernel's log is a complaint.
complaint()
{
	is "$1" "$(log_complaints "$2")" "$2"
}

# log_complaints LINE: the complaints in a log with this line only.
log_complaints()
{
	(
		vm=$work/log
		echo "$1" >"$vm.console"
		vm_complaints
	)
}
complaint "a deprecated work queue is a complaint" \
	'workqueue: work func guard_work [dmacast] enqueued on deprecated workqueue. Use system_{percpu|dfl}_wq instead.'
complaint "so is one of a kernel's function, which a module calls" \
	'workqueue: work func a_function enqueued on deprecated workqueue. Use system_{percpu|dfl}_wq instead.'
complaint "so is a deprecated interface that a program of ours uses" "warning: \`dmacastd' uses deprecated v2 capabilities"
while read -r line; do
	is "no complaint: ${line%% *}" "$(log_complaints "$line")" ""
done <<'END'
gpio gpiochip0: Static allocation of GPIO base is deprecated, use dynamic allocation.
option changes via remount are deprecated (pid=1 comm=mount)
ignoring the deprecated load_ramdisk= option
END

# --- machines that do not ---
# broken NAME: run the commands of standard input with a machine, by itself; sets status, output in $out.
broken()
{
	out=$work/$1.out
	{
		echo '. tests/vm/lib.sh'
		cat
	} >"$work/$1.t"
	began=$SECONDS
	DMACAST_VM_STALLED=$work/$1.stalled bash "$work/$1.t" >"$out" 2>&1
	status=$?
	took=$((SECONDS - began))
}

broken warning <<'END'
vm_start
guest sh -c 'echo "WARNING: a test" >/dev/kmsg'
vm_stop
done_testing
END
is "a kernel's warning fails the test" $status 1
matches "and only that" "$out" '^not ok [0-9]+ - the machine ran and ended well'
matches "with its text" "$out" 'WARNING: a test'
check "it is not taken for a stall of the emulation" test ! -e "$work/warning.stalled"

broken crash <<'END'
vm_start
guest sh -c 'echo c >/proc/sysrq-trigger'
echo "status $?"
guest true
echo "again $?"
vm_stop
done_testing
END
is "a crash fails the test" $status 1
matches "the command that did it has a status" "$out" '^status 255'
matches "so has the next" "$out" '^again 255'
matches "with the kernel's text" "$out" 'Kernel panic'
compare "soon" "$took" -lt $((60 * patience))
check "it is not taken for a stall of the emulation" test ! -e "$work/crash.stalled"

broken card <<'END'
vm_start
guest sh -c 'echo "NETDEV WATCHDOG: a test" >/dev/kmsg'
vm_stop
done_testing
END
is "a network card that hangs fails the test" $status 1
is "it is taken for a stall of the emulation" "$(cat "$work/card.stalled")" "its network card hung"

# late NAME LINE: a kernel that says of a process that it waits too long, with this line of its stack.
late()
{
	broken "$1" <<-END
		vm_start
		guest_script <<'IN'
		echo 'INFO: task a_test:397 blocked for more than 120 seconds.' >/dev/kmsg
		echo 'Modules linked in: dmacast_sim(OE) dmacast(OE)' >/dev/kmsg
		echo 'Call Trace:' >/dev/kmsg
		echo '$2' >/dev/kmsg
		IN
		vm_stop
		done_testing
	END
	is "$1: a process that waits too long fails the test" $status 1
}

late elsewhere ' vfs_write+0xc1/0x270'
is "it is taken for a stall of the emulation" "$(cat "$work/elsewhere.stalled")" "its kernel waited too long"
late ours ' dmacast_write+0xc1/0x270 [dmacast]'
check "it is not taken for one in a function of ours" test ! -e "$work/ours.stalled"

broken start <<'END'
vm_start --append "rdinit=/missing init=/missing"
vm_stop
done_testing
END
is "a kernel that crashes before the guest is up fails the test" $status 1
matches "after a second attempt" "$out" 'crashed while it booted: once more'
matches "with its text" "$out" 'Kernel panic'
matches "and a reason" "$out" '^not ok 1 - the machine boots'

broken hang <<'END'
vm_start --seconds 120
guest_script <<'IN'
echo 0 >/proc/sys/kernel/sysrq
kill $(pidof socat)
IN
guest true
echo "status $?"
vm_stop
done_testing
END
is "a guest that no longer answers fails the test" $status 1
matches "a command has a status" "$out" '^status 255'
matches "the reason" "$out" 'it does not end'
matches "it is taken for a stall of the emulation" "$work/hang.stalled" 'the guest (was gone|did not answer)'

broken forgotten <<'END'
vm_start
done_testing
END
is "a machine that was not stopped fails the test" $status 1
is "nothing is left" "$(pgrep -f "qemu.*$work" || true)" ""

done_testing
