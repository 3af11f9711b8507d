#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# dmacastctl and the control socket: every command, permissions, the socket's life, and clients of
# it that mean harm, while streams go on.

. tests/lib.sh

control=$work/control
ctl=("$BUILD/dmacastctl" --socket "$control")

command -v jq >/dev/null || skip_all "jq is not installed"

# ctl_run ARGUMENT...: sets status; out and err are files.
out=$work/ctl.out
err=$work/ctl.err
ctl_run()
{
	"${ctl[@]}" "$@" >"$out" 2>"$err"
	status=$?
}

# ctl_ok TEXT ARGUMENT...: it is to do it, and to say nothing on standard error.
ctl_ok()
{
	local text=$1

	shift
	ctl_run "$@"
	[ "$status" -eq 0 ] && [ ! -s "$err" ]
	ok $? "$text" || {
		diag "dmacastctl $* gave $status"
		diag_file "$err"
	}
}

# ctl_refuses TEXT STATUS REGEX ARGUMENT...: it is to fail like that.
ctl_refuses()
{
	local text=$1 expected=$2 regex=$3

	shift 3
	ctl_run "$@"
	is "$text: exit status" "$status" "$expected"
	matches "$text: says why" "$err" "$regex"
}

# value FILTER: of the last answer, in JSON.
value()
{
	jq -r "$1" "$out"
}

control_there()
{
	[ -S "$control" ]
}

control_run()
{
	daemon_run "$@" --control "$control"
	wait_until 10 control_there
}

# ---- no daemon ----

ctl_refuses "no socket" 1 "$control: No such file or directory: no daemon" status
ctl_refuses "no command" 2 'expected a command'
ctl_refuses "unknown command" 2 'flush: unknown command' flush
ctl_refuses "unknown option" 2 '--what: unknown option' --what status
ctl_refuses "option without its value" 2 'expected a value' status --socket
ctl_refuses "option of another command" 2 'status does not have' status --all
ctl_refuses "too many arguments" 2 'b: unexpected argument of clients' clients a b
ctl_refuses "kick nobody" 2 'kick: expected CLIENT' kick
ctl_refuses "kick somebody and all" 2 'kick: expected CLIENT' kick --all 127.0.0.1:1
for time in 5 -1s 61m soon ''; do
	ctl_refuses "drain, --timeout '$time'" 2 'expected a time from 0 to 1h' drain --timeout "$time"
done
ctl_refuses "top too fast" 2 'expected seconds' top -d 0
ctl_refuses "top without rounds" 2 'expected a whole number' top -n 0
ctl_refuses "a path too long" 1 'File name too long' -s "/$(printf '%0200d' 0)" status
ctl_ok "--version" --version
is "--version: as the daemon's" "$(cut -d ' ' -f 2 "$out")" \
	"$("$BUILD/dmacastd" --version | cut -d ' ' -f 2)"
ctl_ok "--help" --help
sed -n '/^Commands/,/^$/s/^  \([a-z-]\+\).*/\1/p' "$out" >"$work/commands"
compare "--help has commands" "$(wc -l <"$work/commands")" -ge 8
page=daemon/man/dmacastctl.8
sed -n '/^The commands/,/^\.Ss/s/^\.It Cm \([a-z-]\+\).*/\1/p' "$page" | uniq >"$work/in-page"
check "--help and dmacastctl.8 have the same commands" diff "$work/commands" "$work/in-page"

# ---- looking ----

cat >"$work/two.conf" <<END
[daemon]
control = $control
[stream adc]
pattern = 20M/s
lag-policy = block
zerocopy = always
listen = 127.0.0.1:0
[stream log]
pattern = 1M/s
listen = 127.0.0.1:0
END
daemon_run -c "$work/two.conf"
wait_until 10 control_there
adc=$(sed -n 's/.*stream adc: listening on \(.*\)/\1/p' "$log")
other=$(sed -n 's/.*stream log: listening on \(.*\)/\1/p' "$log")
feed_start adc --clients 3 --until-end --expect-end end "$adc"
feed_start other --clients 2 --seconds 600 --allow-reset "$other"
wait_until 30 clients_joined 5

# all_have_data: the daemon knows a rate, and each client has been sent something.
all_have_data()
{
	ctl_run status && grep -q '^in  .* [KM]iB/s$' "$out" &&
		ctl_run --json clients && [ "$(value '[.clients[] | select(.sent_bytes > 0)] | length')" = 5 ]
}
wait_until 30 all_have_data

