# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# For the end-to-end tests: TAP, a daemon, clients, and measurements. Each test runs from the top of the
# tree; BUILD names the build directory. A test ends each process that it starts.

set -u

BUILD=${BUILD:-build}
# Divisor for rates and amounts of clients and sources, on slower machines. A test divides the bytes that it
# expects itself.
scale=${DMACAST_TEST_SCALE:-1}
# Factor for the time limits of wait_until.
patience=${DMACAST_TEST_PATIENCE:-1}
work=$(mktemp -d)
test_number=0
test_failures=0
declare -A started # process ids to end, and when these began

# End all processes that are left, however the test ends.
clean_up()
{
	local pid

	# The shell would print a line for each that was killed.
	{
		for pid in "${!started[@]}"; do
			signal_to KILL "$pid"
		done
		wait
	} 2>/dev/null
	rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# will_end PID: end this process with the test.
will_end()
{
	started[$1]=$(process_began "$1")
}

# signal_to SIGNAL PID: send it to a process of will_end, unless its number belongs to another process by now.
signal_to()
{
	local began

	began=$(process_began "$2")
	[ -n "$began" ] && [ "$began" = "${started[$2]-}" ] && kill "-$1" "$2" 2>/dev/null
}

# process_began PID: print its start in clock ticks since the boot; nothing if it is gone.
process_began()
{
	local stat

	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return
	# The name, in parentheses, may have spaces.
	read -ra stat <<<"${stat##*)}"
	echo "${stat[19]}"
}

# ok STATUS TEXT: one result; it passes if STATUS is 0.
ok()
{
	local status=$1 text=$2

	test_number=$((test_number + 1))
	if [ "$status" -eq 0 ]; then
		echo "ok $test_number - $text"
	else
		echo "not ok $test_number - $text"
		test_failures=$((test_failures + 1))
	fi
	return "$status"
}

# check TEXT COMMAND...: the command must succeed.
check()
{
	local text=$1 status=0

	shift
	"$@" >"$work/check.out" 2>&1 || status=$?
	ok $((status != 0)) "$text" || {
		diag "$* gave $status"
		diag_file "$work/check.out"
	}
}

# is TEXT GOT EXPECTED
is()
{
	local status=0

	[ "$2" = "$3" ] || status=1
	ok "$status" "$1" || diag "got '$2', expected '$3'"
}

# compare TEXT GOT -lt|-le|-gt|-ge|-eq LIMIT
compare()
{
	local status=0

	test "$2" "$3" "$4" || status=1
	ok "$status" "$1" || diag "$2 is not $3 $4"
}

# matches TEXT FILE REGEX
matches()
{
	local status=0

	grep -Eq -- "$3" "$2" || status=1
	ok "$status" "$1" || {
		diag "nothing matches: $3"
		diag_file "$2"
	}
}

skip()
{
	test_number=$((test_number + 1))
	echo "ok $test_number - $1 # SKIP $2"
}

skip_all()
{
	echo "1..0 # SKIP $1"
	exit 0
}

diag()
{
	printf '# %s\n' "$*"
}

diag_file()
{
	tail -n 15 "$1" | sed 's/^/#   /'
}

# Upper bound in ms for one turn of a daemon's event loop. The daemon does not count the time for which others have
# the CPU, so a busy machine does not matter; one that is slower does. Instrumented code is slower, too.
loop_limit=$((100 * scale * patience))
case $BUILD in
*/san-*) loop_limit=$((4 * loop_limit)) ;;
esac

# cpus_are_contended: in the last minute, something waited for a CPU in more than a tenth of the time.
cpus_are_contended()
{
	[ ! -r /proc/pressure/cpu ] || awk '$1 == "some" { split($3, share, "="); exit !(share[2] > 10) }' /proc/pressure/cpu
}

