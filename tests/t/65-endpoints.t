#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Sections [endpoint NAME]: what they have of their stream, whom they accept, what their clients get, and
# how a reload changes them.

. tests/lib.sh

command -v jq >/dev/null || skip_all "jq is not installed"

config=$work/dmacastd.conf
control=$work/control

# daemon_control: start with the configuration of standard input and a control socket.
daemon_control()
{
	{
		printf '[daemon]\ncontrol = %s\ndrain-timeout = 5s\n' "$control"
		cat
	} >"$config"
	daemon_run -c "$config"
	wait_until 20 listens_at "$control" || diag "no control socket"
}

# port_of LABEL: print the port of the first endpoint with this label in the log.
port_of()
{
	sed -n "s/.*stream $1: listening on .*:\([0-9]*\)$/\1/p" "$log" | tail -n 1
}

# value FILTER: of the answer to `streams`.
value()
{
	"$BUILD/dmacastctl" --socket "$control" --json streams 2>"$work/ctl.err" | jq -r "$1"
}

# client FILTER: of the answer to `clients`.
client()
{
	"$BUILD/dmacastctl" --socket "$control" --json clients 2>"$work/ctl.err" | jq -r "$1"
}

# section NAME MEMBER: a number of one section of the first stream; NAME null: the stream's own endpoints.
section()
{
	local name=$1

	[ "$name" = null ] || name="\"$1\""
	value ".streams[0].sections[] | select(.section == $name) | .$2"
}

# is_connected PORT [SOURCE]: succeed if a client gets data.
is_connected()
{
	feed --clients 1 --bytes 8K ${2:+--source "$2"} --allow-gaps --block-size 4K \
		--connect-timeout 2s "$1"
	[ "$status" -eq 0 ]
}

# ---- refused by the kernel ----

for wrong in congestion=nosuchthing interface=nosuchif0; do
	printf '[stream a]\npattern = 1M/s\n[endpoint e]\nstream = a\nlisten = 127.0.0.1:0\n%s\n' \
		"$wrong" >"$config"
	daemon_run -c "$config"
	daemon_wait 10
	is "${wrong%=*}: the kernel refuses it, so the start fails" "$status" 1
	matches "${wrong%=*}: the error names the option and the value" "$log" \
		"error: stream a: endpoint e: ${wrong%=*} = ${wrong#*=}: refused by the kernel: "
done
matches "interface: and says why" "$log" "No such device"

# ---- addresses ----

daemon_control <<END
[endpoint four]
stream = a
listen = 127.0.0.1:0
deny = 127.0.0.0/8
allow = 127.0.0.1 127.0.0.3
[stream a]
pattern = 4M/s
block-size = 4K
ring-size = 1M
listen = 127.0.0.1:0
allow = 127.0.0.1
[endpoint both]
stream = a
listen = :0
deny = all
allow = 127.0.0.2
END
own=127.0.0.1:$(port_of a)
four=127.0.0.1:$(port_of "a: endpoint four")
both=$(port_of "a: endpoint both")
for case in "$own 127.0.0.1 yes" "$own 127.0.0.2 no" "$four 127.0.0.1 yes" "$four 127.0.0.2 no" \
	"$four 127.0.0.3 yes" "127.0.0.1:$both 127.0.0.1 no" "127.0.0.1:$both 127.0.0.2 yes"; do
	read -r address source accepted <<<"$case"
	is_connected "$address" "$source"
	is "from $source to $address: accepted: $accepted" \
		"$([ "$status" -eq 0 ] && echo yes || echo no)" "$accepted"
	[ "$accepted" = yes ] || is "... and no byte was sent" "$(field bytes_total)" 0
done
if ip -6 address show dev lo 2>/dev/null | grep -q ' ::1/'; then
	is_connected "[::1]:$both"
	is "IPv6 does not match a prefix of IPv4" "$([ "$status" -eq 0 ] && echo yes || echo no)" no
else
	skip "IPv6 does not match a prefix of IPv4" "no ::1 here"
fi
is "a refused client is counted by its reason" "$(value '.streams[0].refused_for.denied >= 3')" true
is "... and by its section" "$(section four refused)" 1
matches "... and logged" "$log" \
	"stream a: endpoint four: client 127.0.0.2:[0-9]* refused: its address is denied"
