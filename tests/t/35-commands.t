#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Commands as sources that misbehave: what they write to standard error, and how they end.

. tests/lib.sh

# --- standard error ---
# A flood for about a second: what is logged does not depend on how much of it there is.
cat >"$work/flood" <<'END'
echo begin >&2
seq 500000 >&2
printf '10%%\r20%%\r' >&2
cat /dev/zero | tr '\0' x | head -c 3000000 >&2
echo done
END
daemon_run --input "exec:sh $work/flood" --hold 1 --on-end close --flush 1ms --listen 127.0.0.1:0
got=$(timeout $((60 * patience)) cat <"/dev/tcp/127.0.0.1/$port")
daemon_wait 20
is "stderr: a flood of lines does not hold up the output" "$got" "done"
is "stderr: exit status" "$status" 0
matches "stderr: its beginning is in the log" "$log" 'command: begin$'
matches "stderr: and how much of it is missing" "$log" \
	'command: .* \([0-9]+ more suppressed\)$|command: [0-9]+ more lines suppressed$'
# 10 lines in 5 seconds.
compare "stderr: the log does not grow with it" "$(grep -c ': command: ' "$log")" -lt 200

daemon_run --input "exec:printf '10%%\r20%%\rwarning\r\n' >&2; head -c 2000 /dev/zero | tr '\0' x >&2; cat" \
	--on-end close --listen 127.0.0.1:0
daemon_wait 20
is "stderr: a progress display is logged line by line, an endless line is cut" \
	"$(sed -n 's/.*: command: //p' "$log")" "10%
20%
warning
$(printf 'x%.0s' {1..512}) [cut]"

done_testing
