#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# /metrics and /status.json: the format, the numbers, and HTTP clients that misbehave.

. tests/lib.sh

# metrics_run ARGUMENT...: daemon_run, with metrics. Sets http, their port.
metrics_run()
{
	daemon_run "$@" --metrics :0
	http=$(sed -n 's,.*metrics at http://127\.0\.0\.1:\([0-9]*\)/.*,\1,p' "$log")
}

# request TEXT FILE: send it, which may have \r\n, and keep all of the answer.
request()
{
	local fd

	exec {fd}<>"/dev/tcp/127.0.0.1/$http" || return
	{ printf '%b' "$1" >&"$fd"; } 2>/dev/null
	timeout 30 cat <&"$fd" >"$2" 2>/dev/null
	exec {fd}>&-
}

# get PATH FILE: the body of the answer.
get()
{
	request "GET $1 HTTP/1.1\r\nHost: a\r\n\r\n" "$2.answer"
	sed '1,/^\r$/d' "$2.answer" >"$2"
}

scrape()
{
	get /metrics "$work/page"
}

# value METRIC [LABEL...]: of the last scrape; all of them together that have these labels.
value()
{
	local name=$1 label lines

	shift
	lines=$(grep "^${name}[{ ]" "$work/page")
	for label in "$@"; do
		lines=$(grep -F "$label" <<<"$lines")
	done
	[ -n "$lines" ] && awk '{ sum += $NF } END { printf "%.17g\n", sum }' <<<"$lines"
}

# has METRIC LABEL VALUE: does a scrape say so now?
has()
{
	scrape
	[ "$(value "$1" "$2")" = "$3" ]
}

# has_some METRIC: is it more than 0 now?
has_some()
{
	scrape
	[ "$(value "$1")" -gt 0 ]
}

fds_are_at_most()
{
	[ "$(open_fds)" -le "$1" ]
}

# json EXPRESSION: of perl, about $j, what the last status.json says.
json()
{
	# shellcheck disable=SC2016 # perl's
	perl -MJSON::PP -0777 -e 'my $j = decode_json(<STDIN>); print eval($ARGV[0]) // "undefined"' \
		"$1" <"$work/status"
}

# falls: counters in the scrapes on standard input that are smaller than before.
falls()
{
	awk '
		/^# TYPE / { type[$3] = $4; next }
		/^#/ { next }
		{
			name = $1
			sub(/\{.*/, "", name)
			family = name
			sub(/_(bucket|count|sum)$/, "", family)
			if (type[name] != "counter" && type[family] != "histogram")
				next
			counted++
			if ($1 in last && $2 < last[$1])
				print $1, $2, "was", last[$1]
			last[$1] = $2
		}
		END { if (!counted) print "no counter" }'
}

# --- off ---
daemon_run --feed 1M/s --listen 127.0.0.1:0
is "without metrics there is one socket, the stream's" \
	"$(ss -Hltnp | grep -c "pid=$daemon,")" 1
daemon_stop

# --- the format, and where it is served ---
metrics_run --feed 8M/s --lag-policy drop --zerocopy always --metrics-per-client yes \
	--listen 127.0.0.1:0 --listen 127.0.0.1:0 --block-size 64K
is "without a host it listens on the loopback only" \
	"$(ss -Hltnp | awk -v pid="pid=$daemon," 'index($0, pid) { print $4 }' |
		grep -Ecv '^(127\.0\.0\.1|\[::1\]):')" 0
feed_start all --clients 3 --seconds 60 "127.0.0.1:$port"
wait_until 10 has dmacast_stream_clients 'stream="main"' 3
wait_until 10 has_some dmacast_capture_to_acknowledged_seconds_count
matches "the type is that of the text format 0.0.4" "$work/page.answer" \
	'^Content-Type: text/plain; version=0\.0\.4; charset=utf-8'
check "promtool has nothing to say" sh -c "tests/promtool check metrics <'$work/page' 2>&1 |
	tee '$work/promtool' && ! grep . '$work/promtool'"
is "each metric has one HELP and one TYPE" \
	"$(grep -E '^# (HELP|TYPE)' "$work/page" | cut -d ' ' -f 2,3 | sort | uniq -d)" ""
manual=daemon/man/dmacastd.8
sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' "$work/page" | sort >"$work/names"
while read -r name; do
	grep -Eq "^\.Li (.* )?$name( |$)|^\.It Li (.* )?$name( |$)" "$manual" || echo "$name"
