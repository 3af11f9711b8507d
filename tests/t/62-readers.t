#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The readers of frames in conf/, each with frames of the daemon: Python, Kaitai Struct, Wireshark.

. tests/lib.sh

generate="$BUILD/tests/feedclient --generate"
bytes=200040

# python: the first one that has numpy.
python=
for candidate in python3 /usr/bin/python3; do
	! "$candidate" -c 'import numpy' 2>/dev/null || python=${python:-$candidate}
done
export PYTHONDONTWRITEBYTECODE=1

# The frames of a whole stream, for what reads a file: blocks of 8 KiB, the last one shorter.
# stream_run FORMAT
stream_run()
{
	daemon_run --input "exec:$generate $bytes; sleep 1" --hold 1 --on-end close --format framed --block-size 8K \
		--ring-size 1M --flush 1m --meta site="$1" --meta unit=µV --listen 127.0.0.1:0
}
stream_run file
nc -d 127.0.0.1 "$port" >"$work/stream"
daemon_wait 20
check "a whole stream is right" "$BUILD/tests/feedclient" --framed --check-file "$work/stream" --block-size 8K --from-start
last=$((bytes / 8192))

# --- Python ---
reader=conf/dmacast_reader.py
compare "the reader in Python is short" "$(wc -l <$reader)" -lt 40
if command -v pyflakes3 >/dev/null; then
	check "and pyflakes finds nothing" pyflakes3 $reader
else
	skip "and pyflakes finds nothing" "not installed"
fi
if [ -z "$python" ]; then
	skip "the reader in Python" "python3-numpy is not installed"
else
	stream_run "a module"
	cat >"$work/module.py" <<-'END'
		import sys
		import numpy
		sys.path.insert(0, "conf")
		import dmacast_reader as reader
		kinds, blocks, words = [], 0, 0
		for header, payload in reader.frames("127.0.0.1", sys.argv[1]):
		    kinds.append(int(header["flags"]))
		    if header["flags"] & (reader.METADATA | reader.END):
		        continue
		    pattern = payload.view("<u8")
		    right = numpy.arange(len(pattern), dtype="<u8") * 8 + header["position"]
		    assert (pattern == right).all() and header["sequence"] == blocks, header
		    blocks, words = blocks + 1, words + len(pattern)
		print(kinds[:3], kinds[-2:], blocks, words * 8, sep=";")
	END
	is "as a module: each frame, and its payload in numpy" "$($python "$work/module.py" "$port" 2>&1)" \
		"[8, 16, 0];[2, 4];$((last + 1));$bytes"
	daemon_wait 20

	control=$work/control
	mkfifo "$work/fifo"
	exec 4<>"$work/fifo"
	daemon_run --input "$work/fifo" --format framed --block-size 64K --ring-size 2M --listen 127.0.0.1:0 \
		--meta site=here --control "$control"
	$python $reader "127.0.0.1:$port" >"$work/python.out" 2>"$work/python.err" &
	program=$!
	will_end $program
	wait_until 20 grep -q site "$work/python.out"
	ok $? "as a program: it prints the metadata"
	kill -STOP $program
	$generate 60M >&4
	drops()
	{
		"$BUILD/dmacastctl" -s "$control" --json clients | jq -e '.clients[0].dropped_bytes > 0'
	}
	if command -v jq >/dev/null; then
		wait_until 20 drops
		ok $? "it loses blocks while it is stopped"
	fi
	kill -CONT $program
	daemon_stop
	wait $program
	is "it ends with the stream" "$? $(cat "$work/python.err")" "0 "
	lost=$(awk '/^lost/ { sum += $2 } END { print sum + 0 }' "$work/python.out")
	matches "it prints the gaps, to the byte as in the log" "$log" " left: .* dropped $lost bytes"
	compare "and there were some" "$lost" -gt 0
	exec 4>&-
fi

# --- Kaitai Struct ---
# Its compiler, its runtime and a reader of YAML: npm install --prefix ~/.cache/dmacast/kaitai ... (tests/README.md)
modules=${DMACAST_KAITAI:-$HOME/.cache/dmacast/kaitai}/node_modules
if ! command -v node >/dev/null; then
	skip "the description for Kaitai Struct" "node is not installed"