# suspend PID, resume PID: stop a daemon in the middle of whatever it does, and let it go on. A turn of its event loop
# may hold all of that time, which check_loop allows for.
suspended_ms=0
suspend()
{
	suspended_since=${EPOCHREALTIME/[.,]/}
	kill -STOP "$1" 2>/dev/null
}

resume()
{
	kill -CONT "$1" 2>/dev/null
	suspended_ms=$((suspended_ms + (${EPOCHREALTIME/[.,]/} - suspended_since) / 1000))
}

# check_loop: no daemon of this test was busy for longer in one turn, by the line that it logs at its end. The
# daemon subtracts its own waits for a CPU, not those of what it waits for: a child's exec(), a disk.
check_loop()
{
	local longest loop_limit=$((loop_limit + suspended_ms))

	! cpus_are_contended || loop_limit=$((5 * loop_limit))
	longest=$(sed -n 's/.*longest turn of the event loop: \([0-9]*\) ms$/\1/p' "$work"/daemon.*.log 2>/dev/null |
		sort -n | tail -n 1)
	[ -z "$longest" ] || compare "no turn of an event loop took over $loop_limit ms" "$longest" -le "$loop_limit"
}

done_testing()
{
	check_loop
	echo "1..$test_number"
	[ "$test_failures" -eq 0 ]
	exit
}

# listens_at PATH: somebody listens on the Unix socket. Its file is there before, from bind().
listens_at()
{
	awk -v path="$1" '$8 == path && $4 == "00010000" { found = 1 } END { exit !found }' /proc/net/unix
}

# wait_until SECONDS COMMAND...: repeat it until it succeeds; the time it takes itself is added, patience multiplies.
wait_until()
{
	local tries=$(($1 * 50 * patience))

	shift
	while ! "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.02
	done
}

# bytes_of SIZE: print a size like 24M as a number.
bytes_of()
{
	case $1 in
	*K) echo $((${1%K} << 10)) ;;
	*M) echo $((${1%M} << 20)) ;;
	*) echo "$1" ;;
	esac
}

# The simulated engine of DMACAST_TEST_DEVICE: sim_set ATTRIBUTE VALUE. See kmod/sim_debugfs.c.
sim_silent_ms=3600000
sim_set()
{
	local device=${DMACAST_TEST_DEVICE##*/} channel

	channel=$(basename "$(readlink -f "/sys/class/dmacast/$device/device")")
	channel=/sys/kernel/debug/dmacast_sim/ch${channel##*.}
	{ echo "$2" >"$channel/$1"; } 2>/dev/null || ok 1 "$channel, the sim of $device, takes $1 = $2"
}

# source_of RATE: set source, the daemon's arguments for the pattern at that rate, from its first word
# on: by its own generator, or with DMACAST_TEST_DEVICE=/dev/dmacast/NAME by dmacast_sim.ko through the
# kernel ring. Like the generator, the device waits while its data is not read. With RATE "none", only
# source_pour makes data.
source_of()
{
	local device=${DMACAST_TEST_DEVICE-} rate=0

	case $1 in
	max | none) ;;
	*) rate=$(($(bytes_of "${1%/s}") / scale)) ;;
	esac
	if [ -n "$device" ]; then
		source=(--device "$device" --overrun stall)
		sim_set offset 0
		if [ "$1" = none ]; then
			sim_set stall $sim_silent_ms
		else
			sim_set stall 0
			sim_set rate "$rate"
		fi
	elif [ "$1" = none ]; then
		[ -e "$work/quiet" ] || mkfifo "$work/quiet"
		exec {source_quiet}<>"$work/quiet"
		source=(--input "$work/quiet")
	elif [ "$1" = max ]; then
		source=(--pattern max)
	else
		source=(--pattern "$rate/s")
	fi
}

# source_pour SIZE: let a source of the rate "none" produce this many bytes, or a few more.
source_pour()
{
	if [ -z "${DMACAST_TEST_DEVICE-}" ]; then
		"$BUILD/tests/feedclient" --generate "$1" >&"$source_quiet"
		return
	fi
	sim_set rate "$(bytes_of "$1")"
	sim_set stall 0
	sleep 1.1
	sim_set stall $sim_silent_ms
}

