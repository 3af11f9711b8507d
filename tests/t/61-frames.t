#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Framed clients: headers, metadata, the end; gaps that headers, log, metrics and dmacastctl count alike.

. tests/lib.sh

command -v jq >/dev/null || skip_all "jq is not installed"
control=$work/control
ctl=("$BUILD/dmacastctl" --socket "$control")
generate="$BUILD/tests/feedclient --generate"

# metric NAME: a number of /metrics of the only stream.
metric()
{
	exec 3<>"/dev/tcp/127.0.0.1/$metrics_port" || return
	printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
	sed -n "s/^$1{stream=\"[^\"]*\"} \([0-9]*\).*/\1/p" <&3
	exec 3>&-
}

# client_value NAME: a number of the first client, by dmacastctl.
client_value()
{
	"${ctl[@]}" --json clients | jq -r ".clients[0].$1"
}

# --- whole streams, from START to END ---
for block in 4K 64K 256K 1M; do
	for zerocopy in always never auto; do
		daemon_run --input "exec:$generate $(((9 << 20) / scale + 40))" --hold 2 --on-end close --lag-policy block \
			--format framed --zerocopy $zerocopy --block-size $block --ring-size 8M --flush 1s \
			--listen 127.0.0.1:0
		feed_ok "$block, zerocopy = $zerocopy: two clients get the whole stream" --framed --clients 2 \
			--block-size $block --from-start --until-end --expect-end end "127.0.0.1:$port"
		is "$block, $zerocopy: with START, END and metadata once each" \
			"$(field starts) $(field ends) $(field metadata)" "2 2 2"
		daemon_wait 20
		is "$block, $zerocopy: the daemon ends, too" "$status" 0
	done
done

# --- joining in the middle, leaving, and stalled clients that would take the ring ---
for zerocopy in always never; do
	daemon_run --feed 16M/s --lag-policy drop --zerocopy $zerocopy --format framed --block-size 64K --ring-size 16M \
		--listen 127.0.0.1:0
	target=127.0.0.1:$port
	feed_start stalled --framed --clients 40 --stall 40 --stall-after 100 --rcvbuf 4K --seconds 60 --allow-gaps "$target"
	feed_start churn --framed --clients 9 --leave 9 --leave-after 300K --churn --allow-gaps --block-size 64K \
		--seconds 60 "$target"
	feed_start slow --framed --clients 3 --rate 2M/s --rcvbuf 32K --allow-gaps --block-size 64K --seconds 5 "$target"
	feed_ok "zerocopy = $zerocopy: a framed client has every byte beside such that stall, leave and are slow" \
		--framed --clients 3 --block-size 64K --bytes 24M "$target"
	feed_end_ok "$zerocopy: those who are slow get whole frames" slow
	compare "$zerocopy: and they have gaps" "$(field gaps)" -gt 0
	feed_end_ok "$zerocopy: those who join all the time get metadata and whole blocks" churn TERM
	# The last connections of all nine ended with this client.
	compare "$zerocopy: metadata first, each time" "$(field metadata)" -ge $(($(field joins) - 9))
	feed_end stalled TERM
	daemon_stop
	is "$zerocopy: exit status" "$status" 0
done

# --- a gap is exact: the same number in headers, log, metrics and dmacastctl ---
mkfifo "$work/fifo"
exec 4<>"$work/fifo"
daemon_run --input "$work/fifo" --format framed --lag-policy drop --block-size 64K --ring-size 2M --zerocopy always \
	--listen 127.0.0.1:0 --control "$control" --metrics 127.0.0.1:0
metrics_port=$(sed -n 's/.*metrics.*127\.0\.0\.1:\([0-9]*\).*/\1/p' "$log" | head -n 1)
feed_start slow --framed --clients 1 --rate 8M/s --rcvbuf 32K --allow-gaps --seconds 120 "127.0.0.1:$port"
is_drained()
{
	[ "$(client_value lag_bytes)" = 0 ]
}
$generate $(((48 << 20) / scale)) >&4
wait_until 60 is_drained
peer=$("${ctl[@]}" --json clients | jq -r '.clients[0].peer')
is "dmacastctl knows the format" "$("${ctl[@]}" --json clients | jq -r '.clients[0].format')" framed
dropped=$(client_value dropped_bytes)
compare "a slow client loses blocks" "$dropped" -gt 0
is "the metrics and dmacastctl have the same number" "$(metric dmacast_stream_dropped_bytes_total)" "$dropped"
daemon_stop
is "the headers, up to END, have it, too" "$({ feed_end slow; field gap_bytes; } 2>&1)" "$dropped"
matches "and the log" "$log" "client $peer left: .* dropped $dropped bytes"
exec 4>&-

# --- a command that is restarted: another epoch ---
daemon_run --input "exec:$generate 300000" --on-end wait --format framed --lag-policy block --block-size 64K \
	--ring-size 2M --listen 127.0.0.1:0