done <"$work/names" >"$work/undocumented"
is "dmacastd.8 has every metric" "$(cat "$work/undocumented")" ""
compare "and there are many" "$(wc -l <"$work/names")" -gt 40
grep -E '^\.(It )?Li ' "$manual" | grep -Eo '\b(dmacast|process)_[a-z_]+' | grep -v '^dmacast_device_' |
	sort -u >"$work/in-manual"
is "dmacastd.8 has no other (but those of devices)" "$(comm -13 "$work/names" "$work/in-manual")" ""

is "the blocks of all states are those of the ring" "$(value dmacast_stream_blocks)" 256
is "the clients' bytes are the stream's" "$(value dmacast_client_sent_bytes_total)" \
	"$(value dmacast_stream_sent_bytes_total)"
is "each client has its address, the stream, and the endpoint that it came by" \
	"$(grep -Ec "^dmacast_client_lag_bytes\{stream=\"main\",client=\"127\.0\.0\.1:[0-9]+\",endpoint=\"127\.0\.0\.1:$port\"\}" \
		"$work/page")" 3
is "of a zero-copy send, each block's way to the client is timed" \
	"$(value dmacast_capture_to_acknowledged_seconds_bucket 'le="+Inf"')" \
	"$(value dmacast_capture_to_acknowledged_seconds_count)"
compare "and it is" "$(value dmacast_capture_to_acknowledged_seconds_count)" -gt 0
is "the state" "$(value dmacast_stream_state 'state="running"')$(value dmacast_stream_state)" 11
is "the state of the source" \
	"$(value dmacast_stream_source_state 'state="running"')$(value dmacast_stream_source_state)" 11
is "the source is up" "$(value dmacast_stream_source_up)" 1
is "and was opened once" "$(value dmacast_stream_source_restarts_total)" 0
compare "its last byte is not old" "$(value dmacast_stream_source_byte_age_seconds | cut -d . -f 1)" -le 60
is "the version" "$(grep '^dmacast_build_info' "$work/page")" \
	"dmacast_build_info{version=\"$("$BUILD/dmacastd" --version | cut -d ' ' -f 2)\"} 1"
# The page may have been made for the request before this one, and answered ones are closed a little later.
check "open descriptors: at least those that there are" \
	wait_until 10 fds_are_at_most "$(value process_open_fds)"
compare "and not many more, for the requests" "$(value process_open_fds)" -le $(($(open_fds) + 10))
compare "turns of the event loop are counted" "$(value dmacast_loop_seconds_count)" -gt 0
is "and the longest is one of them" "$(awk '
	/^dmacast_loop_seconds_sum/ { sum = $2 }
	/^dmacast_loop_longest_seconds/ { longest = $2 }
	END { print (longest > 0 && longest <= sum + 1e-6) }' "$work/page")" 1
begun=$(value process_start_time_seconds | cut -d . -f 1)
compare "the start was before now" "$begun" -le "$(date +%s)"
compare "and not long before" "$begun" -ge $(($(date +%s) - 120))

# --- status.json ---
# shellcheck disable=SC2016 # perl's
{
	get /status.json "$work/status"
	matches "status.json: the type" "$work/status.answer" '^Content-Type: application/json'
	is "status.json: the stream" "$(json '$j->{streams}[0]{name} . " " . $j->{streams}[0]{state}')" \
		"main running"
	is "status.json: its clients" "$(json '$j->{streams}[0]{clients} . " " . @{$j->{clients}}')" "3 3"
	is "status.json: their bytes are the stream's" \
		"$(json 'my $n; $n += $_->{sent_bytes} for @{$j->{clients}}; $n - $j->{streams}[0]{sent_bytes}')" 0
	is "status.json: the buckets of a latency are its count" \
		"$(json 'my ($h, $n) = $j->{streams}[0]{latency}{to_send}; $n += $_ for @{$h->{buckets}}; ($h->{count} > 0) . ($n - $h->{count}) . " " . @{$h->{buckets}}')" \
		"10 23"
	is "status.json: what the clients of an endpoint get" "$(json '$j->{streams}[0]{sections}[0]{format}')" raw
	is "status.json: the process" "$(json '$j->{pid}')" "$daemon"
	is "status.json: turns of the event loop" "$(json '$j->{loop}{turns}{count} > 0 && $j->{loop}{longest} > 0')" 1
}