ctl_ok "status" status
matches "status: version, process, state" "$out" \
	"^dmacastd [0-9.]+, pid $daemon, running, up [0-9]+s\$"
matches "status: streams" "$out" '^streams +2$'
matches "status: sources" "$out" '^sources +2 running$'
matches "status: clients" "$out" '^clients +5$'
matches "status: a rate is measured" "$out" '^in +[0-9.]+ [KM]iB/s$'
ctl_ok "status --json" status --json
is "status --json: streams, clients, state" "$(value '"\(.streams) \(.clients) \(.state) \(.pid)"')" \
	"2 5 running $daemon"

ctl_ok "streams" streams
is "streams: a row each, below titles" "$(awk '{ print $1, $2, $3 }' "$out" | tr '\n' ';')" \
	"STREAM STATE CLIENTS;adc running 3;log running 2;"
is "streams: columns are aligned" "$(head -n 2 "$out" | sed 's/ SOURCE.*/ /; s/ pattern.*/ /' |
	awk '{ print length }' | uniq | wc -l)" 1
ctl_ok "streams --json" streams --json
is "streams --json: names, clients" "$(value '[.streams[] | "\(.name)=\(.clients)"] | join(" ")')" \
	"adc=3 log=2"
is "streams --json: every block is in one state" \
	"$(value 'all(.streams[].ring; .all == .free + .filling + .window + .retained + .pinned)')" true

ctl_ok "clients" clients
is "clients: a row each, below titles" "$(wc -l <"$out")" 6
ctl_ok "clients of a stream" clients log
is "clients of a stream: these" "$(awk 'NR > 1 { print $2 }' "$out" | tr '\n' ' ')" "log log "
ctl_ok "clients --json" clients --json adc
is "clients --json: these" "$(value '[.clients[].stream] | join(" ")')" "adc adc adc"
is "clients --json: each got something" "$(value 'all(.clients[]; .sent_bytes > 0)')" true
ctl_refuses "clients of no stream" 1 'nothing: no such stream' clients nothing
ctl_refuses "in JSON, too" 1 'nothing: no such stream' clients nothing --json
is "in JSON, too: on standard output" "$(value '"\(.ok) \(.error)"')" "false nothing: no such stream"

# What an answer has is in the manual.
for command in status streams "clients adc"; do
	# shellcheck disable=SC2086 # a command and its argument
	"${ctl[@]}" --json $command | jq -r '[paths | .[-1] | strings] | unique[]'
done | grep -v '^[0-9]*$' | sort -u >"$work/members" # without the status codes of HTTP
compare "answers have members" "$(wc -l <"$work/members")" -ge 40
grep '^\.Cm \|^\.It Cm ' "$page" | tr -c 'a-z0-9_\n' ' ' | tr ' ' '\n' | sort -u >"$work/words"
is "dmacastctl.8 has every member of an answer" "$(comm -23 "$work/members" "$work/words")" ""

# Without memory dmacastctl prints a whole answer, or fails.
library=$BUILD/tests/preload/failalloc.so
if [[ $BUILD == *san* ]] || [ ! -e "$library" ]; then
	skip "dmacastctl without memory" "needs an allocator that can be replaced"
else
	"${ctl[@]}" --json clients adc >"$out"
	members=$(jq '[paths] | length' "$out")
	truncate -s 4 "$work/counter"
	: >"$work/partial"
	failed=0
	for allocation in {1..400}; do
		printf '%b' "$(printf '\\x%02x\\x%02x\\0\\0' $((allocation & 255)) $((allocation >> 8)))" \
			1<>"$work/counter"
		LD_PRELOAD=$library DMACAST_FAIL_ALLOCATION=$work/counter \
			"${ctl[@]}" --json clients adc >"$out" 2>"$err"
		status=$?
		# It needed fewer.
		[ "$(od -An -tu4 -N4 "$work/counter" | tr -d ' ')" = 0 ] || break
		if [ "$status" -gt 1 ]; then
			echo "$allocation: status $status" >>"$work/partial"
		elif [ "$status" -eq 1 ]; then
			failed=$((failed + 1))
		elif [ "$(jq '[paths] | length' "$out")" != "$members" ]; then
			echo "$allocation: a part" >>"$work/partial"
		fi
	done
	is "without memory: a whole answer, or an error" "$(cat "$work/partial")" ""
	compare "without memory: errors" "$failed" -ge 50
fi

# ---- changing ----

