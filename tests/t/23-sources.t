#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Every kind of source, and what happens at its end.

. tests/lib.sh

command -v socat >/dev/null || skip_all "no socat"

generate=$BUILD/tests/feedclient
"$generate" --generate 20M >"$work/pattern"
"$generate" --generate 1234567 >"$work/odd"
whole=(--lag-policy block --zerocopy always --listen 127.0.0.1:0)

# --- standard input: a pipe, a file, nothing ---
mkfifo "$work/stdin"
"$generate" --generate 20M >"$work/stdin" &
daemon_input=$work/stdin
daemon_run --input - --hold 3 "${whole[@]}"
feed_ok "standard input: three clients have every byte of it" --clients 3 --from-start \
	--until-end --expect-bytes 20M "127.0.0.1:$port"
daemon_wait 20
is "standard input: the daemon ends with it" "$status" 0

# Blocks that are full, and nothing more for now: a read for more would wait, and all clients with it.
exec {pipe}<>"$work/stdin"
daemon_input=$work/stdin
daemon_run --input - --hold 1 --block-size 64K "${whole[@]}"
for round in 1 2; do
	head -c 128K "$work/pattern" >&"$pipe"
	[ "$round" -ne 1 ] || exec {client}<>"/dev/tcp/127.0.0.1/$port"
	is "standard input: whole blocks arrive while the writer pauses, $round" \
		"$(timeout 10 head -c 128K <&"$client" | wc -c)" 131072
done
exec {client}>&- {pipe}>&-
daemon_stop

daemon_input=$work/odd
daemon_run --input - --hold 1 "${whole[@]}"
feed_ok "standard input from a file, with an odd end" --from-start --until-end \
	--expect-bytes 1234567 "127.0.0.1:$port"
daemon_wait 20
is "standard input from a file: exit status" "$status" 0
daemon_input=/dev/null
daemon_run --input - --listen 127.0.0.1:0
daemon_wait 20
is "empty standard input ends at once" "$status" 0

# --- a regular file ---
daemon_run --input "$work/pattern" --hold 2 "${whole[@]}"
feed_ok "file: every byte" --clients 2 --from-start --until-end --expect-bytes 20M \
	"127.0.0.1:$port"
daemon_wait 20
is "file: exit status" "$status" 0

# In a loop the pattern starts again: a client that reads two rounds sees the file twice.
daemon_run --input "$work/odd" --loop yes --hold 1 "${whole[@]}"
cat "$work/odd" "$work/odd" "$work/odd" >"$work/thrice"
head -c 3703701 <"/dev/tcp/127.0.0.1/$port" >"$work/looped"
check "file in a loop" cmp "$work/looped" "$work/thrice"
daemon_stop
is "file in a loop: exit status" "$status" 0
: >"$work/empty"
daemon_run --input "$work/empty" --loop yes --listen 127.0.0.1:0
daemon_wait 20
is "an empty file in a loop ends" "$status" 0

# --- a FIFO ---
mkfifo "$work/fifo"
daemon_run --input "$work/fifo" --hold 2 "${whole[@]}"
"$generate" --generate 20M >"$work/fifo" &
feed_ok "FIFO: every byte, then the end" --clients 2 --from-start --until-end \
	--expect-bytes 20M "127.0.0.1:$port"
daemon_wait 20
is "FIFO: exit status" "$status" 0

daemon_run --input "$work/fifo" --on-end wait --hold 1 "${whole[@]}"
feed_start waiting --clients 1 --from-start --bytes 20M "127.0.0.1:$port"
for part in 1 2 3 4; do
	tail -c +$(((part - 1) * 5242880 + 1)) "$work/pattern" | head -c 5242880 >"$work/fifo"
done
feed_end_ok "FIFO with on-end = wait: four writers, one stream" waiting
daemon_stop
is "FIFO with on-end = wait: exit status" "$status" 0

# Writers that come and go faster than the daemon looks: nothing may be lost between them.
daemon_run --input "$work/fifo" --on-end wait --hold 1 "${whole[@]}"
feed_start waiting --clients 1 --from-start --bytes 800K "127.0.0.1:$port"
for part in $(seq 0 199); do
	dd if="$work/pattern" bs=4K skip="$part" count=1 status=none >"$work/fifo"
done
feed_end_ok "FIFO with on-end = wait: 200 short writers in a row" waiting
daemon_stop
# Ten lines in 5 seconds; 200 writers take less than 25.
compare "FIFO with on-end = wait: few lines about them" \
	"$(grep -c 'waiting for the next writer' "$log")" -le 60
