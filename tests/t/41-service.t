#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Notifications to the service manager, and sockets from it: readiness, status, reload, watchdog, sockets by name.

. tests/lib.sh

manager=$BUILD/tests/servicemanager
told=$work/told
config=$work/dmacastd.conf

# managed ARGUMENT...: what the next daemon is started by.
managed()
{
	daemon_prefix=("$manager" --told "$told" "$@")
}

was_told()
{
	grep -Eq -- "$1" "$told"
}

times_told()
{
	grep -cE -- "$1" "$told"
}

is_told()
{
	wait_until "${3:-10}" was_told "$2"
	matches "$1" "$told" "$2"
}

# --- from the start to the end ---
printf '[stream a]\npattern = 20M/s\nlisten = 127.0.0.1:0\nlag-policy = block\n' >"$config"
managed --watchdog 300000
daemon_run -c "$config"
is_told "it is ready" ' READY=1$'
is "only the daemon itself tells" "$(cut -d ' ' -f 2 "$told" | sort -u)" "$daemon"
check "then somebody listens" bash -c "exec 9<>/dev/tcp/127.0.0.1/$port"
matches "before that there is a status" "$told" ' STATUS=1 stream, 0 clients, '
feed_start clients --clients 3 --until-end --expect-end end "127.0.0.1:$port"
is_told "the status follows: clients and rate" 'STATUS=1 stream, 3 clients, (1[0-9]|2[0-9])(\.[0-9])? MiB/s' 20

kill -HUP "$daemon"
is_told "a reload is told" 'RELOADING=1 MONOTONIC_USEC=[0-9]+$'
wait_until 10 sh -c "[ \$(grep -c 'READY=1' '$told') -ge 2 ]"
is "and its end" "$(grep -oE 'READY=1|RELOADING=1' "$told" | tr '\n' ' ')" \
	"READY=1 RELOADING=1 READY=1 "
now=$(awk '{ printf "%.0f", $1 * 1000000 }' /proc/uptime)
reloaded=$(sed -n 's/.*MONOTONIC_USEC=//p' "$told")
compare "the time of it is on the monotonic clock" $((now - reloaded)) -lt 60000000
compare "... and not in the future" $((now - reloaded)) -gt -1000000
echo 'bogus = 1' >>"$config"
kill -HUP "$daemon"
wait_until 10 sh -c "[ \$(grep -c 'READY=1' '$told') -ge 3 ]"
is "a reload that is refused ends, too" "$(times_told 'READY=1')" 3

before=$(times_told WATCHDOG=1)
sleep 2
compare "the watchdog is served twice as often as asked for" \
	$(($(times_told WATCHDOG=1) - before)) -ge 7
suspend "$daemon"
sleep 0.2
before=$(times_told WATCHDOG=1)
sleep 1
is "... and not when the event loop hangs" "$(times_told WATCHDOG=1)" "$before"
resume "$daemon"

daemon_stop
is "exit status" "$status" 0
is_told "the end is told" 'STOPPING=1 EXTEND_TIMEOUT_USEC=[0-9]+$'
feed_end_ok "clients have every byte, and the end" clients

# --- draining takes its time, and says that it is alive ---
managed --watchdog 400000
daemon_run --pattern max --drain-timeout 1h --listen 127.0.0.1:0
feed_start stalled --clients 2 --stall 2 --rcvbuf 8K --seconds 60 --allow-reset "127.0.0.1:$port"
sleep 0.5
kill -TERM "$daemon"
is_told "while stopping: the status says what for" 'STATUS=stopping: 2 clients to receive the rest'
before=$(times_told WATCHDOG=1)
extended=$(times_told EXTEND_TIMEOUT_USEC)
sleep 6
compare "while stopping: the watchdog is served" $(($(times_told WATCHDOG=1) - before)) -ge 10
compare "while stopping: more time is asked for, again and again" \
	"$(times_told EXTEND_TIMEOUT_USEC)" -gt "$extended"
daemon_stop
feed_end stalled TERM

# --- a device that is waited for ---
managed
daemon_run --device /dev/no-such-device --on-end wait --listen 127.0.0.1:0
is_told "waiting for a device: ready all the same" ' READY=1$'
matches "waiting for a device: the status says so" "$told" \
	'STATUS=1 stream \(1 waiting for a device\), 0 clients, '

