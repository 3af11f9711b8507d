#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The checking client can fail: each kind of damage is found, and what is right passes. All other
# tests rest on that.

. tests/lib.sh

feedclient=$BUILD/tests/feedclient
log=/dev/null # no daemon here
pattern=$work/pattern
file=$work/file
read_sizes=(3 256K)

# judged TEXT STATUS REGEX ARGUMENT...: $file is judged so, however it is split into reads. REGEX is
# to match what is printed. (Starts no other process, as there are many of these.)
judged()
{
	local text=$1 expected=$2 regex=$3 size status found='' failed=''

	shift 3
	for size in "${read_sizes[@]}"; do
		"$feedclient" --check-file "$file" --read-size "$size" "$@" >"$work/judged" 2>&1
		status=$?
		IFS= read -r -d '' found <"$work/judged"
		[ "$status" -eq "$expected" ] && [[ $found =~ $regex ]] ||
			failed+=" $size (status $status)"
	done
	[ -z "$failed" ]
	ok $? "$text" || {
		diag "wrong at read sizes$failed; looked for: $regex"
		diag_file "$work/judged"
	}
}

# feed_fails TEXT REGEX ARGUMENT...: this run fails, and says so.
feed_fails()
{
	local text=$1 regex=$2

	shift 2
	feed "$@"
	[ "$status" -eq 1 ] && grep -Eq -- "^feedclient: .*$regex" "$work/feed.err"
	ok $? "$text" || {
		diag "status $status, looked for: $regex"
		diag_file "$work/feed.out"
		diag_file "$work/feed.err"
	}
}

# reports TEXT REGEX: of the run before.
reports()
{
	matches "$1" "$work/feed.out" "$2"
}

# piece FROM TO: these bytes of the pattern.
piece()
{
	tail -c "+$(($1 + 1))" "$pattern" | head -c "$(($2 - $1))"
}

# overwrite OFFSET BYTES: in $file, which starts as the pattern. BYTES as for printf.
overwrite()
{
	cp "$pattern" "$file"
	# shellcheck disable=SC2059
	printf "$2" | dd of="$file" bs=1 seek="$1" conv=notrunc status=none
}

# cut FROM TO: the pattern without these bytes.
cut_out()
{
	{
		piece 0 "$1"
		piece "$2" 32768
	} >"$file"
}

# words NUMBER...: as the stream has them.
words()
{
	local number byte

	for number in "$@"; do
		for byte in 0 1 2 3 4 5 6 7; do
			# shellcheck disable=SC2059
			printf "\\x$(printf %x $((number >> (8 * byte) & 255)))"
		done
	done
}

size=32768
"$feedclient" --generate $size >"$pattern"

# --- the pattern itself, by other means ---

is "words of 64 bits hold their offsets" \
	"$(od -An -v -tu8 -w8 "$pattern" | tr -d ' ' | cksum)" "$(seq 0 8 $((size - 8)) | cksum)"
is "a size that is no whole word" "$("$feedclient" --generate 1001 | cksum)" \
	"$(piece 0 1001 | cksum)"
is "generated at a rate it is the same" "$("$feedclient" --generate 20000 --rate 200K/s | cksum)" \
	"$(piece 0 20000 | cksum)"

# --- lines ---

"$feedclient" --generate 100K --lines >"$work/lines"
head -n 5 "$work/lines" >"$file"
judged "lines are right" 0 'first_offset_min=0 .* gaps=0 .* bad=0 ' --lines
tail -n +21 "$work/lines" | head -n 5 >"$file"
judged "from any line on" 0 'first_offset_min=20 .* gaps=0 .* bad=0 ' --lines
sed -n '3,5p;10,12p' "$work/lines" >"$file"
judged "lines that are missing are wrong" 1 'line 9 follows line 4' --lines
judged "... unless gaps are allowed" 0 ' gaps=1 gap_bytes=4 .* bad=0 ' --lines --allow-gaps
{ sed -n 3p "$work/lines" && sed -n 2p "$work/lines"; } >"$file"
judged "a line does not come again" 1 'line 1 follows line 2' --lines --allow-gaps
tail -c +500 "$work/lines" | head -c 3000 >"$file"
judged "a part of a line is wrong at the begin" 1 'is wrong' --lines --allow-gaps
{ head -c 1000 "$work/lines" && tail -n +9 "$work/lines"; } | head -c 5000 >"$file"
judged "... and within the feed" 1 'is wrong' --lines --allow-gaps

