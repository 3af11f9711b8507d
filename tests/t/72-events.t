#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# dmacastctl events: every kind of event as it happens, sums that are right to the byte, and connections that read
# slowly, not at all, or are too many.

. tests/lib.sh

control=$work/control
ctl=("$BUILD/dmacastctl" --socket "$control")

command -v jq >/dev/null || skip_all "jq is not installed"

# control_run CONFIGURATION-LINE...: start a daemon.
control_run()
{
	printf '%s\n' '[daemon]' "control = $control" "$@" >"$work/events.conf"
	daemon_run -c "$work/events.conf"
	wait_until 10 listens_at "$control"
}

# endpoint_of STREAM [SECTION]: print the address on which it listens last.
endpoint_of()
{
	sed -n "s/.*stream $1${2:+: endpoint $2}: listening on \(.*\)/\1/p" "$log" | tail -n 1
}

declare -A watcher

gets_events()
{
	grep -q "pid $1 gets events" "$log"
}

# events_start NAME [STREAM]: from now on the events go to the file NAME.events.
events_start()
{
	local name=$1

	shift
	"${ctl[@]}" log-level debug >"$work/level"
	"${ctl[@]}" events "$@" >"$work/$name.events" 2>"$work/$name.error" &
	watcher[$name]=$!
	will_end $!
	wait_until 20 gets_events $! || diag "no events for $name"
	"${ctl[@]}" log-level info >"$work/level"
}

# events_end NAME: wait until the program ends. Sets status.
events_end()
{
	wait "${watcher[$1]}"
	status=$?
}

# events NAME FILTER: print the results of a filter of jq for all events so far, each in one line.
events()
{
	jq -rc "$2" "$work/$1.events"
}

# happened NAME CONDITION [NUMBER]: succeed if at least NUMBER (1) events are like that.
happened()
{
	[ "$(events "$1" "select($2) | 1" | wc -l)" -ge "${3:-1}" ]
}

# expect TEXT NAME CONDITION [NUMBER]: wait for such events.
expect()
{
	ok "$(wait_until 20 happened "${@:2}"; echo $?)" "$1" || diag_file "$work/$2.events"
}

# ---- clients that come and go ----

control_run 'drain-timeout = 300ms' '[stream adc]' 'pattern = 8M/s' 'block-size = 64K' 'ring-size = 2M' \
	'listen = 127.0.0.1:0' '[stream other]' 'pattern = 1M/s' 'listen = 127.0.0.1:0' 'max-clients = 1' \
	'[endpoint strict]' 'stream = adc' 'listen = 127.0.0.1:0' 'lag-policy = disconnect' \
	'[endpoint closed]' 'stream = adc' 'listen = 127.0.0.1:0' 'deny = all' 'allow = 192.0.2.1'
adc=$(endpoint_of adc)
strict=$(endpoint_of adc strict)
events_start all
events_start other other

feed_start one --clients 1 --seconds 600 "$adc"
expect "join" all '.event == "join" and .stream == "adc"'
is "join: has both addresses, and the number of clients" \
	"$(events all 'select(.event == "join") | "\(.endpoint) \(.section) \(.clients)"')" "$adc null 1"
is "join: is the client of the log" "$(events all 'select(.event == "join").client')" \
	"$(sed -n 's/.*client \(.*\) joined, .*/\1/p' "$log")"
feed_end one TERM
expect "leave: the peer closed its socket" all '.reason == "reset_by_peer" and .clients == 0'

feed_ok "a client resets its connection" --clients 2 --reset 1 --reset-after 64K --bytes 1M "$adc"
expect "leave: reset by peer" all '.event == "leave"' 3
feed_start kicked --clients 1 --seconds 600 --allow-reset "$adc"
expect "one more joins" all '.event == "join"' 4
"${ctl[@]}" kick --all >"$work/kicked"
expect "leave: kicked" all '.reason == "by_operator"'
feed_end kicked TERM
feed_start slow --clients 1 --stall 1 --seconds 600 --allow-reset "$strict"
expect "leave: too slow, in its section" all '.reason == "too_slow" and .section == "strict"'
feed_end slow TERM

# ---- refusals ----

feed_start first --clients 1 --seconds 600 --allow-reset "$(endpoint_of other)"
expect "the other stream has its client" other '.event == "join"'
feed --connect-timeout 100ms --allow-reset --seconds 1 "$(endpoint_of other)"
expect "refused: too many" other '.event == "refused" and .reason == "max_clients"'
feed --connect-timeout 100ms --allow-reset --seconds 1 "$(endpoint_of adc closed)"
expect "refused: not allowed, with section, peer and text" all \
	'.event == "refused" and .reason == "denied" and .section == "closed" and
	(.client | startswith("127.0.0.1:")) and .text != null'

