#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Clients that come and go in every way, while others get every byte.

. tests/lib.sh

daemon_run --feed 40M/s --lag-policy block --zerocopy always --listen 127.0.0.1:0
target=127.0.0.1:$port
feed_start steady --clients 3 --seconds 60 "$target"

feed_start leavers --clients 20 --leave 10 --leave-after 300K --reset 10 --reset-after 500K \
	--churn --seconds 3 "$target"
feed_end_ok "clients that leave and reset in mid-stream and join again" leavers
compare "there were many of them" "$(client_lines joined)" -gt $((100 / scale))

for _ in 1 2 3 4 5; do
	feed_start killed --clients 10 --seconds 60 "$target"
	sleep 0.2
	feed_end killed KILL
done
ok 0 "clients killed with SIGKILL"

feed_ok "half-closed clients get the feed" --clients 4 --half-close --bytes 8M "$target"
feed_ok "clients that send get the feed" --clients 4 --send 32M --bytes 8M "$target"

# A client that goes at once, before anything was sent to it.
for _ in $(seq 50); do
	exec 3<>"/dev/tcp/127.0.0.1/$port" && exec 3>&-
done
ok 0 "clients that connect and close"

feed_end_ok "three clients that stayed all the time have every byte" steady TERM
compare "and not just a few" "$(field bytes_min)" -gt $((20000000 / scale))
daemon_stop
is "exit status" "$status" 0
is "everyone who joined left" "$(client_lines left)" "$(client_lines joined)"

# --- thousands that connect and close: the log is bounded, and counts them all ---
# stream_number FILTER: of the only stream, from the daemon itself.
stream_number()
{
	"$BUILD/dmacastctl" --socket "$work/control" --json streams | jq ".streams[0] | $1"
}

flood=3000
daemon_run --feed 4M/s --listen 127.0.0.1:0 --control "$work/control"
for ((i = 0; i < flood; i++)); do
	exec 3<>"/dev/tcp/127.0.0.1/$port" && exec 3>&-
done
wait_until 20 clients_left "$flood"
is "a flood: by the log all joined" "$(client_lines joined)" "$flood"
is "a flood: by the log all left" "$(client_lines left)" "$flood"
if command -v jq >/dev/null; then
	is "a flood: by the counters as many joined" "$(stream_number .joined)" "$flood"
	is "a flood: by the counters as many left" "$(stream_number '[.left[]] | add')" "$flood"
fi
# At most 100 of each in 5 seconds, and a summary each second, however long it takes here.
lines=$(grep -c 'joined\| left' "$log")
compare "a flood: few lines" "$lines" -lt $((flood / 2))
sleep 5
logged=$(grep -c 'client .* joined, ' "$log")
for _ in 1 2 3; do
	exec 3<>"/dev/tcp/127.0.0.1/$port" && exec 3>&-
done
wait_until 10 clients_left $((flood + 3))
is "after the flood each client has a line again" \
	"$(($(grep -c 'client .* joined, ' "$log") - logged))" 3
daemon_stop

done_testing