is "clients are counted by their section" "$(section four joined)" 2
feed_start four --seconds 60 --allow-end --allow-reset "$four"
is "a client has the name of its section" "$(client '.clients[0].section')" four
matches "... in the table, too" <("$BUILD/dmacastctl" --socket "$control" clients) ' a/four '
feed_end four TERM
daemon_stop

# ---- connections in a second ----

daemon_control <<END
[stream a]
pattern = 1M/s
block-size = 4K
ring-size = 1M
[endpoint slow]
stream = a
listen = 127.0.0.1:0
connect-rate = 3
[endpoint any]
stream = a
listen = 127.0.0.1:0
END
begin=$(date +%s)
feed --clients 40 --seconds 0.1 --allow-reset --allow-end --connect-timeout 1s \
	"127.0.0.1:$(port_of "a: endpoint slow")"
joined=$(section slow joined)
compare "connect-rate: some are accepted" "$joined" -ge 3
compare "connect-rate: about 3 in a second, and 3 at first" "$joined" -le \
	$((3 * ($(date +%s) - begin + 2)))
is "connect-rate: the others are refused for it" \
	"$(value '.streams[0].refused_for.connect_rate')" "$(section slow refused)"
feed_ok "another section has no limit" --clients 20 --bytes 8K \
	"127.0.0.1:$(port_of "a: endpoint any")"
daemon_stop

# ---- what the socket has ----

available=" $(cat /proc/sys/net/ipv4/tcp_available_congestion_control) "
congestion='reno cubic'
for name in $congestion; do
	[ "${available/ $name /}" != "$available" ] || congestion=
done
daemon_control <<END
[stream a]
pattern = 20M/s
ring-size = 4M
block-size = 64K
listen = 127.0.0.1:0
${congestion:+congestion = reno}
[endpoint marked]
stream = a
listen = 127.0.0.1:0
${congestion:+congestion = cubic}
dscp = EF
interface = lo
[endpoint paced]
stream = a
listen = 127.0.0.1:0
max-rate = 512K/s
send-buffer = 64K
END
own=$(port_of a)
marked=$(port_of "a: endpoint marked")
feed_start own --seconds 60 --allow-end --allow-reset --allow-gaps --block-size 64K "127.0.0.1:$own"
feed_start marked --seconds 60 --allow-end --allow-reset --allow-gaps --block-size 64K \
	"127.0.0.1:$marked"
ss -tinH --tos state established >"$work/sockets" 2>"$work/ss.err" || : >"$work/sockets"

# socket PORT: the line of the daemon's socket, with its details.
socket()
{
	awk -v port=":$1" '/^[^\t]/ { inside = ($3 ~ port "$") } inside' "$work/sockets"
}
if [ -n "$congestion" ] && [ -s "$work/sockets" ]; then
	matches "a section has the congestion control of its stream" <(socket "$own") '\breno\b'
	matches "... or its own" <(socket "$marked") '\bcubic\b'
else
	skip "a section has the congestion control of its stream" "no ss, or not two of them"
	skip "... or its own" "no ss, or not two of them"
fi
if grep -q 'tos:' "$work/sockets"; then
	matches "packets of a section are marked" <(socket "$marked") 'tos:0xb8'
	matches "... and those of others are not" <(socket "$own") 'tos:0\b'
else
	skip "packets of a section are marked" "ss does not show it"
	skip "... and those of others are not" "ss does not show it"
fi
feed --seconds 4 --allow-gaps --block-size 64K "127.0.0.1:$(port_of "a: endpoint paced")"
paced=$(field bytes_total)
compare "max-rate: data comes" "$paced" -gt 65536
compare "max-rate: at the rate, and what the buffers took at first" "$paced" -le \
	$((512 * 1024 * 4 * 3 / 2 + 1048576))
feed_end own TERM
feed_end marked TERM
daemon_stop

# ---- a recorder and viewers ----

daemon_control <<END
[stream a]
pattern = max
block-size = 64K
ring-size = 4M
hold = 3
zerocopy = always
[endpoint recorder]
stream = a
listen = 127.0.0.1:0
lag-policy = block
[endpoint viewer]
stream = a
listen = 127.0.0.1:0
lag-policy = latest
send-buffer = 64K
END
viewer=127.0.0.1:$(port_of "a: endpoint viewer")
feed_start stuck --stall 1 --stall-after 64K --rcvbuf 16K --seconds 120 --allow-end --allow-reset \
	--allow-gaps --block-size 64K "$viewer"
