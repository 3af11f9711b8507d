#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Endpoints whose address comes later: in a namespace of the test's own, with its own addresses and names.

. tests/lib.sh

if [ "${1-}" != in-namespace ]; then
	unshare -nm true 2>/dev/null || skip_all "no network namespaces here"
	exec unshare -nm bash "$0" in-namespace
fi

ip link set lo up
# One end of a wire: an address of it is one of this machine, which can connect to itself there.
ip link add wire type veth peer name other || skip_all "no veth here"
ip link set wire up
ip link set other up
cp /etc/hosts "$work/hosts"
mount --bind "$work/hosts" /etc/hosts || skip_all "no mount namespaces here"

control=$work/control
ctl()
{
	"$BUILD/dmacastctl" --socket "$control" "$@"
}

# waiting REGEX: does a line of the status about an endpoint that waits match?
waiting()
{
	ctl status >"$work/status" && grep -Eq "^waiting +stream main: $1" "$work/status"
}

listens_at()
{
	"$BUILD/tests/feedclient" --bytes 64K "$1" >"$work/feed.out" 2>&1
}

# --- now ---
daemon_run --pattern 1M/s --listen 10.77.1.1:7001
daemon_wait 20
is "now: an address that is missing is refused" "$status" 1
matches "now: ... with the reason" "$log" 'listen = 10.77.1.1:7001: Cannot assign requested address'

# --- an address ---
daemon_run --pattern 1M/s --listen 127.0.0.1:0 --listen 10.77.1.1:7001 --listen '[fd77::1]:7001' \
	--listen-when available --control "$control"
feed_ok "available: the endpoint of an address that is there works" --bytes 64K "127.0.0.1:$port"
matches "available: the address that is missing is named" "$log" \
	'stream main: endpoint 10\.77\.1\.1:7001: this machine does not have the address yet'
check "available: ... and cannot be connected to" sh -c \
	"! timeout 20 '$BUILD/tests/feedclient' --bytes 64K 10.77.1.1:7001"
ip addr add 10.77.1.1/24 dev wire
feed_ok "available: when the address comes, clients can connect" --bytes 64K 10.77.1.1:7001
if ip addr add fd77::1/64 dev wire nodad 2>/dev/null; then
	feed_ok "available: so they can by IPv6" --bytes 64K '[fd77::1]:7001'
else
	skip "available: so they can by IPv6" "no IPv6 here"
fi
ip addr del 10.77.1.1/24 dev wire
ip addr add 10.77.1.1/24 dev wire
feed_ok "available: also after the address went and came again" --bytes 64K 10.77.1.1:7001
is "available: no endpoint waits" "$(ctl status | grep -c '^waiting')" 0
daemon_stop
is "available: exit status" "$status" 0

# --- a port that is taken is an error under both ---
daemon_run --pattern 1M/s --listen 127.0.0.1:7009 --listen-when available
second=$daemon
first_log=$log
daemon_run --pattern 1M/s --listen 127.0.0.1:7009 --listen-when available
daemon_wait 20
is "available: a port in use is refused" "$status" 1
matches "available: ... with the reason" "$log" 'listen = 127.0.0.1:7009: Address already in use'
daemon=$second log=$first_log
daemon_stop

# --- a name ---
echo "10.77.1.5 feed.test" >>/etc/hosts
daemon_run --pattern 1M/s --listen 127.0.0.1:0 --listen feed.test:7002 --listen later.test:7003 \
	--listen-when available --control "$control" --metrics 127.0.0.1:7080
check "a name without an address of this machine: it waits" \
	wait_until 10 waiting 'listen = feed\.test:7002: Cannot assign requested address$'
check "a name without an address: it waits" wait_until 10 waiting 'listen = later\.test:7003: '
feed_ok "the other endpoint works meanwhile" --bytes 64K "127.0.0.1:$port"
exec {http}<>/dev/tcp/127.0.0.1/7080
printf 'GET /metrics HTTP/1.0\r\n\r\n' >&"$http"
timeout 30 cat <&"$http" >"$work/page"
matches "the metrics count what waits" "$work/page" \
	'^dmacast_stream_endpoints\{stream="main",state="waiting"\} 2'
matches "... and what listens" "$work/page" \
	'^dmacast_stream_endpoints\{stream="main",state="listening"\} 1'
ctl --json streams >"$work/json"
is "... and the JSON has the state of each" \
	"$(perl -MJSON::PP -0777 -e 'print join(" ", map { $_->{state} . ($_->{reason} ? "?" : "") }
		@{decode_json(<STDIN>)->{streams}[0]{endpoints}})' <"$work/json")" "listening waiting? waiting?"
ip addr add 10.77.1.5/24 dev wire
check "when the machine has the address of the name, it listens" \
	wait_until 60 listens_at 10.77.1.5:7002
check "... and only the other one waits" sh -c "! '$BUILD/dmacastctl' --socket '$control' status |
	grep '^waiting.*feed'"
check "the other one still does" waiting 'listen = later\.test:7003: '
echo "127.0.0.3 later.test" >>/etc/hosts
check "when the other name has an address, it listens" wait_until 60 listens_at 127.0.0.3:7003
is "no endpoint waits any more" "$(ctl status | grep -c '^waiting')" 0
is "each reason was logged once" \
	"$(grep -c 'listen = .*trying again' "$log")" "$(grep 'listen = .*trying again' "$log" | sort -u | wc -l)"
daemon_stop
is "names: exit status" "$status" 0

# --- a reload ---
cat >"$work/one.conf" <<END
[daemon]
control = $control
[stream main]
pattern = 1M/s
listen = 127.0.0.1:0
END
daemon_run -c "$work/one.conf"
echo 'listen = 10.77.1.9:7004' >>"$work/one.conf"
check "reload: an address that is missing is refused" sh -c \
	"! '$BUILD/dmacastctl' --socket '$control' reload"
feed_ok "reload: ... and all is as it was" --bytes 64K "127.0.0.1:$port"
echo 'listen-when = available' >>"$work/one.conf"
check "reload: with listen-when = available it is taken" ctl reload
ip addr add 10.77.1.9/24 dev wire
feed_ok "reload: when the address comes, clients can connect" --bytes 64K 10.77.1.9:7004
echo 'listen = never.test:7005' >>"$work/one.conf"
check "reload: a name that is missing is taken" ctl reload
check "reload: ... and waits" waiting 'listen = never\.test:7005: '
sed -i '/never/d' "$work/one.conf"
check "reload: it can be removed" ctl reload
is "reload: then no endpoint waits" "$(ctl status | grep -c '^waiting')" 0
daemon_stop
is "reload: exit status" "$status" 0

done_testing
