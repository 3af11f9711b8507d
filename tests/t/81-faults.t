#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Calls that signals interrupt and that transfer less than they could, at random, in the daemon and in dmacastctl: every
# byte from each kind of source, for each kind of client, through a reload and a handover. And requests without
# memory. The seed
# DMACAST_TEST_SEED chooses other calls.

. tests/lib.sh

command -v jq >/dev/null || skip_all "jq is not installed"
command -v python3 >/dev/null || skip_all "python3 is not installed"
faultyio=$BUILD/tests/preload/faultyio.so
[[ $BUILD != *san* ]] || skip_all "a sanitizer replaces these functions itself"
[ -e "$faultyio" ] || skip_all "no $faultyio"
seed=${DMACAST_TEST_SEED:-$$}
diag "DMACAST_TEST_SEED=$seed"
faulty=(env "LD_PRELOAD=$faultyio" "DMACAST_FAULTY_IO=$seed" "DMACAST_FAULTY_IO_COUNT=$work/faults")
: >"$work/faults"
config=$work/dmacastd.conf
bytes=$(((4 << 20) / scale))
"$BUILD/tests/feedclient" --generate $bytes >"$work/file"

ctl()
{
	"${faulty[@]}" "$BUILD/dmacastctl" --socket "$work/control" "$@"
}

# faulty_run ARGUMENT...: a daemon with such faults, after the words of $manager.
manager=()
faulty_run()
{
	daemon_prefix=("${faulty[@]}" "${manager[@]}")
	daemon_run "$@"
	daemon_prefix=()
}

# cat_begin NAME ARGUMENT...: dmacastctl cat, whose output is $work/NAME.
declare -A pids
cat_begin()
{
	local name=$1

	shift
	"${faulty[@]}" "$BUILD/dmacastctl" cat "$@" 2>"$work/$name.error" >"$work/$name.out" &
	pids[$name]=$!
	will_end $!
}

# stream NAME PORT LINE...: a section; with a ring that is smaller than the file.
stream()
{
	printf '[stream %s]\nlisten = 127.0.0.1:%s\nblock-size = 16K\nring-size = 512K\nhuge-pages = never\n' "$1" "$2"
	printf 'lag-policy = block\n'
	shift 2
	printf '%s\n' "$@"
}

# ---- each source: a raw client, a framed one, and one by HTTP ----

free_ports 21
names=(relay file fifo exec unix tcp)
mkfifo "$work/fifo"
{
	printf '[daemon]\ncontrol = %s\nmetrics = 127.0.0.1:%s\n' "$work/control" "${ports[20]}"
	inputs=("tcp:127.0.0.1:${ports[4]}" "$work/file" "$work/fifo" "exec:cat $work/file" "unix-listen:$work/producer"
		"tcp-listen:127.0.0.1:${ports[19]}")
	for i in "${!names[@]}"; do
		stream "${names[i]}" "${ports[3 * i]}" "input = ${inputs[i]}" "on-end = close"
		# The relay is the fourth client of the file's stream.
		http=http
		case ${names[i]} in
		relay) printf 'input-format = framed\n' && http=raw ;;
		file) echo "hold = 4" ;;
		*) echo "hold = 3" ;;
		esac
		printf '[endpoint %s-framed]\nstream = %s\nformat = framed\nlisten = 127.0.0.1:%s\n' "${names[i]}" "${names[i]}" "${ports[3 * i + 1]}"
		printf '[endpoint %s-http]\nstream = %s\nformat = %s\nlisten = 127.0.0.1:%s\n' "${names[i]}" "${names[i]}" "$http" "${ports[3 * i + 2]}"
	done
} >"$config"
faulty_run -c "$config"
check "dmacastctl --json status" ctl --json status
check "dmacastctl reload" ctl reload
"${faulty[@]}" "$BUILD/dmacastctl" --socket "$work/control" events >"$work/events" 2>"$work/events.error" &
events=$!
will_end $!
for i in "${!names[@]}"; do
	name=${names[i]}
	feed_begin "$name.raw" --from-start --until-end --expect-end end --expect-bytes $bytes "127.0.0.1:${ports[3 * i]}"
	cat_begin "$name.framed" --framed --output "$work/$name.framed" "tcp://127.0.0.1:${ports[3 * i + 1]}"
	if [ "$name" = relay ]; then
		# A relay does not answer by HTTP before its origin begins, and its clients are there before.
		cat_begin "$name.http" --raw --output "$work/$name.http" "tcp://127.0.0.1:${ports[3 * i + 2]}"
		wait_until 20 clients_joined 3
	else
		cat_begin "$name.http" --output "$work/$name.http" "http://127.0.0.1:${ports[3 * i + 2]}/"
	fi
done
cat "$work/file" >"$work/fifo" &
will_end $!
python3 -c 'import socket, sys
for address in (sys.argv[1], ("127.0.0.1", int(sys.argv[2]))):
	with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as producer, open(sys.argv[3], "rb") as file:
		producer.connect(address)
		producer.sendall(file.read())' "$work/producer" "${ports[19]}" "$work/file" &