# --- what is right ---

cp "$pattern" "$file"
judged "the pattern is right" 0 "bytes_total=$size .*first_offset_min=0 .* bad=0 .*errors=0" \
	--from-start --expect-bytes 32K
judged "it is so when gaps are allowed" 0 ' gaps=0 gap_bytes=0 cut_gaps=0 bad=0 ' --allow-gaps \
	--block-gaps --block-size 4K
judged "it may be stopped anywhere" 0 'bytes_total=1003 .* bad=0 .* done=1 ' --bytes 1003
piece 4096 20001 >"$file"
judged "a later start and an odd end are right" 0 'first_offset_min=4096 first_offset_max=4096'
judged "but not with --from-start" 1 'starts at stream offset 4096, not at 0' --from-start
for length in 0 1 7 8 15 17; do
	piece 4096 $((4096 + length)) >"$file"
	judged "$length bytes are right" 0 "bytes_total=$length .* bad=0 "
done
piece 4099 8192 >"$file"
judged "a start within a word is wrong" 1 'the first bytes are no pattern'
piece 4353 4358 >"$file"
judged "even if there are 5 bytes of it" 1 'the first bytes are no pattern'
piece 4096 4101 >"$file"
judged "and 5 bytes from elsewhere with --from-start" 1 \
	'wrong byte at stream offset 1 ' --from-start

# --- the number of bytes ---

piece 0 32767 >"$file"
judged "one byte too few" 1 'received 32767 bytes, expected 32768' --expect-bytes 32K
cp "$pattern" "$file"
judged "one byte too many" 1 'received 32768 bytes, expected 32767' --expect-bytes 32767

# --- damage ---

for offset in 0 1 7 8 15; do
	overwrite $offset '\x55'
	judged "a wrong byte $offset, where the stream is located" 1 ' bad=1 ' --allow-gaps
done
for offset in 16 17 4095 4096 20003 32751; do
	overwrite $offset '\x55'
	judged "a wrong byte $offset" 1 "wrong byte at stream offset $offset \(byte $offset of"
	judged "a wrong byte $offset is no gap" 1 "wrong byte at stream offset $offset " --allow-gaps
done
overwrite 32767 '\x55'
judged "a wrong last byte" 1 'wrong byte at stream offset 32767 '
for poison in '\x5a' '\xff' '\x00' '\x6b\xa5'; do
	repeated=
	for _ in $(seq 100); do
		repeated+=$poison
	done
	for offset in 8192 8195; do
		overwrite $offset "$repeated"
		judged "poison $poison at $offset" 1 'wrong byte at stream offset 8[12]' --allow-gaps
	done
done
judged "it is counted, not checked, with --discard" 0 "bytes_total=$size .* bad=0 " --discard

{
	piece 0 8192
	piece 4096 $size
} >"$file"
judged "a repeated block" 1 'offset 8193 .*byte 8192 goes on with stream offset 4096, 4096 back'
judged "a repeated block is no gap" 1 'stream offset 4096, 4096 back' --allow-gaps --block-size 4K
{
	piece 0 8192
	piece 12288 16384
	piece 8192 12288
	piece 16384 $size
} >"$file"
judged "two blocks in the wrong order are no gap" 1 'stream offset 8192, 8192 back' --allow-gaps
{
	piece 0 10000
	printf '\x10'
	piece 10000 $size
} >"$file"
judged "one byte more" 1 'wrong byte at stream offset 10001 ' --allow-gaps
cut_out 10000 10001
judged "one byte less" 1 'wrong byte at stream offset 10000 ' --allow-gaps
{
	piece 0 10008
	piece 10000 $size
} >"$file"
judged "one word twice" 1 'byte 10008 goes on with stream offset 10000, 8 back' --allow-gaps

# --- gaps ---

