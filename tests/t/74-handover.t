#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A restart and an upgrade keep every client and every byte; what goes wrong leaves the daemon as it was, or starts clean.

. tests/lib.sh

manager=$BUILD/tests/servicemanager
told=$work/told
pid_file=$work/pid
config=$work/dmacastd.conf
work_path=$(readlink -f "$BUILD")
tree_program=$work_path/dmacastd
free_ports 6
raw=${ports[0]} framed=${ports[1]} http=${ports[2]} command=${ports[3]} gone=${ports[4]} slow=${ports[5]}

ctl()
{
	"$BUILD/dmacastctl" --socket "$work/control" "$@"
}

# stream NAME PORT OPTION...: with a ring that can be handed over wherever huge pages are scarce.
stream()
{
	printf '[stream %s]\nlisten = 127.0.0.1:%s\nhuge-pages = never\n' "$1" "$2"
	shift 2
	printf '%s\n' "$@"
}

# streams: the configuration of most tests.
streams()
{
	local rate=$((4000000 / scale))/s

	printf '[daemon]\ncontrol = %s\n' "$work/control"
	stream raw "$raw" "pattern = $rate" "lag-policy = block"
	stream framed "$framed" "pattern = $rate" "lag-policy = block" "format = framed" "retain = 2M"
	stream http "$http" "pattern = $rate" "lag-policy = block" "format = http"
	stream command "$command" "lag-policy = block" \
		"input = exec:echo \$\$ >>$work/pids; exec $work_path/tests/feedclient --generate 0 --rate $rate"
	stream slow "$slow" "pattern = $rate" "ring-size = 4M"
}

# handover_count: print the number of handovers that the daemon knows of.
handover_count()
{
	ctl --json status 2>/dev/null | sed -n 's/.*"handovers":{"count":\([0-9]*\).*/\1/p'
}

handed_over()
{
	[ "$(handover_count)" = "$1" ]
}

# The reload after a handover is over.
reloaded()
{
	[ "$(grep -cE 'streams: [0-9]+ new|was not applied' "$log")" -ge "$1" ]
}

# service CONFIG-FREE-ARGUMENT...: start dmacastd by the service manager, which restarts it.
service()
{
	daemon_prefix=("$manager" --told "$told" "$@" --restart "$pid_file")
	rm -f "$pid_file"
	daemon_run -c "$config"
	daemon_prefix=()
	# Each stream listens, and so does the control socket.
	wait_until 20 ctl status
}

# restart NUMBER: it is the handover of that number.
restart()
{
	ctl handover >"$work/ctl" 2>&1 || diag_file "$work/ctl"
	wait_until 20 handed_over "$1"
	is "restart $1: it has taken over" "$(handover_count)" "$1"
}

start_clients()
{
	local end=(--until-end --expect-end end)

	feed_start raw --clients 10 "${end[@]}" "127.0.0.1:$raw"
	feed_start framed --clients 10 --framed "${end[@]}" "127.0.0.1:$framed"
	feed_start http --clients 10 --http / "${end[@]}" "127.0.0.1:$http"
	feed_start command --clients 5 "${end[@]}" "127.0.0.1:$command"
}

end_clients()
{
	local name

	for name in raw framed http command; do
		feed_end_ok "$1: $name clients have every byte, and the end" "$name"
	done
}

# --- restarts by the service manager ---
{
	streams
	stream gone "$gone" "pattern = $((2000000 / scale))/s" "lag-policy = block" "ring-size = 1M" \
		"block-size = 64K"
} >"$config"
service --store 2 --watchdog 20000000
first=$(cat "$pid_file")
start_clients
feed_start stalled --clients 2 --stall 2 --rcvbuf 8K --seconds 100 "127.0.0.1:$slow"
feed_start gone --clients 1 --rate 400K/s --rcvbuf 16K --until-end --expect-end end "127.0.0.1:$gone"
wait_until 10 test -s "$work/pids"
restart 1
compare "restart 1: by another process" "$(cat "$pid_file")" -ne "$first"
matches "restart 1: what was taken over is in the log" "$log" \
	'took over 6 stream\(s\) with 38 client\(s\) from dmacastd .* after a pause of [0-9]+ ms'
