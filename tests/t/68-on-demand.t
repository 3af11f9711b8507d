#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# on-demand and linger: the source runs only while clients are there, each kind of source in its own way; and which
# peers count as there, also for hold.

. tests/lib.sh

if [ "${1-}" != in-namespace ] && unshare -nm true 2>/dev/null; then
	exec unshare -nm bash "$0" in-namespace
fi
[ "${1-}" != in-namespace ] || ip link set lo up
command -v jq >/dev/null || skip_all "jq is not installed"

control=$work/control
demand=(--listen 127.0.0.1:0 --control "$control" --on-demand yes --lag-policy block)

# value FILTER: of the one stream.
value()
{
	"$BUILD/dmacastctl" --socket "$control" --json streams | jq -r ".streams[0] | $1"
}

# value_is FILTER VALUE
value_is()
{
	[ "$(value "$1")" = "$2" ]
}

# lines FILE: print how many it has.
lines()
{
	if [ -e "$1" ]; then wc -l <"$1"; else echo 0; fi
}

lines_are()
{
	[ "$(lines "$1")" -eq "$2" ]
}

# becomes STATE: wait until the stream is in it; fails after a long time.
becomes()
{
	wait_until 30 value_is .state "$1" || diag "the stream is $(value .state), not $1"
}

# connect_and reset|close: a peer that does so at once.
connect_and()
{
	python3 - "$port" "$1" <<-'END'
		import socket, struct, sys
		peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		if sys.argv[2] == "reset":
		    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		peer.close()
	END
}

# --- hold, and a half-closed client that is alive: that takes 66 seconds, and is looked at in the end ---
"$BUILD/tests/feedclient" --generate 1M >"$work/held"
daemon_run --input "$work/held" --hold 2 --listen 127.0.0.1:0
held=("$daemon" "$log")
connect_and reset
connect_and close
feed_start held_half --half-close --from-start --until-end --expect-bytes 1M "127.0.0.1:$port"
feed_start held_whole --from-start --until-end --expect-bytes 1M "127.0.0.1:$port"
held_began=$SECONDS
wait_until 20 clients_joined 4

# --- a command ---
cat >"$work/feeder" <<END
echo start >>"$work/starts"
exec 9>"$work/lock"
flock -n 9 || echo two >>"$work/two"
trap 'kill \$!; wait; echo stop >>"$work/stops"; exit' TERM
"$BUILD/tests/feedclient" --generate 0 &
wait
END
cat >"$work/config" <<END
[daemon]
control = $control
[stream main]
listen = 127.0.0.1:0
input = exec:exec bash $work/feeder
lag-policy = block
on-demand = yes
linger = 0
END
daemon_run -c "$work/config"
sleep 0.5
is "command: it does not run without clients" "$(lines "$work/starts") $(value .state)" "0 holding"
for run in 1 2 3; do
	feed_ok "command: client $run gets a run from its first byte" --from-start --bytes 8M "127.0.0.1:$port"
	check "command: it gets SIGTERM when the client has left" wait_until 30 lines_are "$work/stops" $run
	becomes idle
done
is "command: it started for each of them" "$(lines "$work/starts") $(value .source_starts)" "3 3"
is "command: which is no restart" "$(value .source_restarts)" 0
compare "command: the totals and the sequence go on" "$(value .next_sequence)" -ge $((3 * 32 / scale))
is "command: the ring is free" "$(value '.ring.free == .ring.all')" true
is "command: a log line for each start and stop" "$(grep -c 'starting the source for 1 clients$' "$log") \
$(grep -c 'no client is left; stopping the source until one comes$' "$log")" "3 3"
before=$(value .filled.bytes)
sleep 0.5
is "command: nothing comes while it is stopped" "$(value .filled.bytes)" "$before"

feed_start killed --clients 3 --seconds 600 "127.0.0.1:$port"
wait_until 30 value_is .source_starts 4
feed_end killed KILL
check "command: it stops when its clients were killed" wait_until 30 lines_are "$work/stops" 4
becomes idle

# reload OPTION=VALUE...: change options of the stream.
reload()
{
	local option

	for option; do
		sed -i "s/^${option%%=*} = .*/${option%%=*} = ${option#*=}/" "$work/config"
	done
	check "reload: $*" "$BUILD/dmacastctl" --socket "$control" reload
}

