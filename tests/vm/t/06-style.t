#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The kernel's own style: compiler, sparse and checkpatch have nothing to say of the modules, and the modules
# say what they are. It boots no machine, but is one of these tests for the kernels of all series.
# Not on debug: it boots no machine; the sources are the same

. tests/lib.sh

# silent TEXT SERIES TARGET: make TARGET in $work writes nothing; one test.
silent()
{
	local status

	BUILD=$work/build tests/vm/kmod "$2" "$3" -s W=1 C=1 >"$work/out" 2>&1
	status=$?
	is "$1" "$status $(grep -v '^  KMOD ' "$work/out")" "0 "
}

# --- compiler and sparse ---
for series in 6.1 5.10 6.12 rt newest; do
	silent "$series: W=1 and sparse are silent" $series kmod
done
# The same sources, but for a few lines: one kernel will do.
silent "with fault points, too, and the modules of the tests" 6.1 kmod-tests
# Sparse finds a pointer to user memory that is taken for another one, the sparse of the newest series, too.
cat >"$work/wrong.c" <<'END'
static int __attribute__((noderef, address_space(1))) *user;
static int *kernel(void)
{
	return user;
}
END
sparse "$work/wrong.c" >"$work/out" 2>&1
matches "sparse works" "$work/out" 'different address spaces'
tests/vm/inside newest sparse "$work/wrong.c" >"$work/out" 2>&1
matches "newest: sparse works" "$work/out" 'different address spaces'

# --- checkpatch ---
# These cannot be mended:
cat >"$work/exceptions" <<'END'
kmod/compat.h DEPRECATED_API		kmap_local_page() for the kernels that lack it
kmod/sysfs.c MACRO_ARG_REUSE		the name of a counter, of a variable and of a member: never evaluated
kmod/trace.h PARENTHESIS_ALIGNMENT	trace events look like that everywhere in the kernel
kmod/trace.h OPEN_ENDED_LINE		the same
END
# It is wrong everywhere to look at the kernel's version in the kernel, and that is what it takes for a
# constant that belongs on the right.
checkpatch=$(tests/vm/kernels --checkpatch)
# It leaves a file where it runs, and looks there for headers and for bindings of the device tree.
bindings=$work/Documentation/devicetree/bindings
mkdir -p "$work/include" "$bindings"
ln -s "$PWD/kmod" "$PWD/tests" "$work"
cp kmod/dmacast.yaml "$bindings"
echo '  "^dmacast,.*":' >"$bindings/vendor-prefixes.yaml"
files=(kmod/*.[ch] kmod/uapi/*.h kmod/Kbuild tests/vm/pfnmap/*)
(cd "$work" && perl "$checkpatch/checkpatch.pl" --no-tree --root=. --strict --max-line-length=100 --show-types \
	--ignore LINUX_VERSION_CODE,CONSTANT_COMPARISON \
	--terse -f "${files[@]}") >"$work/checkpatch" 2>&1
sed -nE 's/^([^:]+):[0-9]+: [A-Z]+:([A-Z_]+): .*/\1 \2/p' "$work/checkpatch" | sort -u >"$work/found"
grep -v '^total: ' "$work/checkpatch" | grep -vE '^[^:]+:[0-9]+: [A-Z]+:[A-Z_]+: ' >"$work/strange"
awk '{ print $1, $2 }' "$work/exceptions" | sort -u >"$work/expected"
is "it has nothing to say" "$(comm -23 "$work/found" "$work/expected")" ""
is "no exception is listed in vain" "$(comm -13 "$work/found" "$work/expected")" ""
is "it works well" "$(cat "$work/strange")" ""

# --- kernel-doc ---
kernel_doc=$(echo "$(tests/vm/kernels 6.1)"/usr/lib/linux-kbuild-*/scripts/kernel-doc)
is "kernel-doc has nothing to say" "$(perl "$kernel_doc" -none "${files[@]%Kbuild}" 2>&1)" ""
printf '/**\n * f() - lacks its parameter\n */\nint f(int a);\n' >"$work/wrong.h"
perl "$kernel_doc" -none "$work/wrong.h" >"$work/out" 2>&1
matches "it works" "$work/out" "'a' not described"
is "no comment in its form is of one line, which it would not read" \
	"$(grep -nE '^[[:space:]]*/\*\*.*\*/' kmod/*.[ch] kmod/uapi/*.h)" ""

# --- modinfo ---
version=$(sed -n 's/^VERSION := //p' Makefile)
# Once as it is, once with the fault points' parameters.
built=$work/build/kmod/$(cat "$(tests/vm/kernels 6.1)/release")
for module in "$built"{,-fault}/{dmacast,dmacast_sim}.ko; do
	name=${module#"$work"/build/kmod/}
	# To a file: where it is to write, objcopy makes a new one.
	objcopy -O binary --only-section=.modinfo "$module" "$work/modinfo"
	tr '\0' '\n' <"$work/modinfo" >"$work/info"
	rm "$work/modinfo"
	for field in description author; do
		matches "$name: $field" "$work/info" "^$field=.+"
	done
	matches "$name: license" "$work/info" '^license=GPL$'
	is "$name: version" "$(sed -n 's/^version=//p' "$work/info")" "$version"
	sed -n 's/^parm=\([^:]*\):..*/\1/p' "$work/info" | sort >"$work/described"
	# Those with functions of their own have no type there.
	sed -nE 's/^parmtype=([^:]*):.*/\1/p' "$work/info" | sort >"$work/parameters"
	is "$name: every parameter is described" "$(comm -13 "$work/described" "$work/parameters")" ""
done
is "the modules that were looked at" \
	"$(find "$built" "$built-fault" -maxdepth 1 -name "dmacast*.ko" | wc -l)" 4
for alias in platform:dmacast 'of:N*T*Cdmacast,ring'; do
	is "dmacast.ko is found for $alias" "$(modinfo -F alias "$built/dmacast.ko" |
		grep -cFx "$alias")" 1
done
is "parameters by functions are described" \
	"$(sed -nE 's/^module_param(_array|_cb)?\(([a-z_]+),.*/\2/p' kmod/*.c | sort | tr '\n' ' ')" \
	"$(sed -nE 's/^MODULE_PARM_DESC\(([a-z_]+),.*/\1/p' kmod/*.c | sort | tr '\n' ' ')"

done_testing
