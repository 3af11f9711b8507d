# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# For the tests that need a kernel of their own: a virtual machine in QEMU with Debian's kernel, our
# modules and programs; commands run in it; and its ports, for clients outside. To tests/lib.sh it adds:
#
#   vm_start [OPTION]...        boot it, wait until it takes commands; one at a time
#   vm_stop                     power it off; one test: its kernel reported no error; with a debug
#                               kernel, tests of what that kernel counted
#   vm_port PORT                the port of 127.0.0.1 that leads to the guest's PORT
#   guest COMMAND ARGUMENT...   run it in the guest, in the top directory of a tree with programs in
#                               build/ and tests/: its output, its status
#   guest_script <FILE          the same with a script of bash
#   guest_start NAME COMMAND... in the background there; output in /tmp/NAME.log, pid in /tmp/NAME.pid
#   guest_put FILE GUESTFILE    copy a file into it, guest_get GUESTFILE FILE: out of it
#   guest_tap NAME COMMAND...   run a TAP program in the guest, its tests become tests here
#
# The guest reaches 127.0.0.1 of the host as 10.0.2.2, and nothing else.

. tests/lib.sh
. tests/vm/machine.sh

vm_number=0
vm_running= # process id of QEMU
vm_seconds=300
guest_seconds=120
declare -A vm_ports
vm_qemu=(-accel "tcg,thread=multi") # QEMU's options for emulation; the last -smp counts

# Messages of a kernel about something that takes too long, and about any error.
vm_late='NETDEV WATCHDOG|WARNING: .* dev_watchdog|INFO: task|rcu: INFO|rcu_.*detected stalls|soft lockup|Call Trace|Tainted:'
vm_alarming="$vm_late|WARNING:|BUG:|Oops|Kernel panic|general protection fault|page allocation failure"
vm_alarming+='|Bad page|Out of memory|oom-kill|segfault at'
vm_alarming+='|hard LOCKUP|lockdep|possible circular|possible recursive|scheduling while atomic|refcount_t:'
# Linux 7.3 logs the first use of a deprecated work queue. Other deprecated interfaces count if the message names a
# module or a program of ours: kernels also log boot options, mount options and drivers that are not ours.
vm_alarming+='|deprecated workqueue|dmacast.*deprecated'
vm_alarming+='|DMA-API:|KASAN|UBSAN|unable to handle|list_(add|del) corruption'
# How the former names a function of our modules, or a program of ours.
vm_ours='\[dmacast|INFO: task dmacast|task:dmacast|Comm: dmacast'
# Messages of a debug kernel at boot.
vm_harmless='DMA-API: (preallocated [0-9]* debug entries|debugging enabled by kernel config)$'
vm_harmless+='|RCU lockdep checking is enabled\.$'
# Y: the test lets the kernel's check of DMA end itself.
vm_dma_disabled=N

# Tests with the debug kernel transfer less, and wait longer: see machine.
machine "${DMACAST_VM_KERNEL:-6.1}"
scale=$((scale * smaller))
patience=$((patience * slowdown))

