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
	[ "$file" = LICENSE ] || head -n 3 "$file" | grep -q 'SPDX-License-Identifier: ' || echo "$file"
done >"$work/unlicensed"
is "every file names its licence" "$(cat "$work/unlicensed")" ""

# --- layers ---
awk -F '[:|]' '/^[a-z]+:/ { n = split($2, f, " "); for (i = 1; i <= n; i++) print f[i], NR, $3 }' \
	tests/layering >"$work/layers"
find_in_daemon()
{
	find daemon -name "$1" | sort
}
for file in $(find_in_daemon '*.[ch]'); do
	name=$(basename "${file%.*}")
	read -r _ layer libraries < <(grep "^$name " "$work/layers")
	if [ -z "${layer-}" ]; then
		echo "$file is in no layer"
		continue
	fi
	sed -n 's/^#include "\(.*\)\.h"$/\1/p' "$file" | while read -r included; do
		read -r _ theirs _ < <(grep "^$included " "$work/layers")
		[ "${theirs:-999}" -le "$layer" ] || echo "$file includes $included.h of a higher layer"
	done
	sed -n 's/^#include <\(.*\)>$/\1/p' "$file" | while read -r included; do
		library=${included%%/*}
		library=${library%.h}
		case $library in
		bsd | ini | event2 | systemd | jansson | curses)
			case " $libraries " in
			*" $library "*) ;;
			*) echo "$file includes <$included>, which its layer does not use" ;;
			esac
			;;
		esac
	done
	layer=
done >"$work/layering"
is "no file includes upwards, or what its layer does not use" "$(cat "$work/layering")" ""
is "only ring_device.c knows the interface of the kernel module" \
	"$(grep -lE '#include [<"](.*/)?dmacast\.h[>"]' -r daemon)" "$(find_in_daemon ring_device.c)"
for source in $(find_in_daemon '*.c') tests/*.c; do
	first=$(sed -n 's/^#include ["<]\(.*\)[">]$/\1/p' "$source" | head -n 1)
	header=$(basename "${source%.c}").h
	[ -z "$(find_in_daemon "$header")" ] || [ "$first" = "$header" ] || echo "$source"
done >"$work/own"
is "every source includes its own header first" "$(cat "$work/own")" ""
compare "main.c is short" "$(wc -l <daemon/main.c)" -lt 150

# --- format and linters ---
mapfile -t c_files < <(printf '%s\n' "${files[@]}" | grep '\.[ch]$' | grep -Ev "^(kmod|tests/vm/pfnmap)/")
mapfile -t scripts < <(grep -lE '^#!.*(ba)?sh|shellcheck shell=' "${files[@]}" | grep -v '^LICENSE')
if command -v clang-format >/dev/null; then
	check "clang-format" clang-format --dry-run --Werror "${c_files[@]}"
else
	skip "clang-format" "not installed"
fi
if command -v shellcheck >/dev/null; then
	check "shellcheck" shellcheck -x -P SCRIPTDIR "${scripts[@]}"
else
	skip "shellcheck" "not installed"
fi
if command -v clang >/dev/null; then
	check "no warning with clang" make -s CC=clang WERROR=1 BUILD="$work/clang" test-programs \
		bench-programs
else
	skip "no warning with clang" "not installed"
fi
check "no warning with gcc" make -s CC=gcc WERROR=1 BUILD="$work/gcc" test-programs bench-programs

# --- building and installing ---
make BUILD="$work/gcc" CC=gcc WERROR=1 test-programs >"$work/again" 2>&1
is "nothing is built twice" "$(grep -cE ' (CC|LINK|AR) ' "$work/again")" 0
units=$(find_in_daemon units.c)
touch -d '+1 second' "${units%.c}.h"
make BUILD="$work/gcc" CC=gcc WERROR=1 daemon >"$work/again" 2>&1
touch "${units%.c}.h"
matches "a changed header builds what includes it" "$work/again" "CC +$units"
is "and nothing else" "$(grep -c 'CC .*/window.c' "$work/again")" 0

make help >"$work/help"
is "make help prints the head of the Makefile" "$(grep -c '^make ' "$work/help")" "$(grep -c '^# make ' Makefile)"
cp compile_commands.json "$work/kept" 2>/dev/null
make -s compile_commands.json && mv compile_commands.json "$work/compile_commands.json"
[ ! -e "$work/kept" ] || cp "$work/kept" compile_commands.json
is "make compile_commands.json: each file of C once" \
	"$(jq -r '.[].file' "$work/compile_commands.json" | sort)" \
	"$(printf '%s\n' "${c_files[@]}" | grep '\.c$' | grep -v '\.bpf\.c$' | sort)"
check "and its commands are right" sh -c "$(jq -r ".[] | select(.file == \"$units\").command" \
	"$work/compile_commands.json") -o '$work/units.o'"
mkdir "$work/built"
touch "$work/built/file"
make -s BUILD="$work/built" clean
is "make clean removes the build that it is asked for" "$(ls -d "$work/built" build 2>/dev/null)" build

find_all()
{
	(cd "$1" && find . -type f | sort)
}
make -s BUILD="$work/gcc" CC=gcc WERROR=1 DESTDIR="$work/root" PREFIX=/opt install >"$work/install" 2>&1
is "install" "$(find_all "$work/root" | tr '\n' ' ')" "$(printf './%s ' etc/dmacast/dmacastd.conf \
	opt/lib/modules-load.d/dmacast.conf opt/lib/sysctl.d/60-dmacast.conf opt/lib/systemd/system/dmacastd.service \
	opt/lib/systemd/system/dmacastd@.service opt/lib/sysusers.d/dmacast.conf \
	opt/lib/udev/rules.d/60-dmacast.rules opt/sbin/dmacastctl opt/sbin/dmacastd \
	opt/share/bash-completion/completions/dmacastctl opt/share/doc/dmacast/ABI \
	opt/share/doc/dmacast/examples/dmacast.yaml opt/share/doc/dmacast/examples/dmacastd.conf \
	opt/share/doc/dmacast/examples/dmacastd.socket \
	opt/share/doc/dmacast/examples/msgdma.dtso opt/share/doc/dmacast/examples/zynq-axi-dma.dtso \
	opt/share/man/man5/dmacastd.conf.5 opt/share/man/man8/dmacastctl.8 \
	opt/share/man/man8/dmacastd.8)"
check "the units start what is installed" grep -q '^ExecStart=/opt/sbin/dmacastd ' \
	"$work/root/opt/lib/systemd/system/dmacastd.service"
echo 'changed = yes' >>"$work/root/etc/dmacast/dmacastd.conf"
make -s BUILD="$work/gcc" CC=gcc WERROR=1 DESTDIR="$work/root" PREFIX=/opt install >"$work/install" 2>&1
matches "install leaves a changed configuration alone" "$work/root/etc/dmacast/dmacastd.conf" changed
rm "$work/root/etc/dmacast/dmacastd.conf"
make -s BUILD="$work/gcc" CC=gcc WERROR=1 DESTDIR="$work/root" PREFIX=/opt install >"$work/install" 2>&1
touch "$work/root/opt/sbin/other"
make -s BUILD="$work/gcc" DESTDIR="$work/root" PREFIX=/opt uninstall >"$work/uninstall" 2>&1
is "uninstall removes that and nothing else" "$(find_all "$work/root")" ./opt/sbin/other

done_testing
