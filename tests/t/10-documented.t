#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Every option is documented, and nothing else is: the option table, as --help and --check print it,
# against the sample configuration and the manual pages. The same for the kernel module's attributes.

. tests/lib.sh

program=$BUILD/dmacastd
sample=conf/dmacastd.conf
page_5=daemon/man/dmacastd.conf.5
page_8=daemon/man/dmacastd.8
page_ctl=daemon/man/dmacastctl.8
page_frame=daemon/man/dmacast-frame.5

"$program" --help >"$work/help" || skip_all "no $program"

# The table: its options are all that follows the first heading.
sed -n '/^The daemon/,$s/^  --\([a-z-]*\) .*/\1/p' "$work/help" >"$work/options"
mapfile -t options <"$work/options"
compare "--help prints the option table" "${#options[@]}" -ge 20

# help_of NAME: what --help says about an option of the table.
help_of()
{
	sed -n "/^The daemon/,\$ { /^  --$1 / { p; n; p; } }" "$work/help"
}

default_of()
{
	help_of "$1" | sed -n 's/.*(default \(.*\))$/\1/p'
}

# entry_of NAME: an option's entry in dmacastd.conf.5.
entry_of()
{
	awk -v name="$1" '
		/^\.S[hs] / { inside = 0 }
		/^\.It Cm [a-z-]+(\.KEY)? No = / { inside = ($3 == name || $3 == name ".KEY") }
		inside' "$page_5"
}

# same TEXT FILE FILE
same()
{
	diff -u "$2" "$3" >"$work/diff" 2>&1
	ok $? "$1" || diag_file "$work/diff"
}

# nothing_in TEXT FILE: each line of it is a complaint.
nothing_in()
{
	local status=0

	[ ! -s "$2" ] || status=1
	ok "$status" "$1" || diag_file "$2"
}

# ---- each has every option, in the order of the table, and no other ----

sed -nE 's/^#?([a-z-]+)(\.[a-z]+)? = .*/\1/p' "$sample" >"$work/in-sample"
same "the sample has the options of the table" "$work/options" "$work/in-sample"

sed -nE 's/^\.It Cm ([a-z-]+)(\.KEY)? No = .*/\1/p' "$page_5" >"$work/in-page"
same "dmacastd.conf.5 has the options of the table" "$work/options" "$work/in-page"

grep -Eo -- '--[a-z-]+' <(sed '/^Example/,$d' "$work/help") | sort -u >"$work/long-options"
grep -E '^\.(It )?Fl ' "$page_8" | grep -Eo 'Fl -[a-z-]+' | sed 's/^Fl /-/' | sort -u \
	>"$work/in-page"
same "dmacastd.8 has the long options of --help" "$work/long-options" "$work/in-page"

# ---- values: defaults, choices, ranges ----

: >"$work/sample-defaults"
: >"$work/page-defaults"
: >"$work/choices"
: >"$work/ranges"
for name in "${options[@]}"; do
	entry=$(entry_of "$name")
	default=$(default_of "$name")

	if [ -n "$default" ]; then
		grep -Fqx "#$name = $default" "$sample" || echo "$name" >>"$work/sample-defaults"
		text="The default is .Cm $default "
	else
		text="There is no default"
	fi
	[[ "${entry//$'\n'/ } " = *"$text"* ]] ||
		echo "$name: expected: $text" >>"$work/page-defaults"

	choices=$(help_of "$name" | sed -nE 's/^  --[a-z-]+ ([a-z-]+(\|[a-z-]+)+)$/\1/p')
	for choice in ${choices//|/ }; do
		grep -Eq "^\.(It|Cm) .*\b$choice\b" <<<"$entry" ||
			echo "$name: $choice" >>"$work/choices"
	done

	read -r low high < <("$program" "--$name" '!' 2>&1 |
		sed -nE 's/.*, from ([^ ]+) to ([^ ,]+).*/\1 \2/p')
	for bound in ${low:-} ${high:-}; do
		[ "$bound" = 0 ] || grep -Fqw -- "$bound" <<<"$entry" ||
			echo "$name: $bound" >>"$work/ranges"
	done
done
nothing_in "the sample has the default of each option" "$work/sample-defaults"
nothing_in "dmacastd.conf.5 has the default of each option" "$work/page-defaults"
nothing_in "dmacastd.conf.5 has the words that an option takes" "$work/choices"
nothing_in "dmacastd.conf.5 has the range of each number" "$work/ranges"

# ---- when a change takes effect, as the table says it ----

# effects_of WORD: options with this effect, in any order; those of the daemon only if they need no restart.
effects_of()
{
	tr '\n' ' ' <daemon/config/option_table.c | sed 's/{ \(DAEMON\|STREAM\|CLIENT\|ENDPOINT\)(/\n&/g' |
		sed -nE 's/^\{ (DAEMON|STREAM|CLIENT)\("([a-z-]+)"[^}]*/\1 \2 &/p' |
		awk -v word="$1" '
			{ effect = "AT_START" }
			match($0, /\.effect = OPTION_[A-Z_]+/) {
				effect = substr($0, RSTART + 17, RLENGTH - 17)
			}
			effect == word && ($1 != "DAEMON" || word != "AT_START") { print $2 }' | sort
}

# in_section TEXT: the options of this item of the section on reloading.
in_section()
{
	awk -v item=".It $1" '
		/^\.Sh / { inside = 0; section = ($2 == "RELOADING") }
		/^\.(It|El)/ { inside = (section && $0 == item) }
		inside && /^\.Cm / { for (i = 2; i <= NF; i++) if ($i ~ /[a-z]/) print $i }' "$page_5" | sort
}

for effect in AT_ONCE:Immediately "NEW_CLIENTS:For clients that connect from then on" \
	"AT_START:With a restart of this stream alone"; do
	effects_of "${effect%%:*}" >"$work/in-table"
	in_section "${effect#*:}" >"$work/in-page"
	compare "the table has options with the effect ${effect%%:*}" "$(wc -l <"$work/in-table")" -ge 3
	same "dmacastd.conf.5 says of each that it is so" "$work/in-table" "$work/in-page"
done

# ---- the sample is right, as it is and with any of its options set ----

# effective FILE: what --check prints, or its errors.
effective()
{
	"$program" --check -c "$1" 2>&1
}

check "the sample is accepted" "$program" --check -c "$sample"
effective "$sample" >"$work/effective"

: >"$work/refused"
: >"$work/changed"
for name in "${options[@]}"; do
	grep -Eq "^#$name(\.[a-z]+)? = " "$sample" || continue
	sed -E "s/^#($name(\.[a-z]+)? = )/\1/" "$sample" >"$work/one.conf"
	case $name in
	input | device) sed -i 's/^pattern = /#&/' "$work/one.conf" ;;
	record-end) sed -i 's/^pattern = /#&/; s/^#\(input = \)/\1/' "$work/one.conf" ;;
	esac
	effective "$work/one.conf" >"$work/one" ||
		sed "s/^/$name: /" "$work/one" >>"$work/refused"
	case $name in
	input | device | record-size | record-end | preamble | control | metrics | meta | allow | deny | congestion | interface) ;; # an example, not the default
	*) cmp -s "$work/one" "$work/effective" || echo "$name" >>"$work/changed" ;;
	esac