# vm_start: the options are
#   --kernel SERIES   5.10, 6.1, 6.12, rt, newest, armmp, arm64 or debug; by default what the tests are run for
#                     (tests/vm/run), else 6.1
#   --append WORDS    for the kernel's command line
#   --nic NAME        e1000e, vmxnet3, virtio-net-pci; ARM machines have one of their own
#   --memory SIZE     1G; of a debug kernel 2G
#   --serial PATH     a Unix socket that leads to a serial port that is not the console: the first one of armmp,
#                     else the second one, /dev/ttyS1
#   --ports NUMBER    of ports of the guest from 7000 on that lead in from outside: 4
#   --seconds NUMBER  the machine may run for: 300
#   --archive FILE    boot this instead of what tests/vm/prepare makes
#   --image FILE      and this is its disk, which it only reads
#   --boot NUMBER     of seconds for it to come up
vm_start()
{
	local series=${DMACAST_VM_KERNEL:-6.1} append='' nic='' size='' port_count=4 seconds=$vm_seconds
	local root archive='' boot='' number forward serial='' problem='' vm_devices drive=()

	[ -z "$vm_running" ] || {
		ok 1 "one machine at a time"
		exit 1
	}
	while [ $# -gt 1 ]; do
		case $1 in
		--kernel) series=$2 ;;
		--append) append=$2 ;;
		--nic) nic=$2 ;;
		--memory) size=$2 ;;
		--serial) serial=$2 ;;
		--ports) port_count=$2 ;;
		--seconds) seconds=$2 ;;
		--archive) archive=$2 ;;
		--boot) boot=$2 ;;
		--image) drive=(-drive "file=$2,format=raw,if=virtio,readonly=on") ;;
		*) break ;;
		esac
		shift 2
	done
	[ $# -eq 0 ] || {
		echo "vm_start: unknown option $1" >&2
		exit 2
	}
	[ -n "${DMACAST_VM_READY-}" ] || [ -n "$archive" ] || tests/vm/prepare "$series" >"$work/prepare" 2>&1 || {
		ok 1 "what the guest needs is built"
		diag_file "$work/prepare"
		exit 1
	}
	root=$(tests/vm/kernels "$series")
	[ -n "$archive" ] || archive=$BUILD/vm/initramfs-$series.cpio

	forward="ipv6=off,hostfwd=tcp:127.0.0.1:0-:5000"
	for ((number = 0; number < port_count; number++)); do
		forward+=",hostfwd=tcp:127.0.0.1:0-:$((7000 + number))"
	done
	machine "$series"
	vm_launch
	# Rarely the emulation gets stuck, or the kernel crashes in it, before a module or a program of ours has started.
	if ! grep -q 'the guest is up' "$vm.console" 2>/dev/null; then
		if ! vm_ended; then
			problem="the machine did not come up in ${boot:-$boot_seconds} seconds"
		elif [ -s "$vm.console" ]; then
			problem="the machine crashed while it booted"
		fi
	fi
	[ -z "$problem" ] || {
		diag "$problem: once more"
		vm_complaints_in_order | head -n 4 | sed 's/^/#   /'
		vm_ended || vm_kill
		wait "$vm_running"
		vm_launch
	}
	vm_answers || {
		ok 1 "the machine boots"
		diag_file "$vm.qemu"
		diag_file "$vm.console"
		exit 1
	}
}

# vm_launch: for vm_start, whose variables it has; back when the machine is up, or ended, or takes too long.
vm_launch()
{
	vm_number=$((vm_number + 1))
	vm=$work/vm.$vm_number
	vm_options "$series" "$nic" "$serial"
	# An oops is a panic, and that ends QEMU, with its text in the console log.
	timeout --kill-after=5 $((seconds * patience)) "${qemu[@]}" "${vm_qemu[@]}" -m "${size:-$memory}" \
		-display none -no-reboot -nodefaults \
		-kernel "$root/boot/vmlinuz-$(cat "$root/release")" -initrd "$archive" \
		-append "console=$console loglevel=5 panic=-1 oops=panic $kernel_options audit=0 nic=$nic \
			DMACAST_TEST_PATIENCE=$patience $append" \
		-monitor "unix:$vm.monitor,server,nowait" -pidfile "$vm.pid" \
		-netdev "user,id=net0,$forward" "${vm_devices[@]}" "${drive[@]}" \
		</dev/null >"$vm.qemu" 2>&1 &
	vm_running=$!
	will_end "$vm_running"
	wait_until 10 vm_began
	[ ! -s "$vm.pid" ] || will_end "$(cat "$vm.pid")"
	vm_ended || vm_find_ports
	patience=1 wait_until "${boot:-$boot_seconds}" vm_settled
}

# vm_options SERIES NIC SERIAL: sets vm_devices, and nic, as the guest's drivers are called.
vm_options()
{
	case $1 in
	armmp)
		nic=smsc911x
		# The console is the second port.
		vm_devices=(-serial "${3:+unix:$3,server,nowait}" -serial "file:$vm.console")
		[ -n "$3" ] || vm_devices[1]=null
		vm_devices+=(-net "nic,model=lan9118,netdev=net0")
		;;
	arm64)
		nic=dwc2,phy-generic,cdc_subset
		vm_devices=(-serial "file:$vm.console" -device "usb-net,netdev=net0")
		;;
	*)
		nic=${2:-e1000e}
		vm_devices=(-serial "file:$vm.console" -device "$nic,netdev=net0")
		[ -z "$3" ] || vm_devices+=(-serial "unix:$3,server,nowait")
		nic=${nic%-pci}
		;;
	esac
	[ -z "$device_tree" ] || vm_devices+=(-dtb "$build/vm/device-tree.dtb")
}

# Ask QEMU for the ports, which it chose.
vm_find_ports()
{
	local from to

	vm_ports=()
	vm_monitor info usernet >"$vm.usernet"
	while read -r from to; do
		vm_ports[$to]=$from
	done < <(awk '/HOST_FORWARD/ { print $4, $6 }' "$vm.usernet" | tr -d '\r')
}

# vm_monitor COMMAND...: of QEMU's monitor: what it says.
vm_monitor()
{
	echo "$*" | socat -t 1 - "UNIX-CONNECT:$vm.monitor" 2>/dev/null
}