# add_option LINE: add it to the stream.
add_option()
{
	echo "$1" >>"$work/config"
	reload "$1"
}

reload linger=1h
feed_ok "linger: a client" --from-start --bytes 8M "127.0.0.1:$port"
wait_until 30 value_is .clients 0
sleep 0.5
is "linger: the source still runs" "$(value .state) $(lines "$work/starts") $(lines "$work/stops")" "running 5 4"
feed_ok "linger: the next one goes on with the same run" --bytes 8M "127.0.0.1:$port"
compare "linger: ... and not from its start" "$(field first_offset_min)" -gt 0
is "linger: the command was not started again" "$(lines "$work/starts")" 5
reload linger=0
check "linger: a shorter one has effect at once" wait_until 30 lines_are "$work/stops" 5
becomes idle
reload on-demand=no
check "on-demand = no: the source starts without clients" wait_until 30 lines_are "$work/starts" 6
feed_start whole --bytes 40M --rate 20M/s "127.0.0.1:$port"
reload on-demand=yes linger=1s
reload linger=0
feed_end_ok "reload: a client has every byte" whole
check "on-demand = yes: the source stops after it" wait_until 30 lines_are "$work/stops" 6
add_option "hold = 2"
feed_start first --from-start --bytes 4M "127.0.0.1:$port"
sleep 0.5
is "hold = 2: one client does not start it" "$(lines "$work/starts")" 6
feed_ok "hold = 2: two do" --from-start --bytes 4M "127.0.0.1:$port"
feed_end_ok "hold = 2: the first one has a run from its start, too" first
check "hold = 2: it stops when both have left" wait_until 30 lines_are "$work/stops" 7
reload hold=0

# Framed clients: epochs differ, sequences go on.
add_option "format = framed"
for run in 1 2; do
	feed_ok "framed: run $run" --framed --metadata "$work/metadata.$run" --bytes 2M "127.0.0.1:$port"
	becomes idle
done
are_different()
{
	[ -n "$1" ] && [ -n "$2" ] && [ "$1" != "$2" ]
}
check "framed: each run has an epoch of its own" are_different "$(tail -n 1 "$work/metadata.1" | jq .epoch)" \
	"$(tail -n 1 "$work/metadata.2" | jq .epoch)"
reload format=raw

# dmacastctl in each state.
feed_start kicked --allow-reset --seconds 600 "127.0.0.1:$port"
becomes running
stops=$(lines "$work/stops")
check "kick: of the one client" "$BUILD/dmacastctl" --socket "$control" kick --all
check "kick: the source stops" wait_until 30 lines_are "$work/stops" $((stops + 1))
feed_end kicked TERM
becomes idle
add_option "ring-size = 8M"
is "a new ring while it is idle: the new stream waits for clients" "$(value .state)" holding
feed_ok "a new ring while it is idle: a client" --from-start --bytes 4M "127.0.0.1:$port"
becomes idle
check "drain while it is idle" "$BUILD/dmacastctl" --socket "$control" drain main
daemon_wait 30
is "drain while it is idle: exit status" "$status" 0
is "the command never ran twice at a time" "$(lines "$work/two")" 0
is "it was stopped as often as it was started" "$(lines "$work/stops")" "$(lines "$work/starts")"

# --- a command that ignores SIGTERM: the next start waits for its end ---
cat >"$work/stubborn" <<END
echo start >>"$work/stubborn.starts"
exec 9>"$work/lock"
flock -n 9 || echo two >>"$work/two"
trap 'echo ignored >>"$work/ignored"' TERM
"$BUILD/tests/feedclient" --generate 0 &
while :; do wait; sleep 0.1; done
END
daemon_run --input "exec:exec bash $work/stubborn" --stop-timeout 1s --linger 0 "${demand[@]}"
for run in 1 2 3; do
	feed_ok "SIGTERM ignored: client $run" --from-start --bytes 4M "127.0.0.1:$port"
	check "SIGTERM ignored: it got that" wait_until 30 lines_are "$work/ignored" $run
done
is "SIGTERM ignored: one start for each" "$(lines "$work/stubborn.starts")" 3
is "SIGTERM ignored: one at a time" "$(lines "$work/two")" 0
daemon_stop
is "SIGTERM ignored: a stop of the daemon while it is ending" "$status" 0

