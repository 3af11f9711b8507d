#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The shape of the tree: layers, licences, names, format, warnings of other compilers and linters.

. tests/lib.sh

mapfile -t files < <(git ls-files 2>/dev/null || find . -type f -not -path './build/*' \
	-not -path './.git/*' | sed 's,^\./,,')

# --- the top level ---
printf '%s\n' "${files[@]}" | cut -d / -f 1 | grep -v '^\.' | sort -u | tr '\n' ' ' >"$work/top"
is "the top level has what belongs there" "$(cat "$work/top")" \
	"LICENSE Makefile README.md bench conf daemon kmod systemd tests "

# --- licences ---
for file in "${files[@]}"; do
	[[ "$file" = LICENSE || "$file" = conf/debian/changelog || "$file" = tests/fuzz/corpus/* ]] || head -n 3 "$file" | grep -q 'SPDX-License-Identifier: ' || echo "$file"
done >"$work/unlicensed"
is "every file but the inputs of fuzzers and the changelog names its licence" "$(cat "$work/unlicensed")" ""

# --- layers ---
# arrows FILE...: which folder includes from which other one, one pair a line.
arrows()
{
	local file folder

	for file in "$@"; do
		folder=$(basename "$(dirname "$file")")
		sed -n "s,^#include \"\(.*\)/.*\"\$,${folder/daemon/program} \1,p" "$file"
	done | awk '$1 != $2' | sort -u
}

# libraries FILE...: the same for the headers of libraries.
libraries()
{
	local file folder

	for file in "$@"; do
		folder=$(basename "$(dirname "$file")")
		sed -nE "s,^#include <(bsd|cbor|curses|event2|http_parser|ini|jansson|nats|systemd)[/.].*>\$,${folder/daemon/program} \1,p" "$file"
	done | sort -u
}

sed -n 's/^\([a-z]*\):.*/\1/p' tests/layering >"$work/folders"
is "tests/layering names each folder of daemon/" "$(sort "$work/folders" | paste -sd ' ')" \
	"$({ printf 'program/\n'; (cd daemon && ls -d -- */); } | tr -d / | grep -vx man | sort | paste -sd ' ')"
awk -F '[:|]' '/^[a-z]+:/ { n = split($2, f, " "); for (i = 1; i <= n; i++) print $1, f[i] }' tests/layering |
	sort >"$work/allowed-arrows"
awk -F '[:|]' '/^[a-z]+:/ { n = split($3, f, " "); for (i = 1; i <= n; i++) print $1, f[i] }' tests/layering |
	sort >"$work/allowed-libraries"
awk 'NR == FNR { above[$1] = NR; next } !($2 in above) || above[$2] >= above[$1]' "$work/folders" \
	"$work/allowed-arrows" >"$work/upward"
is "each folder uses only folders that are listed before it" "$(cat "$work/upward")" ""
arrows daemon/*.[ch] daemon/*/*.[ch] >"$work/arrows"
is "folders include what tests/layering says, and all of it" "$(cat "$work/arrows")" "$(cat "$work/allowed-arrows")"
libraries daemon/*.[ch] daemon/*/*.[ch] >"$work/libraries"
is "and so for the libraries" "$(cat "$work/libraries")" "$(cat "$work/allowed-libraries")"
is "only ring_device.c knows the interface of the kernel module" \
	"$(grep -rlE '#include [<"](.*/)?dmacast\.h[>"]' daemon)" daemon/ring/ring_device.c
is "only service.c knows libsystemd, and in dmacastctl its bus" "$(grep -rlE '#include <systemd/' daemon | sort | tr '\n' ' ')" \
	"daemon/ctl/ctl_restart.c daemon/lib/service.c "
for source in daemon/*.c daemon/*/*.c; do
	header=${source#daemon/}
	header=${header%.c}.h
	[ ! -e "daemon/$header" ] || [ "$(sed -n 's/^#include ["<]\(.*\)[">]$/\1/p' "$source" | head -n 1)" = "$header" ] ||
		echo "$source"
done >"$work/own"
is "every source includes its own header first" "$(cat "$work/own")" ""
compare "main.c is short" "$(wc -l <daemon/main.c)" -lt 150

# module_arrows FILE...: which file of kmod/ includes which other one, a .c and its .h as one; a pair a line.
module_arrows()
{
	local file name

	for file in "$@"; do
		name=$(basename "${file%.*}")
		sed -n "s,^#include \"\(.*\)\\.h\"\$,$name \1,p" "$file"
	done | awk '$1 != $2' | sort -u
}

module_arrows kmod/*.[ch] >"$work/module-arrows"
tsort "$work/module-arrows" >"$work/order" 2>"$work/circles"
is "no circle in the includes of the kernel modules" "$(cat "$work/circles")" ""
sed -n '/^<!-- Layers/,/^-->/ { /^<!--/d; /^-->/d; s/  .*//; p }' kmod/README.md >"$work/module-layers"
is "the layers in kmod/README.md have each of their files" "$(tr ' ' '\n' <"$work/module-layers" | sort)" \
	"$(for file in kmod/*.[ch]; do basename "${file%.*}"; done | sort -u)"
is "and each one includes only from layers below" "$(awk 'NR == FNR { for (i = 1; i <= NF; i++) layer[$i] = NR; next }
	!(layer[$2] < layer[$1])' "$work/module-layers" "$work/module-arrows")" ""

# --- names ---
# A debugger and a search find one function by a name. A function in a header is one, wherever it is included.
if command -v ctags >/dev/null; then
	# Attributes in front of a function would be taken for it.
	printf '%s\n' "${files[@]}" | grep -E '^(daemon|kmod|tests|bench)/.*\.[ch]$' |
		ctags -L - --languages=C --langmap=C:.c.h --kinds-C=f -I '__attribute__+' -x --sort=no \
			--_xformat='%N %{file} %F' >"$work/functions" 2>"$work/ctags"
	compare "ctags finds static functions" "$(grep -c ' file ' "$work/functions")" -ge 1000
	awk '$2 == "file" && !seen[$1, $3]++ { places[$1] = places[$1] " " $3; count[$1]++ }
		END { for (name in places) if (count[name] > 1) print name ":" places[name] }' \
		"$work/functions" | sort >"$work/shared"
	is "each static function has a name of its own" "$(cat "$work/shared")" ""
else
	skip "each static function has a name of its own" "ctags is not installed"
fi

# --- format and linters ---
mapfile -t c_files < <(printf '%s\n' "${files[@]}" | grep '\.[ch]$' | grep -Ev "^(kmod|tests/vm/pfnmap)/")
mapfile -t scripts < <(grep -lE '^#!.*(ba)?sh|shellcheck shell=' "${files[@]}" | grep -v '^LICENSE')

# outline FILE: print only which variables a file of functions sets, and which others it includes.
outline()
{
	echo '# shellcheck shell=bash'
	{
		grep -oE '\b[a-zA-Z_]+(\[[^]]*\])?\+?=' "$1" | sed -E 's/[[+=].*//'
		grep -oE '\b(for|read|mapfile|local)( -[a-zA-Z0-9]+)*( [a-zA-Z_]+)+' "$1" |
			sed -E 's/^[a-z]+( -[a-zA-Z0-9]+)*//' | tr ' ' '\n' | grep -vxE 'in|do|'
	} | sort -u | sed 's/$/=/'
	grep -E '^[[:space:]]*\. [a-z]' "$1"
}

# It looks at all of tests/lib.sh again for each script that includes it. Where it runs it finds outlines in their
# place, which takes a third of the time; the files themselves are looked at once. On one CPU, so beside the rest.
if command -v shellcheck >/dev/null; then
	grep -lE 'shellcheck shell=' "${scripts[@]}" | while read -r file; do
		mkdir -p "$work/outlines/$(dirname "$file")"
		outline "$file" >"$work/outlines/$file"
	done
	(cd "$work/outlines" && exec shellcheck -x "${scripts[@]/#/$OLDPWD/}") >"$work/shellcheck" 2>&1 &
	shellcheck=$!
	will_end "$shellcheck"
fi
if command -v clang-format >/dev/null; then
	check "clang-format" clang-format --dry-run --Werror "${c_files[@]}"
else
	skip "clang-format" "not installed"
fi
# Without optimization, which costs three quarters of the time: clang's warnings come before it.
if command -v clang >/dev/null; then
	check "no warning with clang" make -s CC=clang CFLAGS=-O0 WERROR=1 BUILD="$work/clang" test-programs \
		bench-programs
else
	skip "no warning with clang" "not installed"
fi

# gcc's warnings need it. What $BUILD has of this compiler with these flags is not compiled again: begin with a
# copy, in which the dependencies have its own paths.
gcc=(make WERROR=1 "BUILD=$work/gcc")
[ "$(readlink -f "$(command -v cc)")" = "$(readlink -f "$(command -v gcc)")" ] || gcc+=(CC=gcc)
mkdir "$work/gcc"
for part in flags libdmacast.a dmacastd dmacastctl daemon tests bench; do
	[ ! -e "$BUILD/$part" ] || cp -a "$BUILD/$part" "$work/gcc"
done
find "$work/gcc" -name '*.d' -exec sed -i "s,^$BUILD/,$work/gcc/," {} +
check "no warning with gcc" "${gcc[@]}" -s test-programs bench-programs

# --- building and installing ---
"${gcc[@]}" test-programs >"$work/again" 2>&1
is "nothing is built twice" "$(grep -cE ' (CC|LINK|AR) ' "$work/again")" 0
touch -d '+1 second' daemon/lib/units.h
"${gcc[@]}" daemon >"$work/again" 2>&1
touch daemon/lib/units.h
matches "a changed header builds what includes it" "$work/again" 'CC +daemon/lib/units.c'
is "and nothing else" "$(grep -c 'CC .*/window.c' "$work/again")" 0

make help >"$work/help"
is "make help prints the head of the Makefile" "$(grep -c '^make ' "$work/help")" "$(grep -c '^# make ' Makefile)"
cp compile_commands.json "$work/kept" 2>/dev/null
make -s compile_commands.json && mv compile_commands.json "$work/compile_commands.json"
[ ! -e "$work/kept" ] || cp "$work/kept" compile_commands.json
is "make compile_commands.json: each file of C once" \
	"$(jq -r '.[].file' "$work/compile_commands.json" | sort)" \
	"$(printf '%s\n' "${c_files[@]}" | grep '\.c$' | grep -v '\.bpf\.c$' | sort)"
check "and its commands are right" sh -c "$(jq -r '.[] | select(.file == "daemon/lib/units.c").command' \
	"$work/compile_commands.json") -o '$work/units.o'"
mkdir "$work/built"
touch "$work/built/file"
make -s BUILD="$work/built" clean
is "make clean removes the build that it is asked for" "$(ls -d "$work/built" build 2>/dev/null)" build

# --- tests/README.md ---
document=tests/README.md
# shellcheck disable=SC2016 # Markdown
grep -oE '(^    |`)make [^`#]*' $document | sed -E "s/^.*make //; s/'[^']*'//g" | tr ' ' '\n' | grep -E '^[a-z]' | sort -u |
	while read -r target; do
		grep -qE "^([a-z-]+ )*$target( [a-z-]+)*:" Makefile || echo "make $target"
	done >"$work/unknown"
grep -oP '(?<![\w/.])tests/[\w/.-]*\w' $document | sort -u | while read -r path; do
	[ -e "$path" ] || echo "$path"
done >>"$work/unknown"
grep -oP 'tests/packages \K[a-z-]+' $document | sort -u | while read -r name; do
	grep -q "^$name) wanted=" tests/packages || echo "tests/packages $name"
done >>"$work/unknown"
is "$document names targets and files that exist" "$(cat "$work/unknown")" ""
compare "and most targets of tests" "$(grep -oE 'make (check|bench|demo)[a-z-]*' $document | sort -u | wc -l)" -ge 9
for folder in tests/t tests/vm/t tests/service/t tests/debian/t tests/scale/t; do
	find $folder -name '*.t' -printf '%f\n' | sort | awk -v folder="$folder" '
		NR == FNR && index($0, "| `" folder "` ") == 1 { rows = 1 }
		NR == FNR && !NF { rows = 0 }
		NR == FNR && rows && $3 == "to" { for (n = $2 + 0; n <= $4; n++) known[n] = 1 }
		NR != FNR && !(substr($0, 1, 2) + 0 in known) { print folder "/" $0 }' $document -
done >"$work/unlisted"
is "and the subject of each test number" "$(cat "$work/unlisted")" ""
for test in tests/t/*.t; do
	name=$(basename "$test" .t)
	grep -qE "(\[|suite=\".*)$name\b" tests/vm/t/50-suite.t || echo "$name"
done >"$work/unlisted"
is "tests/vm/t/50-suite.t runs each test, or has the reason" "$(cat "$work/unlisted")" ""

# --- the tour of daemon/ ---
document=daemon/README.md
{
	grep -oE '\b[a-z_]+\(\)' $document | tr -d '()' | sort -u | while read -r name; do
		grep -rqw --include="*.[ch]" "$name" daemon tests/unit || echo "$name()"
	done
	grep -oE '\bstruct [a-z_]+' $document | sort -u | while read -r name; do
		grep -rqE --include='*.[ch]' "^$name \{" daemon || echo "$name"
	done
	grep -oE '\b[a-z_/]+\.(c|h|5|8|t)\b' $document | sort -u | while read -r name; do
		printf '%s\n' "${files[@]}" | grep -q "$name\$" || echo "$name"
	done
} >"$work/unknown"
is "$document names functions, structs and files that exist" "$(cat "$work/unknown")" ""

# --- installing ---
find_all()
{
	(cd "$1" && find . -type f | sort)
}
"${gcc[@]}" -s DESTDIR="$work/root" PREFIX=/opt install >"$work/install" 2>&1
nats=()
! pkg-config --exists libnats ||
	nats=(opt/bin/dmacast-nats opt/share/bash-completion/completions/dmacast-nats opt/share/man/man1/dmacast-nats.1)
is "install" "$(find_all "$work/root")" "$(printf './%s\n' "${nats[@]}" etc/dmacast/dmacastd.conf \
	opt/lib/modules-load.d/dmacast.conf opt/lib/sysctl.d/60-dmacast.conf opt/lib/systemd/system/dmacastd.service \
	opt/lib/systemd/system/dmacastd@.service opt/lib/sysusers.d/dmacast.conf \
	opt/lib/udev/rules.d/60-dmacast.rules opt/sbin/dmacastctl opt/sbin/dmacastd \
	opt/share/bash-completion/completions/dmacastctl opt/share/doc/dmacast/ABI \
	opt/share/doc/dmacast/examples/avahi/dmacast.service \
	opt/share/doc/dmacast/examples/dmacast.yaml opt/share/doc/dmacast/examples/dmacast_frame.ksy \
	opt/share/doc/dmacast/examples/dmacast_frame.lua opt/share/doc/dmacast/examples/dmacast_reader.py \
	opt/share/doc/dmacast/examples/dmacastd.conf \
	opt/share/doc/dmacast/examples/dmacastd.socket \
	opt/share/doc/dmacast/examples/grafana/dmacast.json opt/share/doc/dmacast/examples/msgdma.dtso \
	opt/share/doc/dmacast/examples/prometheus/dmacast.rules.yml \
	opt/share/doc/dmacast/examples/systemd-resolved/dmacast.dnssd opt/share/doc/dmacast/examples/zynq-axi-dma.dtso \
	opt/share/man/man5/dmacast-frame.5 opt/share/man/man5/dmacastd.conf.5 opt/share/man/man8/dmacastctl.8 \
	opt/share/man/man8/dmacastd.8 | sort)"
check "the units start what is installed" grep -q '^ExecStart=/opt/sbin/dmacastd ' \
	"$work/root/opt/lib/systemd/system/dmacastd.service"
echo 'changed = yes' >>"$work/root/etc/dmacast/dmacastd.conf"
"${gcc[@]}" -s DESTDIR="$work/root" PREFIX=/opt install >"$work/install" 2>&1
matches "install leaves a changed configuration alone" "$work/root/etc/dmacast/dmacastd.conf" changed
rm "$work/root/etc/dmacast/dmacastd.conf"
"${gcc[@]}" -s DESTDIR="$work/root" PREFIX=/opt install >"$work/install" 2>&1
touch "$work/root/opt/sbin/other"
"${gcc[@]}" -s DESTDIR="$work/root" PREFIX=/opt uninstall >"$work/uninstall" 2>&1
is "uninstall removes that and nothing else" "$(find_all "$work/root")" ./opt/sbin/other

if [ -n "${shellcheck-}" ]; then
	wait "$shellcheck"
	ok $? "shellcheck" || diag_file "$work/shellcheck"
else
	skip "shellcheck" "not installed"
fi

done_testing
