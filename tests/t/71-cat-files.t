#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The files of dmacastctl cat: names, rotation, O_DIRECT, recordings by SigMF, a full disk.

. tests/lib.sh

command -v python3 >/dev/null || skip_all "python3 is not installed"
command -v jq >/dev/null || skip_all "jq is not installed"
ctl=$(realpath "$BUILD/dmacastctl")

# serve ARGUMENT...: start tests/frameserver. Sets server, port; $work/payload has the payload of all its blocks.
serve()
{
	rm -f "$work/port"
	python3 tests/frameserver --port "$work/port" --payload "$work/payload" "$@" 2>"$work/server.err" &
	server=$!
	will_end "$server"
	wait_until 20 test -e "$work/port" || diag_file "$work/server.err"
	port=$(cat "$work/port")
	url=tcp://127.0.0.1:$port
	rm -rf "$work/files"
	mkdir "$work/files"
}

serve_end()
{
	signal_to KILL "$server"
	{ wait "$server"; } 2>/dev/null
	[ ! -s "$work/server.err" ] || {
		ok 1 "the server has no error"
		diag_file "$work/server.err"
	}
}

# receive ARGUMENT...: run cat; its JSON is in $work/json, its text in $work/text. Sets status.
receive()
{
	(cd "$work/files" && timeout 120 "$ctl" cat --json="$work/json" "$@") >"$work/out" 2>"$work/text"
	status=$?
}

expect()
{
	is "$2: exit status" "$status" "$1" || diag_file "$work/text"
}

says()
{
	matches "$1" "$work/text" "^dmacastctl: .*$2"
}

# files: print the names and sizes of all files.
files()
{
	(cd "$work/files" && find . -type f -printf '%P:%s\n' | sort | paste -sd ' ')
}

# same_files TEXT GLOB: the files, in the order of their names, are the payload.
same_files()
{
	local result=0

	(cd "$work/files" && find . -name "$2" -type f -print0 | sort -z | xargs -0 cat) >"$work/all"
	cmp "$work/all" "$work/payload" >"$work/cmp" 2>&1 || result=1
	ok "$result" "$1" || diag_file "$work/cmp"
}

# --- names ---
serve --size 1000 --first 7 all,end
epoch=$(timeout 60 "$ctl" cat --json "$url" 2>&1 >/dev/null | jq -r 'select(.event == "metadata").metadata.epoch')
receive -o 'a-%Y%m%dT%H%M%S-%L-%e-%q-%n.raw' "$url"
expect 0 "a name by time, epoch, sequence and number"
is "of the first block" "$(files)" "a-20260203T040506-000-$(printf %08x "$epoch")-0000000007-000001.raw:100000"
same_files "with every byte" '*'
is "nothing on standard output" "$(stat -c %s "$work/out")" 0
receive -o 'a-%Y%m%dT%H%M%S-%L-%e-%q-%n.raw' "$url"
expect 1 "a file that exists"
says "is not overwritten" 'a-.*\.raw: File exists; choose another name, or overwrite it with --force'
echo more >>"$work/files/$(ls "$work/files")"
receive --force -o 'a-%Y%m%dT%H%M%S-%L-%e-%q-%n.raw' "$url"
expect 0 "--force"
same_files "--force: no byte of the former file is left" '*'
receive -o none/file "$url"
expect 1 "a directory that does not exist"
says "and the message says so" 'none/file: No such file or directory: its directory does not exist'
receive -o 'x%y' "$url"
expect 2 "a conversion that does not exist"
says "and the message has those that do" '--output x%y: expected a name with the conversions %Y'
receive --rotate 1M -o plain "$url"
expect 2 "--rotate without a conversion"
says "and the message says what is missing" 'expected a name that differs for each file, such as plain-%n'
receive --rotate 0 -o %n "$url"
expect 2 "--rotate 0"
receive --sigmf "$url"
expect 2 "--sigmf without --output"
receive --sigmf --raw -o x "$url"
expect 2 "--sigmf of a raw stream"
receive --raw -o '%q' "$url"
expect 1 "%q of a raw stream"
says "and the message says so" '%q: the name has %e or %q, but the stream is raw'
serve_end

# --- rotation ---
serve --blocks 200 all,end
receive --rotate 50000 -o '%n.raw' "$url"
expect 0 "--rotate SIZE"
same_files "--rotate SIZE: every byte" '*.raw'
largest=$(find "$work/files" -name '*.raw' -printf '%s\n' | sort -n | tail -n 1)
compare "--rotate SIZE: no file is larger" "$largest" -le 50000
# A block has less than 5000 bytes, so all files but the last one have more than 45000.
is "--rotate SIZE: and none is needless" \
	"$(find "$work/files" -name '*.raw' -printf '%f %s\n' | sort | head -n -1 | awk '$2 <= 45000' | wc -l)" 0