feed_start viewer --seconds 120 --rate 2M/s --rcvbuf 64K --allow-end --allow-reset --allow-gaps \
	--block-size 64K --block-gaps "$viewer"
feed_ok "a recorder gets every byte beside a stalled viewer" --from-start --bytes 96M \
	--rate 30M/s "127.0.0.1:$(port_of "a: endpoint recorder")"
is "the viewers lose data" "$(client '[.clients[] | select(.section == "viewer") | .dropped_bytes > 0] | all')" true
feed_end stuck TERM
feed_end_ok "a viewer loses whole blocks" viewer TERM
is "nobody was told of that" "$(grep -c 'dropped [0-9]* bytes for it' "$log")" 0
daemon_stop

# A viewer is near the newest block, though the ring is large; without the policy it is not.
daemon_control <<END
[stream a]
pattern = 8M/s
block-size = 16K
ring-size = 64M
send-buffer = 32K
listen = 127.0.0.1:0
[endpoint viewer]
stream = a
listen = 127.0.0.1:0
lag-policy = latest
[endpoint limit]
stream = a
listen = 127.0.0.1:0
lag-limit = 512K
[endpoint age]
stream = a
listen = 127.0.0.1:0
lag-limit = 300ms
lag-policy = disconnect
END
for name in "" viewer limit; do
	feed_start "slow$name" --seconds 120 --rate 512K/s --rcvbuf 32K --allow-end --allow-reset \
		--allow-gaps --block-size 16K "127.0.0.1:$(port_of "a${name:+: endpoint $name}")"
done

# lag SECTION: how far its client is behind, in bytes; null: that of the stream's own endpoints
lag()
{
	client ".clients[] | select(.section == $1) | .lag_bytes"
}

is_behind()
{
	[ "$(lag null)" -ge "$1" ]
}
check "a client without a limit falls behind" wait_until 60 is_behind 8388608
compare "latest: a client of the same rate is at the newest blocks" "$(lag '"viewer"')" -le 4194304
compare "lag-limit = SIZE: a client is not behind more than that, and what came at once" \
	"$(lag '"limit"')" -le 4194304
is "... and loses data" "$(client '.clients[] | select(.section == "limit") | .dropped_bytes > 0')" true
is "... which the one without it does not" \
	"$(client '.clients[] | select(.section == null) | .dropped_bytes')" 0
matches "... and that is logged" "$log" 'endpoint limit: client .* bytes for it \(lag-limit\)'
feed --seconds 60 --stall 1 --rcvbuf 32K --expect-end reset --until-end \
	"127.0.0.1:$(port_of "a: endpoint age")"
matches "lag-limit = TIME: a client is disconnected" "$log" \
	'endpoint age: client .*: kicked \(lag-limit\)'
for name in "" viewer limit; do
	feed_end "slow$name" TERM
done
daemon_stop

# The age of a block counts also when no others come.
daemon_control <<END
[stream a]
input = exec:head -c 4194304 /dev/zero; exec sleep 600
hold = 1
block-size = 64K
ring-size = 16M
stop-timeout = 100ms
[endpoint age]
stream = a
listen = 127.0.0.1:0
lag-limit = 300ms
lag-policy = disconnect
send-buffer = 32K
END
feed_start stuck --seconds 60 --stall 1 --rcvbuf 16K --allow-reset --allow-end --until-end --discard \
	"127.0.0.1:$(port_of "a: endpoint age")"
check "lag-limit = TIME: it works for a source that is silent, too" wait_until 30 grep -q \
	'endpoint age: client .*: kicked (lag-limit)' "$log"
feed_end stuck TERM
daemon_stop

# ---- reloading ----

finished_reloads()
{
	grep -cE 'streams: .* as before$|previous configuration stays in effect' "$log"
}

more_reloads_than()
{
	[ "$(finished_reloads)" -gt "$1" ]
}

# reload: with the configuration of standard input.
reload()
{
	local before

	before=$(finished_reloads)
	{
		printf '[daemon]\ncontrol = %s\ndrain-timeout = 5s\n' "$control"
		cat
	} >"$config"
	kill -HUP "$daemon"
	wait_until 30 more_reloads_than "$before" || diag "no reload"
}

# base: a stream whose own clients are there all the time.
base()
{
	printf '[stream a]\npattern = 8M/s\nblock-size = 16K\nring-size = 4M\nlag-policy = block\n'
	printf 'listen = 127.0.0.1:%s\n' "$@"
}