cut_out 8192 16384
judged "a gap is wrong" 1 'byte 8192 goes on with stream offset 16384, 8192 ahead'
judged "unless it is allowed" 0 ' gaps=1 gap_bytes=8192 cut_gaps=0 bad=0 .* unsure=0 ' \
	--allow-gaps --block-size 4K --block-gaps
cut_out 8192 16392
judged "a gap that ends at any word" 0 ' gaps=1 gap_bytes=8200 cut_gaps=0 bad=0 ' --allow-gaps
judged "is wrong if blocks are larger" 1 'byte 8192 goes on with stream offset 16392, 8200 ahead' \
	--allow-gaps --block-size 4K
cut_out 8192 16389
judged "a gap that ends within a word" 1 'wrong byte at stream offset 8193 ' --allow-gaps
cut_out 8184 8192
judged "a gap of one word" 0 ' gaps=1 gap_bytes=8 ' --allow-gaps --block-size 4K
{
	piece 0 4096
	piece 8192 8208
	piece 12288 12304
	piece 16384 20480
	piece 24576 24580
} >"$file"
judged "gaps close to each other and to the end" 0 \
	' gaps=4 gap_bytes=16352 cut_gaps=2 bad=0 .* unsure=1 ' \
	--allow-gaps --block-size 4K

# Wherever the jump is, before it up to 15 bytes may look right by chance.
read_sizes=(7 256K)
for from in $(seq 8175 8201); do
	cut_out "$from" 16384
	judged "a gap from $from is right" 0 \
		" gaps=1 gap_bytes=$((16384 - from)) cut_gaps=$((from % 4096 > 0)) bad=0 .* unsure=0 " \
		--allow-gaps --block-size 4K
	[ $((from % 4096)) -eq 0 ] ||
		judged "or wrong for cutting a block" 1 "gap at stream offset $from begins within" \
			--allow-gaps --block-size 4K --block-gaps
	cut_out "$from" 16391
	judged "and wrong when it ends within a word" 1 ' bad=1 ' --allow-gaps --block-size 4K
done

# The places before and after it differ in the last byte of a word only, and there in the next one.
words 0x1000 0x1008 0x1010 0x100000000001018 0x100000000001020 >"$file"
judged "a gap to a place with almost the same bytes" 0 \
	' gaps=1 gap_bytes=72057594037927936 cut_gaps=0 bad=0 .* unsure=0 ' --allow-gaps
{
	words 0x1000 0x1008 0x1010 | head -c 17
	words 0x1000000000000 0x1000000000008
} >"$file"
judged "also if it begins within a word" 0 ' gaps=1 gap_bytes=281474976706543 cut_gaps=1 bad=0 ' \
	--allow-gaps
{
	piece 0 8192
	piece 16384 18192
	printf '\x55'
	piece 18193 $size
} >"$file"
judged "a wrong byte behind a gap" 1 'offset 18192 \(byte 10000 of the connection\)' --allow-gaps

# The data may end before the jump's place can be read.
for length in $(seq 1 16); do
	{
		piece 0 8190
		piece 16384 $((16384 + length))
	} >"$file"
	judged "a gap $length bytes before the end" 0 ' cut_gaps=1 bad=0 | gaps=0 ' --allow-gaps \
		--block-size 4K
done
{
	piece 0 8192
	printf '\x01'
} >"$file"
judged "it is said that this is a guess" 0 ' gaps=1 .* unsure=1 ' --allow-gaps
judged "a wrong byte at the end" 1 'wrong byte at stream offset 8192 '
{
	piece 0 8192
	printf '\x08\x31\0\0\0\0\0\0'
} >"$file"
judged "a word at the end from within a block is no gap" 1 'wrong byte at stream offset 8192 ' \
	--allow-gaps --block-size 4K

# --- usage ---

for arguments in '' 'nowhere' '--clients 0 localhost:1' '--bytes 5x localhost:1' \
	'--block-size 12 localhost:1' '--stall 2 localhost:1' '--expect-end well localhost:1' \
	'--no-such-option localhost:1' 'localhost:1 localhost:2' '--rate 5 localhost:1'; do
	# shellcheck disable=SC2086
	feed $arguments
	is "usage: '$arguments'" "$status" 2
