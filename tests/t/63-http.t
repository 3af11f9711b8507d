#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Endpoints with format = http: programs and a browser that get the feed, and requests that are slow, long or wrong.

. tests/lib.sh

command -v jq >/dev/null || skip_all "jq is not installed"
control=$work/control
ctl=("$BUILD/dmacastctl" --socket "$control")
feedclient=$BUILD/tests/feedclient
size=$((3000001 / scale))
"$feedclient" --generate $size >"$work/pattern"

# http_run ARGUMENT...: a daemon with an endpoint for HTTP.
http_run()
{
	daemon_run "$@" --format http --control "$control" --listen 127.0.0.1:0
	url=http://127.0.0.1:$port/
}

# gets TEXT FILE EXPECTED COMMAND...: the output of this command, which is sent the file, is as expected; the daemon
# ends with its source.
gets()
{
	local text=$1 file=$2 expected=$3

	shift 3
	http_run --input "exec:cat $file" --hold 1 --on-end close --lag-policy block --block-size 64K --ring-size 2M
	"$@" >"$work/got" 2>"$work/err"
	daemon_wait 60
	cmp "$work/got" "$expected" >"$work/cmp" 2>&1
	ok $? "$text" || {
		diag_file "$work/cmp"
		diag_file "$work/err"
		diag_file "$log"
	}
}

# gets_with PROGRAM TEXT ...: the same, if this program is installed.
gets_with()
{
	if command -v "$1" >/dev/null; then
		gets "${@:2}"
	else
		skip "$2" "$1 is not installed"
	fi
}

# by COMMAND...: with the address at the end.
by()
{
	"$@" "$url"
}

by_ffmpeg()
{
	ffmpeg -nostdin -loglevel error "$@" -i "$url" -f s16le -
}

# vlc refuses to run as root.
by_vlc()
{
	local user=()

	chmod 711 "$work"
	mkdir -m 777 "$work/home"
	[ "$(id -u)" -ne 0 ] || user=(setpriv --reuid 65534 --regid 65534 --clear-groups)
	HOME=$work/home "${user[@]}" cvlc -q --no-interact --demux=dump --demuxdump-file="$work/home/dump" "$url" vlc://quit
	cat "$work/home/dump"
}

# clients FILTER: about the clients of dmacastctl, by jq.
clients()
{
	"${ctl[@]}" --json clients | jq -r ".clients | $1"
}

# clients_are FILTER: true now?
clients_are()
{
	[ "$(clients "$1")" = true ]
}

# stream FILTER: about the stream of dmacastctl.
stream()
{
	"${ctl[@]}" --json streams | jq -r ".streams[0] | $1"
}

# request TEXT [WAY]: send it, which has \r\n. Sets code, body, and status: 0 if the connection ended in order.
request()
{
	printf '%b' "$1" | tests/webclient send 127.0.0.1 "$port" "${@:2}" >"$work/answer" 2>"$work/err"
	status=$?
	code=$(sed -n '1s/^HTTP\/1\.1 \([0-9]*\) .*/\1/p' "$work/answer")
	body=$(sed '1,/^\r$/d' "$work/answer")
}

# is_answered TEXT CODE REQUEST [WAY]: and the connection ends in order.
is_answered()
{
	request "${@:3}"
	is "$1" "$code/$status" "$2/0"
}

# --- whole feeds, byte by byte ---
pattern=$work/pattern
gets "curl gets a whole feed" "$pattern" "$pattern" by curl -sS
gets "also with HTTP/1.0" "$pattern" "$pattern" by curl -sS -0
gets_with wget "wget gets it" "$pattern" "$pattern" by wget -qO-
gets "Python's urllib gets it" "$pattern" "$pattern" by tests/webclient urllib
gets_with chromium "a page of another origin gets it by fetch() in Chromium" "$pattern" "$pattern" \
	by tests/webclient browser
tests/webclient wav $((480000 / scale)) >"$work/wav"
tail -c +45 "$work/wav" >"$work/samples"
gets_with ffmpeg "ffmpeg decodes a WAV file" "$work/wav" "$work/samples" by_ffmpeg
gets_with ffmpeg "and samples without a head" "$work/samples" "$work/samples" by_ffmpeg -f s16le -ar 48000 -ac 1
gets_with cvlc "vlc gets it" "$work/wav" "$work/wav" by_vlc