# ---- the end ----

feed_start stalled --clients 1 --stall 1 --seconds 600 --allow-reset "$adc"
feed_start ends --clients 1 --until-end --expect-end end "$adc"
expect "two more join" all '.event == "join" and .stream == "adc"' 7
daemon_stop
events_end all
is "the daemon ends: exit status" "$status" 3
matches "the daemon ends: says so" "$work/all.error" "^dmacastctl: $control: the daemon closed the connection\$"
feed_end_ok "a client gets the rest" ends
feed_end stalled TERM
feed_end first TERM
expect "draining" all '.event == "draining" and .text == "Terminated"'
expect "source_down: stopped" all '.event == "source_down" and .stream == "adc" and .text == "stopped"'
expect "endpoint_closed" all '.event == "endpoint_closed" and .stream == "adc"' 3
expect "leave: end of stream" all '.reason == "end_of_stream" and .stream == "adc"'
expect "leave: stopping" all '.reason == "stopping" and .stream == "adc"'
expect "stream_ended" all '.event == "stream_ended" and .stream == "adc" and .bytes > 0 and .former == false'
is "all clients of the log are in the events" \
	"$(events all 'select(.event == "leave") | 1' | wc -l) $(events all 'select(.event == "join") | 1' | wc -l)" \
	"$(client_lines left) $(client_lines joined)"
is "events are in the order of their times" "$(events all .time | sort -c 2>&1)" ""
is "with a stream: only its events" "$(events other .stream | sort -u)" other
compare "with a stream: and all of these" "$(events other 1 | wc -l)" -eq \
	"$(events all 'select(.stream == "other") | 1' | wc -l)"
cat "$work/all.events" >"$work/seen"

# ---- drops, to the byte ----

control_run '[stream adc]' "pattern = $((8 << 20 / scale))/s" 'block-size = 64K' 'ring-size = 2M' 'hold = 3' \
	'listen = 127.0.0.1:0'
events_start drops
feed_start good --clients 1 --until-end --expect-end end --from-start "$(endpoint_of adc)"
feed_start slow --clients 2 --rate 2M/s --rcvbuf 32K --allow-gaps --block-gaps --block-size 64K --from-start \
	--until-end --expect-end end "$(endpoint_of adc)"
expect "drop" drops '.event == "drop"' 20
"${ctl[@]}" drain adc --timeout 60s
daemon_wait 60
events_end drops
feed_end_ok "the client that reads has every byte" good
feed_end_ok "the others have gaps" slow
is "drops: their bytes are those of the gaps" \
	"$(events drops 'select(.event == "drop").bytes' | awk '{ sum += $1 } END { print sum }')" "$(field gap_bytes)"
is "drops: their blocks, too" \
	"$(events drops 'select(.event == "drop").blocks' | awk '{ sum += $1 } END { print sum }')" "$(($(field gap_bytes) >> 16))"
is "drops: bytes and number of each client, as it leaves" \
	"$(jq -sc '[.[] | select(.event == "drop")] | group_by(.client)[] |
		[.[0].client, (map(.bytes) | add), (map(.count) | add)]' "$work/drops.events" | sort)" \
	"$(events drops 'select(.event == "leave" and .drops > 0) | [.client, .dropped_bytes, .drops]' | sort)"
is "drops: sums so far agree with the client's counters" \
	"$(jq -sc '[.[] | select(.event == "drop")] | group_by(.client)[] | map(.bytes) as $bytes | map(.dropped_bytes) |
		. == [range(length) as $i | $bytes[:$i + 1] | add]' "$work/drops.events" | sort -u)" true
is "drops: each begins before it is reported" "$(events drops 'select(.since != null) | .since <= .time' | sort -u)" true
is "stream_draining" "$(events drops 'select(.event == "stream_draining").stream')" adc
cat "$work/drops.events" >>"$work/seen"

# ---- sources ----

cat >"$work/source" <<'END'
head -c 100000 /dev/zero
echo >"$1.running"
while [ ! -e "$1.go" ]; do sleep 0.02; done
rm "$1.go"
END
control_run '[stream cmd]' "input = exec:exec sh $work/source $work/source" 'flush = 1ms' 'hold = 1' 'listen = 127.0.0.1:0'
events_start source
feed_start command --clients 1 --discard --seconds 600 "$(endpoint_of cmd)"
expect "source_up: a command starts" source '.event == "source_up" and .restarts == 0'
wait_until 20 test -e "$work/source.running"
: >"$work/source.go"
expect "source_down: it has ended, with the reason" source '.event == "source_down" and .text == "end of input"'
expect "source_up: it starts again" source '.event == "source_up" and .restarts == 1'
is "source: in this order" "$(events source 'select(.event | startswith("source")).event' | head -n 3 | tr '\n' ' ')" \
	"source_up source_down source_up "