# --- peers that do not start a source ---
rm -f "$work/starts" "$work/stops"
daemon_run --input "exec:exec bash $work/feeder" --linger 0 "${demand[@]}"
for peer in reset close reset close; do
	connect_and $peer
done
wait_until 20 clients_joined 4
sleep 1
is "peers that have gone do not start it" "$(lines "$work/starts") $(value .state)" "0 holding"
feed_ok "... but a client does" --from-start --bytes 4M "127.0.0.1:$port"
daemon_stop
is "... and the stop of the daemon ends it" "$status $(lines "$work/starts") $(lines "$work/stops")" "0 1 1"

# --- TCP: closed and made anew; attempts end with the clients ---
# serve: a server that sends the pattern to the first connection.
serve()
{
	"$BUILD/tests/feedclient" --generate 0 2>/dev/null |
		socat -u - "TCP-LISTEN:$upstream,bind=127.0.0.1,reuseaddr" 2>/dev/null &
	server=$!
	will_end $server
}

daemon_run --pattern 1M/s --listen 127.0.0.1:0
upstream=$port
daemon_stop
daemon_run --input "tcp:127.0.0.1:$upstream" --linger 0 "${demand[@]}"
feed_start early --from-start --bytes 4M "127.0.0.1:$port"
wait_until 30 grep -q 'Connection refused; trying again' "$log"
serve
feed_end_ok "tcp: a client that was there before the server" early
check "tcp: the server loses its connection" wait_until 30 process_ended $server
becomes idle
serve
feed_ok "tcp: a new connection for the next one" --from-start --bytes 4M "127.0.0.1:$port"
check "tcp: and its end" wait_until 30 process_ended $server
becomes idle
# attempts NUMBER: were there more than these?
attempts()
{
	[ "$(grep -c 'trying again' "$log")" -gt "$1" ]
}
tried=$(grep -c 'trying again' "$log")
feed_start nothing --allow-reset --seconds 600 "127.0.0.1:$port"
check "tcp: it is tried again while a client is there" wait_until 30 attempts $((tried + 1))
"$BUILD/dmacastctl" --socket "$control" kick --all >"$work/kick.out" # its FIN would keep a silent source for a minute
feed_end nothing
becomes idle
tried=$(grep -c 'trying again' "$log")
sleep 1
is "tcp: and not without one" "$(grep -c 'trying again' "$log")" "$tried"
daemon_stop

# --- a FIFO: its writers meet a closed one ---
mkfifo "$work/fifo"
daemon_run --input "$work/fifo" --on-end wait --linger 0 "${demand[@]}"
filled=0
for run in 1 2 3; do
	"$BUILD/tests/feedclient" --generate 0 >"$work/fifo" 2>/dev/null &
	writer=$!
	will_end $writer
	sleep 0.3
	is "fifo: writer $run waits for a client" "$(value .filled.bytes)" "$filled"
	feed_ok "fifo: client $run gets what it writes then" --from-start --bytes 4M "127.0.0.1:$port"
	check "fifo: writer $run ends" wait_until 30 process_ended $writer
	becomes idle
	filled=$(value .filled.bytes)
done
daemon_stop
is "fifo: exit status" "$status" 0

# --- a file begins again; at its end on-end decides ---
"$BUILD/tests/feedclient" --generate 64M >"$work/file"
daemon_run --input "$work/file" --linger 0 "${demand[@]}"
for run in 1 2; do
	feed_ok "file: client $run gets it from its start" --from-start --bytes 4M "127.0.0.1:$port"
	becomes idle
done
feed_ok "file: to its end, which ends the stream" --from-start --until-end --expect-bytes 64M "127.0.0.1:$port"
daemon_wait 30
is "file: exit status" "$status" 0
rm "$work/file"
daemon_run --input "$work/file" "${demand[@]}"
daemon_wait 10
is "file: one that is missing is an error at the start" "$status" 1

# --- the pattern goes on ---
daemon_run --pattern $((40 / scale))M/s --linger 0 "${demand[@]}"
next=0
for run in 1 2 3; do
	feed_ok "pattern: client $run" --clients 3 --bytes 4M "127.0.0.1:$port"
	compare "pattern: run $run goes on where the former one was" "$(field first_offset_min)" -ge "$next"
	becomes idle
	next=$(value .filled.bytes)
done
daemon_stop