done
feed_fails "a file that does not exist" 'No such file' --check-file "$work/nothing"

# --- over a network ---

if ! command -v socat >/dev/null; then
	skip "over a network" "no socat"
	done_testing
fi

# serve LISTEN-OPTIONS ADDRESS: start a server which sends what socat's ADDRESS gives. Sets server,
# its process id, and target.
serve()
{
	serve_any -U "TCP-LISTEN:0,bind=127.0.0.1,reuseaddr,backlog=128$1" "$2"
}

serve_any()
{
	: >"$work/socat.log"
	socat -d -d "$@" 2>"$work/socat.log" &
	server=$!
	will_end "$server"
	wait_until 10 grep -q 'listening on' "$work/socat.log" || diag "socat does not listen"
	target=127.0.0.1:$(sed -n 's/.*listening on .*:\([0-9]*\)$/\1/p' "$work/socat.log" | head -n 1)
}

serve_end()
{
	signal_to "${1:-TERM}" "$server"
	{ wait "$server"; } 2>/dev/null
}

# For the default limit of a run that should be over long before.
limit=(--until-end --seconds 20)

cp "$pattern" "$file"
serve ,fork "OPEN:$file,rdonly"
feed_ok "20 clients receive a file" --clients 20 --from-start --expect-bytes 32K --expect-end end \
	"${limit[@]}" "$target"
reports "all of them" "^clients=20 connected=20 ended=20 resets=0 bytes_total=$((20 * size)) "
reports "each of them" \
	" bytes_min=$size bytes_median=$size bytes_max=$size first_offset_min=0 first_offset_max=0 "
feed_ok "in small pieces" --clients 3 --from-start --expect-bytes 32K --read-size 5 "${limit[@]}" \
	"$target"
feed_ok "slowly" --clients 3 --expect-bytes 32K --rate 100K/s --rcvbuf 4K "${limit[@]}" "$target"
compare "at the rate that was asked for" "$(field rate)" -le $((330 * 1024))
feed_fails "an end before the end" 'client 1: the server ended the connection after 32768 bytes' \
	--bytes 32769 "$target"
feed_ok "which can be allowed" --bytes 32769 --allow-end "$target"
feed_ok "the client stops after --bytes" --clients 3 --bytes 20001 --expect-bytes 20001 "$target"
feed_fails "an end instead of a reset" 'was ended instead of the expected end \(reset\)' \
	--expect-end reset --allow-end "$target"
feed_fails "no end at all" 'was closed after --bytes instead of the expected end' \
	--expect-end any --bytes 1K "$target"
feed_fails "fewer bytes" 'client 2: received 32768 bytes, expected 32776' --clients 2 \
	--expect-bytes 32776 "${limit[@]}" "$target"
overwrite 20003 '\x55'
feed_fails "a wrong byte" 'client 3: wrong byte at stream offset 20003 ' --clients 3 "${limit[@]}" \
	"$target"
is "all clients find it" "$(field bad) $(field ended)" '3 0'
feed_ok "nobody looks at it" --clients 3 --discard --expect-bytes 32K "${limit[@]}" "$target"
piece 4096 $size >"$file"
feed_fails "another start" 'starts at stream offset 4096, not at 0' --from-start "${limit[@]}" \
	"$target"
cut_out 5000 8192
feed_ok "a gap" --clients 3 --allow-gaps --block-size 4K --read-size 100 "${limit[@]}" "$target"
reports "is found by each client" ' gaps=3 gap_bytes=9576 cut_gaps=3 bad=0 '
feed_fails "a gap that is not allowed" 'byte 5000 goes on with stream offset 8192' "${limit[@]}" \
	"$target"
serve_end

feed_fails "nobody listens" 'client 1: connect: Connection refused' \
	--connect-timeout 100ms "$target"
"$feedclient" --until-end --expect-bytes 32K "$target" >"$work/late.out" 2>"$work/late.err" &
late=$!
will_end "$late"
sleep 0.2
socat -U "TCP-LISTEN:${target##*:},bind=127.0.0.1,reuseaddr" "OPEN:$pattern,rdonly" &
will_end $!
check "a server that listens late" wait "$late"