ctl_ok "log-level" log-level
is "log-level: says it" "$(cat "$out")" info
ctl_ok "log-level: set" log-level debug
is "log-level: says what is set" "$("${ctl[@]}" log-level)" debug
matches "log-level: debug messages come" "$log" 'debug: '
ctl_refuses "log-level: unknown" 1 'loud: no such level; expected error, warning' log-level loud
ctl_ok "log-level: back" log-level info

ctl_refuses "kick: nobody there" 1 '127.0.0.1:1: no such client' kick 127.0.0.1:1
ctl_refuses "kick: no such stream" 1 'nothing: no such stream' kick --stream nothing
one=$("${ctl[@]}" --json clients log | jq -r '.clients[0].peer')
ctl_refuses "kick: in another stream" 1 'no such client' kick "$one" --stream adc
ctl_ok "kick: one client" kick "$one"
is "kick: one client: says so" "$(cat "$out")" "kicked: 1"
matches "kick: one client: in the log" "$log" "client $one left: by the operator"
matches "kick: one client: and who wanted it" "$log" "control: uid $(id -u), pid [0-9]+: .*\"kick\""
ctl_ok "kick: a stream" kick --stream log --json
is "kick: a stream: in JSON" "$(value .kicked)" 1
ctl_run clients --json
is "the others are still there" "$(value '[.clients[].stream] | join(" ")')" "adc adc adc"
printf '{"command":"clients",%s}\n' '"most":2' '"first":2,"most":1' '"most":3' >"$work/pages"
is "a page of clients says where the next one begins, if there is one" \
	"$(tests/hostile lines "$control" <"$work/pages" | jq -c '[(.clients | length), .next]' | paste -sd ' ')" \
	"[2,2] [1,null] [3,null]"
is "who was kicked is counted" \
	"$("${ctl[@]}" --json streams | jq '.streams[1].left.by_operator')" 2
feed_end other TERM

ctl_refuses "drain: no such stream" 1 'nothing: no such stream' drain nothing
ctl_ok "drain: one stream" drain log
ctl_run streams --json
is "drain: one stream: it has ended, and the other has not" \
	"$(value '[.streams[].state] | join(" ")')" "running ended"
ctl_run status --json
is "drain: one stream: and is not counted" "$(value .streams)" 1

# Every byte was right so far; and they get the rest.
before=$(grep -c 'left: end of stream' "$log")
ctl_ok "drain" drain
daemon_wait 30
is "drain: exit status of the daemon" "$status" 0
feed_end_ok "drain: clients end in order, without a wrong byte" adc
is "drain: and none is reset" "$(($(grep -c 'left: end of stream' "$log") - before))" 3
ok "$([ ! -e "$control" ]; echo $?)" "the socket is removed at the end"

# ---- how long clients may drain ----

printf '%s\n' '[daemon]' "control = $control" 'drain-timeout = 1s' >"$work/drains.conf"
for stream in configured given patient; do
	printf '%s\n' "[stream $stream]" 'pattern = 100M/s' 'zerocopy = always' 'listen = 127.0.0.1:0' \
		>>"$work/drains.conf"
done
daemon_run -c "$work/drains.conf"
wait_until 10 control_there
for stream in configured given patient; do
	feed_start "$stream" --clients 2 --stall 2 --seconds 600 --allow-reset \
		"$(sed -n "s/.*stream $stream: listening on \(.*\)/\1/p" "$log")"
done
wait_until 30 clients_joined 6
sleep 0.5

# states: each stream's.
states()
{
	"${ctl[@]}" --json streams | jq -r '[.streams[].state] | join(" ")'
}

# ended NUMBER: this stream of the file has no client any more.
ended()
{
	[ "$(states | cut -d ' ' -f "$1")" = ended ]
}

# resets NAME: this many clients of the stream were reset because their time was over.
resets()
{
	grep -c "stream $1: client .* left: drain-timeout is over" "$log"
}

begin=${EPOCHREALTIME/[.,]/}
ctl_ok "drain a stream whose clients never read" drain configured
ctl_ok "drain it again" drain configured
is "drain again: keeps its time" "$(grep -c 'configured: stopping; clients have 1000 ms' "$log")" 1
wait_until 30 ended 1
ok $? "drain a stream: ends though its clients never read"
compare "drain a stream: they had drain-timeout, in ms" \
	$(((${EPOCHREALTIME/[.,]/} - begin) / 1000)) -ge 900