is "--rotate SIZE: files are whole blocks" "$(for file in "$work"/files/*; do
	cat "$file" >>"$work/joined"
	stat -c %s "$work/joined"
done | paste -sd ' ')" "$(jq -s '[.[] | select(.event == "file") | .bytes] | . as $b | [range(length)] | map($b[0:. + 1] | add) | map(tostring) | join(" ")' -r "$work/json")"
serve_end

serve --size 1000 --blocks 40 all,end
receive --rotate 2s -o '%H%M%S.raw' "$url"
expect 0 "--rotate TIME"
same_files "--rotate TIME: every byte" '*.raw'
# There is a block each 250 ms.
is "--rotate TIME: by the times of capture" "$(files)" \
	"040506.raw:8000 040508.raw:8000 040510.raw:8000 040512.raw:8000 040514.raw:8000"
receive --force --rotate 2s -o '%Y.raw' "$url"
expect 1 "--rotate: the next name is the same"
says "and the message says so" '2026\.raw: the next file would have the same name; add %n to it'
serve_end

serve raw=100
receive --rotate 7000 -o 'r%n' "$url"
expect 0 "--rotate of a raw stream"
same_files "every byte" 'r*'
is "each file but the last has this size" \
	"$(find "$work/files" -name 'r*' -printf '%f %s\n' | sort | head -n -1 | cut -d ' ' -f 2 | sort -u)" 7000
serve_end

# --- large writes, O_DIRECT ---
if command -v strace >/dev/null; then
	serve --size 30000 --blocks 200 all,end
	(cd "$work/files" && ASAN_OPTIONS=detect_leaks=0 strace -f -e trace=write,fsync,sync_file_range -o "$work/strace" "$ctl" cat -o big "$url") \
		>/dev/null 2>&1
	same_files "a file of several MiB" big
	is "writes of 1 MiB, and a last one" "$(sed -n 's/.*write(\([3-9]\|[1-9][0-9][0-9]*\), ".*, [0-9]*) = \([0-9]*\)$/\2/p' "$work/strace" |
		sort -n | uniq | paste -sd ' ')" "$((6000000 % 1048576)) 1048576"
	is "and fsync() at the end" "$(grep -c 'fsync(.*= 0' "$work/strace")" 1
	serve_end
else
	skip "writes of 1 MiB" "strace is not installed"
fi
if dd if=/dev/zero of="$work/probe" bs=4096 count=1 oflag=direct 2>/dev/null; then
	serve --blocks 1500 --epochs 700 all,end
	receive --direct --rotate 1500000 -o '%n' "$url"
	expect 0 "--direct"
	same_files "--direct: every byte, also of the last page" '0*'
	serve_end
else
	skip "--direct" "no O_DIRECT in $work"
fi

# --- a full disk ---
mkdir "$work/small"
if [ "$(id -u)" -eq 0 ] && unshare --mount mount -t tmpfs -o size=300k none "$work/small" 2>/dev/null; then
	serve --size 1000 --blocks 1000 all,end
	# shellcheck disable=SC2016 # for the shell in the namespace
	unshare --mount bash -c 'mount -t tmpfs -o size=300k none "$1/small" || exit 9
		"$2" cat -o "$1/small/file" "$3" 2>"$1/text" >"$1/out"
		status=$?
		stat -c %s "$1/small/file" >"$1/size"
		cmp -n "$(cat "$1/size")" "$1/small/file" "$1/payload" && echo same >>"$1/size"
		exit $status' bash "$work" "$ctl" "$url"
	status=$?
	expect 1 "a full disk"
	says "a full disk: how many bytes were written to which file" \
		"small/file: No space left on device; $(head -n 1 "$work/size") bytes were written to it"
	is "a full disk: and these are right" "$(tail -n 1 "$work/size")" same
	serve_end
	serve --size 1000 --blocks 1000 --meta '{"datatype": "ci16_le"}' 10,skip=1,all,end
	for direct in '' --direct; do
		# shellcheck disable=SC2016 # for the shell in the namespace
		unshare --mount bash -c 'mount -t tmpfs -o size=300k none "$1/small" || exit 9
			"$2" cat $4 --sigmf -o "$1/small/rec" "$3" 2>"$1/text" >"$1/out"
			status=$?
			stat -c %s "$1/small/rec.sigmf-data" >"$1/size"
			cp "$1/small/rec.sigmf-meta" "$1/meta"
			exit $status' bash "$work" "$ctl" "$url" "$direct"
		status=$?
		if [ -n "$direct" ] && grep -q 'does not have it: leave out --direct' "$work/text"; then
			skip "a full disk with --direct" "no O_DIRECT in tmpfs"
			continue
		fi
		expect 1 "a full disk with --sigmf $direct"
		says "a full disk with --sigmf $direct: how many bytes were written" \
			"rec.sigmf-data: No space left on device; $(cat "$work/size") bytes were written to it"
		is "a full disk with --sigmf $direct: the metadata is written" \
			"$(jq -c '[.captures[]."core:sample_start"]' "$work/meta")" "[0,2500]"
	done
	serve_end