vm_began()
{
	vm_ended || { [ -s "$vm.pid" ] && [ -S "$vm.monitor" ]; }
}

vm_ended()
{
	[ -z "$vm_running" ] || process_ended "$vm_running"
}

vm_settled()
{
	grep -q 'the guest is up' "$vm.console" || vm_ended
}

# QEMU accepts connections before the guest does, so only an answer counts.
vm_answers()
{
	local tries

	for ((tries = 0; tries < 20; tries++)); do
		! vm_ended || return 1
		DMACAST_VM_STALLED='' guest_seconds=5 guest true 2>/dev/null && return
		sleep 0.2
	done
	return 1
}

vm_port()
{
	echo "${vm_ports[$1]}"
}

# vm_stalled REASON: note that the emulation stalled, so that tests/vm/run repeats the test. Sometimes nothing comes from
# the machine for seconds, or its network card hangs, on a kernel that reports nothing else.
vm_stalled()
{
	[ -z "${DMACAST_VM_STALLED-}" ] || echo "$1" >>"$DMACAST_VM_STALLED"
}

# Decide whether a complaint is a stall of the emulation: it is about time only, and names nothing of ours.
vm_judge_stall()
{
	[ -s "$vm.complaints" ] || return
	if grep -qvE "$vm_late" "$vm.complaints" || vm_said | grep -qE "$vm_ours"; then
		rm -f "${DMACAST_VM_STALLED-}"
		unset DMACAST_VM_STALLED
	elif grep -q 'NETDEV WATCHDOG' "$vm.complaints"; then
		vm_stalled "its network card hung"
	else
		vm_stalled "its kernel waited too long"
	fi
}

# The console log so far.
vm_said()
{
	cat "$vm.console" "$vm.dmesg" 2>/dev/null | tr -d '\r'
}

# Print the kernel's complaints in the console log so far.
vm_complaints()
{
	vm_complaints_in_order | sort -u
}

vm_complaints_in_order()
{
	vm_said | grep -E "$vm_alarming" | grep -vE "$vm_harmless"
}

vm_stop()
{
	local problem='' tainted

	if vm_ended; then
		problem="it ended by itself"
	else
		[ "$slowdown" -eq 1 ] || vm_debug_report
		guest_seconds=20 guest dmesg >"$vm.dmesg" 2>/dev/null
		tainted=$(guest_seconds=5 guest cat /proc/sys/kernel/tainted 2>/dev/null)
		# Bad page, oops, warning, lock-up; modules that are not Debian's always taint it.
		[ $((${tainted:-0} & (32 | 128 | 512 | 16384))) -eq 0 ] || problem="the kernel is tainted: $tainted"
		if [ -n "$powers_off" ]; then
			guest_seconds=5 guest poweroff -f >/dev/null 2>&1
		else
			vm_monitor quit >/dev/null
		fi
		if ! wait_until 15 vm_ended; then
			problem="it does not end"
			vm_kill
		fi
	fi
	# timeout's is 124 or 137 when the machine had to be ended, or was by somebody.
	wait "$vm_running"
	status=$?
	vm_running=
	[ "$status" -eq 0 ] || problem="${problem:+$problem; }QEMU ended with $status"
	vm_complaints >"$vm.complaints"
	[ ! -s "$vm.complaints" ] || problem=${problem:-"the kernel complains"}
	vm_judge_stall
	[ -z "$problem" ]
	ok $? "the machine ran and ended well" || {
		diag "$problem"
		diag_file "$vm.complaints"
		diag "the end of the console log:"
		tail -n 40 "$vm.console" | tr -d '\r' | sed 's/^/#   /'
	}
}

# vm_debug_report: with a debug kernel, one test each: no memory of our modules leaked, DMA was used correctly.
vm_debug_report()
{
	guest_script <<-'END' >"$vm.debug" 2>/dev/null
		cd /sys/kernel/debug
		[ ! -e dma-api/error_count ] || echo "dma-api errors: $(cat dma-api/error_count dma-api/disabled)"
		[ -e kmemleak ] || exit
		echo scan >kmemleak
		# Younger objects are not reported.
		sleep 6
		echo scan >kmemleak
		echo "kmemleak:"
		cat kmemleak
	END
	if grep -q '^dma-api errors:' "$vm.debug"; then
		is "the kernel found no wrong use of DMA" "$(sed -n '/^dma-api errors:/ { N; s/.*: //p }' "$vm.debug")" \
			"0"$'\n'"$vm_dma_disabled"
	fi
	if grep -q '^kmemleak:' "$vm.debug"; then
		# Other drivers are built in: addresses without a symbol are those of modules that are gone.
		is "no memory that our modules allocated leaked" \
			"$(grep -cE '\] (0x[0-9a-f]+$|.*\[(dmacast|pfnmap))' "$vm.debug")" 0 ||
			sed 's/^/#   /' "$vm.debug" | head -n 60
	fi
}

