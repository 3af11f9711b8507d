#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Networks that are slow, or break: in a namespace of the test's own, two hosts on a virtual wire
# whose queue holds packets, and with them the pages of the ring, for a while.

. tests/lib.sh

if [ "${1-}" != in-namespace ]; then
	unshare -nm true 2>/dev/null || skip_all "no network namespaces here"
	exec unshare -nm bash "$0" in-namespace
fi

ip link set lo up
ip link add server type veth peer name client || skip_all "no veth here"
unshare -n sleep 600 &
host=$!
will_end "$host"
wait_until 5 sh -c "[ \"\$(readlink /proc/$host/ns/net)\" != \"\$(readlink /proc/$$/ns/net)\" ]"
ip link set client netns "$host"
at_client=(nsenter -t "$host" -n --)
ip addr add 10.77.0.1/24 dev server
ip link set server up
"${at_client[@]}" ip link set lo up
"${at_client[@]}" ip addr add 10.77.0.2/24 dev client
"${at_client[@]}" ip link set client up
tc qdisc add dev server root tbf rate $((400 / scale))mbit burst 256k latency 200ms ||
	skip_all "no tbf queue here"

# The checking client is at the other host.
mkdir "$work/bin"
mkdir "$work/bin/tests"
cat >"$work/bin/tests/feedclient" <<END
#!/bin/sh
exec nsenter -t $host -n -- "$(realpath "$BUILD")/tests/feedclient" "\$@"
END
chmod +x "$work/bin/tests/feedclient"
ln -s "$(realpath "$BUILD")/dmacastd" "$work/bin/dmacastd"
ln -s "$(realpath "$BUILD")/dmacastctl" "$work/bin/dmacastctl"
BUILD=$work/bin

no_room()
{
	sed -n 's/.* left: .*(\([0-9]*\) after ENOBUFS)$/\1/p' "$log" |
		awk '{ sum += $1 } END { print sum + 0 }'
}

stream=(--feed max --zerocopy always --listen 10.77.0.1:0)

daemon_run "${stream[@]}" --lag-policy block --ring-size 4M --block-size 64K
feed_ok "slow wire: every byte" --clients 4 --bytes 16M "10.77.0.1:$port"
feed_start some --clients 8 --seconds 60 "10.77.0.1:$port"
sleep 0.5
feed_end some KILL
feed_ok "slow wire: after clients were killed, every byte" --clients 2 --bytes 8M "10.77.0.1:$port"
daemon_stop
is "slow wire: exit status" "$status" 0

# Packets that wait in the queue of the wire are lost when it is full: retransmissions.
tc qdisc change dev server root tbf rate $((200 / scale))mbit burst 256k limit 300k
daemon_run "${stream[@]}" --lag-policy block --ring-size 4M --block-size 64K
feed_ok "lossy wire: every byte" --clients 4 --bytes 6M "10.77.0.1:$port"
daemon_stop
is "lossy wire: exit status" "$status" 0
compare "lossy wire: packets were lost" \
	"$(tc -s qdisc show dev server | sed -n 's/.*dropped \([0-9]*\).*/\1/p' | head -n 1)" -gt 0
tc qdisc change dev server root tbf rate $((400 / scale))mbit burst 256k latency 200ms

# Kicked while packets with pages of the ring are in the queue: completions come later.
daemon_run --feed 80M/s --zerocopy always --listen 10.77.0.1:0 --lag-policy disconnect \
	--ring-size 1M --block-size 64K
feed_start kicked --clients 6 --seconds 60 --allow-reset "10.77.0.1:$port"
wait_until 20 grep -q 'left: too slow' "$log"
feed_end kicked TERM
is "kicked on a slow wire: every byte until then was right" "$(field bad)" 0
daemon_stop
is "kicked on a slow wire: exit status" "$status" 0
is "kicked on a slow wire: everyone who joined left" "$(grep -c ' left: ' "$log")" \
	"$(grep -c ' joined, ' "$log")"

# Too slow for the rate on a slow wire: gaps between blocks, nothing wrong.
daemon_run --feed 40M/s --zerocopy always --listen 10.77.0.1:0 --lag-policy drop \
	--ring-size 2M --block-size 64K
feed_ok "drop on a slow wire: right, with gaps" --clients 4 --seconds 3 --allow-gaps \
	--block-size 64K "10.77.0.1:$port"
compare "drop on a slow wire: there were gaps" "$(field gaps)" -gt 0
daemon_stop
is "drop on a slow wire: exit status" "$status" 0

# Option memory: here there are unfinished sends enough to use it up.
if echo 20480 2>/dev/null >/proc/sys/net/core/optmem_max; then
	daemon_run "${stream[@]}" --lag-policy block --ring-size 4M --block-size 16K \
		--send-buffer 4M --notsent-lowat 4M
	matches "option memory of 20480: the log says what it is enough for" "$log" \
		'net.core.optmem_max = 20480 is enough for 26 incomplete'
	feed_ok "option memory of 20480: every byte" --clients 4 --bytes 16M "10.77.0.1:$port"
	daemon_stop
	is "option memory of 20480: exit status" "$status" 0
	# More than the wire takes, also of a slow daemon, but so that each block is a send of its own.
	tc qdisc change dev server root tbf rate $((100 / scale))mbit burst 256k latency 200ms
	echo 4096 >/proc/sys/net/core/optmem_max
	daemon_run --feed 20M/s --zerocopy always --listen 10.77.0.1:0 --lag-policy block \
		--ring-size 4M --block-size 16K --send-buffer 4M --notsent-lowat 4M
	feed_ok "option memory of 4096: every byte" --clients 4 --bytes 8M "10.77.0.1:$port"
	daemon_stop
	compare "option memory of 4096: sends met the limit and were copied" "$(no_room)" -gt 0
	echo 1048576 >/proc/sys/net/core/optmem_max