is "drain a stream: they are reset" "$(resets configured)" 2
is "drain a stream: the other streams go on" "$(states)" "ended running running"
ctl_ok "drain a stream at once" drain given --timeout 0
wait_until 30 ended 2
ok $? "drain a stream at once: ends"
is "drain a stream at once: its clients are reset" "$(resets given)" 2
ctl_ok "drain a stream for an hour" drain patient --timeout 1h
sleep 1.5
is "drain a stream for an hour: longer than drain-timeout" "$(states)" "ended ended ending"
ctl_ok "drain all for an hour" --json drain --timeout 1h
sleep 1.5
ctl_refuses "drain all again" 1 'draining already' drain
is "drain all for an hour: longer than drain-timeout" "$("${ctl[@]}" --json status | jq -r .state)" \
	draining
ctl_ok "drain all again, with another time" drain --timeout 100ms
daemon_wait 30
is "drain all again, with another time: exit status" "$status" 0
is "drain all again, with another time: resets the rest" "$(resets patient)" 2
for stream in configured given patient; do
	feed_end "$stream" TERM
done

# ---- the life of the socket ----

control_run --pattern 1M/s --listen 127.0.0.1:0
first=$daemon
ctl_refuses "reload without a file" 1 'started without a configuration file' reload
is "the socket is for the owner, or the group" \
	"$(stat -c %a "$control" | tr -d '\n' | grep -cE '^6[06]0$')" 1
daemon_run --pattern 1M/s --listen 127.0.0.1:0 --control "$control"
daemon_wait 10
is "a second daemon at the same path: exit status" "$status" 1
matches "a second daemon at the same path: says what is wrong" "$log" \
	"control = $control: another process listens there; stop it"
is "the first one has its socket still" "$("${ctl[@]}" --json status | jq .pid)" "$first"
suspend "$first"
daemon_run --pattern 1M/s --listen 127.0.0.1:0 --control "$control"
daemon_wait 10
is "nor when the first one is stopped" "$status" 1
ctl_refuses "a daemon that is stopped" 1 'timed out: the daemon does not answer' status
resume "$first"
{ kill -KILL "$first" && wait "$first"; } 2>/dev/null
ok "$([ -S "$control" ]; echo $?)" "a daemon that is killed leaves its socket"
ctl_refuses "a socket without a daemon" 1 'Connection refused: the daemon that created it is gone' status
control_run --pattern 1M/s --listen 127.0.0.1:0
is "the next one takes its place" "$("${ctl[@]}" --json status | jq .pid)" "$daemon"
# Another one is in the place by now: that is not to be removed.
rm "$control"
echo precious >"$control"
daemon_stop
is "what is not its own is left alone" "$(cat "$control")" precious
daemon_run --pattern 1M/s --listen 127.0.0.1:0 --control "$control"
daemon_wait 10
is "what is no socket is not replaced: exit status" "$status" 1
matches "what is not a socket is not replaced: says what is wrong" "$log" 'is not a socket'
is "what is no socket is not replaced" "$(cat "$control")" precious
rm "$control"
daemon_run --pattern 1M/s --listen 127.0.0.1:0 --control "$work/none/control"
daemon_wait 10
is "a directory that is missing: exit status" "$status" 1
matches "a directory that is missing: says what to do" "$log" 'No such file.*; create the directory'
daemon_run --pattern 1M/s --listen 127.0.0.1:0 --control "/$(printf '%0200d' 0)"
daemon_wait 10
matches "a path that is too long" "$log" 'expected at most 107 bytes'

daemon_prefix=(env "RUNTIME_DIRECTORY=$work:/none")
daemon_run --pattern 1M/s --listen 127.0.0.1:0
ok "$(wait_until 10 control_there; echo $?)" "under systemd it is in the service's directory"
daemon_stop
daemon_prefix=(env -u RUNTIME_DIRECTORY)
daemon_run --pattern 1M/s --listen 127.0.0.1:0
daemon_stop
is "elsewhere there is none that was not asked for" "$(grep -c 'control socket' "$log")" 0
daemon_prefix=()

# ---- who may do what ----

ctl_as()
{
	ctl=(setpriv --reuid "$1" --regid "$1" --groups "$2" "$work/private/bin/dmacastctl"
		--socket "$control")
}

# guests_have_events NUMBER: by the log, at the level debug. guest_has_no_events, guest_has_events: of ctl_as; a user who may
# only look is refused, or gets them until the timeout.
guests_have_events()
{
	[ "$(grep -c 'uid 64002, .* gets events' "$log")" -ge "$1" ]
}