elif ! [ -d "$modules/kaitai-struct-compiler" ]; then
	skip "the description for Kaitai Struct" "its compiler is not installed; see tests/README.md"
else
	cat >"$work/kaitai.js" <<-'END'
		const fs = require("fs"), path = require("path");
		const load = name => require(path.join(process.argv[2], name));
		const compiler = load("kaitai-struct-compiler"), KaitaiStream = load("kaitai-struct/KaitaiStream");
		const source = load("yaml").parse(fs.readFileSync("conf/dmacast_frame.ksy", "utf8"));
		compiler.compile("javascript", source, null, false).then(files => {
		    const code = Object.values(files)[0], module = { exports: {} };
		    new Function("module", "exports", "require", code)(module, module.exports,
		        name => load(name));
		    const Parser = module.exports.DmacastFrame ? module.exports.DmacastFrame : module.exports;
		    const data = fs.readFileSync(process.argv[3]);
		    const { frames } = new Parser(new KaitaiStream(data, 0));
		    const blocks = frames.filter(f => !f.header.flags.metadata && !f.header.flags.end);
		    const bytes = blocks.reduce((sum, f) => sum + f.payload.length, 0);
		    const end = frames[frames.length - 1].header, one = blocks[1].header;
		    console.log(JSON.parse(frames[0].payload.json).meta.site, blocks.length, bytes,
		        end.flags.end, end.sequence, end.position, blocks[0].header.flags.start,
		        blocks[blocks.length - 1].header.flags.short, one.sequence, one.position, one.epoch === end.epoch);
		}).catch(error => { console.log(String(error)); process.exit(1); });
	END
	is "the description for Kaitai Struct" "$(node "$work/kaitai.js" "$modules" "$work/stream" 2>&1)" \
		"file $((last + 1)) $bytes true $((last + 1)) $bytes true true 1 8192 true"
fi

# --- Wireshark ---
dissector=conf/dmacast_frame.lua
# dissect FIELD...: their values in each frame of the capture.
dissect()
{
	local fields=() field

	for field in "$@"; do
		fields+=(-e "dmacast.$field")
	done
	# Several frames may end in one packet.
	tshark -r "$work/capture" -X "lua_script:$dissector" -Y dmacast -T fields -E aggregator=' ' "${fields[@]}" \
		2>>"$work/tshark.err" | tr ' ' '\n'
}
captured()
{
	grep -q 'Capturing on' "$work/tshark.err" && [ -s "$work/capture" ]
}
if ! command -v tshark >/dev/null; then
	skip "the dissector for Wireshark" "tshark is not installed"
elif [ "$(id -u)" -ne 0 ]; then
	skip "the dissector for Wireshark" "only root can capture"
else
	stream_run wire
	tshark -q -B 16 -i lo -f "tcp port $port" -w "$work/capture" 2>"$work/tshark.err" &
	capture=$!
	will_end $capture
	wait_until 30 captured
	sleep 1
	nc -d 127.0.0.1 "$port" >"$work/stream"
	daemon_wait 20
	sleep 1
	kill -INT $capture
	wait $capture
	check "what was captured arrived right" "$BUILD/tests/feedclient" --framed --check-file "$work/stream" \
		--block-size 8K --from-start
	is "Wireshark: the sequence of each frame" "$(dissect sequence | tr '\n' ' ')" \
		"0 $(seq -s ' ' 0 $((last + 1))) "
	is "Wireshark: the position of the last ones" "$(dissect position | tail -n 2 | tr '\n' ' ')" \
		"$((last * 8192)) $bytes "
	is "Wireshark: all payload" "$(dissect length | awk 'NR > 1 { sum += $1 } END { print sum }')" "$bytes"
	is "Wireshark: the flags" "$(dissect flags | uniq -c | awk '{ printf "%s*%s ", $1, $2 }')" \
		"1*0x0008 1*0x0010 $((last - 1))*0x0000 1*0x0002 1*0x0004 "
	matches "Wireshark: the metadata" <(dissect metadata) '"site":"wire"'
	is "Wireshark: no error of the script" "$(grep -i 'lua' "$work/tshark.err")" ""
fi

done_testing