# --- a client that joins later: a preamble, then what comes ---
mkfifo "$work/fifo"
exec 4<>"$work/fifo"
http_run --input "$work/fifo" --preamble 44 --block-size 4K --ring-size 64K --flush 1ms
cat "$work/wav" >&4 &
will_end $!
writer=$!
wait_until 20 process_ended "$writer"
curl -sSN "$url" >"$work/got" &
will_end $!
wait_until 20 clients_are 'any(.state == "streaming")'
head -c 2000 "$work/samples" >&4
has_bytes()
{
	[ "$(stat -c %s "$work/got")" -ge "$1" ]
}
wait_until 20 has_bytes 2044
daemon_stop
is "a client that joins gets the preamble and what follows" "$(cksum <"$work/got")" \
	"$({ head -c 44 "$work/wav"; head -c 2000 "$work/samples"; } | cksum)"
exec 4>&-

# --- where a client begins ---
exec 4<>"$work/fifo"
http_run --input "$work/fifo" --block-size 4K --ring-size 256K --flush 1h --retain 64K
head -c 40960 "$pattern" >&4
has_blocks()
{
	[ "$(stream .next_sequence)" -eq "$1" ]
}
wait_until 20 has_blocks 10

# place_of START: EPOCH:SEQUENCE of the first block of a feed.
place_of()
{
	curl -sSI "$url?start=$1" | tr -d '\r' | awk '/^Dmacast-Epoch:/ { e = $2 } /^Dmacast-Sequence:/ { print e ":" $2 }'
}