done
nothing_in "each option of the sample can be set alone" "$work/refused"
nothing_in "... and is set to what is in effect without it" "$work/changed"

sed -E '/^#(input|device|record-size|record-end|preamble|control|metrics|meta\.[a-z]+|allow|deny|congestion|interface) = /!s/^#([a-z-]+ = )/\1/' "$sample" >"$work/all.conf"
effective "$work/all.conf" >"$work/all"
same "all of them can be set at once" "$work/effective" "$work/all"

effective "$sample" >"$work/printed.conf"
effective "$work/printed.conf" >"$work/printed-again"
same "--check prints a configuration that it reads" "$work/effective" "$work/printed-again"

# ---- the manual pages ----

# Each complete configuration among the examples, in a file of its own.
awk -v prefix="$work/example" '
	/^\.Sh / { examples = /EXAMPLES/ }
	/^\.Ed/ { inside = 0 }
	inside { print > (prefix "." number ".conf") }
	examples && /^\.Bd -literal/ { inside = 1; number++ }' "$page_5"
for example in "$work"/example.*.conf; do
	check "dmacastd.conf.5: ${example##*/} is accepted" "$program" --check -c "$example"
done

# What DIAGNOSTICS shows is what the daemon can print: the constant parts of its messages.
cat daemon/*.c daemon/*/*.c | tr '\n\t' '  ' | sed -E 's/" *(PRI[A-Za-z0-9]+ *)?"//g' >"$work/messages"
sed -nE '/^\.Sh DIAGNOSTICS/,$s/^\.It Li "(.*)"$/\1/p' "$page_8" >"$work/diagnostics"
variable='ADDRESS|FILE:LINE|HOST:PORT|INPUT|KIND|N|NAME|PATH|REASON|SECTION|SIZE|TIME|VALUE'
sed -E "s/\\b($variable)\\b|\\.\\.\\./\\n/g" "$work/diagnostics" | grep -E '[a-z]{3}' |
	while IFS= read -r part; do
		grep -Fq -- "$part" "$work/messages" || echo "$part"
	done >"$work/unknown"
compare "dmacastd.8 has diagnostics" "$(wc -l <"$work/diagnostics")" -ge 10
nothing_in "dmacastd.8 shows messages as the daemon prints them" "$work/unknown"

for page in "$page_5" "$page_8" "$page_ctl" "$page_frame"; do
	if command -v mandoc >/dev/null; then
		mandoc -T lint -W warning "$page" >"$work/lint" 2>&1
		nothing_in "$page is without a warning of mandoc" "$work/lint"
	else
		skip "$page is without a warning of mandoc" "mandoc is not installed"
	fi
done

# ---- the kernel module's attributes ----

abi=kmod/ABI
{
	sed -nE 's/^COUNTER\((.*)\);$/\1/p' kmod/sysfs.c
	sed -nE 's/^static DEVICE_ATTR_R[OW]\((.*)\);$/\1/p' kmod/sysfs.c
} | sort >"$work/attributes"
sed -nE 's/^\t&(dev_attr_|counter_)(\w*)\..*/\2/p' kmod/sysfs.c | sort >"$work/shown"
sed -n 's,^What:.*/sys/class/dmacast/NAME/,,p' "$abi" | sort >"$work/in-abi"
compare "the kernel module has attributes" "$(wc -l <"$work/shown")" -ge 10
same "each attribute that is defined is shown" "$work/attributes" "$work/shown"
same "kmod/ABI has every attribute, and no other" "$work/shown" "$work/in-abi"
awk -v RS= -v FS='\n' '/^What:/ && ($5 != "Description:" || length($6) < 15) { print $1 }' \
	"$abi" >"$work/bare"
nothing_in "kmod/ABI explains each of them" "$work/bare"

done_testing