vm_kill()
{
	signal_to KILL "$(cat "$vm.pid")"
	wait_until 5 vm_ended
}

# A machine that was not stopped by vm_stop is a failed test.
done_testing()
{
	[ -z "$vm_running" ] || {
		vm_kill
		ok 1 "the machine was stopped by vm_stop"
	}
	echo "1..$test_number"
	[ "$test_failures" -eq 0 ]
	exit
}

guest()
{
	guest_run run "$(printf '%q ' "$@")"
}

guest_script()
{
	guest_run run "$(cat)"
}

# guest_run MODE SCRIPT: in mode feed, standard input goes to the script.
guest_run()
{
	local LC_ALL=C mode=$1 script=$2 mark=end-$RANDOM-$RANDOM-$$ socket ready feeder='' status
	local out=$work/guest.$BASHPID

	{ exec {socket}<>"/dev/tcp/127.0.0.1/$(vm_port 5000)"; } 2>/dev/null || {
		echo "# the guest is gone" >&2
		vm_stalled "the guest was gone"
		return 255
	}
	read -r -t 5 -u "$socket" ready 2>/dev/null
	if [ "${ready-}" != ready ]; then
		exec {socket}>&-
		echo "# the guest does not answer" >&2
		vm_stalled "the guest did not answer"
		return 255
	fi
	printf '%s %d %s\n%s' "$mode" "${#script}" "$mark" "$script" >&"$socket"
	if [ "$mode" = feed ]; then
		cat >&"$socket"
	fi
	timeout $((guest_seconds * patience)) sed -u "/^$mark /q" <&"$socket" >"$out"
	status=$?
	exec {socket}>&-
	guest_result "$out" "$mark" "$status"
	status=$?
	rm -f "$out"
	return $status
}

# guest_result FILE MARK STATUS: the output without its last line, and the newline before that.
guest_result()
{
	local last

	last=$(tail -n 1 "$1" | tr -d '\0')
	case $last in
	"$2 "*)
		head -c -$((${#last} + 2)) "$1"
		return "${last#"$2 "}"
		;;
	esac
	cat "$1"
	if [ "$3" -eq 124 ]; then
		echo "# the command did not end in $((guest_seconds * patience)) s" >&2
		return 124
	fi
	echo "# the guest went away" >&2
	return 255
}

guest_start()
{
	local name=$1

	shift
	# The log is emptied first: what the last one of this name said is not this one's.
	guest_run run ": >/tmp/$name.log; $(printf '%q ' "$@") >/tmp/$name.log 2>&1 & echo \$! >/tmp/$name.pid"
}

guest_put()
{
	# shellcheck disable=SC2094 # it is the guest that writes
	guest_run feed "head -c $(stat -L -c %s "$1") >$(printf %q "$2")" <"$1"
}

guest_get()
{
	guest cat "$1" >"$2"
}

# guest_tap NAME COMMAND...: a crash, an early end or a missing plan is a failed test, too.
guest_tap()
{
	local name=$1 line planned='' seen=0 failed=0 result

	shift
	guest "$@" >"$work/guest.tap"
	result=$?
	while IFS= read -r line; do
		case $line in
		"ok "* | "not ok "*)
			seen=$((seen + 1))
			guest_tap_line "$name" "$line" || failed=$((failed + 1))
			;;
		1..*)
			planned=${line#1..}
			if [ "${planned%% *}" = 0 ]; then
				skip "$name" "${line#*SKIP }"
			fi
			planned=${planned%% *}
			;;
		*) diag "${line#\# }" ;;
		esac
	done <"$work/guest.tap"
	if [ "$seen" != "$planned" ]; then
		ok 1 "$name: complete"
		diag "$seen tests of ${planned:-an unknown number}, status $result"
	elif [ "$result" -ne 0 ] && [ "$failed" -eq 0 ]; then
		ok 1 "$name: ends well"
		diag "status $result"
	fi
}

guest_tap_line()
{
	local name=$1 line=$2 text

	text=$(sed -E 's/^(not )?ok [0-9]* *(- )?//' <<<"$line")
	case $line in
	"not ok "*) ok 1 "$name: $text" ;;
	*"# SKIP "*) skip "$name: ${text% \# SKIP *}" "${text#*\# SKIP }" ;;
	*) ok 0 "$name: $text" ;;
	esac
}