else
	skip "option memory of 20480" "cannot be set for a namespace here"
fi

# Early completions: warned of, refused if that is asked for.
if echo 1 2>/dev/null >/proc/sys/net/ipv4/tcp_mtu_probing; then
	daemon_run "${stream[@]}"
	matches "tcp_mtu_probing: warned of" "$log" 'warning: net.ipv4.tcp_mtu_probing = 1: .*set it to 0'
	daemon_stop
	daemon_run "${stream[@]}" --strict yes
	daemon_wait 10
	is "tcp_mtu_probing: refused with strict = yes" "$status" 1
	daemon_run "${stream[@]}" --strict yes --zerocopy never 2>/dev/null
	daemon_wait 1
	echo 0 >/proc/sys/net/ipv4/tcp_mtu_probing
	printf '[daemon]\nstrict = yes\ncontrol = %s\n[stream s]\npattern = 1M/s\nlisten = 10.77.0.1:0\nhuge-pages = never\n' \
		"$work/control" >"$work/strict.conf"
	daemon_run -c "$work/strict.conf"
	echo 1 >/proc/sys/net/ipv4/tcp_mtu_probing
	echo 'block-size = 64K' >>"$work/strict.conf"
	kill -HUP "$daemon"
	wait_until 10 grep -q 'the previous configuration stays in effect' "$log"
	matches "tcp_mtu_probing: a reload is refused with strict = yes" "$log" \
		'error: net.ipv4.tcp_mtu_probing = 1: .*forbidden by strict = yes'
	is "tcp_mtu_probing: and nothing has changed" "$(grep -c restarted "$log")" 0
	feed_start strict --clients 2 --until-end --expect-end end "10.77.0.1:$port"
	check "tcp_mtu_probing: an upgrade keeps the streams" "$BUILD/dmacastctl" --socket "$work/control" upgrade
	matches "tcp_mtu_probing: ... as they are" "$log" 'the streams of the predecessor go on as they are'
	daemon_stop
	is "tcp_mtu_probing: and the daemon ran on" "$status" 0
	feed_end_ok "tcp_mtu_probing: and its clients have every byte" strict
	echo 0 >/proc/sys/net/ipv4/tcp_mtu_probing
else
	skip "tcp_mtu_probing" "cannot be set for a namespace here"
fi

# Clients that vanish without a word: one that is being sent to, one that is not.
daemon_run --feed 8M/s --zerocopy always --listen 10.77.0.1:0 --user-timeout 2s
feed_start vanishing --clients 5 --seconds 60 "10.77.0.1:$port"
sleep 0.5
"${at_client[@]}" ip link set client down
wait_until 20 sh -c "[ \$(grep -c 'left: timed out' '$log') -eq 5 ]"
is "vanished in mid-stream: ended by user-timeout" "$(grep -c 'left: timed out' "$log")" 5
"${at_client[@]}" ip link set client up
{ feed_end vanishing KILL; }
daemon_stop
is "vanished in mid-stream: exit status" "$status" 0

mkfifo "$work/silence"
exec 9<>"$work/silence"
daemon_run --input "$work/silence" --listen 10.77.0.1:0 --keepalive 1s --user-timeout 0
feed_start silent --clients 3 --seconds 60 "10.77.0.1:$port"
wait_until 10 sh -c "[ \$(grep -c ' joined, ' '$log') -eq 3 ]"
"${at_client[@]}" ip link set client down
wait_until 30 sh -c "[ \$(grep -c 'left: ' '$log') -eq 3 ]"
is "vanished while there was nothing to send: ended by keepalive" "$(grep -c 'left: ' "$log")" 3
"${at_client[@]}" ip link set client up
feed_end silent KILL
daemon_stop
is "vanished in silence: exit status" "$status" 0

# A name with addresses that this machine does not have. The mounts are the test's own. Without "multi on" in
# /etc/host.conf, which Debian has, a name has only the first of its addresses.
export RESOLV_MULTI=on
printf '127.0.0.1 both\n::1 both\n::1 six\n' >"$work/hosts"
sysctl -qw net.ipv6.conf.all.disable_ipv6=1
mount --bind "$work/hosts" /etc/hosts
daemon_run --feed 8M/s --listen both:0 --metrics both:0
matches "a name without its IPv6 address: said" "$log" \
	'warning: stream main: endpoint both:0: not listening on \[::1\]:0: Cannot assign requested address'
matches "... for the metrics, too" "$log" 'warning: metrics = both:0: not listening on \[::1\]:0: '
matches "... and it listens on the other one" "$log" 'listening on 127\.0\.0\.1:[0-9]+$'
is "... where clients get data" "$(timeout 20 head -c 4096 <"/dev/tcp/127.0.0.1/$port" | wc -c)" 4096
daemon_stop
is "... to the end" "$status" 0
for host in six '[::1]'; do
	daemon_run --feed 8M/s --listen "$host:0"
	daemon_wait 10
	is "$host without IPv6: refused" "$status" 1
	matches "$host without IPv6: said" "$log" 'error: stream main: listen = .*:0: Cannot assign requested address'
done
umount /etc/hosts

done_testing