matches "restart 1: the descriptor is removed from the store" "$told" 'FDSTOREREMOVE=1 FDNAME=dmacast-handover'
matches "restart 1: dmacastctl shows it" <(ctl status) '^handovers  1, the last one with 38 clients, paused for'
feed_ok "restart 1: a new client is served from history on" --framed --bytes 256K "127.0.0.1:$framed"

# In the middle of a drain, with options that change.
streams | sed 's/^retain = 2M/retain = 1M/' >"$config"
ctl reload
wait_until 10 grep -q 'stream gone: ' "$log"
restart 2
wait_until 20 reloaded 3
feed_end_ok "restart 2: clients of a stream that drains receive the rest" gone
streams | sed 's/^retain = 2M/retain = 1M\nmax-clients = 500/' >"$config"
restart 3
wait_until 20 grep -q 'stream framed: .*max-clients' "$log"
matches "restart 3: the new configuration is in effect" "$log" 'stream framed: .*max-clients changed'

# A configuration with an error.
echo 'bogus = 1' >>"$config"
restart 4
matches "restart 4: the error in the configuration is logged" "$log" 'error: .*bogus: unknown option'
wait_until 20 grep -q 'was not applied; the previous' "$log"
matches "restart 4: the streams go on as they were" "$log" 'the streams of the predecessor go on as they are'
check "restart 4: there is a control socket still" ctl status
streams >"$config"
check "restart 4: a corrected file can be read" ctl reload

# The command runs on.
is "its command was started once" "$(wc -l <"$work/pids")" 1
check "... and runs" kill -0 "$(cat "$work/pids")"
is "stalled clients are connected" "$(ctl clients slow | grep -c 127.0.0.1)" 2
feed_end stalled TERM
daemon_stop
is "exit status" "$status" 0
end_clients restarts

# --- a service manager that keeps nothing ---
service --store 0
start_clients
check "nothing is kept: refused" bash -c "! $BUILD/dmacastctl --socket $work/control handover 2>$work/ctl"
matches "nothing is kept: the error tells what to do" "$work/ctl" 'expected FileDescriptorStoreMax=1'
is "nothing is kept: the process goes on" "$(handover_count)" 0
feed_ok "nothing is kept: and serves new clients" --bytes 256K "127.0.0.1:$raw"
daemon_stop
end_clients "nothing is kept"

# --- killed at any moment of a handover ---
service --store 2
for ((round = 0; round < 4; round++)); do
	feed_start killed --clients 10 --seconds 100 --allow-reset --allow-end "127.0.0.1:$raw"
	ctl handover >/dev/null 2>&1 &
	asked=$!
	sleep 0.00$((RANDOM % 10))
	kill -KILL "$(cat "$pid_file")" 2>/dev/null
	wait "$asked"
	wait_until 20 ctl status
	feed_ok "killed, round $round: new clients are served" --bytes 128K "127.0.0.1:$raw"
	feed_end_ok "killed, round $round: no client got a wrong byte" killed TERM
	diag "$(field ended) ended, $(field resets) reset of 10"
done
daemon_stop
is "killed: exit status in the end" "$status" 0

# --- killed after a handover ---
service --store 2
feed_start reset --clients 5 --seconds 100 --expect-end reset "127.0.0.1:$raw"
restart 1
kill -KILL "$(cat "$pid_file")"
feed_end_ok "killed after a handover: no client takes that for the end of the stream" reset
wait_until 20 ctl status
daemon_stop

# --- what is no parcel ---
daemon_prefix=("$manager" --connected dmacast-handover)
daemon_run -c "$config"
daemon_prefix=()
matches "a socket that is no parcel: said" "$log" 'nothing is taken over, and 0 connection\(s\) are reset: .*a part of it is missing'
feed_ok "a socket that is no parcel: a clean start" --bytes 128K "127.0.0.1:$raw"
daemon_stop
daemon_prefix=(env DMACAST_HANDOVER=77)
daemon_run -c "$config"
daemon_prefix=()
matches "a descriptor that is not open: said" "$log" 'DMACAST_HANDOVER does not name an open descriptor'
daemon_stop