# error_of START: the status, and the oldest block.
error_of()
{
	curl -sS -w ' %{http_code}' "$url?start=$1" | jq -rs '"\(.[1]) \(.[0].oldest)"'
}
oldest=$(place_of oldest)
epoch=${oldest%:*}
is "the oldest block is the first one" "$oldest" "$epoch:0"
is "the next one is another" "$(place_of live)" "$epoch:$(stream .next_sequence)"
feed_ok "start=oldest has every byte" --http '/?start=oldest' --from-start --bytes 40960 "127.0.0.1:$port"
feed_ok "so has a framed client" --http '/?format=framed&start=oldest' --framed --from-start --bytes 40960 "127.0.0.1:$port"
feed_ok "start=-10000 begins with the block of that byte" --http '/?start=-10000' --bytes 10000 "127.0.0.1:$port"
is "at its first byte" "$(field first_offset_min)" 28672
feed_ok "start=-1h" --http '/?start=-1h' --from-start --bytes 40960 "127.0.0.1:$port"
feed_ok "start=EPOCH:SEQUENCE begins after this block" --http "/?start=$epoch:0" --bytes 36864 "127.0.0.1:$port"
is "without a gap" "$(field first_offset_min)" 4096
is "after the newest block comes the next one" "$(place_of "${epoch^^}:9")" "$epoch:10"
is "a block that is still to come is a conflict" "$(error_of "$epoch:10")" "409 $epoch:0"
is "so is another epoch" "$(error_of "00000001:0")" "409 $epoch:0"
is "a malformed place is an error" "$(curl -sS -o /dev/null -w '%{http_code}' "$url?start=$epoch")" 400
head -c 286720 "$pattern" | tail -c +40961 >&4
wait_until 20 has_blocks 70
oldest=$(place_of oldest)
compare "the history has moved on" "${oldest#*:}" -gt 40
is "after a block that has gone, with its successor" "$(error_of "$epoch:0")" "410 $oldest"
is "HEAD says so, too" "$(curl -sSI -o /dev/null -w '%{http_code}' "$url?start=$epoch:0")" 410
is "but the block before the oldest one will do" "$(place_of "$epoch:$((${oldest#*:} - 1))")" "$oldest"
daemon_stop
http_run --feed 1M/s --lag-policy latest
is "lag-policy = latest has no history" "$(curl -sS "$url?start=oldest" | jq -r .error)" \
	"start: expected live under lag-policy = latest"
daemon_stop
exec 4>&-

# --- resources and methods ---
http_run --feed 4M/s --block-size 64K --ring-size 2M --meta site=µ --metrics 127.0.0.1:0
metrics_port=$(sed -n 's/.*metrics.*127\.0\.0\.1:\([0-9]*\).*/\1/p' "$log" | head -n 1)
is "/info has the metadata" "$(curl -sS "${url}info" | jq -c '[.stream, .block_size, .meta.site]')" '["main",65536,"µ"]'
epoch=$(printf %08x "$(curl -sS "${url}info" | jq .epoch)")
curl -sSI "$url" >"$work/head"
matches "HEAD has the place of the feed" "$work/head" "^Dmacast-Epoch: $epoch"
matches "its type" "$work/head" '^Content-Type: application/octet-stream'
is "but no length, and no chunks" "$(grep -ciE '^(Content-Length|Transfer-Encoding):' "$work/head")" 0
is "HEAD of /info has a length and no body" "$(curl -sSI "${url}info" | grep -c '^Content-Length: [1-9]')" 1
curl -sS -D "$work/head" "$url?format=framed" 2>/dev/null | head -c 200000 >"$work/frames"
is "the first block has the sequence of the header field" \
	"$("$feedclient" --framed --check-file "$work/frames" >/dev/null 2>&1; od -An -t u8 --endian=little -j 16 -N 8 "$work/frames" |
		tr -d ' ')" "$(tr -d '\r' <"$work/head" | sed -n 's/^Dmacast-Sequence: //p')"
if command -v chromium >/dev/null; then
	is "a page sees the epoch, too" "$(tests/webclient headers "$url" Dmacast-Epoch)" "$epoch"
else
	skip "a page sees the epoch, too" "chromium is not installed"
fi
is "OPTIONS" "$(curl -sS -X OPTIONS -o /dev/null -w '%{http_code} %header{allow}' "$url")" "204 GET, HEAD, OPTIONS"
is "another method" "$(curl -sS -d x -o /dev/null -w '%{http_code} %header{allow}' "$url")" "405 GET, HEAD, OPTIONS"
is "another path" "$(curl -sS -o /dev/null -w '%{http_code}' "${url}x")" 404
is "an unknown key" "$(curl -sS "$url?begin=1" | jq -r .error | cut -d : -f 1)" begin
is_answered "another version" 505 'GET / HTTP/2.0\r\nHost: a\r\n\r\n'
is_answered "no Host" 400 'GET / HTTP/1.1\r\n\r\n'
is_answered "no HTTP" 400 '\x16\x03\x01'
is_answered "a length and chunks" 400 'GET /info HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0'
is_answered "a request that ends too early" 400 'GET /info HTTP/1.1\r\n' half-close
is_answered "nothing at all has no answer" "" '' half-close
long=$(printf '%0100000d' 0)
is_answered "a target that is too long, of 100 kB" 414 "GET /$long HTTP/1.1\r\nHost: a\r\n\r\n"
is_answered "a header field that is too long" 431 "GET / HTTP/1.1\r\nHost: a\r\nX: $long\r\n\r\n"

# --- pieces, halves, more than one ---
info='GET /info HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n'
is_answered "a request in single bytes" 200 "$info" bytewise
is_answered "one whose client shuts down its side" 200 "$info" half-close
is_answered "of pipelined requests the first one is answered" 200 \
	"${info}GET /x HTTP/1.1\r\nHost: a\r\n\r\n$long$long$long$long$long"
is "with all of its body" "$body" "$(curl -sS "${url}info")"
is_answered "a client that reads late has the answer" 405 \
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n$long$long$long$long$long$long" patient
feed_ok "clients of a feed may half-close and send" --http / --clients 4 --half-close --send 1M --bytes 2M "127.0.0.1:$port"

# --- what operators see ---
wait_until 20 clients_are 'length == 0'
feed_start some --http / --clients 2 --seconds 60 "127.0.0.1:$port"
feed_start framed --http '/?format=framed' --framed --clients 1 --seconds 60 "127.0.0.1:$port"
exec 5<>"/dev/tcp/127.0.0.1/$port"
is_listed()
{
	[ "$(clients '[.[] | .format + " " + .state] | sort | join(", ")')" = \
		"http framed streaming, http requesting, http streaming, http streaming" ]
}
check "dmacastctl shows what each does" wait_until 20 is_listed
exec 5<&-
wait_until 20 clients_are 'length == 3'
is "one that closes without a request has left" "$(stream .left.half_closed)" 2
is "answers are counted by their status" "$(stream '.http_requests | [.["204", "404", "414", "431", "505"]] | @csv')" 1,1,1,1,1
is "in the metrics, too" "$(curl -sS "http://127.0.0.1:$metrics_port/metrics" |
	grep -c '^dmacast_stream_http_requests_total{stream="main",code="4[013][0145]"} [1-9]')" 5
is "errors are a reason of their own" "$(stream '.left.request_refused == ([.http_requests | to_entries[] |
	select(.key >= "400") | .value] | add)')" true
matches "and have a line in the log" "$log" 'client .* left: 414 URI Too Long; sent'
"${ctl[@]}" kick main >/dev/null 2>&1 || "${ctl[@]}" kick --all >/dev/null
feed_end some
compare "a kick resets them: the end of the feed is missing" "$(field resets)" -eq 2
feed_end framed
daemon_stop

