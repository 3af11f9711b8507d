#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The fuzzers: each one with its seeds and some inputs made of them, the same in each run; and each one finds a
# fault that is put into the daemon's code. make fuzz looks for new inputs.

. tests/lib.sh

build=${FUZZ_BUILD:-build/fuzz}
command -v clang >/dev/null || skip_all "clang is not installed"

mapfile -t fuzzers < <(cd tests/fuzz && printf '%s\n' *.c | sed 's/\.c$//')

is "each fuzzer has seeds, and each seed a fuzzer" "$(cd tests/fuzz/corpus && printf '%s\n' */* | cut -d / -f 1 | uniq)" \
	"$(printf '%s\n' "${fuzzers[@]}")"

# fuzz PROGRAM NAME: run its seeds and what is made of them; the output is in $work/output.
fuzz()
{
	local options=()

	[ "$2" != config ] || options+=(-seed_inputs=conf/dmacastd.conf)
	rm -rf "$work/corpus"
	mkdir "$work/corpus"
	"$1" -seed=1 "-runs=2000" -timeout=60 -rss_limit_mb=1024 "-artifact_prefix=$work/" "${options[@]}" \
		"$work/corpus" "tests/fuzz/corpus/$2" >"$work/output" 2>&1
}

for name in "${fuzzers[@]}"; do
	fuzz "$build/tests/fuzz/$name" "$name" && grep -q '^Done 2000 runs' "$work/output"
	ok $? "$name: nothing found" || diag_file "$work/output"
done

# --- faults ---
# shellcheck disable=SC2016 # of make
libraries=$(make -s --no-print-directory --eval='libraries: ; @echo $(LIBS)' libraries)

# finds NAME FILE EXPRESSION: the fuzzer fails with FILE changed by this expression of sed.
finds()
{
	local name=$1 file=$2

	sed "$3" "$file" >"$work/fault.c"
	cmp -s "$file" "$work/fault.c" && {
		ok 1 "$name: the fault can be put into $file"
		return
	}
	eval "$(cat "$build/flags")" -w -O1 -fsanitize=fuzzer -o "$work/faulty" "$work/fault.c" \
		"$build/tests/fuzz/$name.o" "$build/libdmacastctl.a" "$build/libdmacast.a" "$libraries" >"$work/compiled" 2>&1 || {
		ok 1 "$name: $file compiles with the fault" || diag_file "$work/compiled"
		return
	}
	! fuzz "$work/faulty" "$name" && grep -q 'Test unit written' "$work/output"
	ok $? "$name: a fault in $file is found" || diag_file "$work/output"
}

finds access daemon/lib/access.c 's/0xff00 >> rest/0xff00 >> (rest + 1)/'
finds address daemon/lib/address.c 's/length >= sizeof(address->host)/length > sizeof(address->host)/'
finds http_response daemon/lib/http_response.c "s/< ' ' ||/< 1 ||/"
finds cat_frames daemon/ctl/cat_frames.c 's/!frames->payload_done \&\& \*length >= wanted/*length >= wanted/'
finds completion daemon/send/completion.c 's/number - low <= high - low/number >= low \&\& number <= high/'
finds config daemon/config/option_value.c 's/else if (limit->microseconds)/else if (limit->bytes)/'
finds http_request daemon/stream/http_request.c 's/memcmp(request->line_end, .*)/0/'
finds input daemon/lib/meta.c 's/code > MAX_CODE/code > MAX_CODE + 1/'
finds quote daemon/config/quote.c "s/p\[1\] == '\\\\\\\\' || p\[1\]/p[1]/"
finds records daemon/source/records.c 's/low = records->searched - overlap/low = records->searched/'
finds request daemon/control/request.c 's/"drain", true/"drain", false/'
finds units daemon/lib/units.c 's/return errno == 0/return true/'

done_testing
