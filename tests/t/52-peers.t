#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The servers that the benchmarks compare dmacastd with deliver what they are fed, and leave no process or
# file; and the feed itself. Speed is not tested.

. tests/lib.sh

feed_program=$BUILD/bench/feed
[ -x "$feed_program" ] || skip_all "bench/feed is not built: make bench-programs"

# --- the feed ---
"$feed_program" --bytes 20000001 >"$work/feed"
check "the feed is the pattern" "$BUILD/tests/feedclient" --from-start --check-file "$work/feed"
is "of the length that was wanted" "$(stat -c %s "$work/feed")" 20000001
"$feed_program" --repeat 1M --bytes 2500000 | cat >"$work/repeated"
"$feed_program" --bytes 1M >"$work/part"
cat "$work/part" "$work/part" "$work/part" | head -c 2500000 >"$work/expected"
check "or its first bytes over and over, by sendfile() to a pipe" cmp "$work/repeated" "$work/expected"
"$feed_program" --repeat 1M --bytes 2500000 >"$work/repeated"
check "... and to a file" cmp "$work/repeated" "$work/expected"
began=$(date +%s%N)
"$feed_program" --rate 10M/s --bytes 5M | cat >"$work/paced"
compare "at a rate" $((($(date +%s%N) - began) / 1000000)) -ge 490
"$feed_program" --repeat 1M | head -c 100000 >"$work/short"
is "the reader's end is no failure" "${PIPESTATUS[0]}" 0
for arguments in "--repeat 7" "--repeat 2G" "--write-size 0" "--rate 0/s" "--await 1" "--port 80" \
	"--await 1 --port 65536" "--request $work/feed" "--bytes many" "--connect nowhere" surplus; do
	# shellcheck disable=SC2086 # words
	"$feed_program" $arguments >"$work/out" 2>"$work/err"
	is "bad arguments: $arguments" $? 2
done

# --- the servers ---
export TMPDIR=$work/tmp
mkdir -m 755 "$TMPDIR"
chmod 755 "$work"
# left_over: directories in memory of processes that are gone; another test may have some meanwhile.
left_over()
{
	local path pid

	for path in /dev/shm/dmacast-bench-*; do
		pid=${path#/dev/shm/dmacast-bench-}
		[ ! -d "$path" ] || [ -d "/proc/${pid%%-*}" ] || echo "$path"
	done
}
before=$(left_over)
for name in ncat socat icecast2 nginx gstreamer zeromq mbuffer nats dmacastd; do
	status=0
	timeout 60 bench/peers.py --clients 2 --bytes 2M "$name" >"$work/peer.out" 2>&1 || status=$?
	if grep -q "$name: not installed" "$work/peer.out"; then
		case $name in
		# Installing these two starts services, so make check does not; make bench does.
		icecast2 | nginx) diag "$name is not tested: it is not installed" ;;
		*) ok 1 "$name is installed" ;;
		esac
		continue
	fi
	ok $((status != 0)) "$name: two clients have the right bytes" || diag_file "$work/peer.out"
	matches "$name: and it says so" "$work/peer.out" "^$name: 2 clients, 2097152 bytes each, all right$"
done
bench/peers.py nobody >"$work/out" 2>&1
is "a peer that nobody knows" $? 2

# A check that a signal ends.
bench/peers.py --clients 2 --bytes 1G socat >"$work/out" 2>&1 &
checker=$!
will_end "$checker"
serves()
{
	[ -n "$(compgen -G "/dev/shm/dmacast-bench-$checker-*")" ] || [ -n "$(ls "$TMPDIR")" ]
}
wait_until 20 serves
# Its children lead process groups, which contain all descendants.
wait_until 20 pgrep -P "$checker"
mapfile -t groups < <(pgrep -P "$checker")
kill -TERM "$checker"
wait_until 20 process_ended "$checker"
{ wait "$checker"; } 2>/dev/null
is "ended by a signal" $? 143
all_ended()
{
	local leader pid

	for leader in "${groups[@]}"; do
		for pid in $(pgrep -g "$leader"); do
			process_ended "$pid" || return
		done
	done
}
compare "there were the feed and the server" ${#groups[@]} -ge 1
check "no process is left" wait_until 5 all_ended
is "no directory is left" "$(left_over) $(ls "$TMPDIR")" "$before "

done_testing