compare "FIFO with on-end = wait: there are some" "$(grep -c 'waiting for the next writer' "$log")" -ge 1
# A FIFO that a script makes anew each time, and that is not there yet when the daemon starts.
daemon_run --input "$work/anew/fifo" --on-end wait --hold 1 "${whole[@]}"
is "a FIFO that is missing with on-end = wait: the daemon runs" "$(process_ended "$daemon"; echo $?)" 1
matches "... and says what it waits for" "$log" 'anew/fifo: No such file or directory; waiting until it can be opened'
feed_start waiting --clients 1 --from-start --bytes 20M "127.0.0.1:$port"
mkdir "$work/anew"
for part in 1 2 3 4; do
	rm -f "$work/anew/fifo"
	mkfifo "$work/anew/fifo"
	tail -c +$(((part - 1) * 5242880 + 1)) "$work/pattern" | head -c 5242880 >"$work/anew/fifo"
done
feed_end_ok "a FIFO that is made anew by each writer: one stream" waiting
rm "$work/anew/fifo"
mkfifo "$work/anew/fifo"
wait_until 10 grep -q 'reading the new file' "$log"
daemon_stop
is "a FIFO that is made anew: exit status" "$status" 0

daemon_run --input /dev/null --on-end wait --listen 127.0.0.1:0
sleep 1
compare "a device that is always at its end is not tried without end" "$(wc -l <"$log")" -lt 20
daemon_stop
is "a device that is always at its end: exit status" "$status" 0

# --- a terminal: what a device may send, and what line editing would take or change ---
mkfifo "$work/line"
socat -u "OPEN:$work/line" "PTY,link=$work/terminal" &
will_end $!
exec {line}>"$work/line"
wait_until 5 test -e "$work/terminal"
stty -g <"$work/terminal" >"$work/stty-before"
daemon_run --input "$work/terminal" --baud 250000 --hold 1 --flush 10ms "${whole[@]}"
exec {client}<>"/dev/tcp/127.0.0.1/$port"
printf '%b' "$(printf '\\r\\n\\x03\\x04\\x13\\x11\\x15\\x7f'; printf '\\x%02x' {0..255})" >"$work/line-sent"
cat "$work/line-sent" >&"$line"
timeout 10 head -c 264 <&"$client" >"$work/line-got"
check "terminal: every byte arrives as it is" cmp "$work/line-got" "$work/line-sent"
exec {client}>&-
daemon_stop
is "terminal: exit status" "$status" 0
stty -g <"$work/terminal" >"$work/stty-after"
check "terminal: its settings are restored" cmp "$work/stty-before" "$work/stty-after"
exec {line}>&-

# --- flush: a slow source does not wait for a full block ---
daemon_run --input "$work/fifo" --on-end wait --flush 50ms --hold 1 "${whole[@]}"
exec 4<>"$work/fifo"
exec 5<>"/dev/tcp/127.0.0.1/$port"
wait_until 5 grep -q joined "$log"
printf 'a few bytes' >&4
got=
IFS= read -r -t 5 -n 11 -u 5 got
is "flush: a few bytes come soon" "$got" "a few bytes"
exec 4>&- 5>&-
daemon_stop

# --- a Unix socket ---
socat -u "OPEN:$work/pattern" "UNIX-LISTEN:$work/socket" &
wait_until 5 test -S "$work/socket"
daemon_run --input "unix:$work/socket" --on-end close --hold 1 "${whole[@]}"
feed_ok "unix: every byte" --from-start --until-end --expect-bytes 20M "127.0.0.1:$port"
daemon_wait 20
is "unix: exit status" "$status" 0

# --- TCP: nobody there at first, then a server that ends, then another one ---
free_port()
{
	daemon_run --pattern 1M/s --listen 127.0.0.1:0
	daemon_stop
	echo "$port"
}
upstream=$(free_port)
daemon_run --input "tcp:127.0.0.1:$upstream" --hold 1 "${whole[@]}"
feed_start tcp --clients 1 --from-start --bytes 20M "127.0.0.1:$port"
wait_until 5 grep -q 'Connection refused; trying again in' "$log"
matches "tcp: it says what it waits for" "$log" "tcp:127.0.0.1:$upstream: .*trying again in"
for part in 1 2; do
	tail -c +$(((part - 1) * 10485760 + 1)) "$work/pattern" | head -c 10485760 |
		socat -u - "TCP-LISTEN:$upstream,bind=127.0.0.1,reuseaddr"
