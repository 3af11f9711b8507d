#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Restarts under load: 1000 clients of several addresses and formats, which miss no byte and get none twice. The results
# say how long the clients' pauses are; none depends on it.

. tests/scale/lib.sh

scale_enter "$@"
restarts=${DMACAST_TEST_RESTARTS:-50}
scale_each=$(((1000 / scale + 14) / 15))
scale_clients=$((scale_each * 15))
pid_file=$work/pid
pauses=$work/pauses
: >"$pauses"

# 256 KiB/s for each client, in blocks of 4 KiB: the interval between blocks, 16 ms, is no pause.
scale_configure 0 "pattern = $((256 * 1024 / scale))/s" "lag-policy = block" "ring-size = 4M" "block-size = 4K" \
	"max-clients = 9999" "max-clients-per-address = 9999" "huge-pages = never"
daemon_prefix=("$BUILD/tests/servicemanager" --told "$work/told" --store 2 --restart "$pid_file")
daemon_run -c "$work/dmacastd.conf"
scale_find_ports
scale_names=()
for address in "${scale_addresses[@]}"; do
	for format in "${scale_formats[@]}"; do
		scale_names+=("group${#scale_names[@]}")
		scale_feed "$address" "${scale_names[-1]}" "$format" --clients "$scale_each" --until-end \
			--expect-end end --pauses "$pauses"
	done
done
check "$scale_clients clients connect, ${#scale_formats[@]} formats" wait_until 240 scale_all_ready

# What clients have seen since the last call is a line for each, of $pauses.
note_pauses()
{
	local name before

	before=$(wc -l <"$pauses")
	for name in "${scale_names[@]}"; do
		signal_to USR1 "${feed_pid[$name]}"
	done
	wait_until 20 sh -c "[ \$(wc -l <'$pauses') -ge $((before + scale_clients)) ]"
}

handed_over()
{
	"$BUILD/dmacastctl" --socket "$work/control" --json status 2>/dev/null | jq -e ".handovers.count == $1"
}

# Each client gets more than the ring holds for it.
all_go_on()
{
	local bytes

	bytes=$(scale_value .sent_bytes)
	wait_until 60 scale_is .sent_bytes $((bytes + scale_clients * 16384))
}

sleep 1
note_pauses
sort -n "$pauses" | awk '{ p[NR] = $1 } END {
	printf "# without a restart, the longest pause of a client in a second: median %.0f ms, longest %.0f ms\n",
		p[int((NR + 1) / 2)], p[NR] }'
: >"$pauses"
failed=0
for ((i = 1; i <= restarts; i++)); do
	"$BUILD/dmacastctl" --socket "$work/control" handover 2>>"$work/ctl" || failed=$((failed + 1))
	wait_until 30 handed_over "$i" || failed=$((failed + 1))
	all_go_on
	note_pauses
done
is "$restarts restarts: each took over" "$failed" 0 || diag_file "$work/ctl"
is "... with all clients" "$(grep -c "took over 1 stream(s) with $scale_clients client(s)" "$log")" "$restarts"
sort -n "$pauses" | awk '{ p[NR] = $1 } END {
	printf "# pause of a client in a restart: median %.0f ms, 99 of 100 below %.0f ms, longest %.0f ms\n",
		p[int((NR + 1) / 2)], p[int((NR * 99 + 99) / 100)], p[NR] }'
sed -n 's/.*after a pause of \([0-9]*\) ms$/\1/p' "$log" | sort -n | awk '{ p[NR] = $1 } END {
	printf "# from the first value saved to the last one restored: median %d ms, longest %d ms\n",
		p[int((NR + 1) / 2)], p[NR] }'
is "... nobody left" "$(scale_value .clients)" "$scale_clients"
daemon_stop
is "exit status" "$status" 0
for name in "${scale_names[@]}"; do
	feed_end "$name"
	[ "$status" -eq 0 ] || {
		diag "$name: feedclient gave $status: $report"
		diag_file "$work/$name.err"
	}
	echo "$status $(field ended) $(field gaps)"
done >"$work/endings"
grep '^#' "$work/endings"
is "each client has every byte, and no gap" "$(grep -v '^#' "$work/endings" | sort -u)" "0 $scale_each 0"

done_testing