# --- the protocol ---
request "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n" "$work/answer"
matches "HEAD: the head" "$work/answer" '^Content-Length: [1-9][0-9]{3}'
is "HEAD: and nothing else" "$(sed '1,/^\r$/d' "$work/answer")" ""
request "GET /other HTTP/1.1\r\nHost: a\r\n\r\n" "$work/answer"
matches "another path: 404" "$work/answer" '^HTTP/1.1 404 '
matches "and which there are" "$work/answer" '/, /metrics and /status\.json'
request "GET /metrics/ HTTP/1.1\r\nHost: a\r\n\r\n" "$work/answer"
matches "a similar path: 404" "$work/answer" '^HTTP/1.1 404 '
request "GET /metrics?x=y HTTP/1.0\r\n\r\n" "$work/answer"
matches "a query, HTTP/1.0: it is answered" "$work/answer" '^HTTP/1.[01] 200 '
for method in POST PUT DELETE OPTIONS PATCH; do
	request "$method /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" "$work/answer"
	matches "$method: 405" "$work/answer" '^HTTP/1.1 405 '
	matches "$method: with what is right" "$work/answer" '^Allow: GET, HEAD'
done
request "GET /metrics HTTP/1.1\r\nHost: a\r\nX: $(head -c 20000 /dev/zero | tr '\0' x)\r\n\r\n" "$work/answer"
is "a header that is too large: no page" "$(grep -c '^dmacast' "$work/answer")" 0
request "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n" "$work/answer"
matches "a body that is too large: refused" "$work/answer" '^HTTP/1.1 413 '
request "rubbish\r\n\r\n" "$work/answer"
is "rubbish: no page" "$(grep -c '^dmacast' "$work/answer")" 0
head -c 100000 /dev/urandom >"$work/random"
timeout 20 bash -c "cat '$work/random' >/dev/tcp/127.0.0.1/$http" 2>/dev/null
scrape
compare "after all that it answers as before" "$(value dmacast_stream_clients)" -eq 3

# --- many at once ---
for i in $(seq 60); do
	get /metrics "$work/many.$i" &
	many[i]=$!
done
wait "${many[@]}"
is "60 requests at once are all answered" \
	"$(grep -l '^dmacast_client_pinned_blocks' "$work"/many.* | grep -vc answer)" 60