# free_ports N: set ports, an array of TCP ports of 127.0.0.1 that nobody uses. They are below those that the kernel
# gives to programs which ask for any port, and tests that run at the same time have different ones.
next_free_port=$((10000 + $$ % 1300 * 16))
free_ports()
{
	local tried=0

	ports=()
	while [ ${#ports[@]} -lt "$1" ] && [ $tried -lt 2000 ]; do
		(: <"/dev/tcp/127.0.0.1/$next_free_port") 2>/dev/null || ports+=("$next_free_port")
		next_free_port=$((next_free_port < 31000 ? next_free_port + 1 : 10000))
		tried=$((tried + 1))
	done
}

# daemon_run ARGUMENT...: start dmacastd, after $daemon_prefix and DMACAST_TEST_WRAPPER; wait until it
# listens or ends. Sets daemon, its process id; port, of its first endpoint; log. If the first arguments are
# "--feed RATE", the source is that of source_of.
daemon_prefix=()
daemon_input=/dev/null
daemon_number=0
daemon_run()
{
	local source=()

	if [ "${1-}" = --feed ]; then
		source_of "$2"
		shift 2
	fi
	daemon_number=$((daemon_number + 1))
	log=$work/daemon.$daemon_number.log
	: >"$log" # a daemon of a subshell may have left lines there
	# shellcheck disable=SC2086 # a list of words
	"${daemon_prefix[@]}" ${DMACAST_TEST_WRAPPER-} "$BUILD/dmacastd" "${source[@]}" "$@" <"$daemon_input" 2>"$log" &
	daemon=$!
	will_end "$daemon"
	wait_until 20 daemon_settled "$@" || diag "dmacastd does not come up"
	port=$(sed -n 's/.* listening on .*:\([0-9]*\)$/\1/p' "$log" | head -n 1)
}

# daemon_settled ARGUMENT...: a daemon with these has opened what it is to open, or has ended. It logs its control
# socket and its metrics after the streams.
daemon_settled()
{
	! kill -0 "$daemon" || {
		grep -q 'listening on' "$log" && has_opened control 'control socket' "$@" &&
			has_opened metrics 'metrics at ' "$@"
	}
}

# has_opened OPTION TEXT ARGUMENT...: the log has TEXT, or an error about the option, if it is among the arguments, or
# in the section [daemon] of the file that is one of them.
has_opened()
{
	local option=$1 text=$2

	shift 2
	if is_asked_for "$option" "$@"; then
		grep -Eq -- "$text|$option = " "$log"
	fi
}

is_asked_for()
{
	local option=$1 word

	shift
	for word; do
		[ "$word" != "--$option" ] || return 0
		[ ! -f "$word" ] || ! grep -q "^$option *=" "$word" || return 0
	done
	return 1
}

# daemon_stop [SIGNAL]: end the daemon and wait for that. Sets status. Fails if the log reports a bug.
daemon_stop()
{
	signal_to "${1:-TERM}" "$daemon"
	daemon_wait 30
}

# daemon_wait SECONDS: wait until the daemon ends by itself.
daemon_wait()
{
	if ! wait_until "$1" process_ended "$daemon"; then
		diag "dmacastd does not end"
		signal_to KILL "$daemon"
	fi
	wait "$daemon"
	status=$?
	if grep -Eq 'please report|not complete|Assertion|ERROR: |runtime error' "$log"; then
		ok 1 "nothing alarming in the log"
		diag_file "$log"
	fi
}

# client_lines joined|left [STREAM]: print how many clients did that by the log, with a line of their own or not.
client_lines()
{
	awk -v what="$1" -v stream="stream ${2:-.*}: " '
		$0 ~ stream "client .* " what "[,:] " { n++ }
		$0 ~ stream "[0-9]+ more clients " what " " {
			sub(/.*stream [^ ]+: /, "")
			n += $1
		}
		END { print n + 0 }' "$log"
}

# clients_left NUMBER: succeed if at least NUMBER clients have left, by the log.
clients_left()
{
	[ "$(client_lines left)" -ge "$1" ]
}

# clients_joined NUMBER: succeed if at least NUMBER clients have joined, by the log.
clients_joined()
{
	[ "$(client_lines joined)" -ge "$1" ]
}

# open_fds: print the number of the daemon's descriptors.
open_fds()
{
	find "/proc/$daemon/fd" -type l | wc -l
}

# A zombie has ended, too.
process_ended()
{
	! kill -0 "$1" 2>/dev/null || [ "$(process_state "$1")" = Z ]
}

process_state()
{
	sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null
}

# feed_scale ARGUMENT...: set scaled, the arguments with --bytes, --rate and --send divided by scale.
feed_scale()
{
	local i

	scaled=("$@")
	[ "$scale" -gt 1 ] || return 0
	for ((i = 1; i < $#; i++)); do
		case ${scaled[i - 1]} in
		--bytes | --send) scaled[i]=$(($(bytes_of "${scaled[i]}") / scale)) ;;
		--rate) scaled[i]=$(($(bytes_of "${scaled[i]%/s}") / scale))/s ;;
		esac
	done
}

# feed ARGUMENT...: run feedclient until it ends, after $feed_prefix. Sets report, status.
feed_prefix=()
feed()
{
	local scaled

	feed_scale "$@"
	"${feed_prefix[@]}" "$BUILD/tests/feedclient" "${scaled[@]}" >"$work/feed.out" 2>"$work/feed.err"
	status=$?
	report=$(cat "$work/feed.out")
}

# feed_ok TEXT ARGUMENT...: run feedclient, which must find nothing wrong.
feed_ok()
{
	local text=$1

	shift
	feed "$@"
	ok "$status" "$text" || {
		diag "feedclient $* gave $status: $report"
		diag_file "$work/feed.err"
		diag_file "$log"
	}
}

# feed_begin NAME ARGUMENT...: start feedclient in the background, after $feed_prefix.
feed_begin()
{
	local name=$1 scaled

	shift
	feed_scale "$@"
	rm -f "$work/$name.ready"
	"${feed_prefix[@]}" "$BUILD/tests/feedclient" --ready "$work/$name.ready" "${scaled[@]}" \
		>"$work/$name.out" 2>"$work/$name.err" &
	feed_pid[$name]=$!
	will_end "${feed_pid[$name]}"
}

# feed_start NAME ARGUMENT...: the same, and wait for all its connections.
feed_start()
{
	feed_begin "$@"
	wait_until 30 test -e "$work/$1.ready"
}

declare -A feed_pid

# feed_end NAME [SIGNAL]: wait for its end, after this signal if one is given. Sets report, status.
feed_end()
{
	[ $# -lt 2 ] || signal_to "$2" "${feed_pid[$1]}"
	# The shell would print a line for a process that was killed.
	{ wait "${feed_pid[$1]}"; } 2>/dev/null
	status=$?
	report=$(cat "$work/$1.out")
}

# feed_end_ok TEXT NAME [SIGNAL]
feed_end_ok()
{
	local text=$1

	shift
	feed_end "$@"
	ok "$status" "$text" || {
		diag "feedclient gave $status: $report"
		diag_file "$work/$1.err"
		diag_file "$log"
	}
}

# field NAME: print a number of the report.
field()
{
	sed -n "s/.*\b$1=\([0-9.]*\).*/\1/p" <<<"$report" | cut -d. -f1
}

# cpu_ticks PID: print its CPU time, in clock ticks (mostly 10 ms).
cpu_ticks()
{
	awk "{ print \$14 + \$15 }" "/proc/$1/stat"
}

# sleeps PID: print the number of its voluntary context switches: about the returns of epoll_wait().
sleeps()
{
	awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$1/status"
}