# A killed process closes its sockets; without lingering that is a reset.
reset_run()
{
	serve ,linger=0 "EXEC:$feedclient --generate 0 --rate 4M/s"
	feed_start "$@" "$target"
	serve_end KILL
}
reset_run reset1 "${limit[@]}"
feed_end reset1
is "a reset is wrong" "$status" 1
matches "and called so" "$work/reset1.err" 'client 1: the server reset the connection after'
reset_run reset2 "${limit[@]}" --allow-reset
feed_end_ok "unless it is allowed" reset2
reset_run reset3 "${limit[@]}" --expect-end reset
feed_end_ok "or expected" reset3
is "it is counted" "$(field resets) $(field ended)" '1 0'
reset_run reset4 "${limit[@]}" --expect-end end
feed_end reset4
is "a reset instead of an end" "$status" 1
reset_run reset5 --stall 1 --expect-end reset
feed_end_ok "a client that does not read notices it, too" reset5
is "as such" "$(field stalled_resets) $(field bytes_total)" '1 0'

serve ,fork "EXEC:$feedclient --generate 0 --rate 4M/s"
feed_ok "two of five clients do not read" --clients 5 --stall 2 --bytes 100K "$target"
reports "which does not count" ' ended=0 .* bytes_min=102400 .* done=3 '
feed_ok "nobody reads" --clients 2 --stall 2 --stall-after 10K --seconds 0.3 "$target"
feed_ok "clients come and go" --clients 5 --leave 2 --leave-after 10K --reset 2 --reset-after 3001 \
	--churn --seconds 1 "$target"
compare "more than once" "$(field joins)" -gt 6
feed_ok "clients leave for good" --clients 4 --leave 2 --leave-after 5000 --reset 2 "$target"
is "all of them" "$(field left) $(field joins) $(field bytes_total)" '4 4 10000'
feed_fails "no end in time" '2 clients were not ended by the server' --clients 2 --until-end \
	--seconds 0.2 "$target"
feed_fails "no end as expected" 'was still there instead of the expected end' --expect-end any \
	--seconds 0.2 "$target"
feed_fails "too slow" 'the total rate is [0-9]+ bytes/s, below 1073741824' --min-rate 1G/s \
	--seconds 0.3 "$target"
feed_ok "fast enough" --clients 2 --min-rate 1M/s --seconds 0.5 --source 127.0.0.1 "$target"
feed_start signal --clients 2 --ready-fd 5 "$target" 5>"$work/ready5"
is "--ready tells of the connections" "$(cat "$work/signal.ready")" ready
is "--ready-fd does, too" "$(cat "$work/ready5")" ready
sleep 0.1
feed_end_ok "a signal ends a run well" signal TERM
compare "with all in the report" "$(field bytes_min)" -gt 0
serve_end

unequal="mkdir $work/first && exec $feedclient --generate 64K; exec $feedclient --generate 48K"
serve ,fork "SYSTEM:$unequal"
feed_fails "clients with unequal shares" '49152 to 65536 bytes: 25\.0 % apart' --clients 2 \
	--spread 24.9 "${limit[@]}" "$target"
rmdir "$work/first"
feed_ok "if not too unequal" --clients 2 --spread 25 "${limit[@]}" "$target"
serve_end

serve_any TCP-LISTEN:0,bind=127.0.0.1,fork \
	"SYSTEM:cat >/dev/null; exec $feedclient --generate 64K"
feed_ok "half-closed connections" --clients 2 --half-close --expect-bytes 64K \
	"${limit[@]}" "$target"
feed_ok "read slowly" --half-close --rate 300K/s --rcvbuf 4K --expect-bytes 64K "${limit[@]}" \
	"$target"
serve_end

serve_any -u TCP-LISTEN:0,bind=127.0.0.1 "CREATE:$work/rubbish"
feed_ok "clients that send" --send 3M --half-close --expect-bytes 0 "${limit[@]}" "$target"
{ wait "$server"; } 2>/dev/null
is "all of it arrives" "$(stat -c %s "$work/rubbish") $(field sent)" '3145728 3145728'

done_testing
