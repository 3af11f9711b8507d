#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What other programs read: the dashboard and the alerts name metrics that a daemon has, promtool accepts them, each
# alert fires when it should, and the files that announce streams say what the daemon serves.

. tests/lib.sh

dashboard=conf/grafana/dmacast.json
rules=conf/prometheus/dmacast.rules.yml
ctl="$BUILD/dmacastctl"
control=$work/control

# nothing TEXT COMMAND...: it succeeds and prints nothing.
nothing()
{
	local text=$1 status=0

	shift
	"$@" >"$work/nothing" 2>"$work/nothing.err" || status=$?
	[ ! -s "$work/nothing" ] || status=1
	ok $((status != 0)) "$text" || diag_file "$work/nothing"
}

# --- a daemon, with clients of each kind ---
cat >"$work/dmacastd.conf" <<END
[daemon]
control = $control
metrics = 127.0.0.1:0
[stream adc]
pattern = 8M/s
record-size = 4
block-size = 64K
listen = *:0
meta.datatype = ci16_le
meta.note = it's "5 < 6 & 7" \\x41 %H
meta.stream = other
meta.long = $(printf '%0300d' 7)
[endpoint web]
stream = adc
listen = 0.0.0.0:0
listen = 127.0.0.1:0
format = http
[stream local]
pattern = 1M/s
listen = 127.0.0.1:0
END
daemon_run -c "$work/dmacastd.conf"
wait_until 10 listens_at "$control"
http=$(sed -n 's,.*metrics at http://127\.0\.0\.1:\([0-9]*\)/.*,\1,p' "$log")
adc=$(sed -n 's/.*stream adc: listening on .*:\([0-9]*\)$/\1/p' "$log")
web=$(sed -n 's/.*stream adc: endpoint web: listening on 0\.0\.0\.0:\([0-9]*\)$/\1/p' "$log")
feed_ok "a client" --clients 2 --bytes 1M "127.0.0.1:$adc"
curl -sS "http://127.0.0.1:$http/metrics" >"$work/metrics"