else
	skip "a full disk" "needs root and mount namespaces"
fi
serve all,end
receive --force -o /dev/full "$url"
expect 1 "/dev/full"
says "/dev/full: the message" '/dev/full: No space left on device; 0 bytes were written to it'
serve_end

# --- a signal completes the file ---
serve --size 1000 10,wait
(cd "$work/files" && exec "$ctl" cat -o part "$url") >/dev/null 2>"$work/text" &
cat_pid=$!
will_end $cat_pid
has_bytes()
{
	[ "$(stat -c %s "$1" 2>/dev/null)" = "$2" ]
}
ok "$(wait_until 30 has_bytes "$work/files/part" 10000; echo $?)" "bytes of a slow stream do not wait for a whole piece"
signal_to INT $cat_pid
wait $cat_pid
status=$?
expect 0 "SIGINT"
is "SIGINT: the file is complete" "$(files)" part:10000
serve_end

# A FIFO that nobody reads, with a file descriptor that keeps it open.
serve --size 1000 --blocks 2000 all,wait
mkfifo "$work/files/fifo"
exec {fifo}<>"$work/files/fifo"
(cd "$work/files" && exec "$ctl" cat --force -o fifo "$url") >/dev/null 2>"$work/text" &
cat_pid=$!
will_end $cat_pid
is_blocked()
{
	python3 -c 'import array, fcntl, sys, termios
bytes = array.array("i", [0])
fcntl.ioctl(0, termios.FIONREAD, bytes)
sys.exit(bytes[0] < 65536)' <&"$fifo"
}
wait_until 30 is_blocked
signal_to TERM $cat_pid
sleep 1.5
signal_to INT $cat_pid
wait $cat_pid
is "a second signal ends a write that blocks" "$?" 130
exec {fifo}>&-
rm "$work/files/fifo"
serve_end

# Names need not be UTF-8.
serve all,end
receive --json="$work/json" -o $'a\xff"\n' "$url"
expect 0 "a name that is not UTF-8"
is "and its line in JSON" "$(jq -c 'select(.event == "file").path' "$work/json")" '"a?\"\n"'
rm "$work"/files/*
serve_end

# --- SigMF ---
meta='{"datatype": "ci16_le", "frequency": "100.5e6", "sample_rate": "10000"}'
serve --size 1000 --meta "$meta" --epochs 30 preamble,10,skip=5,5,loss=2,10,10,end
receive --sigmf -o rec "$url"
expect 3 "--sigmf"
is "the files" "$(files | sed 's/meta:[0-9]*/meta/')" "rec.sigmf-data:35000 rec.sigmf-meta"
{ head -c 10000 "$work/payload"; tail -c +15001 "$work/payload" | head -c 25000; } >"$work/expected"
check "the samples, without the preamble" cmp "$work/files/rec.sigmf-data" "$work/expected"
get()
{
	jq -cr "$1" "$work/files/rec.sigmf-meta"
}
is "global" "$(get '.global | "\(."core:datatype") \(."core:sample_rate" == 10000) \(."core:description")"')" \
	"ci16_le true test"
is "captures: at the begin, after each gap, and with each run" \
	"$(get '[.captures[] | "\(."core:sample_start"):\(."core:global_index")"] | join(" ")')" \
	"0:0 2500:3750 3750:5500 6250:8000"
is "captures: the time and the frequency" \
	"$(get '.captures[1] | "\(."core:datetime") \(."core:frequency" == 100500000)"')" "2026-02-03T04:05:09.750000000Z true"
is "gaps are annotations" \
	"$(get '[.annotations[] | "\(."core:sample_start"):\(."core:sample_count"):\(."core:label"):\(."core:comment")"] | join("; ")')" \
	"2500:0:gap:lost 5000 bytes in 5 blocks for this client; 3750:0:gap:lost 2000 bytes in 2 blocks at the source"
serve_end

# A gap between two files is noted at the end of the first one.
serve --size 1000 --meta "$meta" 10,skip=5,10,end
receive --sigmf --rotate 10000 -o 'rec%n' "$url"
is "--sigmf with --rotate: two files for each" "$(files | sed 's/meta:[0-9]*/meta/g')" \
	"rec000001.sigmf-data:10000 rec000001.sigmf-meta rec000002.sigmf-data:10000 rec000002.sigmf-meta"