# ---- reloads ----

printf '%s\n' '[daemon]' "control = $control" '[stream cmd]' "input = exec:exec sh $work/source $work/source" \
	'flush = 2ms' 'hold = 1' 'listen = 127.0.0.1:0' '[stream new]' 'pattern = 1M/s' 'listen = 127.0.0.1:0' \
	'listen = [fe80::1%absent0]:0' 'listen-when = available' >"$work/events.conf"
"${ctl[@]}" reload 2>"$work/err"
expect "stream_changed, with the option" source '.event == "stream_changed" and .text == "flush"'
expect "stream_added" source '.event == "stream_added" and .stream == "new"'
expect "endpoint_listening" source '.event == "endpoint_listening" and .stream == "new" and (.text | startswith("127.0.0.1:"))'
expect "endpoint_waiting, with the reason" source '.event == "endpoint_waiting" and .endpoint == "[fe80::1%absent0]:0" and
	(.text | length) > 0'
expect "reload_done, with the warnings" source '.event == "reload_done" and (.text | contains("trying again"))'
echo 'ring-size = 1K' >>"$work/events.conf"
"${ctl[@]}" reload 2>"$work/err"
expect "reload_failed, with the error" source '.event == "reload_failed" and (.text | contains("ring-size"))'
sed -i '$d; /absent0/d; /listen-when/d; s/^pattern = .*/&\nrecord-size = 4/' "$work/events.conf"
"${ctl[@]}" reload
expect "reload_done, without" source '.event == "reload_done" and .text == null'
expect "stream_restarted" source '.event == "stream_restarted" and .stream == "new" and .text == "record-size"'
expect "stream_ended: the former one" source '.event == "stream_ended" and .stream == "new" and .former'
sed -i '/stream new/,$d' "$work/events.conf"
"${ctl[@]}" reload
expect "stream_removed" source '.event == "stream_removed" and .stream == "new"'
expect "endpoint_closed" source '.event == "endpoint_closed" and .stream == "new"'
cat "$work/source.events" >>"$work/seen"

# ---- connections ----

"${ctl[@]}" events nothing 2>"$work/err"
is "no such stream: exit status" $? 1
matches "no such stream: says so" "$work/err" 'nothing: no such stream'

for i in {1..64}; do
	"${ctl[@]}" events >"$work/many.$i" 2>"$work/many.$i.error" &
	many+=($!)
	will_end $!
done
refused()
{
	[ "$(cat "$work"/many.*.error | grep -c 'too many connections get events; end one of them')" -eq "$1" ]
}
check "of 64 more connections 49 are refused" wait_until 20 refused 49
check "and other requests are answered" "${ctl[@]}" status
feed --clients 1 --discard --seconds 1 "$(endpoint_of cmd)"
# everyone_got: the 15 that were accepted have the same events.
everyone_got()
{
	[ "$(cat "$work"/many.{1..64} | jq -c 'select(.event == "join")' | sort | uniq -c | awk '{ print $1 }')" = 15 ]
}
check "the others get the event, all of them" wait_until 20 everyone_got
for pid in "${many[@]}"; do
	signal_to TERM "$pid"
done
{ wait "${many[@]}"; } 2>/dev/null
has_place()
{
	timeout 1 "${ctl[@]}" events
	[ $? -eq 124 ]
}
check "their places are free again" wait_until 20 has_place

# Ends though no further event comes.
mkfifo "$work/pipe"
"${ctl[@]}" events >"$work/pipe" &
reader=$!
will_end $reader
exec {pipe}<"$work/pipe"
exec {pipe}<&-
wait "$reader"
is "nobody reads the output: ends by SIGPIPE" $? $((128 + 13))

# As nc -N does it.
printf '{"command":"events"}\n' | tests/hostile ends "$control" >"$work/half.events" &
half=$!
will_end "$half"
wait_until 20 test -s "$work/half.events"
feed --clients 1 --discard --seconds 1 "$(endpoint_of cmd)"
expect "a connection whose sending side is shut down gets events" half '.event == "join"'
signal_to TERM "$half"

timeout 0.5 "${ctl[@]}" events >"$work/timeout"
is "works with timeout" $? 124
daemon_stop
feed_end command TERM

# ---- one that never reads, beside one that does ----