# --- upgrade ---
refused()
{
	check "upgrade $1: refused" bash -c "! $BUILD/dmacastctl --socket $work/control upgrade $1 2>$work/ctl"
	matches "upgrade $1: why" "$work/ctl" "$2"
}
running_program()
{
	readlink "/proc/$daemon/exe"
}
program=$work/program
cp "$tree_program" "$program"
daemon_run -c "$config"
wait_until 20 ctl status
start_clients
check "upgrade: succeeds" ctl upgrade "$program"
is "upgrade: another program, the same process" "$(running_program)" "$program"
rm "$program"
cp "$tree_program" "$program"
check "upgrade: to what has taken the place of the program" ctl upgrade
is "upgrade: is that" "$(running_program)" "$program"
format=$("$BUILD/dmacastd" --handover-format)
printf '#!/bin/sh\necho %d\n' $((format + 1)) >"$work/other"
chmod +x "$work/other"
refused /bin/true 'is not a dmacastd that can take over'
refused "$work/missing" 'No such file or directory'
refused "$config" 'Permission denied'
refused "$work/other" "understands handover format $((format + 1)); expected $format"
is "upgrade: those refused change nothing" "$(handover_count)" 2
check "upgrade: once more" ctl upgrade "$tree_program"
matches "upgrade: dmacastctl tells what happened" "$work/check.out" \
	'pid [0-9]+: took over 5 stream\(s\) with 35 client\(s\) in [0-9]+ ms'

# This program stops the dmacastctl that waits for it.
# shellcheck disable=SC2016 # expanded by the program
printf '#!/bin/sh\n[ "$1" = --handover-format ] || exec %s "$@"\nkill -STOP "$(cat %s/asking)"\necho %d\n' \
	"$tree_program" "$work" "$format" >"$work/slow"
chmod +x "$work/slow"
# shellcheck disable=SC2016 # expanded by the inner shell
bash -c 'echo $$ >"$1/asking"; exec "$2/dmacastctl" --socket "$1/control" upgrade "$1/slow"' ask "$work" "$work_path" \
	>"$work/ask.out" 2>&1 &
asking=$!
will_end "$asking"
wait_until 20 handed_over 4
check "upgrade: another one follows" ctl upgrade "$tree_program"
signal_to CONT "$asking"
wait "$asking"
is "upgrade: the first dmacastctl, which slept, knows that it was taken over" $? 0

daemon_stop
is "upgrade: exit status" "$status" 0
end_clients upgrade

# A path need not be UTF-8.
sed 's/^control = .*/&\xff/' "$config" >"$work/path.conf"
daemon_run -c "$work/path.conf"
feed_start path --clients 2 --until-end --expect-end end "127.0.0.1:$raw"
check "a path that is not UTF-8: an upgrade succeeds" "$BUILD/dmacastctl" --socket "$work/control"$'\xff' upgrade
daemon_stop
feed_end_ok "a path that is not UTF-8: clients have every byte" path

# --- SIGTERM in the middle of an upgrade ---
case $BUILD in
*/san-*) skip "SIGTERM during an upgrade" "sanitizers want to be the first library" ;;
*)
	for moment in before after; do
		daemon_prefix=(env "LD_PRELOAD=$work_path/tests/preload/latesignal.so" "DMACAST_LATE_SIGTERM=$moment")
		daemon_run -c "$config"
		daemon_prefix=()
		wait_until 20 ctl status
		start_clients
		# It would wait for the next program.
		ctl upgrade >"$work/ctl" 2>&1 &
		asking=$!
		will_end "$asking"
		daemon_wait 30
		signal_to TERM "$asking"
		is "SIGTERM $moment signals are blocked: it ends the daemon" "$status" 0
		end_clients "SIGTERM $moment signals are blocked"
	done
	;;
esac

done_testing
