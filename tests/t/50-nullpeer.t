#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Zero-copy that really is, by MSG_ZEROCOPY, to imaginary clients. See tests/nullpeer.sh.

. tests/nullpeer.sh
in_nullnet "$@"

check "bench/nullpeer is built" test -x "$BUILD/bench/nullpeer"

adversities
stragglers

# Under this policy a ring that is nearly full is no reason to send each block as soon as it is there.
ring=(--block-size 64K --ring-size 2M --low-water 16)
stream_run --zerocopy always --lag-policy block
ring=("${usual_ring[@]}")
peer_ok "low water: all is acknowledged" --clients 1 --seconds 1
all_came_back "low water"
compare "low water: large sends all the same" \
	$(($(value sent_bytes_total) / $(value zerocopy_sends_total))) -gt $((512 << 10))
stream_end "low water"

input_ends "an input that ends"

# --- what real zero-copy is good for: it is found out that it pays ---
stream_run --zerocopy auto --lag-policy block
peer_ok "auto: all is acknowledged" --clients 8 --seconds 1
all_came_back "auto"
compare "auto: nearly all sends were zero-copy" "$(value zerocopy_sends_total)" -gt \
	$((10 * $(value copied_sends_total)))
stream_end "auto"

# --- a server that reads gets each client's request, also after packets were lost ---
mkdir "$work/got"
socat -u TCP-LISTEN:5000,bind=10.78.0.1,fork,reuseaddr,backlog=64 "SYSTEM:cat >\"$work\"/got/\$\$" &
will_end "$!"
listens()
{
	[ -n "$(ss -Hltn 'sport = :5000')" ]
}
wait_until 20 listens
target=10.78.0.1:5000
peer_ok "requests that are read: the server ends when it has them" --clients 8 --send "$work/request" \
	--half-close --until-end
is "requests that are read: from everyone" "$(find "$work/got" -type f | wc -l)" 8
all_got_the_request()
{
	local file

	for file in "$work"/got/*; do
		cmp "$file" "$work/request" || return
	done
}
check "requests that are read: byte for byte" all_got_the_request

head -c 60001 /dev/zero >"$work/long"
: >"$work/empty"
for file in long empty none; do
	"$BUILD/bench/nullpeer" --send "$work/$file" 10.78.0.1:5000 2>"$work/send.err"
	is "a request that cannot be sent: $file" $? 2
done
"$BUILD/bench/nullpeer" --coalesce 1s 10.78.0.1:5000 2>"$work/coalesce.err"
is "a sleep that is too long" $? 2

done_testing