is "--sigmf with --rotate: the gap" "$(jq -c '[.annotations[]."core:sample_start"], [.captures[]."core:global_index"]' \
	"$work"/files/rec*meta | paste -sd ' ')" "[2500] [0] [] [3750]"
rm "$work"/files/*data
receive --sigmf -o rec000001 "$url"
expect 1 "a metadata file that exists"
says "is not overwritten" 'rec000001\.sigmf-meta: File exists'
is "and no data file is made" "$(find "$work/files" -name '*data' | wc -l)" 0
rm "$work"/files/*
echo other >"$work/files/rec.sigmf-data"
receive --sigmf -o rec "$url"
expect 1 "a data file that exists"
is "keeps its content, and gets no metadata of this stream" "$(cd "$work/files" && cat -- * && echo *)" \
	$'other\nrec.sigmf-data'
rm "$work"/files/*
serve_end

# Validate by the schema of SigMF 1.2.2, as far as it concerns these files.
cat >"$work/validate.py" <<'END'
import json, re, sys
meta = json.load(open(sys.argv[1]))
def number(value, least, most, whole=False):
    return type(value) is int if whole else type(value) in (int, float) and least <= value <= most
assert set(meta) == {"global", "captures", "annotations"}, set(meta)
g = meta["global"]
assert re.match(r"^(c|r)(f32|f64|i32|i16|u32|u16|i8|u8)(_le|_be)?$", g["core:datatype"])
assert re.match(r"^\d+\.\d+\.\d", g["core:version"])
assert "core:sample_rate" not in g or number(g["core:sample_rate"], 1, 1e12)
assert "core:num_channels" not in g or number(g["core:num_channels"], 1, 1000, True)
for name in "core:recorder", "core:description":
    assert isinstance(g[name], str)
for kind in "captures", "annotations":
    starts = [item["core:sample_start"] for item in meta[kind]]
    assert starts == sorted(starts) and all(number(s, 0, 1 << 64, True) for s in starts)
for c in meta["captures"]:
    assert number(c["core:global_index"], 0, 1 << 64, True)
    assert re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$", c["core:datetime"])
    assert "core:frequency" not in c or number(c["core:frequency"], -1e12, 1e12)
for a in meta["annotations"]:
    assert number(a["core:sample_count"], 0, 1 << 64, True)
    assert all(isinstance(a[name], str) for name in ("core:label", "core:comment", "core:generator"))
END
serve --size 1000 --meta '{"datatype": "ru8", "num_channels": "2"}' 10,skip=5,10,end
receive --sigmf -o rec "$url"
check "a recording by the schema" python3 "$work/validate.py" "$work/files/rec.sigmf-meta"
is "without frequency and rate of samples: by the rate of bytes" \
	"$(get '[.global."core:sample_rate" == 20000, .global."core:num_channels", .captures[1]."core:sample_start", .captures[0]."core:frequency"] | map(tostring) | join(" ")')" \
	"true 2 5000 null"
serve_end
# refuse_meta META REGEX
refuse_meta()
{
	serve --meta "$1" all,end
	receive --sigmf -o rec "$url"
	expect 1 "--sigmf with $1"
	says "--sigmf with $1: the message" "$2"
	serve_end
}
refuse_meta '{}' 'the stream has no meta\.datatype; expected a type of SigMF, such as meta\.datatype = ci16_le'
refuse_meta '{"datatype": "ci16"}' 'the stream has meta\.datatype = ci16; expected a type of SigMF'
refuse_meta '{"datatype": "x"}' 'meta\.datatype = x; expected'
refuse_meta '{"datatype": "cf32_le", "frequency": "100M"}' 'meta\.frequency = 100M of the stream: expected a number in Hz'
refuse_meta '{"datatype": "cf32_le", "num_channels": "0"}' 'meta\.num_channels = 0 of the stream: expected a number from 1'
serve raw=5
receive --sigmf -o rec "$url"
expect 1 "--sigmf of a stream that is raw"
says "and the message says so" 'the stream is raw, without metadata; expected a framed one'
serve_end

# --- several connections, one file ---
serve --size 1000 --http 10,cut=300 all,end
receive --reconnect --bytes 100000 -o rec --sigmf "http://127.0.0.1:$port"
expect 1 "--reconnect without meta.datatype"
serve_end
serve --size 1000 --http --meta "$meta" 10,cut=300 all,end
receive --reconnect --bytes 100000 -o rec --sigmf "http://127.0.0.1:$port"
expect 0 "--reconnect into one recording"
same_files "every byte" '*data'
is "one segment, since nothing is missing" "$(get '.captures | length')" 1
serve_end

done_testing
