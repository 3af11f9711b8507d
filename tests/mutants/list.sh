# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The list of mutants, for tests/mutants/run and tests/t/04-mutants.t: what the head of a patch says.

mutants_folder=$PWD/tests/mutants
mutants_kernel=6.1

# mutant_field NAME PATCH: print the text of one line of its head.
mutant_field()
{
	sed -n "/^--- /q; s/^$1: //p" "$2"
}

# mutant_tests PATCH: print the tests that should notice, one a line: unit/NAME, t/NN-NAME or vm/NN-NAME.
mutant_tests()
{
	mutant_field Tests "$1" | tr ' ' '\n'
}

# mutant_is_equivalent PATCH: it changes nothing that a test could notice, and has the reason.
mutant_is_equivalent()
{
	[ -n "$(mutant_field Equivalent "$1")" ]
}

# test_file TEST: print its file.
test_file()
{
	case $1 in
	unit/*) echo "tests/$1.c" ;;
	t/*) echo "tests/$1.t" ;;
	vm/*) echo "tests/vm/t/${1#vm/}.t" ;;
	*) echo "$1" ;;
	esac
}

# mutants_all: print the names of all mutants.
mutants_all()
{
	(cd "$mutants_folder" && printf '%s\n' *.patch) | sed 's/\.patch$//'
}

# mutants_random NUMBER SEED: print the names of this number of mutants that units notice, which takes seconds for each.
mutants_random()
{
	local name

	mutants_all | {
		# A subshell has a sequence of its own.
		RANDOM=$2
		while read -r name; do
			mutant_tests "$mutants_folder/$name.patch" | grep -qv '^unit/' ||
				mutant_is_equivalent "$mutants_folder/$name.patch" || echo "$RANDOM $name"
		done
	} | sort -n | cut -d ' ' -f 2 | head -n "$1"
}