guest_has_no_events()
{
	timeout 20 "${ctl[@]}" events 2>&1 | grep -q 'too many connections get events, without those of root'
}

guest_has_events()
{
	timeout 1 "${ctl[@]}" events
	[ $? -eq 124 ]
}

# As other users, with a group that this machine need not have.
users()
{
	# shellcheck disable=SC2016 # for that shell
	unshare --mount sh -c 'mount -t tmpfs none /run && mkdir /run/dmacast-adc &&
		touch /run/dmacast-adc/control && exec "$0" status' "$BUILD/dmacastctl" 2>"$err"
	is "no daemon at the default path: exit status" "$?" 1
	matches "no daemon at the default path: names other ones" "$err" \
		'^dmacastctl: /run/dmacast/control: No such.*; there are /run/dmacast-adc/control$'

	local private=$work/private build=$BUILD

	mkdir -p "$private/bin"
	chmod 711 "$work" "$private"
	chown 64001 "$private"
	cp "$BUILD/dmacastd" "$BUILD/dmacastctl" tests/hostile "$private/bin"
	{
		grep -v '^dmacast:' /etc/group
		echo dmacast:x:64100:
	} >"$private/group"
	control=$private/control
	ctl=("$private/bin/dmacastctl" --socket "$control")

	# shellcheck disable=SC2016 # for that shell
	daemon_prefix=(unshare --mount sh -c 'mount --bind "$0" /etc/group && exec "$@"' "$private/group"
		setpriv --reuid 64001 --regid 64001 --groups 64100)
	BUILD=$private/bin
	control_run --pattern 1M/s --listen 127.0.0.1:0
	BUILD=$build
	is "users: mode and group" "$(stat -c '%a %u %g' "$control")" "660 64001 64100"

	ctl_as 64002 64100
	ctl_ok "users: a member of the group may look" status
	ctl_ok "users: a member of the group may look at clients" clients
	ctl_ok "users: a member of the group may see the log level" log-level
	for forbidden in "kick --all" reload "log-level debug" drain "drain main"; do
		# shellcheck disable=SC2086 # a command and its arguments
		ctl_refuses "users: a member of the group may not $forbidden" 1 'not allowed; only root' $forbidden
	done
	ctl_as 64001 64001
	"${ctl[@]}" log-level debug >"$out"
	ctl_as 64002 64100
	events_pids=()
	for i in 1 2 3 4 5 6 7 8; do
		"${ctl[@]}" events >"$work/events" 2>&1 &
		events_pids+=($!)
		will_end $!
	done
	ok "$(wait_until 20 guests_have_events 8; echo $?)" "users: eight who may only look get events"
	check "users: and no more of them" guest_has_no_events
	signal_to TERM "${events_pids[0]}"
	ok "$(wait_until 20 guest_has_events; echo $?)" "users: another one does when one of them has ended"
	ctl_as 64001 64001
	check "users: the daemon's own user does in any case" guest_has_events
	for i in 1 2 3 4 5 6 7; do
		signal_to TERM "${events_pids[i]}"
	done
	setpriv --reuid 64004 --regid 64004 --groups 64100 perl "$private/bin/hostile" crowd \
		"$control" 100 &
	crowd=$!
	will_end "$crowd"
	sleep 1
	for i in 1 2 3 4 5; do
		ctl_ok "users: a crowd of one user does not keep another one out, $i" clients
	done
	is "users: nor does it end his connection" "$(setpriv --reuid 64002 --regid 64002 --groups 64100 \
		perl "$private/bin/hostile" patient "$control")" 5
	kill "$crowd"

	ctl_as 64003 64003
	ctl_refuses "users: anyone else may not even look" 1 \
		'Permission denied: expected root, the daemon.s own user, or a member' status
	ctl_as 64001 64001
	ctl_ok "users: the daemon's own user may change things" log-level debug
	ctl=("$private/bin/dmacastctl" --socket "$control")
	ctl_ok "users: root may change things" log-level info
	is "users: the daemon is as it was" "$("${ctl[@]}" --json status | jq -r .state)" running
	ctl_as 64001 64001
	ctl_ok "users: the daemon's own user may stop it" drain
	daemon_wait 20
	is "users: stopped" "$status" 0
	daemon_prefix=()
	control=$work/control
	ctl=("$BUILD/dmacastctl" --socket "$control")
}

