# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# For the tests with imaginary clients (bench/nullpeer), to which the kernel never copies; adds to tests/lib.sh.
# Each send completes once, no completion says "copied", and at the end nothing is outstanding,
# whatever the clients do. The payload is not read: the other tests check it.
#
#   in_nullnet "$@"               continue in the namespace that has the wire
#   stream_run ARGUMENT...        start a daemon for them, with the ring of `ring`
#   peer_start, peer_end, peer_ok  run the clients; their results: field NAME
#   scrape, value NAME            metrics of the stream
#   all_came_back, all_left, stream_end
#   adversities, stragglers, input_ends    groups of tests

. tests/lib.sh

in_nullnet()
{
	if [ "${1-}" != in-namespace ]; then
		[ "$(id -u)" -eq 0 ] || skip_all "this takes root: a network namespace and a BPF program"
		rm -rf "$work"
		exec bench/nullnet bash "$0" in-namespace
	fi
}

usual_ring=(--block-size 256K --ring-size 16M)
ring=("${usual_ring[@]}")

# stream_run ARGUMENT...: a daemon for the imaginary clients, with that ring. Sets target, http.
stream_run()
{
	daemon_run --pattern max "${ring[@]}" --listen 10.78.0.1:0 --metrics :0 "$@"
	target=10.78.0.1:$port
	http=$(sed -n 's,.*metrics at http://127\.0\.0\.1:\([0-9]*\)/.*,\1,p' "$log")
}

# peer_start ARGUMENT...: in the background, until all are connected. Sets peer.
peer_start()
{
	rm -f "$work/ready"
	"$BUILD/bench/nullpeer" --ready "$work/ready" --connect-timeout 60s "$@" "$target" \
		>"$work/peer.out" 2>"$work/peer.err" &
	peer=$!
	will_end "$peer"
	wait_until 60 test -e "$work/ready"
}

