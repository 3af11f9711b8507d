#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Thousands of clients that take all the CPU time: requests, metrics and signals are served meanwhile.

. tests/lib.sh

ulimit -n "$(ulimit -Hn)"
clients=$((2000 / scale))
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge $((clients + 200)) ] ||
	skip_all "needs $((clients + 200)) descriptors, and $(ulimit -n) are allowed"

# ask NUMBER REQUEST: make these requests, each on a connection of its own; print the median in ms, and the last
# answer to $work/answer.
ask()
{
	perl -MIO::Socket::UNIX -MTime::HiRes=time -e '
		my ($path, $number, $request) = @ARGV;
		my (@ms, $answer);
		for (1 .. $number) {
			my $begin = time;
			my $socket = IO::Socket::UNIX->new(Peer => $path) or die "$path: $!";
			print $socket "$request\n";
			$answer = <$socket> or die "no answer";
			push @ms, 1000 * (time - $begin);
		}
		@ms = sort { $a <=> $b } @ms;
		print STDERR $answer;
		printf "%.0f\n", $ms[@ms / 2];
	' "$work/control" "$1" "$2" 2>"$work/answer"
}

# scrape FILE
scrape()
{
	exec {http_fd}<>"/dev/tcp/127.0.0.1/$http" || return
	printf 'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n' >&"$http_fd"
	timeout $((30 * patience)) cat <&"$http_fd" >"$1"
	exec {http_fd}>&-
	grep -q '^dmacast_loop_seconds_count' "$1"
}

all_joined()
{
	ask 1 '{"command":"status"}' >/dev/null
	grep -q "\"clients\":$clients\\b" "$work/answer"
}

daemon_run --feed max --lag-policy block --hold $clients --max-clients $clients --listen 127.0.0.1:0 --drain-timeout 2s \
	--send-buffer 64K --control "$work/control" --metrics :0 --metrics-per-client yes
http=$(sed -n 's,.*metrics at http://127\.0\.0\.1:\([0-9]*\)/.*,\1,p' "$log")
feed_start busy --clients $clients --discard --rcvbuf 64K --until-end --allow-reset "127.0.0.1:$port"
check "$clients clients join" wait_until 30 all_joined

is "requests are answered within a second, at the median" \
	"$(ask 50 '{"command":"status"}' | awk -v limit=$((1000 * patience)) '{ print ($1 < limit) }')" 1
diag "the median was $(ask 20 '{"command":"status"}') ms"
check "a page of clients comes" ask 1 '{"command":"clients","first":100}'
is "with as many as one page has" "$(grep -o '"peer":' "$work/answer" | wc -l)" \
	$((clients - 100 < 250 ? clients - 100 : 250))
check "metrics are served" scrape "$work/before"
is "with each client" "$(grep -c '^dmacast_client_sent_bytes_total' "$work/before")" $clients
filled()
{
	awk '/^dmacast_stream_filled_bytes_total/ { printf "%.0f", $2 }' "$1"
}
# source_goes_on: it has produced more than at the first scrape.
source_goes_on()
{
	sleep 0.2
	scrape "$work/after" && [ "$(filled "$work/after")" -gt "$(filled "$work/before")" ]
}
# clients_go_on: so did what each client got.
clients_go_on()
{
	sleep 0.2
	scrape "$work/after" && [ "$(awk '
		/^dmacast_client_sent_bytes_total/ {
			if (!($1 in before))
				before[$1] = $2
			else
				n += $2 > before[$1]
		}
		END { print n + 0 }' "$work/before" "$work/after")" -eq "$clients" ]
}
check "the source is read meanwhile" wait_until 10 source_goes_on
check "every client gets data meanwhile" wait_until 10 clients_go_on
diag "turns of the loop: $(sed -n 's/^dmacast_loop_seconds_count //p' "$work/after"), the longest of $(
	sed -n 's/^dmacast_loop_longest_seconds //p' "$work/after") s"

begin=$SECONDS
daemon_stop
is "SIGTERM: exit status" "$status" 0
compare "SIGTERM: ends after the time to drain, not much later" $((SECONDS - begin)) -lt $((20 * patience))
is "SIGTERM: every client has left" "$(client_lines left)" $clients
feed_end busy TERM

done_testing
