#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The binding, its examples and the overlays are right, and say what the driver reads.

. tests/lib.sh

command -v dtc >/dev/null || skip_all "dtc is not installed (device-tree-compiler)"
binding=kmod/dmacast.yaml

# compiles TEXT FILE OPTION...: without a warning.
compiles()
{
	local text=$1 file=$2 status=0

	shift 2
	dtc "$@" -I dts -O dtb -o "$work/dtb" "$file" 2>"$work/warnings" || status=1
	[ ! -s "$work/warnings" ] || status=1
	ok "$status" "$text" || diag_file "$work/warnings"
}

# same TEXT FILE FILE
same()
{
	diff -u "$2" "$3" >"$work/diff" 2>&1
	ok $? "$1" || diag_file "$work/diff"
}

# ---- overlays ----

for overlay in conf/*.dtso; do
	compiles "$overlay compiles without a warning" "$overlay" -@
	dtc -q -I dtb -O dts "$work/dtb" >"$work/overlay"
	matches "$overlay has a channel" "$work/overlay" 'compatible = "dmacast,ring"'
done

# An error is seen at all.
sed 's/<&dmacast_dma /<\&nobody /; s/dma-names = "rx"/dma-names = /' conf/msgdma.dtso >"$work/wrong.dtso"
dtc -@ -I dts -O dtb -o "$work/dtb" "$work/wrong.dtso" 2>/dev/null
ok $(($? == 0)) "a wrong overlay does not compile"

# ---- binding ----

# The properties that the driver reads by name, and those that the DMA core does.
{
	sed -nE 's/.*device_property_read_[a-z0-9_]*\([^"]*"([^"]*)".*/\1/p' kmod/*.c
	echo compatible
	echo dmas
	echo dma-names
} | sort -u >"$work/read"
sed -n '/^properties:/,/^[a-z]*:$/s/^  \([a-z].*\):$/\1/p' "$binding" | sort >"$work/bound"
compare "the driver reads properties" "$(wc -l <"$work/read")" -ge 6
same "the binding has the properties that the driver reads, and no other" "$work/read" "$work/bound"
is "the binding has the driver's compatible" \
	"$(sed -n 's/.*\.compatible = "\(.*\)".*/\1/p' kmod/main.c)" \
	"$(sed -n '/^  compatible:/,/^$/s/^    const: //p' "$binding")"
is "and the name of the driver's DMA channel" \
	"$(sed -n 's/^#define CHANNEL_NAME "\(.*\)"/\1/p' kmod/engine.c)" \
	"$(sed -n '/^  dma-names:/,/^$/s/^    const: //p' "$binding")"
sed -n '/^ *compatible = "dmacast,ring"/,/^ *};/s/^ *\(\/\/ \)\?\([a-z][a-z,-]*\)\( = .*\)\?;$/\2/p' \
	conf/*.dtso | sort -u | comm -23 - "$work/bound" >"$work/unbound"
is "the overlays have no other properties" "$(cat "$work/unbound")" ""

# Its examples, in a tree with the providers that they name.
{
	printf '/dts-v1/;\n/ {\n'
	for provider in axi_dma pdma0; do
		printf '%s: %s { #dma-cells = <1>; };\n' "$provider" "${provider//_/-}"
	done
	awk '/^examples:/ { examples = 1 } /^\.\.\./ { examples = 0 }
		examples && /^    / { print }' "$binding"
	printf '};\n'
} >"$work/examples.dts"
compare "the binding has examples" "$(grep -c dmacast,ring "$work/examples.dts")" -ge 2
compiles "they compile without a warning" "$work/examples.dts"

# The validator wants the file's place in a kernel tree.
if command -v dt-doc-validate >/dev/null; then
	schema=$(sed -n 's,^.id: http://devicetree.org/schemas/\(.*\)#$,\1,p' "$binding")
	mkdir -p "$work/bindings/${schema%/*}"
	cp "$binding" "$work/bindings/$schema"
	dt-doc-validate -u "$work/bindings" "$work/bindings/$schema" >"$work/schema" 2>&1
	is "dt-doc-validate has no complaint" "$(cat "$work/schema")" ""
else
	skip "dt-doc-validate has no complaint" "not installed (dt-schema)"
fi

done_testing