# peer_end TEXT [SIGNAL]: wait for its end; it must have found nothing wrong. Sets report.
peer_end()
{
	[ $# -lt 2 ] || signal_to "$2" "$peer"
	wait_until 60 process_ended "$peer" || signal_to KILL "$peer"
	{ wait "$peer"; } 2>/dev/null
	status=$?
	report=$(cat "$work/peer.out")
	ok "$status" "$1" || {
		diag "nullpeer gave $status: $report"
		diag_file "$work/peer.err"
		diag_file "$log"
	}
}

# peer_ok TEXT ARGUMENT...
peer_ok()
{
	local text=$1

	shift
	peer_start "$@"
	peer_end "$text"
}

scrape()
{
	local fd

	exec {fd}<>"/dev/tcp/127.0.0.1/$http" || return
	printf 'GET /metrics HTTP/1.0\r\n\r\n' >&"$fd"
	timeout 30 cat <&"$fd" >"$work/page"
	exec {fd}>&-
}

# value NAME: of the stream, in the last scrape.
value()
{
	sed -n "s/^dmacast_stream_$1{[^}]*} //p" "$work/page"
}

nobody_left()
{
	scrape && [ "$(value clients)" = 0 ]
}

# logged EXPRESSION: print the sum of this number in the lines about clients that left.
logged()
{
	sed -nE "s/.* left.*$1.*/\1/p" "$log" | awk '{ sum += $1 } END { print sum + 0 }'
}

# all_came_back TEXT: all sends of the clients, which have left, are complete, by the metrics and by the log.
all_came_back()
{
	wait_until 30 nobody_left
	wait_until 10 clients_left "$(value clients_joined_total)"
	is "$1: by the metrics everyone left" "$(value clients)" 0
	compare "$1: there were zero-copy sends" "$(value zerocopy_sends_total)" -gt 0
	is "$1: as many completions" "$(value completions_total)" "$(value zerocopy_sends_total)"
	is "$1: none was copied" "$(value completions_copied_total)" 0
	is "$1: none is outstanding" "$(value outstanding_sends)" 0
	is "$1: the log has as many sends" "$(logged 'sends: ([0-9]+) zero-copy')" \
		"$(value zerocopy_sends_total)"
	all_left "$1"
}

# all_left TEXT: the same by the log alone.
all_left()
{
	is "$1: everyone who joined left" "$(client_lines left)" "$(client_lines joined)"
	compare "$1: with zero-copy sends" "$(logged 'sends: ([0-9]+) zero-copy')" -gt 0
	is "$1: of which none was copied" "$(logged '\(([0-9]+) copied by the kernel\)')" 0
}

# stream_end TEXT: stop the daemon; nothing may be outstanding, which daemon_stop would find in the log.
stream_end()
{
	daemon_stop
	is "$1: exit status" "$status" 0
	is "$1: and it did not go because it gave up" \
		"$(grep -Ec 'not complete|still has their blocks' "$log")" 0
}

# adversities: clients that lose packets, pause, reset, end and send.
adversities()
{
	local clients bytes sends bytes_before=0 sends_before=0

	stream_run --zerocopy always --lag-policy block
	for clients in 8 64; do
		peer_ok "$clients clients: all is acknowledged" --clients $clients --seconds 1
		compare "$clients clients: everyone got something" "$(field bytes_min)" -gt $((1 << 20))
		all_came_back "$clients clients"
		bytes=$(($(value sent_bytes_total) - bytes_before))
		sends=$(($(value zerocopy_sends_total) - sends_before))
		bytes_before=$(value sent_bytes_total)
		sends_before=$(value zerocopy_sends_total)
		# With many clients the budget for sends that copy is 448 KiB.
		compare "$clients clients: large sends, for nothing is copied" $((bytes / sends)) -gt $((512 << 10))
	done

	peer_ok "loss: all is acknowledged" --clients 16 --seconds 2 --lose 30
	compare "loss: packets were lost" "$(field lost)" -gt 16
	compare "loss: so others came before their turn" "$(field early)" -gt 0
	compare "loss: what was lost came again" "$(field bytes_min)" -gt $((4 << 20))
	all_came_back "loss"

	peer_ok "heavy loss: all is acknowledged" --clients 8 --seconds 1 --lose 4
	compare "heavy loss: packets were lost" "$(field lost)" -gt 16
	all_came_back "heavy loss"

	peer_ok "zero windows: no more is sent than the window allows" --clients 16 --seconds 2 \
		--pause-each 4M --pause 30ms --window 512K
	compare "zero windows: there were some" "$(field zero_windows)" -ge 16
	compare "zero windows: they were opened again" "$(field bytes_min)" -gt $((6 << 20))
	all_came_back "zero windows"

	peer_ok "zero windows and loss: no more is sent than the window allows" --clients 8 --seconds 2 \
		--rate 16M/s --window 300000 --lose 25
	compare "zero windows and loss: there were losses" "$(field lost)" -gt 0
	compare "zero windows and loss: and closed windows" "$(field zero_windows)" -gt 0
	all_came_back "zero windows and loss"

	peer_ok "resets: the others are acknowledged" --clients 24 --seconds 1 --reset 16 --reset-after 1M --churn
	compare "resets: there were many" "$(field reset)" -gt 16
	all_came_back "resets"

	peer_ok "ends: clients that close come again" --clients 24 --seconds 1 --leave 16 --leave-after 1M --churn
	compare "ends: there were many" "$(field left)" -gt 16
	all_came_back "ends"

	peer_ok "half-closed: clients receive after their FIN" --clients 8 --seconds 1 --half-close --lose 40
	compare "half-closed: all of them" "$(field bytes_min)" -gt $((4 << 20))
	all_came_back "half-closed"

	# The daemon reads and discards what clients send.
	head -c 59999 /dev/urandom >"$work/request"
	peer_ok "requests: all is acknowledged" --clients 8 --seconds 1 --send "$work/request" --lose 40
	compare "requests: the stream goes on" "$(field bytes_min)" -gt $((4 << 20))
	all_came_back "requests"

	peer_start --clients 8 --until-end
	sleep 0.5
	stream_end "stopped while clients receive"
	peer_end "stopped while clients receive: their connections ended in order"
	is "stopped while clients receive: all of them" "$(field ended)" 8
	all_left "stopped while clients receive"
}

# stragglers: clients that stop reading do not stop others.
stragglers()
{
	stream_run --zerocopy always --lag-policy drop --drain-timeout 1s
	peer_ok "stalls: the others are acknowledged" --clients 32 --seconds 2 --stall 12 --stall-after 3M
	compare "stalls: windows were closed" "$(field zero_windows)" -ge 12
	compare "stalls: the others went on" "$(field bytes_min)" -gt $((8 << 20))
	all_came_back "stalls"

	# Only a reset ends these; it completes their outstanding sends.
	peer_start --clients 8 --stall 4 --mute 4 --allow-reset --until-end
	sleep 0.5
	stream_end "stopped beside stalled and mute clients"
	peer_end "stopped beside stalled and mute clients: nothing was sent that no window allowed"
	is "stopped beside stalled and mute clients: they were reset" "$(field resets)" 8
	all_left "stopped beside stalled and mute clients"

	stream_run --zerocopy always --lag-policy drop --user-timeout 1s
	peer_start --clients 32 --mute 12 --mute-after 3M --allow-reset
	wait_until 60 sh -c "[ \$(grep -c 'left: timed out' '$log') -eq 12 ]"
	is "mute: they were given up" "$(grep -c 'left: timed out' "$log")" 12
	is "mute: nobody else was" "$(grep -c ' left: ' "$log")" 12
	peer_end "mute: the others are acknowledged" TERM
	all_came_back "mute"
	stream_end "mute"
}

# input_ends TEXT: the input ends while sends are outstanding; every client gets all of it, and the daemon ends.
input_ends()
{
	local text=$1

	head -c 32M /dev/zero >"$work/input"
	daemon_run --input "$work/input" --on-end close --hold 8 --zerocopy always --lag-policy block \
		"${ring[@]}" --listen 10.78.0.1:0
	target=10.78.0.1:$port
	peer_start --clients 8 --rate 32M/s --window 1M --lose 40 --until-end
	daemon_wait 30
	is "$text: exit status" "$status" 0
	peer_end "$text: the clients' connections ended in order"
	is "$text: all of them" "$(field ended)" 8
	is "$text: after all of it" "$(logged 'sent ([0-9]+) bytes')" $((8 * (32 << 20)))
	compare "$text: though packets were lost" "$(field lost)" -gt 0
	all_left "$text"
}