# --- time limits ---
http_run --feed 4M/s --block-size 64K --ring-size 2M --request-timeout 2s
SECONDS=0
is_answered "a request that takes too long" 408 'GET / HTTP/1.1\r\n'
compare "not before its time" "$SECONDS" -ge 1
tests/webclient trickle 127.0.0.1 "$port" 0.2 >"$work/answer"
matches "a byte now and then gives no more time" "$work/answer" '^HTTP/1\.1 408 '
is "both are counted" "$(stream '.http_requests."408"')" 2
daemon_stop
number=1000
http_run --feed 4M/s --block-size 64K --ring-size 2M --request-timeout 5s --max-clients $((number + 2))
tests/webclient crowd 127.0.0.1 "$port" $number >"$work/crowd" &
will_end $!
crowd=$!
wait_until 60 grep -q ready "$work/crowd"
feed_ok "beside $number connections without a request, a client is served" --http / --clients 2 --bytes 1M "127.0.0.1:$port"
wait_until 60 process_ended "$crowd"
is "and each of them is answered" "$(sort "$work/crowd" | uniq -c | awk '{ print $1, $3 }' | paste -sd ,)" "$number 408,1 "
daemon_stop
matches "they count for max-clients" "$log" "joined, $number now|more clients joined"

# --- the end of the stream ---
http_run --input "exec:cat $pattern" --hold 1 --on-end close --request-timeout 1h --drain-timeout 1h --lag-policy block
exec 5<>"/dev/tcp/127.0.0.1/$port"
wait_until 20 clients_are 'length == 1'
is "a client without a request does not start the source" "$(stream .state)" holding
curl -sS "$url" >"$work/got"
is "one with a request does" "$(cksum <"$work/got")" "$(cksum <"$pattern")"
daemon_wait 60
is "and the other one keeps nothing open" "$status" 0
exec 5<&-
http_run --feed 4M/s --request-timeout 1h --drain-timeout 1h
exec 5<>"/dev/tcp/127.0.0.1/$port"
wait_until 20 clients_are 'length == 1'
daemon_stop
is "nor does it when the daemon stops" "$status" 0
is "which is its reason" "$(grep -c 'left: stopping' "$log")" 1
exec 5<&-

# --- all formats of one stream, side by side ---
for zerocopy in always never; do
	cat >"$work/config" <<-END
		[daemon]
		control = $control
		[stream adc]
		pattern = $((16777216 / scale))/s
		listen = 127.0.0.1:0
		block-size = 64K
		ring-size = 16M
		zerocopy = $zerocopy
		[endpoint framed]
		stream = adc
		listen = 127.0.0.1:0
		format = framed
		[endpoint web]
		stream = adc
		listen = 127.0.0.1:0
		format = http
	END
	daemon_run -c "$work/config"
	endpoint_of()
	{
		sed -n "s/.*stream adc$1: listening on //p" "$log"
	}
	web=$(endpoint_of ': endpoint web')
	feed_start raw --clients 3 --bytes 16M "$(endpoint_of '')"
	feed_start framed --framed --clients 3 --block-size 64K --bytes 16M "$(endpoint_of ': endpoint framed')"
	feed_start web --http / --clients 3 --bytes 16M "$web"
	feed_start churn --http / --clients 5 --leave 5 --leave-after 300K --churn --allow-gaps --block-size 64K --seconds 60 "$web"
	feed_start stalled --http / --clients 20 --stall 20 --stall-after 100 --rcvbuf 4K --seconds 60 "$web"
	feed_start slow --http '/?format=framed' --framed --clients 2 --rate 2M/s --rcvbuf 32K --allow-gaps --block-size 64K \
		--seconds 5 "$web"
	feed_start jumps --http / --clients 2 --rate 2M/s --rcvbuf 32K --allow-gaps --block-gaps --block-size 64K --seconds 5 "$web"
	feed_ok "$zerocopy: framed by HTTP, every byte beside others" --http '/?format=framed' --framed --clients 3 --block-size 64K \
		--bytes 16M "$web"
	for name in raw framed web; do
		feed_end_ok "$zerocopy: $name, too" $name
	done
	feed_end_ok "$zerocopy: slow clients lose whole blocks, and their frames say so" slow
	compare "$zerocopy: by gaps" "$(field gaps)" -gt 0
	feed_end_ok "$zerocopy: raw ones, too" jumps
	compare "$zerocopy: by gaps" "$(field gaps)" -gt 0
	feed_end_ok "$zerocopy: clients come and go" churn TERM
	feed_end stalled TERM
	daemon_stop
	is "$zerocopy: exit status" "$status" 0
	if [ $zerocopy = always ]; then
		is "always: their blocks are sent by zero-copy" \
			"$(grep -c 'endpoint web: client .* left: .* [1-9][0-9]* zero-copy' "$log" | sed 's/[1-9][0-9]*/some/')" some
	else
		is "never: they are copied" "$(grep -c ' [1-9][0-9]* zero-copy' "$log")" 0
	fi
done

done_testing