done
feed_end_ok "tcp: two servers, one after the other, one stream" tcp
daemon_stop
is "tcp: exit status" "$status" 0
socat -u "OPEN:$work/pattern" "TCP-LISTEN:$upstream,bind=127.0.0.1,reuseaddr" &
daemon_run --input "tcp:localhost:$upstream" --on-end close --hold 1 "${whole[@]}"
feed_ok "tcp: a server by its name" --from-start --until-end --expect-bytes 20M \
	"127.0.0.1:$port"
daemon_wait 20
is "tcp: exit status with on-end = close" "$status" 0

# A server that stays connected and sends nothing more: its process is stopped, its kernel still answers.
socat -u "OPEN:$work/odd,ignoreeof" "TCP-LISTEN:$upstream,bind=127.0.0.1,reuseaddr" &
silent=$!
will_end $silent
daemon_run --input "tcp:127.0.0.1:$upstream" --input-timeout 1s --hold 1 "${whole[@]}"
exec {client}<>"/dev/tcp/127.0.0.1/$port"
timeout 20 head -c 1234567 <&"$client" >"$work/first"
check "tcp: the data of a server that then is silent" cmp "$work/first" "$work/odd"
signal_to STOP $silent
socat -u "OPEN:$work/odd" "TCP-LISTEN:$upstream,bind=127.0.0.1,reuseaddr" &
timeout 20 head -c 1234567 <&"$client" >"$work/again"
check "input-timeout: a silent server is left, and another one is read" cmp "$work/again" "$work/odd"
exec {client}>&-
matches "... and the log says it" "$log" "tcp:127.0.0.1:$upstream: no byte for 1s; trying again in"
signal_to KILL $silent
{ wait $silent; } 2>/dev/null
daemon_stop
is "input-timeout: exit status" "$status" 0

# --- a command ---
daemon_run --input "exec:echo hello from it >&2; cat $work/pattern" --on-end close --hold 2 \
	"${whole[@]}"
feed_ok "exec: every byte of the output" --clients 2 --from-start --until-end \
	--expect-bytes 20M "127.0.0.1:$port"
daemon_wait 20
is "exec: exit status" "$status" 0
matches "exec: its standard error is in the log" "$log" 'stream main: command: hello from it'

cat >"$work/twice" <<END
#!/bin/sh
# The first half when it runs first, then the second one.
if mkdir "$work/ran" 2>/dev/null; then
	head -c 10485760 "$work/pattern"
	exit 3
fi
tail -c +10485761 "$work/pattern"
END
daemon_run --input "exec:sh $work/twice" --hold 1 "${whole[@]}"
feed_ok "exec: a command that ends is started again" --from-start --bytes 20M "127.0.0.1:$port"
matches "exec: its exit status is logged" "$log" 'command ended with status 3'
daemon_stop
is "exec: exit status after a restart" "$status" 0

daemon_run --input "exec:echo \$\$ >$work/pid; sleep 1000 & sleep 1000" "${whole[@]}"
wait_until 5 test -s "$work/pid"
group=$(cat "$work/pid")
daemon_stop
check "exec: nothing of a command is left behind" \
	sh -c "! ps -o pid= -g $group 2>/dev/null | grep -q ."

# --- what is not there ---
for input in "$work/missing" "$work"; do
	daemon_run --input "$input" --listen 127.0.0.1:0
	daemon_wait 5
	is "input $(basename "$input"): refused" "$status" 1
	matches "input $(basename "$input"): and named" "$log" "input = $input: "
done

for input in udp:0.0.0.0:5000 C:foo; do
	"$BUILD/dmacastd" --check --input "$input" --listen 127.0.0.1:0 >"$work/check.log" 2>&1
	is "input $input: refused by --check" "$?" 1
	matches "input $input: ... which names the kinds" "$work/check.log" 'unix:PATH, tcp:HOST:PORT or exec:COMMAND'
done

# --- drop: a client that comes later starts with what comes then ---
daemon_run --pattern 20M/s --zerocopy always --listen 127.0.0.1:0
sleep 0.5
feed_ok "a late client gets the live feed" --bytes 4M "127.0.0.1:$port"
compare "and not its beginning" "$(field first_offset_min)" -gt 1000000
daemon_stop

# --- the rate of a pattern, also after the daemon did not run for longer than the ring lasts ---
daemon_run --pattern 4M/s --zerocopy always --listen 127.0.0.1:0 --block-size 64K --ring-size 1M
feed_start paced --clients 1 --seconds 3 "127.0.0.1:$port"
kill -STOP "$daemon"
sleep 1
kill -CONT "$daemon"
feed_end_ok "a daemon that was stopped for a second: every byte is right" paced
compare "and the rate is what it was before" "$(field bytes_min)" -lt $((14 << 20))
daemon_stop

done_testing
