#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Plain technical English in comments, manuals and Markdown: a sentence has a subject, a verb, an object, in this
# order. Four phrases show that one has not: "so many", "of what" in front, "is to be", "who" as a noun. Trees that
# are easy to read have fewer than one of them in 10,000 words, which is the limit here.

. tests/lib.sh

command -v perl >/dev/null || skip_all "perl is not installed"
mapfile -t files < <(git ls-files 2>/dev/null || find . -type f -not -path './build/*' -not -path './.git/*' | sed 's,^\./,,')

# phrases FILE...: print each line with a phrase; the last line is the number of words.
cat >"$work/phrases" <<'END_OF_PERL'
use strict;
use warnings;

my $phrase = qr/\bso\ (?:many|long|often|much|few)\b
	|(?:^|[.:;]\ )(?:Of|By|At|In|Behind|Under)\ (?:what|who|all|each|these|those|such)\b
	|\b(?:is|are|was|were)\ to\ (?:be|have|go|get|send|tell)\b
	|(?:^|[.:;,]\ )(?:who|whoever|whom)\ /xi;
my $words = 0;

# A text of prose: lines, each with its number. Sentences continue on the next line.
sub judge {
	my ($name, @lines) = @_;
	my ($text, @starts) = ('');

	for my $line (@lines) {
		push @starts, [ length $text, $line->[0] ];
		$text .= $line->[1] . ' ';
	}
	$text =~ s/\t/ /g;
	$words++ while $text =~ /[A-Za-z][\w'-]*/g;
	while ($text =~ /$phrase/g) {
		my $number = (grep { $_->[0] <= $-[0] } @starts)[-1][1];
		print "$name:$number: ", substr($text, $-[0] > 20 ? $-[0] - 20 : 0, 80), "\n";
	}
}

for my $name (@ARGV) {
	open my $file, '<', $name or die "$name: $!\n";
	my @all = <$file>;
	my $kind = $name =~ /\.[ch]$/ ? 'c' : $name =~ /\.[1-9]$/ ? 'manual' : $name =~ /\.md$/ ? 'markdown' : 'script';
	my (@text, $inside);

	next if $kind eq 'script' && $name !~ m{(?:^|/)Makefile$|\.(?:sh|t|py|conf|dtso?|yaml|service|socket)$} &&
		(!@all || $all[0] !~ /^#!/);
	for my $i (0 .. $#all) {
		my $line = $all[$i];
		my $prose;

		chomp $line;
		if ($kind eq 'c') {
			if ($inside || $line =~ m{/\*}) {
				$prose = $inside ? $line : $line =~ s{^.*?/\*+}{}r;
				$inside = $prose !~ m{\*/};
				$prose =~ s{\*/.*}{};
				$prose =~ s{^\s*\*+ ?}{};
				judge($name, @text), @text = () if $line =~ m{/\*};
			} elsif ($line =~ m{(?:^|\s)// ?(.*)}) {
				$prose = $1;
			}
		} elsif ($kind eq 'manual') {
			$prose = $line =~ /^\.\\"/ ? '' : $line =~ s/^\.\w+ ?//r;
		} elsif ($kind eq 'markdown') {
			$prose = $line =~ /^    / ? '' : $line =~ s/^[-*#>|\s]+//r;
		} elsif ($line =~ /^\s*#(?!!) ?(.*)/ || $line =~ /\s# (.*)/) {
			$prose = $1;
		}
		if (defined $prose && $prose =~ /\S/) {
			$prose =~ s/^\s+|\s+$//g;
			push @text, [ $i + 1, $prose ];
		} else {
			judge($name, @text);
			@text = ();
		}
	}
	judge($name, @text);
}
print "$words\n";
END_OF_PERL

phrases()
{
	perl "$work/phrases" "$@" >"$work/found"
	words=$(tail -n 1 "$work/found")
	sed -i '$d' "$work/found"
}

# --- the test itself ---
printf '/* So long after it is a reset. */\nint so_many; /* right */\n/*\n * A client\n * who reads\n */\n' >"$work/one.c"
# shellcheck disable=SC2016 # shell
printf '#!/bin/sh\n# It is\n# to be sent. Who comes\n#\n# so many\necho "so many"\n' >"$work/two.sh"
printf '.\\" so many\n.It Fl x\nSo few.\n' >"$work/three.8"
printf 'Of all blocks\n\n    so many\n' >"$work/four.md"
phrases "$work"/one.c "$work"/two.sh "$work"/three.8 "$work"/four.md
is "phrases are found in comments and prose, with their lines" \
	"$(sed -E "s,^$work/,,; s/^([^:]*:[^:]*):.*/\\1/" "$work/found" | paste -sd ' ')" \
	"one.c:1 two.sh:2 two.sh:3 two.sh:5 three.8:3 four.md:1"

# --- the tree ---
mapfile -t files < <(printf '%s\n' "${files[@]}" | grep -v '^tests/t/03-english\.t$' | grep -v '^LICENSE$')
phrases "${files[@]}"
compare "there are comments and prose" "$words" -ge 50000
number=$(wc -l <"$work/found")
compare "at most one odd phrase in 10,000 words, of which there are $words" "$((number * 10000))" -le "$words"
if [ "$((number * 10000))" -gt "$words" ]; then
	diag "$number in all, by folder:"
	cut -d : -f 1 "$work/found" | sed -E 's,/[^/]*$,,' | sort | uniq -c | sed 's/^/# /'
	sed 's/^/# /' "$work/found"
fi

done_testing