# endpoint NAME PORT LINE...
endpoint()
{
	printf '[endpoint %s]\nstream = a\nlisten = 127.0.0.1:%s\n' "$1" "$2"
	shift 2
	printf '%s\n' "$@"
}

{
	base 0
	endpoint one 0
	endpoint two 0
	endpoint three 0
} >"$work/any"
daemon_control <"$work/any"
own=$(port_of a) one=$(port_of "a: endpoint one") two=$(port_of "a: endpoint two")
three=$(port_of "a: endpoint three")

# all ports as they are now
{
	base "$own"
	endpoint one "$one"
	endpoint two "$two"
	endpoint three "$three"
} >"$work/all"
daemon_stop
daemon_control <"$work/all"
feed_start steady --clients 2 --until-end --expect-end end "127.0.0.1:$own"
feed_start two --clients 2 --until-end --expect-end end "127.0.0.1:$two"
feed_start one --clients 2 --until-end --expect-end end "127.0.0.1:$one"

reload <"$work/all"
matches "a reload without a change: said" "$log" '0 new, 0 removed, 0 restarted, 0 changed, 1 as before'

{
	base "$own"
	endpoint two "$two" "max-clients = 2"
	endpoint three "$three"
	endpoint four "$one"
} | reload
matches "changed sections are named" "$log" \
	'stream a: endpoint two, endpoint one, endpoint four changed|stream a: endpoint one, endpoint two, endpoint four changed'
feed_end_ok "a section is removed: its clients end in order" one
matches "... and that is logged" "$log" 'stream a: endpoint one: removed; its clients get the rest'
wait_until 20 is_connected "127.0.0.1:$one"
ok "$status" "a section is added, with the port of another one"
is "... and counts its clients" "$(section four joined)" 1
is "... which is not known any more" "$(section one joined)" ""
feed --clients 1 --seconds 1 --connect-timeout 1s "127.0.0.1:$two"
is "a changed limit counts at once" "$([ "$status" -eq 0 ] && echo yes || echo no)" no
is "... for new clients only" "$(section two clients)" 2

{
	base "$own"
	endpoint two "$two" "congestion = nosuchthing"
	endpoint three "$three"
	endpoint four "$one"
} | reload
matches "a value that the kernel refuses: said" "$log" \
	'stream a: endpoint two: congestion = nosuchthing: refused by the kernel'
matches "... and nothing changes" "$log" 'was not applied; the previous configuration stays in effect'
is "... no section either" "$(value '.streams[0].sections | length')" 4

# From a section to the stream itself and back, with other options of the socket.
{
	base "$own" "$three"
	endpoint two "$two" "interface = lo" "backlog = 5" "deny = 127.0.0.2"
	endpoint four "$one"
} | reload
wait_until 20 is_connected "127.0.0.1:$three"
ok "$status" "an endpoint moves from a section to the stream"
is "... whose own clients are there" "$(section null clients)" 2
wait_until 20 is_connected "127.0.0.1:$two"
is "a section with another interface listens again" "$(value '.streams[0].sections[] | select(.section == "two") | .listen[0]')" \
	"127.0.0.1:$two"
is "... with its clients" "$(section two clients)" 2
is_connected "127.0.0.1:$two" 127.0.0.2
is "another list of addresses counts at once" "$([ "$status" -eq 0 ] && echo yes || echo no)" no
{
	base "$own"
	endpoint three "$three"
	endpoint two "$two"
	endpoint four "$one"
} | reload
wait_until 20 is_connected "127.0.0.1:$three"
ok "$status" "... and back"

# A client that does not read holds up a removed section for drain-timeout only.
feed_start held --stall 1 --stall-after 64K --rcvbuf 16K --seconds 60 --allow-end --allow-reset \
	--until-end "127.0.0.1:$three"
is_held()
{
	[ "$(lag '"three"')" -ge 1048576 ]
}
wait_until 30 is_held || diag "the client is not behind"
{
	base "$own"
	endpoint two "$two"
	endpoint four "$one"
} | reload
check "a client of a removed section that does not read is reset after drain-timeout" \
	wait_until 40 grep -q 'endpoint three: client .* left: endpoint removed' "$log"
feed_end held TERM

kill -TERM "$daemon"
feed_end_ok "the clients of the stream got every byte through all of it" steady
feed_end_ok "and so did those of a section that stayed" two
daemon_wait 20
is "the daemon ends as usual" "$status" 0