control_run '[stream adc]' 'pattern = 1M/s' 'listen = 127.0.0.1:0' 'max-clients = 1'
mkfifo "$work/answer"
tests/hostile events "$control" <"$work/answer" >"$work/unread.events" &
unread=$!
will_end "$unread"
exec {release}>"$work/answer"
wait_until 20 test -s "$work/unread.events"
events_start reads
memory=$(awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status")
feed_start member --clients 1 --seconds 600 "$(endpoint_of adc)"
# Each of these is refused.
feed --clients 1 --connect-timeout 1s --seconds 1 --allow-reset "$(endpoint_of adc)"
perl -MIO::Socket::INET -e '
	for (1 .. 6000) { IO::Socket::INET->new(PeerAddr => $ARGV[0]); }' "$(endpoint_of adc)"
expect "one that reads gets every event" reads '.event == "refused"' 6001
if [[ $BUILD == *san* ]]; then
	skip "one that does not read costs little memory" "the sanitizer keeps what is freed"
else
	compare "one that does not read costs little memory, in KiB" \
		$(($(awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status") - memory)) -lt 4096
fi
echo >&"$release"
exec {release}>&-
# unread_is_told: the line about lost events has come, with this many together.
unread_is_told()
{
	[ "$(jq -s 'map(if .event == "lost" then .count elif .event then 1 else 0 end) | add' "$work/unread.events")" -eq \
		"$(events reads 1 | wc -l)" ]
}
check "one that did not read is told how many it has lost" wait_until 20 unread_is_told
compare "and these are most" "$(events unread 'select(.event == "lost").count' | awk '{ sum += $1 } END { print sum }')" -gt 3000
kill "$unread"
feed_end member TERM
cat "$work/unread.events" >>"$work/seen"
daemon_stop

# ---- many that leave with the daemon ----

control_run 'drain-timeout = 0' '[stream adc]' 'pattern = 1M/s' 'listen = 127.0.0.1:0'
events_start many
feed_start crowd --clients 900 --discard --seconds 600 --allow-reset "$(endpoint_of adc)"
wait_until 60 clients_joined 900
daemon_stop
events_end many
is "all of many clients that leave with the daemon are reported" \
	"$(events many 'select(.event == "leave" or .event == "lost") | .count // 1' | awk '{ sum += $1 } END { print sum }')" 900
is "and then the end of the stream" "$(events many .event | tail -n 1)" stream_ended
feed_end crowd TERM

# ---- the hook of the manual ----

control_run '[stream adc]' 'pattern = 8M/s' 'block-size = 64K' 'ring-size = 1M' 'lag-policy = disconnect' \
	'listen = 127.0.0.1:0'
sed -n '/^Run a command for each client/,/^\.Ed/ { /^\./d; /^Run/d; s/\\e/\\/g; p }' daemon/man/dmacastctl.8 >"$work/hook"
compare "the manual has a hook" "$(wc -l <"$work/hook")" -ge 4
{
	echo "dmacastctl() { '$BUILD/dmacastctl' --socket '$control' \"\$@\"; }"
	echo "logger() { echo \"\$@\" >>'$work/hooked'; }"
	cat "$work/hook"
} >"$work/hook.sh"
"${ctl[@]}" log-level debug >"$work/level"
bash "$work/hook.sh" 2>"$work/err" &
hook=$!
will_end "$hook"
wait_until 20 grep -q 'gets events' "$log"
"${ctl[@]}" log-level info >"$work/level"
feed_start slow --clients 1 --stall 1 --seconds 600 --allow-reset "$(endpoint_of adc)"
check "the hook of the manual runs" wait_until 20 grep -q 'dmacast: 127.0.0.1:[0-9]* of adc was too slow' "$work/hooked"
feed_end slow TERM
daemon_stop
wait "$hook" 2>/dev/null

# ---- the manual ----

page=daemon/man/dmacastctl.8
sed -n '/^\.Sh EVENTS/,/^\.Sh FILES/p' "$page" | grep '^\.Cm \|^\.It Cm ' | tr -c 'a-z0-9_\n' ' ' | tr ' ' '\n' |
	sort -u >"$work/words"
sed -n 's/.*\[EVENT_[A-Z_]*\] = "\([a-z_]*\)".*/\1/p' daemon/stream/stream_event.c | sort >"$work/kinds"
compare "there are kinds of events" "$(wc -l <"$work/kinds")" -ge 15
is "dmacastctl.8 has every kind" "$(comm -23 "$work/kinds" "$work/words")" ""
jq -r '.event // empty' "$work/seen" | sort -u >"$work/seen.kinds"
is "these were seen here, but those of a device and of a relay" \
	"$(comm -23 "$work/kinds" "$work/seen.kinds" | tr '\n' ' ')" "origin_switched overrun "
is "and lost" "$(grep -c '^lost$' "$work/seen.kinds")" 1
jq -r 'select(.event) | keys[]' "$work/seen" | sort -u >"$work/members"
compare "events have members" "$(wc -l <"$work/members")" -ge 15
is "dmacastctl.8 has every member" "$(comm -23 "$work/members" "$work/words")" ""

done_testing