# --- nothing to say, nothing sent; and without a manager no timer at all ---
managed_daemon=$daemon
daemon_prefix=()
mkfifo "$work/fifo"
exec 4<>"$work/fifo"
daemon_run --input "$work/fifo" --listen 127.0.0.1:0
sleep 0.5
wakeups=$(sleeps "$daemon")
before=$(wc -l <"$told")
sleep 6
is "without a manager: nothing wakes it up" "$(($(sleeps "$daemon") - wakeups))" 0
is "with one: it is not told the same again" "$(wc -l <"$told")" "$before"
daemon_stop
exec 4>&-
kill "$managed_daemon"
wait "$managed_daemon"

# --- a command is not for the manager, and gets none of its sockets ---
managed --watchdog 300000 --listen other=127.0.0.1:0
daemon_run --input "exec:env >>$work/environment; ls -l /proc/self/fd >>$work/descriptors; echo >>$work/runs" \
	--listen 127.0.0.1:0
# When it runs the second time, the manager was told something before.
wait_until 20 sh -c "[ \$(wc -l <'$work/runs') -ge 2 ]"
compare "a command: runs" "$(wc -l <"$work/runs")" -ge 2
is "a command: nothing in its environment is of the manager" \
	"$(grep -cE '^(NOTIFY_SOCKET|WATCHDOG_|LISTEN_)' "$work/environment")" 0
is "a command: no socket" "$(grep -c socket: "$work/descriptors")" 0
daemon_stop

# --- sockets by name ---
# is_served PORT: a client there gets something.
is_served()
{
	"$BUILD/tests/feedclient" --bytes 64K "127.0.0.1:$1"
}
free_ports 3
one=${ports[0]} two=${ports[1]} three=${ports[2]}
sockets=(--listen "adc=127.0.0.1:$one" --listen "adc=127.0.0.1:$two" --listen "sdr=127.0.0.1:$three")
section()
{
	printf '[stream %s]\npattern = 20M/s\nlisten = %s\n' "$1" "$2"
}
section a systemd:adc >"$config"
managed "${sockets[@]}"
daemon_run -c "$config"
is_told "sockets: ready" ' READY=1$'
for port in "$one" "$two"; do
	check "sockets: every one of the name is served" is_served "$port"
done
matches "sockets: one without a stream is warned of" "$log" \
	'warning: socket systemd:sdr was passed by systemd but no stream uses it, .*add listen = systemd:sdr'

# Another stream has it after a reload, and clients that came before are served then.
feed_start early --clients 1 --bytes 1M "127.0.0.1:$three"
feed_start same --clients 2 --until-end --expect-end end "127.0.0.1:$one"
section b systemd:sdr >>"$config"
kill -HUP "$daemon"
feed_end_ok "sockets: waiting clients are served when a stream has it" early
section b systemd:adc >"$config"
section a systemd:sdr >>"$config"
kill -HUP "$daemon"
wait_until 10 grep -q 'stream b: listen changed' "$log"
check "sockets: streams exchange them" is_served "$one"
check "sockets: and back" is_served "$three"
section a systemd:sdr >"$config"
kill -HUP "$daemon"
wait_until 10 grep -q 'stream b: ended' "$log"
feed_start early --clients 1 --bytes 1M "127.0.0.1:$one"
section b systemd:adc >>"$config"
kill -HUP "$daemon"
feed_end_ok "sockets: they are there still when their stream was removed" early
daemon_stop
is "sockets: exit status" "$status" 0
feed_end_ok "sockets: clients stay with their stream" same

# refused TEXT REGEX
refused()
{
	daemon_run -c "$config"
	daemon_wait 5
	is "$1: exit status" "$status" 1
	matches "$1: says what is wrong" "$log" "$2"
}
managed "${sockets[@]}"
section a systemd:none >"$config"
refused "a socket that was not passed" \
	'stream a: listen = systemd:none: no socket of this name was passed; expected a started socket unit'
section a systemd:adc >"$config"
managed --connected adc
refused "a socket that does not listen" \
	'socket systemd:adc: not a listening TCP socket; expected ListenStream=PORT'
daemon_prefix=()
refused "no manager" 'no socket of this name was passed'

# --- the real thing, as far as it goes without systemd: it starts the daemon for the first client ---
if command -v systemd-socket-activate >/dev/null; then
	log=$work/activated.log
	systemd-socket-activate -l "127.0.0.1:$one" --fdname=adc "$(readlink -f "$BUILD/dmacastd")" \
		-c "$config" 2>"$log" &
	daemon=$!
	will_end "$daemon"
	wait_until 10 grep -q Listening "$log"
	feed_ok "systemd-socket-activate: the client that starts it is served" --bytes 4M \
		"127.0.0.1:$one"
	daemon_stop
	is "systemd-socket-activate: exit status" "$status" 0
else
	skip "systemd-socket-activate" "not installed"
fi

done_testing
