#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Messages for the operator: priorities for journald, verbosity, errors before anything is started.

. tests/lib.sh

command_line=(--pattern 1M/s --listen 127.0.0.1:0)

daemon_prefix=(env JOURNAL_STREAM=1:2)
daemon_run "${command_line[@]}" --max-clients 1
feed_start one --clients 1 --seconds 60 "127.0.0.1:$port"
feed --clients 1 --seconds 1 "127.0.0.1:$port"
feed_end one TERM
daemon_stop
is "under journald every line begins with its priority" "$(grep -Ecv '^<[3-7]>' "$log")" 0
matches "a warning is a warning there" "$log" '^<4>.*refused'
daemon_prefix=()

daemon_run "${command_line[@]}"
is "elsewhere every line begins with the name" "$(grep -Ecv '^dmacastd: ' "$log")" 0
daemon_stop
"$BUILD/dmacastd" -q "${command_line[@]}" 2>"$work/quiet.log" &
daemon=$!
will_end "$daemon"
sleep 0.5
log=$work/quiet.log
daemon_stop
is "-q: nothing unless something is wrong" "$(grep -vc 'RLIMIT_NOFILE' "$work/quiet.log")" 0
daemon_run -v "${command_line[@]}"
daemon_stop
matches "-v: more" "$log" 'debug: '

# Nobody reads the messages: that must not stop the feed.
mkfifo "$work/unread"
exec 7<>"$work/unread"
"$BUILD/dmacastd" -v --pattern 20M/s --listen 127.0.0.1:0 2>&7 &
daemon=$!
will_end "$daemon"
read -r -u 7 line
until [[ $line == *"listening on"* ]]; do
	read -r -u 7 line
done
log=$work/quiet.log
feed_ok "with messages that nobody reads, clients come and go" --clients 20 --leave 20 \
	--leave-after 4K --churn --seconds 2 "127.0.0.1:${line##*:}"
feed_ok "with messages that nobody reads, the feed goes on" --clients 4 --bytes 4M \
	"127.0.0.1:${line##*:}"
dd bs=64K count=1 status=none <&7 >"$work/read"
sleep 0.1
feed --clients 1 --bytes 4K "127.0.0.1:${line##*:}"
dd bs=64K count=1 status=none <&7 >"$work/read.more"
matches "whoever reads again is told how many were lost" "$work/read.more" \
	'messages lost because nobody read them: [1-9]'
daemon_stop
is "with messages that nobody reads: exit status" "$status" 0
exec 7>&-

# Without descriptors 0, 1 and 2 no client gets the messages, or anything else.
"$BUILD/dmacastd" --pattern 20M/s --listen "127.0.0.1:$port" <&- >&- 2>&- &
daemon=$!
will_end "$daemon"
feed_ok "without standard descriptors clients get the feed and nothing else" --clients 8 \
	--bytes 8M "127.0.0.1:$port"
daemon_stop
is "without standard descriptors: exit status" "$status" 0

# refused TEXT REGEX ARGUMENT...
refused()
{
	local text=$1 regex=$2

	shift 2
	daemon_run "$@"
	daemon_wait 5
	is "$text: exit status" "$status" 1
	matches "$text: says what is wrong" "$log" "$regex"
	is "$text: nothing was started" "$(grep -c 'listening on' "$log")" 0
}

refused "no arguments" 'expected -c FILE, or --input INPUT --listen'
refused "unknown option" '--wrong: unknown' --wrong
refused "bad value" '--ring-size 1X: expected a size' "${command_line[@]}" --ring-size 1X
refused "missing file" "$work/none.conf: No such file" -c "$work/none.conf"
refused "a pipe as the file" 'is a pipe; expected a regular file' \
	-c <(printf '[stream a]\npattern = 1M/s\nlisten = 127.0.0.1:0\n')
printf '[stream a]\npattern = 1M/s\nlisten = 127.0.0.1:0\nring-sise = 4M\n' >"$work/bad.conf"
refused "unknown key" "$work/bad.conf:4: \[stream a\] ring-sise: unknown option" -c "$work/bad.conf"
printf '[stream a]\npattern = 1M/s\nlisten = 127.0.0.1:0\nio-uring = auto\n' >"$work/old.conf"
refused "an option of an earlier release" "$work/old.conf:4: \[stream a\] io-uring: unknown option" \
	-c "$work/old.conf"
refused "unknown host" 'listen = no-such-host.invalid:0: ' --pattern 1M/s \
	--listen no-such-host.invalid:0

printf '[stream a]\npattern = 1M/s\nlisten = 127.0.0.1:0\nring-size = 4M\n' >"$work/good.conf"
"$BUILD/dmacastd" --check -c "$work/good.conf" >"$work/printed.conf" 2>"$work/check.err"
is "--check: exit status" "$?" 0
"$BUILD/dmacastd" --check -c "$work/printed.conf" >"$work/again.conf"
check "--check: what it prints is a configuration that means the same" \
	cmp "$work/printed.conf" "$work/again.conf"
matches "--check: prints what was set" "$work/printed.conf" '^ring-size = 4M$'
matches "--check: and what was not" "$work/printed.conf" '^lag-policy = drop$'
"$BUILD/dmacastd" --check -c "$work/bad.conf" >"$work/check.out" 2>&1
is "--check of a bad file: exit status" "$?" 1

done_testing