will_end $!
wait_until 20 curl -sf "http://127.0.0.1:${ports[20]}/metrics" -o "$work/metrics"
check "metrics are complete" grep -q '^dmacast_stream_clients_left_total' "$work/metrics"
for i in "${!names[@]}"; do
	name=${names[i]}
	feed_end_ok "$name: every byte for a raw client" "$name.raw"
	for format in framed http; do
		wait "${pids[$name.$format]}"
		is "$name, $format: dmacastctl cat" "$?" 0 || diag_file "$work/$name.$format.error"
		check "$name, $format: every byte" cmp "$work/file" "$work/$name.$format"
	done
done
daemon_wait 20
is "the daemon ends with its streams" "$status" 0
wait "$events"
check "dmacastctl events ends with it, and its lines are whole" jq -es 'length > 10' "$work/events"

# ---- restarts that keep the clients, and a command that runs on ----

rate=$(((2 << 20) / scale))/s
{
	printf '[daemon]\ncontrol = %s\n' "$work/control"
	stream pattern "${ports[0]}" "pattern = $rate"
	stream command "${ports[1]}" "input = exec:exec $BUILD/tests/feedclient --generate 0 --rate $rate"
	printf '[endpoint framed]\nstream = pattern\nformat = framed\nlisten = 127.0.0.1:%s\n' "${ports[2]}"
} >"$config"
manager=("$BUILD/tests/servicemanager" --told "$work/told" --store 1 --restart "$work/pid")
faulty_run -c "$config"
wait_until 20 ctl status
end=(--clients 2 --until-end --expect-end end)
feed_start pattern "${end[@]}" "127.0.0.1:${ports[0]}"
feed_start command "${end[@]}" "127.0.0.1:${ports[1]}"
feed_start framed --framed "${end[@]}" "127.0.0.1:${ports[2]}"

handed_over()
{
	ctl --json status | jq -e ".handovers.count == $1"
}

# A dmacastctl that was stopped while it waited, as by ^Z, goes on.
has_state()
{
	[ "$(process_state "$1")" = "$2" ]
}

suspend "$(cat "$work/pid")"
"$BUILD/dmacastctl" --socket "$work/control" --json status >"$work/stopped" 2>&1 &
stopped=$!
will_end $!
wait_until 20 has_state $stopped S
sleep 0.1
kill -STOP $stopped
wait_until 20 has_state $stopped T
kill -CONT $stopped
wait_until 20 has_state $stopped S
resume "$(cat "$work/pid")"
wait $stopped
is "a dmacastctl that was stopped and continued gets its answer" "$?" 0 || diag_file "$work/stopped"

for number in 1 2 3; do
	ctl handover >"$work/ctl" 2>&1 || diag_file "$work/ctl"
	check "restart $number: it has taken over" wait_until 20 handed_over "$number"
done
daemon_stop
is "the last one ends" "$status" 0
for name in pattern command framed; do
	feed_end_ok "$name: every byte, and the end" "$name"
done
awk '{ interrupted += $2; shortened += $3 } END { print "#", interrupted, "calls were interrupted,", shortened, "shortened" }' \
	"$work/faults"
compare "faults of each program were counted" "$(awk '$2 > 0 { print $1 }' "$work/faults" | sort -u | wc -l)" -eq 2

# ---- no memory for a request: each of its allocations fails once ----

counter=$work/counter
truncate -s 4 "$counter"
{
	printf '[daemon]\ncontrol = %s\nmetrics = 127.0.0.1:%s\n' "$work/control" "${ports[3]}"
	printf '[stream main]\npattern = 4M/s\nlisten = 127.0.0.1:%s\n' "${ports[4]}"
	printf '%s\n' 'block-size = 16K' 'ring-size = 1M' 'huge-pages = never' 'retain = 256K'
	printf '[endpoint %s]\nstream = main\nformat = %s\nlisten = 127.0.0.1:%s\n' framed framed "${ports[5]}" http http "${ports[6]}"
} >"$config"
daemon_prefix=(env "LD_PRELOAD=$BUILD/tests/preload/failalloc.so" "DMACAST_FAIL_ALLOCATION=$counter")
daemon_run -c "$config"
daemon_prefix=()
descriptors=$(open_fds)

# lacks TEXT ADDRESS REQUEST ANSWER WRONG
lacks()
{
	check "without memory: $1" tests/lackmemory "$counter" "${@:2}"
	kill -0 "$daemon" || diag_file "$log"
}

get_end=' HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
lacks "a framed client" "${ports[5]}" '' DMCF HTTP
lacks "a client by HTTP" "${ports[6]}" "GET /$get_end" 'HTTP/1.1 200' 'HTTP/1.1 4'
lacks "/info" "${ports[6]}" "GET /info$get_end" 'HTTP/1.1 200' 'HTTP/1.1 4'
lacks "/metrics" "${ports[3]}" "GET /metrics$get_end" 'HTTP/1.1 200' 'HTTP/1.1 4'
lacks "the live page" "${ports[3]}" "GET /$get_end" 'HTTP/1.1 200' 'HTTP/1.1 4'
lacks "the status" "$work/control" '{"command":"status"}\n' '{"ok":true' 'not JSON'
lacks "the clients" "$work/control" '{"command":"clients"}\n' '{"ok":true' 'not JSON'
lacks "events" "$work/control" '{"command":"events"}\n' '{' 'not JSON'

fds_are_back()
{
	[ "$(open_fds)" -le "$descriptors" ]
}

check "no descriptor is left" wait_until 20 fds_are_back
daemon_stop
is "the daemon runs on without memory" "$status" 0

done_testing
