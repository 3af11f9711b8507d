#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# dmacastctl cat --reconnect with dmacastd: connections that break at any byte, and a history that is long
# enough or not. What is missing is judged by the bytes of the pattern, which have their own positions.

. tests/lib.sh

command -v jq >/dev/null || skip_all "jq is not installed"
ctl=$BUILD/dmacastctl

# start_cat ARGUMENT...: run cat with --reconnect in the background; $work/json, $work/out, $work/text.
start_cat()
{
	: >"$work/out"
	timeout 240 "$ctl" cat --reconnect --json="$work/json" "$@" >"$work/out" 2>"$work/text" &
	cat_pid=$!
	will_end $cat_pid
}

# stop_cat STATUS TEXT: end it when it has received more than now.
stop_cat()
{
	wait_until 60 received $(($(stat -c %s "$work/out") + 100000))
	signal_to TERM $cat_pid
	wait $cat_pid
	status=$?
	is "$2: exit status" "$status" "$1" || diag_file "$work/text"
}

# event NAME JQ: print a value of each event with this name.
event()
{
	jq -r "select(.event == \"$1\") | $2" "$work/json" | paste -sd ' '
}

received()
{
	[ "$(stat -c %s "$work/out")" -ge "$1" ]
}

kicks()
{
	[ "$("$ctl" --socket "$work/control" kick --all)" = 'kicked: 1' ]
}

# kick_often NUMBER: reset this many connections, each after some bytes more.
kick_often()
{
	local i

	for ((i = 0; i < $1; i++)); do
		wait_until 60 received $(($(stat -c %s "$work/out") + 200000 + RANDOM * 10))
		wait_until 60 kicks
	done
}

# judge_gaps TEXT: the gaps in the output are those that were reported.
judge_gaps()
{
	feed --check-file "$work/out" --allow-gaps --block-size 16K --block-gaps
	is "$1: the bytes of the pattern show no other fault" "$status" 0
	is "$1: the loss reported is the truth" "$(event end .client.bytes)" "$(field gap_bytes)"
}

serve=(--format http --block-size 16K --ring-size 16M --control "$work/control")

# --- the history is long enough ---
daemon_run --feed 8M/s "${serve[@]}" --retain 8M --listen 127.0.0.1:0
start_cat "http://127.0.0.1:$port/"
kick_often 15
stop_cat 0 "15 connections are reset"
is "15 connections are reset: and each is reported" "$(event disconnected .url | wc -w)" 15
is "15 connections are reset: nothing is lost" "$(event gap .origin)" ""
is "15 connections are reset: the number of bytes" "$(stat -c %s "$work/out")" "$(event end .bytes)"
feed --check-file "$work/out"
is "15 connections are reset: no byte is lost or twice" "$status" 0
daemon_stop

# --- it is not ---
daemon_run --feed 8M/s "${serve[@]}" --retain 64K --listen 127.0.0.1:0
start_cat "http://127.0.0.1:$port/"
kick_often 5
stop_cat 3 "a history that is too short"
compare "a history that is too short: something is lost" "$(event end .client.bytes)" -gt 0
is "a history that is too short: and its size is known" "$(event end .unknown.gaps)" 0
judge_gaps "a history that is too short"

# The same without a place to resume from, over the same endpoint.
start_cat --raw "http://127.0.0.1:$port/"
kick_often 1
stop_cat 3 "a raw stream by HTTP"
is "a raw stream by HTTP: the loss is unknown" "$(event gap .origin)" unknown
daemon_stop

# --- the daemon is restarted ---
daemon_run --feed 8M/s "${serve[@]}" --retain 8M --listen 127.0.0.1:0
url=http://127.0.0.1:$port/
fixed=$port
start_cat "$url"
wait_until 60 received 1000000
daemon_stop
daemon_run --feed 8M/s "${serve[@]}" --retain 8M --listen "127.0.0.1:$fixed"
has_gap()
{
	[ -n "$(event gap .origin)" ]
}
wait_until 60 has_gap
stop_cat 3 "dmacastd is restarted"
is "dmacastd is restarted: the loss is unknown" "$(event gap .origin)" unknown
daemon_stop

# --- a history over tcp://, where the client is not asked where to begin ---
daemon_run --feed 8M/s --format framed --block-size 16K --ring-size 16M --control "$work/control" --retain 8M \
	--start oldest --listen 127.0.0.1:0
start_cat "tcp://127.0.0.1:$port"
kick_often 5
stop_cat 0 "connections that overlap"
feed --check-file "$work/out"
is "connections that overlap: no byte is lost or twice" "$status" 0
daemon_stop

# --- the history is too short ---
daemon_run --feed 8M/s --format framed --block-size 16K --ring-size 16M --control "$work/control" --retain 64K \
	--start oldest --listen 127.0.0.1:0
start_cat "tcp://127.0.0.1:$port"
kick_often 5
stop_cat 3 "tcp://, a history that is too short"
is "tcp://, a history that is too short: the loss is known" "$(event end .unknown.gaps)" 0
judge_gaps "tcp://, a history that is too short"
daemon_stop

done_testing