if [ "$(id -u)" -ne 0 ] || ! unshare --mount true 2>/dev/null; then
	skip "users: permissions" "needs root"
else
	users
fi

# ---- those who mean harm ----

control_run --pattern 20M/s --lag-policy block --zerocopy always --listen 127.0.0.1:0
feed_start good --clients 4 --seconds 600 "127.0.0.1:$port"
hostile()
{
	tests/hostile "$1" "$control" "${@:2}"
}

for mode in half unread trickle; do
	tests/hostile $mode "$control" >"$work/$mode" &
	will_end $!
	waiting+=($!)
done
{
	printf '{"command":"status"\n[]\n"status"\n{}\n\n{"command":7}\n{"command":"\377\376"}\n'
	printf '{"command":"sta\0tus"}\n{"command":"a","command":"b"}\n{"command":"x\\u0000"}\n'
	printf '{"command":"status","more":1}\n{"command":"clients","first":-1}\n'
	printf '{"command":"clients","most":1e99}\n{"command":"kick","all":"yes"}\n'
	printf '%04000d' 0 | tr 0 '['
	printf '\n'
	printf '{"a":%.0s' {1..500}
	printf '\n{"command":"%s"}\n' "$(printf '\303\244%.0s' {1..1000})"
	printf '{"command":"log-level"}\n'
} >"$work/lines"
hostile lines <"$work/lines" >"$work/answers"
is "18 odd requests: an answer to each" "$(jq -c .ok "$work/answers" | wc -l)" 18
is "odd requests: all of them refused" "$(jq -c .ok "$work/answers" | grep -c false)" 17
is "odd requests: the right one after them is not" "$(tail -n 1 "$work/answers")" \
	'{"ok":true,"level":"info"}'
is "10000 requests at once: an answer to each" "$(hostile many 10000)" 10000
hostile long >"$work/long"
matches "a line of 2 MiB: is refused" "$work/long" '"error":"line too long"'
matches "a line of 2 MiB: ends the connection" "$work/long" '^closed$'
is "with all of this going on, there are answers" \
	"$("${ctl[@]}" --json status | jq -r .state)" running

wait "${waiting[@]}"
for mode in half unread trickle; do
	matches "$mode: was closed" "$work/$mode" ' seconds, closed$'
	compare "$mode: soon" "$(cut -d ' ' -f 1 "$work/$mode")" -le 45
done

feed_end_ok "all the while: four clients without a wrong byte" good TERM
compare "all the while: and without a break" "$(field bytes_min)" -ge $((20 << 20))
daemon_stop
is "exit status" "$status" 0

# ---- rates ----

control_run --pattern 8M/s --listen 127.0.0.1:0
feed_start fed --seconds 60 "127.0.0.1:$port"
rates_are_right()
{
	"${ctl[@]}" --json streams | jq -e '.streams[0] | [.in_rate, .out_rate] | all(. > 4e6 and . < 16e6)'
}
check "the daemon knows the rates of source and clients" wait_until 20 rates_are_right
ctl_ok "status" status
matches "which one answer shows" "$out" '^in  .* MiB/s'
daemon_stop

# ---- those who say nothing ----

mkfifo "$work/fifo"
exec 4<>"$work/fifo"
control_run --input "$work/fifo" --listen 127.0.0.1:0
ctl_ok "a source without a byte" streams
is "streams: a FIFO that nobody has written to waits" "$(awk 'NR == 2 { print $2 }' "$out")" waiting
is "streams: no byte has an age" "$("${ctl[@]}" --json streams | jq '.streams[0].source_byte_age_seconds')" null
echo >&4
wait_until 10 sh -c "'$BUILD/dmacastctl' -s '$control' --json streams | jq -e '.streams[0].source_state == \"running\"'"
ok $? "streams: it runs with the first byte"
compare "streams: whose age is known" \
	"$("${ctl[@]}" --json streams | jq '.streams[0].source_byte_age_seconds | floor')" -ge 0
tests/hostile idle "$control" >"$work/idle" &
idle=$!
will_end "$idle"
wait_until 10 test -s "$work/idle"
matches "a connection that asked once" "$work/idle" '"ok":true'
sleep 0.5
wakeups=$(sleeps "$daemon")
sleep 2
compare "costs nothing from then on: returns of epoll_wait" $(($(sleeps "$daemon") - wakeups)) -le 2
check "and stays" kill -0 "$idle"
kill "$idle"
exec 4>&-
daemon_stop

done_testing