# --- HTTP clients that say something now and then, ones that never read, and no end of them ---
sleep 0.5 # those before are gone
before=$(open_fds)
memory=$(awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status")
perl -MIO::Socket::INET -e '
	$SIG{PIPE} = "IGNORE";
	my ($port, $ready) = @ARGV;
	my @slow = map { IO::Socket::INET->new("127.0.0.1:$port") } 1 .. 100;
	for my $n (0 .. 79) {
		$slow[$n] or next;
		# Some ask many times, and never read.
		syswrite($slow[$n], $n % 4 == 3 ? "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" x 1000 : "G");
	}
	open(my $file, ">", $ready);
	for (1 .. 600) {
		for (@slow) { syswrite($_, "E") if $_ }
		select(undef, undef, undef, 0.1);
	}' "$http" "$work/slow.ready" &
slow=$!
will_end "$slow"
wait_until 20 test -e "$work/slow.ready"
begin=$SECONDS
scrape
compare "beside 100 slow ones: a page is had" "$(value dmacast_stream_clients)" -eq 3
compare "within seconds" $((SECONDS - begin)) -le 30
compare "they have few descriptors" $(($(open_fds) - before)) -le 36
compare "and little memory, in KiB" \
	$(($(awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status") - memory)) -lt 16384
feed_ok "and nobody who gets the stream notices" --clients 3 --seconds 2 \
	--min-rate 6M/s "127.0.0.1:$port"
kill -KILL "$slow"
wait "$slow" 2>/dev/null
feed_end_ok "the clients of the stream had every byte" all TERM
daemon_stop
is "exit status" "$status" 0

# --- to the byte, and what ends stays counted ---
head -c $((3 * 1048576 + 5)) /dev/urandom >"$work/data"
cat >"$work/three.conf" <<'END'
[daemon]
metrics = :0
[stream file]
input = FILE
hold = 3
lag-policy = block
zerocopy = always
listen = 127.0.0.1:0
block-size = 64K
ring-size = 1M
[stream live]
pattern = 8M/s
lag-policy = drop
zerocopy = always
listen = 127.0.0.1:0
block-size = 64K
ring-size = 2M
max-clients = 2
[stream strict]
pattern = 8M/s
lag-policy = disconnect
listen = 127.0.0.1:0
block-size = 64K
ring-size = 2M
END
sed -i "s,FILE,$work/data," "$work/three.conf"
daemon_run -c "$work/three.conf"
wait_until 10 grep -q 'metrics at http://127' "$log"
http=$(sed -n 's,.*metrics at http://127\.0\.0\.1:\([0-9]*\)/.*,\1,p' "$log")
port_of()
{
	sed -n "s/.*stream $1: listening on .*:\([0-9]*\)$/\1/p" "$log"
}
for i in 1 2 3; do
	nc 127.0.0.1 "$(port_of file)" >"$work/nc.$i" </dev/null &
	nc_pid[i]=$!
done
wait "${nc_pid[@]}"
for i in 1 2 3; do
	cmp -s "$work/data" "$work/nc.$i" || echo "$i"
done >"$work/differ"
is "three clients have the file" "$(cat "$work/differ")" ""
wait_until 10 has dmacast_stream_clients 'stream="file"' 0
file='stream="file"'
size=$(wc -c <"$work/data")
is "the source's bytes are the file's" "$(value dmacast_stream_filled_bytes_total "$file")" "$size"
is "and its blocks" "$(value dmacast_stream_filled_blocks_total "$file")" 49
is "the clients' bytes are what they got, though they left" \
	"$(value dmacast_stream_sent_bytes_total "$file")" $((3 * size))
is "all of them had the end of the stream" \
	"$(value dmacast_stream_clients_left_total "$file" 'reason="end_of_stream"')" 3
is "every block was timed on its way to every socket" \
	"$(value dmacast_capture_to_send_seconds_count "$file")" 147
sends=$(($(value dmacast_stream_zerocopy_sends_total "$file")))
compare "there were zero-copy sends" $sends -gt 0
is "all of them are complete" "$(value dmacast_stream_completions_total "$file")" $sends
is "none is outstanding" "$(value dmacast_stream_outstanding_sends "$file")" 0
compare "and blocks that ended with one were timed to the client" \
	"$(value dmacast_capture_to_acknowledged_seconds_count "$file")" -gt 0
is "a stream that has ended says so" "$(value dmacast_stream_state "$file" 'state="ended"')" 1
is "and its source is not up" "$(value dmacast_stream_source_up "$file")" 0
compare "the source had to wait for the clients, and it was counted" \
	"$(value dmacast_stream_source_waits_total "$file")" -gt 0

# Others come and go, are too many, too slow; and scrapes go on all the time.
(while [ ! -e "$work/enough" ]; do
	get /metrics "$work/scrape"
	cat "$work/scrape"
	sleep 0.05
done) >"$work/scrapes" &
scraper=$!
will_end "$scraper"
live=127.0.0.1:$(port_of live)
strict=127.0.0.1:$(port_of strict)
feed_start strict --clients 2 --stall 2 --seconds 60 --allow-reset "$strict"
for _ in 1 2 3; do
	feed --clients 2 --bytes 1M "$live"
	wait_until 10 has dmacast_stream_clients 'stream="live"' 0
done
feed_start stalled --clients 1 --stall 1 --seconds 60 "$live"
feed_start other --clients 1 --seconds 60 "$live"
for _ in 1 2 3; do
	feed --clients 1 --seconds 1 --allow-reset "$live"
done
wait_until 20 grep -q 'dropped [0-9]* bytes for it' "$log"
scraped()
{
	[ "$(grep -c '^dmacast_build_info' "$work/scrapes")" -gt 20 ]
}
wait_until 30 scraped
feed_end stalled TERM
feed_end_ok "beside them one has every byte" other TERM
wait_until 20 sh -c "[ \$(grep -c 'left: too slow' '$log') -ge 2 ]"
feed_end strict TERM
wait_until 10 has dmacast_stream_clients 'stream="live"' 0
wait_until 10 has dmacast_stream_clients 'stream="strict"' 0
touch "$work/enough"
wait "$scraper"
scrape
live='stream="live"'
is "no counter ever falls" "$(falls <"$work/scrapes")" ""
compare "in many scrapes" "$(grep -c '^dmacast_build_info' "$work/scrapes")" -gt 20
# left FIELD: sum over all clients of that stream, by the log.
left()
{
	sed -n "s/.*stream live: client .* left: $1.*/\1/p" "$log" | awk '{ n += $1 } END { print n + 0 }'
}
is "the bytes of those who left are as logged" "$(value dmacast_stream_sent_bytes_total "$live")" \
	"$(left '.* sent \([0-9]*\) bytes')"
is "what they lost, too" "$(value dmacast_stream_dropped_bytes_total "$live")" \
	"$(left '.* dropped \([0-9]*\) bytes')"
compare "and they lost something" "$(value dmacast_stream_dropped_bytes_total "$live")" -gt 0
compare "by being dropped for" "$(value dmacast_stream_drops_total "$live")" -gt 0
is "the zero-copy sends" "$(value dmacast_stream_zerocopy_sends_total "$live")" \
	"$(left '.*: \([0-9]*\) zero-copy')"
is "the copies" "$(value dmacast_stream_copied_sends_total "$live")" "$(left '.*, \([0-9]*\) copied')"
is "who was one too many is counted" "$(value dmacast_stream_clients_refused_total "$live")" \
	"$(grep -c 'stream live: .* refused: max-clients' "$log")"
compare "and there were such" "$(value dmacast_stream_clients_refused_total "$live")" -ge 3
is "who joined" "$(value dmacast_stream_clients_joined_total "$live")" \
	"$(grep -c 'stream live: .* joined' "$log")"
is "who left, for whatever reason" "$(value dmacast_stream_clients_left_total "$live")" \
	"$(grep -c 'stream live: .* left: ' "$log")"
is "who reset the connection" \
	"$(value dmacast_stream_clients_left_total "$live" 'reason="reset_by_peer"')" \
	"$(grep -c 'stream live: .* left: reset by peer' "$log")"
is "who was too slow" "$(value dmacast_stream_clients_left_total 'stream="strict"' 'reason="too_slow"')" 2
is "the stream that ended is as it was" "$(value dmacast_stream_sent_bytes_total "$file")" $((3 * size))
daemon_stop
is "exit status with metrics" "$status" 0

# --- every address; one that is taken; and nothing costs anything while nobody asks ---
mkfifo "$work/silent"
sleep 60 >"$work/silent" &
will_end $!
daemon_run --metrics '*:0' --input "$work/silent" --listen 127.0.0.1:0
http=$(sed -n 's,.*metrics at http://.*:\([0-9]*\)/.*,\1,p' "$log")
is "* is every address, by one socket" "$(grep -c 'metrics at http://\(\[::\]\|0\.0\.0\.0\):' "$log")" 1
scrape
compare "it is answered on the loopback, too" "$(value dmacast_stream_clients)" -eq 0
sleep 1
before=$(sleeps "$daemon")
sleep 1
is "with nobody there the daemon sleeps" $(($(sleeps "$daemon") - before)) 0
"$BUILD/dmacastd" --metrics "127.0.0.1:$http" --pattern 1M/s --listen 127.0.0.1:0 2>"$work/taken"
is "an address that is taken: exit status" $? 1
matches "an address that is taken: the log says which" "$work/taken" \
	"metrics = 127\.0\.0\.1:$http: Address already in use"
exec {half}<>"/dev/tcp/127.0.0.1/$http"
printf 'GET /met' >&"$half"
sleep 0.3
daemon_stop
is "stopped with a request under way: exit status" "$status" 0
exec {half}>&-

# --- no descriptor left ---
daemon_prefix=(prlimit --nofile=32:32 --)
metrics_run --pattern 4M/s --listen 127.0.0.1:0
for ((i = 0; i < 31; i++)); do
	exec {fd}<>"/dev/tcp/127.0.0.1/$http"
	connections+=("$fd")
done
wait_until 5 grep -q 'accept: Too many open files' "$log"
matches "no descriptor left: logged" "$log" \
	'metrics = :0: accept: Too many open files; new clients have to wait'
for fd in "${connections[@]}"; do
	exec {fd}>&-
done
scrape
compare "no descriptor left: when others have gone, requests are answered" \
	"$(value dmacast_stream_clients)" -eq 0
daemon_stop
is "no descriptor left: exit status" "$status" 0
daemon_prefix=()

done_testing