# --- producers that connect ---
daemon_run --input tcp-listen:127.0.0.1:0 --linger 0 "${demand[@]}"
producers=$(sed -n 's/.*producers can connect to .*:\([0-9]*\)$/\1/p' "$log" | head -n 1)
filled=0
for run in 1 2; do
	"$BUILD/tests/feedclient" --generate 0 2>/dev/null >"/dev/tcp/127.0.0.1/$producers" &
	producer=$!
	will_end $producer
	sleep 0.3
	is "tcp-listen: producer $run waits" "$(value .filled.bytes)" "$filled"
	feed_ok "tcp-listen: client $run gets what it sends, from the first byte" --from-start --bytes 4M \
		"127.0.0.1:$port"
	check "tcp-listen: producer $run loses its connection" wait_until 30 process_ended $producer
	becomes idle
	filled=$(value .filled.bytes)
done
daemon_stop
is "tcp-listen: exit status" "$status" 0

# --- standard input ---
daemon_run --input - --on-demand yes --listen 127.0.0.1:0
daemon_wait 10
is "standard input: refused" "$status" 1
matches "standard input: with what to do" "$log" 'on-demand = yes: standard input .*expected input = exec:COMMAND'

# --- peers that vanish without a packet ---
if [ "${1-}" = in-namespace ] && ip link add server type veth peer name client; then
	unshare -n sleep 600 &
	host=$!
	will_end "$host"
	wait_until 5 sh -c "[ \"\$(readlink /proc/$host/ns/net)\" != \"\$(readlink /proc/$$/ns/net)\" ]"
	ip link set client netns "$host"
	at_client=(nsenter -t "$host" -n --)
	ip addr add 10.77.0.1/24 dev server
	ip link set server up
	"${at_client[@]}" ip addr add 10.77.0.2/24 dev client
	"${at_client[@]}" ip link set client up
	demand[1]=10.77.0.1:0

	# far FILE: a client at the other host that drops what it receives, and makes FILE when it is connected.
	far()
	{
		"${at_client[@]}" bash -c "exec 3<>/dev/tcp/10.77.0.1/$port && : >$1 && exec cat <&3" >/dev/null &
		far=$!
		will_end $far
		wait_until 30 test -e "$1"
	}

	far_end()
	{
		signal_to KILL $far
		# The shell would print a line for it.
		{ wait $far; } 2>/dev/null
	}

	rm -f "$work/starts" "$work/stops"
	daemon_run --input "exec:exec bash $work/feeder" --hold 2 --keepalive 1s --user-timeout 3s "${demand[@]}"
	far "$work/far.1"
	wait_until 30 clients_joined 1
	"${at_client[@]}" ip link set client down
	check "vanished: keepalive ends it" wait_until 60 clients_left 1
	feed_start here --from-start --bytes 4M "10.77.0.1:$port"
	sleep 0.5
	is "vanished: it does not count for hold" "$(lines "$work/starts")" 0
	feed_ok "vanished: two that are there do" --from-start --bytes 4M "10.77.0.1:$port"
	feed_end_ok "vanished: every byte to both" here
	daemon_stop
	"${at_client[@]}" ip link set client up
	far_end

	rm -f "$work/starts" "$work/stops"
	daemon_run --input "exec:exec bash $work/feeder" --linger 0 --user-timeout 2s "${demand[@]}"
	far "$work/far.2"
	wait_until 30 lines_are "$work/starts" 1
	"${at_client[@]}" ip link set client down
	check "vanished: the source stops after user-timeout" wait_until 60 lines_are "$work/stops" 1
	becomes idle
	daemon_stop
	"${at_client[@]}" ip link set client up
	far_end
else
	skip "peers that vanish" "no network namespaces here"
fi

# --- the half-closed client of the beginning ---
daemon=${held[0]} log=${held[1]}
diag "the held stream has waited for $((SECONDS - held_began)) s"
feed_end_ok "hold: a half-closed client that is alive counts after 66 seconds" held_half
feed_end_ok "hold: ... and the other one has every byte" held_whole
compare "hold: not before" "$(sed -n 's/.* bytes in \([0-9]*\)\.[0-9]* s.*/\1/p' "$log" | sort -n | tail -n 1)" -ge 66
check "hold: the stream ends with its file" wait_until 30 process_ended "$daemon"

done_testing
