#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Zero-copy by io_uring, to imaginary clients (tests/nullpeer.sh): when it is used, and that each send is
# told of once, whatever they do.

. tests/nullpeer.sh
in_nullnet "$@"

check "bench/nullpeer is built" test -x "$BUILD/bench/nullpeer"

# nearly_all TEXT: of the zero-copy sends went by io_uring.
nearly_all()
{
	compare "$1: nearly all by io_uring" $(($(value io_uring_sends_total) * 10)) -gt \
		$(($(value zerocopy_sends_total) * 9))
}

# none TEXT REGEX: by io_uring; the log says why, unless that is empty.
none()
{
	compare "$1: there were zero-copy sends" "$(value zerocopy_sends_total)" -gt 0
	is "$1: none by io_uring" "$(value io_uring_sends_total)" 0
	[ -z "$2" ] || matches "$1: the log says why" "$log" "$2"
}

small=(--huge-pages never)
stream_run "${small[@]}" --zerocopy always
if ! grep -q 'registered for zero-copy by io_uring' "$log"; then
	why=$(sed -n 's/.*only by MSG_ZEROCOPY: //p' "$log")
	compare "the log says why there is no io_uring" "${#why}" -gt 0
	skip "io_uring" "$why"
	done_testing
	exit
fi

# --- when it is used ---
peer_ok "small pages: all is acknowledged" --clients 8 --seconds 1
all_came_back "small pages"
nearly_all "small pages"
is "small pages: the log has as many" "$(logged 'ones ([0-9]+) by io_uring')" "$(value io_uring_sends_total)"
stream_end "small pages"

stream_run "${small[@]}" --zerocopy auto --lag-policy block
peer_ok "auto: all is acknowledged" --clients 8 --seconds 1
all_came_back "auto"
nearly_all "auto"
compare "auto: few were copied" "$(value copied_sends_total)" -lt $(($(value zerocopy_sends_total) / 10))
stream_end "auto"

stream_run "${small[@]}" --zerocopy always --io-uring never
peer_ok "never: all is acknowledged" --clients 8 --seconds 1
all_came_back "never"
none "never" ""
is "never: nothing is said of it" "$(grep -c io_uring "$log")" 0
stream_end "never"

if [ "$(sed -n 's/.*\[\(.*\)\].*/\1/p' /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null)" != never ]; then
	stream_run --huge-pages auto --zerocopy always
	peer_ok "huge pages: all is acknowledged" --clients 8 --seconds 1
	all_came_back "huge pages"
	none "huge pages" ""
	stream_end "huge pages"
else
	skip "huge pages" "this kernel has none"
fi

# What may be locked is the limit, where nothing lifts it.
ring=(--block-size 64K --ring-size 2M)
for limit in 3M 5M; do
	daemon_prefix=(prlimit "--memlock=$(numfmt --from=iec $limit)" setpriv --bounding-set -ipc_lock --)
	stream_run "${small[@]}" --zerocopy always
	peer_ok "$limit of locked memory: all is acknowledged" --clients 2 --seconds 1
	all_came_back "$limit of locked memory"
	if [ $limit = 3M ]; then
		none "$limit of locked memory" 'only by MSG_ZEROCOPY: locked memory is limited'
	else
		nearly_all "$limit of locked memory"
	fi
	stream_end "$limit of locked memory"
done
daemon_prefix=()

# Blocks so small, and with so many of them outstanding, that there is no place for more.
ring=(--block-size 16K --ring-size 32M)
stream_run "${small[@]}" --zerocopy always --lag-policy block
ring=("${usual_ring[@]}")
peer_ok "512 clients with little: all is acknowledged" --clients 512 --seconds 1 --window 128K
all_came_back "512 clients with little"
stream_end "512 clients with little"

input_ends "an input that ends" "${small[@]}"
compare "an input that ends: by io_uring" "$(logged 'ones ([0-9]+) by io_uring')" -gt 0

# --- kicked, and with another ring, while they receive ---
cat >"$work/conf" <<-END
	[daemon]
	control = $work/control
	drain-timeout = 1s
	[stream a]
	pattern = max
	ring-size = 16M
	huge-pages = never
	zerocopy = always
	listen = 10.78.0.1:7000
END
daemon_run -c "$work/conf"
target=10.78.0.1:7000
peer_start --clients 16 --allow-reset
sleep 0.5
check "kicked: all of them" "$BUILD/dmacastctl" --socket "$work/control" kick --stream a
wait_until 20 sh -c "[ \$(grep -c ' left: ' '$log') -eq 16 ]"
is "kicked: they are gone" "$(grep -c ' left: by the operator' "$log")" 16
peer_end "kicked: they were reset" TERM
peer_start --clients 8 --allow-reset --until-end
sleep 0.5
sed -i 's/ring-size.*/ring-size = 8M/' "$work/conf"
check "another ring: it is taken over" "$BUILD/dmacastctl" --socket "$work/control" reload
is "another ring: it is registered, too" "$(grep -c 'registered for zero-copy by io_uring' "$log")" 2
peer_end "another ring: those of the former one end"
peer_ok "another ring: others come" --clients 8 --seconds 1
stream_end "another ring"
compare "another ring: by io_uring" "$(tail -n 12 "$log" | sed -nE 's/.*ones ([0-9]+) by io_uring/\1/p' | sort -n | head -n 1)" -gt 0

adversities "by io_uring" "${small[@]}"
compare "and it was by io_uring" "$(logged 'ones ([0-9]+) by io_uring')" -gt 100
stragglers "by io_uring" "${small[@]}"
compare "and it was by io_uring" "$(logged 'ones ([0-9]+) by io_uring')" -gt 100

done_testing
