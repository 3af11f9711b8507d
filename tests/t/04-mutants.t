#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The list of mutants, tests/mutants: each applies to this tree and names tests that are there. make mutants tries them.

. tests/lib.sh

command -v patch >/dev/null || skip_all "patch is not installed"
. tests/mutants/list.sh

mapfile -t names < <(mutants_all)
compare "there are mutants" ${#names[@]} -ge 40

for name in "${names[@]}"; do
	patch --dry-run -p1 -F0 -s <"tests/mutants/$name.patch" >"$work/patch" 2>&1 ||
		echo "$name: $(head -n 1 "$work/patch")"
	grep -qE '^Hunk #.* succeeded' "$work/patch" && echo "$name: another place"
done >"$work/wrong"
is "each applies" "$(cat "$work/wrong")" ""

for name in "${names[@]}"; do
	[ -n "$(mutant_field Rule "tests/mutants/$name.patch")" ] || echo "$name: no rule"
	[ -n "$(mutant_tests "tests/mutants/$name.patch")" ] || echo "$name: no test"
	for test in $(mutant_tests "tests/mutants/$name.patch"); do
		[ -e "$(test_file "$test")" ] || echo "$name: $test"
	done
done >"$work/wrong"
is "each says which rule it breaks, and names tests that are there" "$(cat "$work/wrong")" ""

sed -n 's,^+++ b/\([^/]*/[^/]*\)/.*,\1,p; s,^+++ b/\(kmod\)/.*,\1,p' tests/mutants/*.patch | sort -u >"$work/folders"
printf '%s\n' daemon/{config,control,ctl,lib,nats,ring,send,source,stream} kmod | sort >"$work/expected"
is "every folder with rules has some" "$(comm -13 "$work/folders" "$work/expected")" ""
compare "some need a virtual machine" "$(grep -lE '^Tests:.* vm/' tests/mutants/*.patch | wc -l)" -ge 4

mutants_random 5 1 >"$work/once"
is "random ones: the same ones with the same seed" "$(mutants_random 5 1)" "$(cat "$work/once")"
is "five of them" "$(sort -u "$work/once" | wc -l)" 5
is "units notice each" "$(sed 's,.*,tests/mutants/&.patch,' "$work/once" | xargs grep -lE '^Tests:.* (vm|t)/')" ""

done_testing
