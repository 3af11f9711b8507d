#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The tests' harness: what a test started ends with it, however it ends; and nothing else does.

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

# --- another's that has the same number ---
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

done_testing