# ---- raw and framed clients of one stream ----

config_of()
{
	printf '[stream a]\n%s\n' "$1"
	printf 'block-size = 64K\nring-size = 4M\nlag-policy = block\n'
	printf '[endpoint bytes]\nstream = a\nlisten = 127.0.0.1:%s\nformat = %s\n' "$2" "$3"
	printf '[endpoint frames]\nstream = a\nlisten = 127.0.0.1:%s\nformat = %s\n' "$4" "$5"
}

for zerocopy in always never; do
	config_of "input = exec:$BUILD/tests/feedclient --generate $(((9 << 20) / scale + 40))
hold = 4
on-end = close
zerocopy = $zerocopy" 0 raw 0 framed >"$work/both"
	daemon_control <"$work/both"
	feed_start bytes --clients 2 --block-size 64K --from-start --until-end --expect-end end \
		"127.0.0.1:$(port_of "a: endpoint bytes")"
	feed_ok "zerocopy = $zerocopy: the framed section of a stream has every byte" --framed --clients 2 \
		--block-size 64K --from-start --until-end --expect-end end "127.0.0.1:$(port_of "a: endpoint frames")"
	is "... with START, END and metadata" "$(field starts) $(field ends) $(field metadata)" "2 2 2"
	feed_end_ok "... and so has the raw one, at the same time" bytes
	daemon_wait 20
	is "... to the end" "$status" 0
done

config_of "pattern = 8M/s" 0 raw 0 framed >"$work/both"
daemon_control <"$work/both"
bytes=$(port_of "a: endpoint bytes") frames=$(port_of "a: endpoint frames")
daemon_stop
config_of "pattern = 8M/s" "$bytes" raw "$frames" framed >"$work/both"
daemon_control <"$work/both"
feed_start bytes --clients 2 --until-end --expect-end end "127.0.0.1:$bytes"
feed_start frames --framed --clients 2 --block-size 64K --until-end --expect-end end "127.0.0.1:$frames"
config_of "pattern = 8M/s" "$bytes" framed "$frames" raw | reload
matches "another format: both sections are named" "$log" 'stream a: endpoint bytes, endpoint frames changed'
feed_ok "a reload changes the format of new clients: raw to framed" --framed --clients 2 --bytes 1M \
	--block-size 64K "127.0.0.1:$bytes"
feed_ok "... and framed to raw" --clients 2 --bytes 1M "127.0.0.1:$frames"

# The section of framed clients is removed while the stream goes on.
config_of "pattern = 8M/s" "$bytes" framed "$frames" raw | sed '/endpoint frames/,$d' | reload
feed_end_ok "framed clients of a removed section stay framed, and their end is announced" frames
is "... once each" "$(field ends)" 2
is "the raw ones stay connected" "$(section bytes clients)" 2
kill -TERM "$daemon"
feed_end_ok "... and have every byte to the end" bytes
daemon_wait 20
is "the daemon ends after that" "$status" 0

# ---- names ----

# The addresses of names are looked up for each section; "localhost" is one that every machine has.
named_config()
{
	printf '[stream a]\npattern = 1M/s\nblock-size = 4K\nring-size = 1M\n'
	printf '[endpoint %s]\nstream = a\nlisten = %s\n' "$@"
}
named_config one localhost:0 >"$work/named"
daemon_control <"$work/named"
named=$(port_of "a: endpoint one")
check "a section listens on a name" test -n "$named"
daemon_stop
named_config one "localhost:$named" >"$work/named"
daemon_control <"$work/named"
named_config two "localhost:$named" three localhost:0 | reload
wait_until 20 is_connected "localhost:$named"
ok "$status" "a name moves to another section, and a new one listens on it, too"
check "... in the same reload" test -n "$(port_of "a: endpoint three")"
named_config two "localhost:$named" three no-such-name.invalid:7000 | reload
matches "a name without an address: the section is named" "$log" \
	'stream a: endpoint three: listen = no-such-name.invalid:7000: '
is "... and the reload changes nothing" "$(value '[.streams[0].sections[].section] | contains(["two"])')" true
named_config two "localhost:$named" three $'no-such-name.invalid:7000\nlisten-when = available' | reload
matches "with listen-when = available the section waits" "$log" \
	'endpoint three: listen = no-such-name.invalid:7000: .*trying again'
daemon_stop

done_testing