# --- metrics ---
# A daemon without a device has no metrics of one: take their names from where they are made.
matches "metrics of a device have their prefix" daemon/observe/exposition.c '"dmacast_device_"'
awk '/^static const struct metric kernel_/ { inside = 1 } /^};/ { inside = 0 }
	inside && match($0, /{ "[a-z_]+"/) { print "dmacast_device_" substr($0, RSTART + 3, RLENGTH - 4) " 0" }' \
	daemon/observe/exposition.c | sort -u >"$work/device"
compare "there are metrics of a device" "$(wc -l <"$work/device")" -ge 9
cat "$work/metrics" "$work/device" >"$work/known"
nothing "the dashboard and the alerts name metrics and labels that there are" \
	tests/dashboard.py names "$work/known" $dashboard $rules
compare "in many expressions" "$(awk '{ print $1 }' "$work/nothing.err")" -ge 60
sed 's/dmacast_stream_drops_total/dmacast_stream_drop_total/; s/"too_slow"/"slow"/' $rules >"$work/wrong.yml"
tests/dashboard.py names "$work/known" $dashboard "$work/wrong.yml" >"$work/wrong" 2>&1
matches "a wrong name is found" "$work/wrong" '^dmacast_stream_drop_total$'
matches "... and a wrong label" "$work/wrong" '^dmacast_stream_clients_left_total\{reason="slow"\}$'
nothing "the dashboard: panels and variables" tests/dashboard.py layout $dashboard

# --- promtool ---
tests/dashboard.py rules $dashboard >"$work/dashboard.yml"
check "promtool reads the expressions of the dashboard" tests/promtool check rules "$work/dashboard.yml"
check "promtool accepts the alerts" tests/promtool check rules $rules
check "each alert fires when it should" tests/promtool test rules tests/prometheus/rules.test.yml
: >"$work/untested"
sed -n 's/^ *- alert: //p' $rules | while read -r alert; do
	grep -q "$alert\b" tests/prometheus/rules.test.yml || echo "$alert has no test"
	grep -q "\`$alert\`" conf/README.md || echo "$alert is not in conf/README.md"
done >"$work/untested"
is "each alert has a test and is documented" "$(cat "$work/untested")" ""

# --- DNS-SD ---
mkdir "$work/avahi" "$work/resolved"
"$ctl" -s "$control" dnssd --avahi --directory "$work/avahi" >"$work/written" 2>"$work/left-out"
is "files for Avahi: exit status" $? 0
is "... one for each service, and their names are printed" "$(sort "$work/written" | tr '\n' ' ')" \
	"$work/avahi/dmacast-adc-web.service $work/avahi/dmacast-adc.service "
"$ctl" -s "$control" dnssd --resolved --directory "$work/resolved" adc >/dev/null 2>&1
is "files for systemd-resolved" "$(cd "$work/resolved" && echo *)" "dmacast-adc-web.dnssd dmacast-adc.dnssd"
matches "an endpoint of this machine only is left out" "$work/left-out" '127\.0\.0\.1:[0-9]+ is left out'
matches "a text that is too long is left out" "$work/left-out" 'stream adc: long is left out: it is longer than 255 bytes'
matches "a key that the record has is left out" "$work/left-out" 'stream adc: stream is left out: the record has this key already'
"$ctl" -s "$control" dnssd --avahi >"$work/printed" 2>"$work/several"
is "several services cannot be printed: exit status" $? 1
is "... and nothing is" "$(wc -c <"$work/printed")" 0
matches "... and what to do" "$work/several" 'several services.*--directory PATH'
"$ctl" -s "$control" dnssd --avahi local >/dev/null 2>"$work/none"
is "no service: exit status" $? 1
matches "no service: why" "$work/none" 'no endpoint listens for other machines'
"$ctl" -s "$control" dnssd --avahi nothing >/dev/null 2>"$work/none"
matches "no such stream" "$work/none" 'no such stream'
"$ctl" -s "$control" dnssd >/dev/null 2>&1
is "for no program: exit status" $? 2
"$ctl" -s "$control" dnssd --avahi --directory "$work/missing" >/dev/null 2>"$work/none"
is "no such directory: exit status" $? 1
matches "no such directory: which" "$work/none" "$work/missing/dmacast-adc.service: No such file or directory"

# txt FILE: the strings of its record as a reader gets them, one a line.
txt()
{
	python3 - "$1" <<'END'
import configparser, re, sys
import xml.etree.ElementTree as tree
if sys.argv[1].endswith(".service"):
    for record in tree.parse(sys.argv[1]).iter("txt-record"):
        print(record.text)
else:
    file = configparser.RawConfigParser(delimiters="=", strict=True)
    file.optionxform = str
    file.read(sys.argv[1], encoding="utf-8")
    assert set(file["Service"]) == {"Name", "Type", "Port", "TxtText"}, list(file["Service"])
    for word in file["Service"]["TxtText"].split():
        assert not re.search(r"[\"']|\\(?!x[0-9a-f]{2})", word), word
        print(re.sub(r"\\x(..)", lambda match: chr(int(match.group(1), 16)), word))
END
}
expected=$(printf '%s\n' txtvers=1 stream=adc format=raw block=65536 record=4 datatype=ci16_le \
	"note=it's \"5 < 6 & 7\" \\x41 %H")
is "the record for Avahi" "$(txt "$work/avahi/dmacast-adc.service")" "$expected"
is "the record for systemd-resolved" "$(txt "$work/resolved/dmacast-adc.dnssd")" "$expected"
matches "the port that it listens on" "$work/avahi/dmacast-adc.service" "<port>$adc</port>"
matches "the same for systemd-resolved" "$work/resolved/dmacast-adc.dnssd" "^Port=$adc\$"
matches "HTTP has its own type" "$work/resolved/dmacast-adc-web.dnssd" '^Type=_http\._tcp$'
matches "... and port, of one IP version" "$work/avahi/dmacast-adc-web.service" "<port>$web</port>"
matches "... which is said" "$work/avahi/dmacast-adc-web.service" 'protocol="ipv4"'
txt conf/systemd-resolved/dmacast.dnssd >"$work/sample"
is "the two samples say the same" "$(txt conf/avahi/dmacast.service)" "$(cat "$work/sample")"
is "they have what the generator writes, and metadata" "$(cut -d = -f 1 "$work/sample" | paste -sd ' ')" \
	"txtvers stream format block record datatype rate"
if command -v xmllint >/dev/null && dtd=$(tests/debfile avahi-daemon /usr/share/avahi/avahi-service.dtd); then
	for file in "$work"/avahi/*.service conf/avahi/dmacast.service; do
		check "Avahi's definition accepts ${file##*/}" xmllint --noout --path "${dtd%/*}" --valid "$file"
	done
	sed 's/port>/ports>/g' conf/avahi/dmacast.service >"$work/wrong.service"
	xmllint --noout --path "${dtd%/*}" --valid "$work/wrong.service" >/dev/null 2>&1
	compare "and does not accept everything" $? -ne 0
else
	skip "Avahi's definition accepts the files" "no xmllint, or no avahi-service.dtd"
fi
daemon_stop
is "exit status" "$status" 0

done_testing
