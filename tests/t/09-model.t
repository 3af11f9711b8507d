#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The model of recycling, tests/model: it holds for 3 blocks and 2 clients; each rule that is broken is found; and the
# code names its transitions. make model searches more.

. tests/lib.sh

command -v spin >/dev/null || skip_all "spin is not installed"
model=tests/model/recycle.pml

# --- the code and the model name the same transitions ---
grep -oE '\* model: [a-z_]+' $model | sed 's/.*: //' | sort -u >"$work/transitions"
grep -rhoE --include='*.[ch]' '/\* model: .* \*/' kmod daemon | sed 's/.*: //; s/ .*//' | sort -u >"$work/named"
compare "the model has transitions" "$(wc -l <"$work/transitions")" -ge 25
is "the code names each of them, and no others" "$(comm -3 "$work/transitions" "$work/named")" ""

# --- the rules hold ---
# holds TEXT WHAT FLAG...
holds()
{
	local text=$1 status=0

	shift
	tests/model/search "$@" >"$work/output" 2>&1 || status=$?
	ok $status "$text: nothing found in $(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' "$work/output") states" ||
		diag_file "$work/output"
}

holds "a device, lag-policy = drop" safety
is "and it reaches each statement of the model" "$(grep -cE '\([1-9][0-9]* of [0-9]+ states\)' "$work/output")" 0
compare "of seven processes" "$(grep -cE '\(0 of [0-9]+ states\)' "$work/output")" -ge 7
holds "a device, disconnect" safety -DDISCONNECT
holds "a device, block" safety -DBLOCK
holds "memory, 2 sends of each client" safety -DMEMORY -DSENDS=2
holds "each block comes back" comes_back -DEVENTS=0 -DWHOLE
holds "drop: a stalled client does not starve the other one" client_gets -DEVENTS=0 -DWHOLE -DSTALLED
holds "disconnect: a stalled client does not stop the stream" goes_on -DEVENTS=0 -DWHOLE -DSTALLED -DDISCONNECT -DMEMORY
holds "block: the stream goes on" goes_on -DEVENTS=0 -DWHOLE -DBLOCK -DMEMORY

# --- each rule is needed ---
# finds RULE EXPECTED WHAT FLAG...: the search finds this when the rule is broken.
finds()
{
	local rule=$1 expected=$2 status=0

	shift 2
	echo "$rule" >>"$work/broken"
	tests/model/search "$@" "-DBREAK_$rule" >"$work/output" 2>&1 || status=$?
	[ $status -eq 1 ] && grep -Eq "^pan:1: $expected" "$work/output"
	ok $? "BREAK_$rule is found" || diag_file "$work/output"
}

overwritten='assertion violated  !\(references\['
recycled='assertion violated .*block\[.*\]==4'
twice='assertion violated record\['
leaked='assertion violated .*block\[b\]!=4'
stops='acceptance cycle'

finds GUARD "$overwritten" safety
finds OVERRUN "$recycled" safety
finds CURSOR 'assertion violated .*cursor\[' safety
finds HELD "$recycled" safety
finds LEAVE "$leaked" safety
finds COPIED "$leaked" safety
finds FLUSH "$leaked" safety
finds FREEZE "$leaked" safety -DMEMORY
finds RANGE "$leaked" safety -DMEMORY -DSENDS=2
finds TWICE "$twice" safety -DMEMORY
finds PINS "$overwritten" safety -DMEMORY
finds RECORD "$overwritten" safety -DMEMORY
finds HANDOVER "$overwritten" safety -DMEMORY
finds KERNEL "$overwritten" safety -DMEMORY
finds ORDER "$overwritten" safety -DMEMORY -DSENDS=2
finds CLOSE "$overwritten" safety -DMEMORY
holds "BREAK_CLOSE on a device, which has the guard" safety -DBREAK_CLOSE -DWHOLE
finds LIMIT "$stops" client_gets -DEVENTS=0 -DWHOLE -DSTALLED -DSENDS=2
finds WAY "$stops" client_gets -DEVENTS=0 -DWHOLE -DSTALLED
finds RETAIN "$stops" goes_on -DEVENTS=0 -DWHOLE
finds LOOK "$stops" goes_on -DEVENTS=0 -DWHOLE
finds RESUME "$stops" goes_on -DWHOLE

is "each rule of the model is broken here" "$(sort "$work/broken")" \
	"$(grep -oE 'BREAK_[A-Z]+' $model | sed 's/BREAK_//' | sort -u)"

done_testing