feed_ok "each run of a command begins with metadata and START, and its own bytes" --framed --clients 2 \
	--block-size 64K --bytes 1M --metadata "$work/epochs" "127.0.0.1:$port"
compare "there were several" "$(field starts)" -ge 4
is "each has an epoch of its own" "$(jq -r .epoch "$work/epochs" | sort | uniq -d)" ""
compare "and metadata of it" "$(wc -l <"$work/epochs")" -ge 3
daemon_stop

# --- metadata, and a reload ---
config=$work/config
# write_config FORMAT LINE...
write_config()
{
	local format=$1

	shift
	{
		printf '[stream adc]\ninput = %s\nlisten = 127.0.0.1:%s\n' "$work/fifo" "${port_wanted:-0}"
		printf 'block-size = 64K\nring-size = 2M\nformat = %s\n' "$format"
		printf '%s\n' "$@"
	} >"$config"
}
port_wanted=$(shuf -i 20000-29999 -n 1)
write_config framed 'meta.site = "Effelsberg; 100 m"' 'meta.rate = 10M/s' 'meta.unit = µV'
check "--check takes them" "$BUILD/dmacastd" --check -c "$config"
"$BUILD/dmacastd" --check -c "$config" >"$work/printed"
is "and prints them back" "$(grep ^meta "$work/printed")" \
	"$(printf 'meta.site = Effelsberg; 100 m\nmeta.rate = 10M/s\nmeta.unit = µV')"
exec 4<>"$work/fifo"
daemon_run -c "$config"
feed_start framed --framed --clients 1 --metadata "$work/metadata" --until-end --seconds 60 "127.0.0.1:$port"
wait_until 10 test -s "$work/metadata"
is "the metadata of a client" "$(jq -cS 'del(.epoch)' "$work/metadata")" \
	'{"block_size":65536,"meta":{"rate":"10M/s","site":"Effelsberg; 100 m","unit":"µV"},"rate":10485760,"stream":"adc"}'
compare "with an epoch" "$(jq .epoch "$work/metadata")" -gt 0
$generate 100000 >&4

# lines FILE NUMBER
lines()
{
	[ "$(wc -l <"$1")" -ge "$2" ]
}
write_config raw 'meta.site = Effelsberg' 'meta.gain = 3'
kill -HUP "$daemon"
wait_until 10 lines "$work/metadata" 2
is "a reload sends it again, though no block comes" "$(sed -n 2p "$work/metadata" | jq -c .meta)" \
	'{"site":"Effelsberg","gain":"3"}'
is "the epoch is the same" "$(jq .epoch "$work/metadata" | uniq | wc -l)" 1
matches "it is logged" "$log" 'stream adc: .*meta'
feed_start raw --clients 1 --allow-gaps --until-end --seconds 60 "127.0.0.1:$port"
kill -HUP "$daemon"
sleep 0.5
"$BUILD/tests/feedclient" --generate 200000 | tail -c +100001 >&4
wait_until 10 clients_joined 2
sleep 0.5
daemon_stop
feed_end_ok "framed stays framed for a client that has it" framed
is "an unchanged file sends nothing" "$(wc -l <"$work/metadata")" 2
feed_end_ok "a client that joins after the reload is raw" raw
exec 4>&-

# metadata_of OPTION...: that of a stream with these options.
metadata_of()
{
	rm -f "$work/metadata"
	daemon_run --format framed --listen 127.0.0.1:0 "$@"
	feed --framed --metadata "$work/metadata" --bytes 200 "127.0.0.1:$port"
	daemon_stop
	jq -cS 'del(.epoch)' "$work/metadata"
}
is "records have their size in the metadata" "$(metadata_of --pattern 3M/s --record-size 24)" \
	'{"block_size":262144,"meta":{},"rate":3145728,"record_size":24,"stream":"main"}'
is "or their end" "$(metadata_of --input "exec:$generate 0 --rate 1M/s --lines" --record-end '\n')" \
	'{"block_size":262144,"meta":{},"record_end":"\\n","stream":"main"}'

# --- errors ---
write_config framed 'meta.site = a' 'meta.site = b'
"$BUILD/dmacastd" --check -c "$config" >"$work/out" 2>&1
matches "a key that is set twice is an error" "$work/out" 'config:8: \[stream adc\] meta.site = b: expected each KEY once'
write_config framed 'meta.my site = a'
"$BUILD/dmacastd" --check -c "$config" >"$work/out" 2>&1
matches "and a key with a blank" "$work/out" 'meta.my site = a: expected a KEY of 1 to 64 letters'
mapfile -t many < <(seq -f "meta.line%.0f = $(printf '%04000d' 0)" 20)
write_config framed "${many[@]}"
"$BUILD/dmacastd" --check -c "$config" >"$work/out" 2>&1
matches "and more than 64 KiB of them" "$work/out" 'meta: [0-9]* bytes in 20 lines; expected at most 65536'

done_testing
