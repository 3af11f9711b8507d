#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The tests' harness: processes that a test started end with it, however it ends, and no others; summary; numbers.

. tests/lib.sh

# --- a test's processes ---
cat >"$work/starts" <<'END'
. tests/lib.sh
sleep 1000 &
will_end $!
echo $! >"$1"
[ "$2" = exits ] || kill "-$2" $$
END
ended_soon()
{
	wait_until 10 process_ended "$(cat "$work/pid")"
}
for how in exits TERM INT; do
	bash "$work/starts" "$work/pid" "$how" >"$work/out" 2>&1
	check "a process of a test ($how) ends with it" ended_soon
done

# --- a process of another test with the same number ---
# In a namespace, the next process's number can be chosen.
cat >"$work/reused" <<'END'
. tests/lib.sh
sleep 0 &
old=$!
will_end $old
wait $old
sleep 0.1
{ echo $((old - 1)) >/proc/sys/kernel/ns_last_pid; } 2>/dev/null
sleep 1000 >/dev/null &
disown
[ $! -eq $old ] || exit 3
echo "$old"
END
cat >"$work/namespace" <<'END'
pid=$(bash "$1" 2>/dev/null)
case $? in
0) kill -0 "$pid" ;;
*) exit 3 ;;
esac
END
unshare --pid --fork --mount-proc --kill-child bash "$work/namespace" "$work/reused" >"$work/out" 2>&1
case $? in
3 | 126 | 127) skip "one of another test with a number that is free again is left alone" "numbers cannot be chosen" ;;
*) ok $? "one of another test with a number that is free again is left alone" ;;
esac

# --- summary ---
mkdir "$work/tap"
{
	printf '%s\n' "ok 1 - right" "not ok 2 - wrong" "# because" "ok 3 - not now # SKIP no time"
	printf '%s\n' "not ok 4 - wrong, too" "# or so" "not ok 5 - the end"
	printf '# line %d\n' {1..20}
} >"$work/tap/one.tap"
printf '%s\n' "ok 1 - right" >"$work/tap/two.tap"
{
	echo "not ok 1 - alone"
	printf '# line %d\n' {1..20}
} >"$work/tap/three.tap"
tests/summary "$work/tap" 3 >"$work/summary"
is "the summary's status is that of the run" $? 3
is "its last line has the numbers" "$(tail -n 1 "$work/summary")" "2 passed, 4 failed, 1 skipped"
is "it has of each file the first failure and the last, with how these begin and end" \
	"$(grep -A 100 '^Failed' "$work/summary" | sed '1d;$d')" "  one: not ok 2 - wrong
    # because
  one: not ok 5 - the end
$(printf '    # line %d\n' {9..20})
  three: not ok 1 - alone
$(printf '    # line %d\n' {1..6} {9..20})"
rm "$work/tap/one.tap" "$work/tap/three.tap"
is "without failures it is one line" "$(tests/summary "$work/tap" 0)" "1 passed, 0 failed, 0 skipped"
is "a test that ended early is a failure" "$(tests/summary "$work/tap" 1)" "1 passed, 1 failed, 0 skipped"

# --- names of tests ---
for folder in tests/t tests/vm/t tests/service/t; do
	find "$folder" -type f -printf '%f\n' | sort | awk '
		!/^[0-9][0-9]-[a-z0-9-]+\.t$/ { print $0 " is not NN-NAME.t" }
		{ number = substr($0, 1, 2) }
		number == last { print name " and " $0 " have the same number" }
		{ last = number; name = $0 }' >"$work/names"
	is "$folder: each test has a number of its own" "$(cat "$work/names")" ""
done

done_testing
