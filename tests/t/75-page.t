#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The live page: its headers, what it shows in a browser, by keys, in a narrow window, without scripts, when a stream
# ends and when the daemon is restarted; and the parameters of /status.json.

. tests/lib.sh

command -v curl >/dev/null || skip_all "curl is not installed"
command -v jq >/dev/null || skip_all "jq is not installed"

# browser COMMAND: give it to tests/browser, and print its answer.
browser()
{
	local answer

	echo "$1" >&"${BROWSER[1]}"
	read -r -u "${BROWSER[0]}" answer
	echo "$answer"
}

# shows TEXT EXPRESSION: it becomes true in the page.
shows()
{
	local answer

	answer=$(browser "wait $2")
	[ "$answer" = ok ]
	ok $? "$1" || {
		diag "$answer: $2"
		diag "$(browser "eval document.body.innerText.slice(0, 1500)")"
	}
}

# evaluates TEXT EXPRESSION EXPECTED
evaluates()
{
	is "$1" "$(browser "eval $2")" "$3"
}

# press KEY NUMBER
press()
{
	for ((i = 0; i < $2; i++)); do
		browser "key $1"
	done >/dev/null
}

# tab_to EXPRESSION: press Tab until it is true of the element with the focus, `it`.
tab_to()
{
	for ((i = 0; i < 120; i++)); do
		browser "key Tab" >/dev/null
		[ "$(browser "eval (it => Boolean($1))(document.activeElement)")" != true ] || return 0
	done
	return 1
}

# get CURL-ARGUMENT...: the head in $work/head, the body in $work/body.
get()
{
	curl -s --max-time 30 -D "$work/head" -o "$work/body" "$@"
}

# status FILTER: of the whole document.
status()
{
	curl -s --max-time 30 "$url/status.json" | jq -r "$1"
}

code()
{
	sed -n '1s/^[^ ]* \([0-9]*\).*/\1/p' "$work/head"
}

free_ports 3
url=http://127.0.0.1:${ports[0]}
evil='<img src=x onerror=window.bad=1>"&'
fifo=$work/'<img src=x onerror=window.bad=1>'
mkfifo "$fifo"
cat >"$work/page.conf" <<END
[daemon]
metrics = 127.0.0.1:${ports[0]}
metrics-per-client = yes
[stream adc]
pattern = 1M/s
listen = 127.0.0.1:${ports[1]}
block-size = 64K
ring-size = 2M
lag-policy = drop
meta.antenna = $evil
meta.rate = 1048576
[stream brief]
input = $fifo
listen = 127.0.0.1:${ports[2]}
flush = 10ms
ring-size = 1M
block-size = 64K
END
daemon_run -c "$work/page.conf"
feed_start adc --clients 3 --seconds 600 --allow-gaps "127.0.0.1:${ports[1]}"
nc -d 127.0.0.1 "${ports[2]}" >"$work/received" &
will_end $!
bash -c 'head -c 100000 /dev/zero; exec sleep 3600' >"$fifo" &
writer=$!
will_end "$writer"
disown "$writer" # bash would print a line when it is killed
has_brief()
{
	[ "$(status '.streams[1].sent_bytes')" = 100000 ] && [ "$(status '.streams[0].clients')" = 3 ]
}
check "a stream at rest, and one that runs" wait_until 20 has_brief

# --- HTTP ---
get "$url/"
is "the page is there" "$(code)" 200
matches "... as HTML" "$work/head" '^Content-Type: text/html; charset=utf-8'
matches "... with a policy that allows nothing else" "$work/head" \
	"^Content-Security-Policy: default-src 'none'; script-src 'sha256-[^']*'; style-src 'sha256-[^']*'; connect-src 'self';.*frame-ancestors 'none'"
for field in 'X-Content-Type-Options: nosniff' 'Referrer-Policy: no-referrer' 'Cache-Control: no-store' \
	'Cross-Origin-Resource-Policy: same-origin'; do
	matches "... $field" "$work/head" "^$field"
done
is "... and names no other place" "$(grep -oE '(src|href|action)="?[^" >]*|url\([^)]*|https?://[^ "'"'"'`<]*' "$work/body" |
	grep -Ev '^href="(data:|#)|^http://www\.w3\.org/2000/svg|^http://\$' | grep -v 'src=x')" ""
is "no text of elsewhere is markup" "$(grep -c '<img' "$work/body")" 0
get -I "$url/"
is "HEAD: the head" "$(code) $(grep -c '^Content-Security-Policy' "$work/head")" "200 1"
is "HEAD: no body" "$(wc -c <"$work/body")" "$(wc -c <"$work/head")"
get -X POST -d x "$url/"
is "POST is refused" "$(code)" 405
for path in page.html index.html '%2e%2e/' 'x/' favicon.ico; do
	get "$url/$path"
	is "/$path is not there" "$(code)" 404
done
get -H 'Origin: http://other.example' "$url/status.json?limit=2&sort=sent"
is "no other origin may read /status.json" "$(code) $(grep -ci '^Access-Control' "$work/head")" "200 0"
is "limit and sort choose clients" "$(jq -r '"\(.clients | length) \(.matching) \(.clients[0].sent_bytes >= .clients[1].sent_bytes)"' "$work/body")" \
	"2 4 true"
is "find chooses clients, too" "$(curl -s "$url/status.json?find=127.0.0.1:${ports[2]}" | jq -r '[.matching, .clients[].stream] | @csv')" \
	'1,"brief"'
is "and stream" "$(curl -s "$url/status.json?stream=adc&limit=1" | jq -r '"\(.matching) \(.clients[0].stream)"')" "3 adc"
tag=$(sed -n 's/^ETag: \(.*\)\r/\1/p' "$work/head")
unchanged()
{
	get "$url/status.json?limit=2&sort=sent"
	get -H "If-None-Match: $(sed -n 's/^ETag: \(.*\)\r/\1/p' "$work/head")" "$url/status.json?limit=2&sort=sent"
	[ "$(code)" = 304 ]
}
check "a document that a viewer has is not sent again" wait_until 20 unchanged
changed()
{
	get -H "If-None-Match: $tag" "$url/status.json?limit=2&sort=sent"
	[ "$(code)" = 200 ]
}
check "... and a newer one is" wait_until 20 changed
for query in limit=251 sort=x order=up y=z 'limit' "find=$(head -c 200 /dev/zero | tr '\0' a)"; do
	get "$url/status.json?$query"
	is "${query:0:12}: 400" "$(code)" 400
done
get "$url/status.json?sort=x"
matches "... with what is right" "$work/body" 'expected lag, pinned, dropped, sent, connected or peer'

if ! command -v chromium >/dev/null; then
	skip "the page in a browser" "chromium is not installed"
	daemon_stop
	done_testing
fi

# --- what it shows ---
coproc BROWSER { exec tests/browser; }
# shellcheck disable=SC2153 # set by coproc
will_end "$BROWSER_PID"
read -r -u "${BROWSER[0]}" answer
is "the browser is there" "$answer" ready
browser "size 1200 800" >/dev/null
browser "scheme light" >/dev/null
browser "open $url/" >/dev/null
shows "the page is live" "document.getElementById('state').textContent === 'live'"
shows "the streams are those of /status.json" \
	"fetch('status.json').then(a => a.json()).then(s => s.streams.map(t => t.name + t.state).join() === [...document.querySelectorAll('article')].map(a => a.dataset.stream + a.querySelector('.badge').textContent).join())"
shows "and the clients, with their order" \
	"fetch('status.json?limit=50&sort=lag&order=descending').then(a => a.json()).then(s => s.clients.length === 4 && s.clients.map(c => c.peer).sort().join() === [...document.querySelectorAll('td[data-key=peer]')].map(c => c.textContent).sort().join())"
row="[...document.querySelectorAll('#rows tr')].find(r => r.querySelector('[data-key=stream]').textContent === 'brief')"
evaluates "what a client got, and when" "['sent', 'behind', 'dropped', 'state'].map(k => $row.querySelector('[data-key=' + k + ']').textContent).join()" \
	"97.7 KiB,0 B,0,streaming"
shows "rates move" "/^[0-9.]+ [MK]iB.s$/.test(document.querySelector('[data-tile=In]').textContent)"
shows "plots have lines" "document.querySelector('article path.b').getAttribute('d').split('L').length > 3"
evaluates "the tile counts all clients" "document.querySelector('[data-tile=Clients]').textContent" 4
evaluates "commands to copy" "[...document.querySelectorAll('article:nth-of-type(1) code')].map(c => c.textContent).join('; ')" \
	"nc 127.0.0.1 ${ports[1]} > adc.raw; dmacastctl cat -o adc.raw tcp://127.0.0.1:${ports[1]}"
evaluates "metadata is text" "document.querySelector('article dd').textContent" "$evil"
evaluates "and what the source is" "document.querySelector('[data-stream=brief] .about').textContent.includes('<img src=x')" true
evaluates "nothing of it was executed" "document.images.length + String(window.bad)" 0undefined

# --- keys ---
browser "eval document.body.focus()" >/dev/null
tab_to "it.textContent === 'Sent' && it.closest('th')"
ok $? "the button that sorts by bytes is reached by keys"
matches "the focus is visible" <(browser "eval getComputedStyle(document.activeElement).outlineStyle") solid
press Enter 1
shows "Enter sorts downwards" "document.querySelector('th[aria-sort=descending]')?.textContent === 'Sent' && [...document.querySelectorAll('[data-key=stream]')].filter(c => c.closest('tbody')).at(-1).textContent === 'brief'"
press Enter 1
shows "... and upwards" "document.querySelector('th[aria-sort=ascending]') && document.querySelector('#rows [data-key=stream]').textContent === 'brief'"
evaluates "the focus stays" "document.activeElement.textContent" Sent
browser "eval document.getElementById('find').focus()" >/dev/null
for ((i = 0; i < ${#ports[2]}; i++)); do
	browser "key ${ports[2]:i:1}" >/dev/null
done
shows "a filter leaves the clients that match" "document.querySelectorAll('#rows tr').length === 1 && $row"
evaluates "... and says so" "document.getElementById('clients-note').textContent" "1 of 4"
evaluates "everything that takes the focus has a name" \
	"[...document.querySelectorAll('button, input, select, [tabindex=\"0\"], summary')].filter(e => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).length" 0
browser "eval document.querySelector('.frame').focus()" >/dev/null
press ArrowLeft 2
matches "a plot is read by keys" <(browser "eval document.activeElement.getAttribute('aria-label')") ' s ago$'
browser "eval document.getElementById('find').value = '', document.getElementById('find').dispatchEvent(new Event('input'))" >/dev/null

browser "eval document.querySelector('details').open = true, document.querySelector('.command button').focus()" >/dev/null
press Enter 1
shows "a command is copied by keys" "document.querySelector('.command button').textContent === 'Copied'"
shows "without the filter all are there" "document.querySelectorAll('#rows tr').length === 4"
browser "eval document.getElementById('pause').focus()" >/dev/null
press Enter 1
sent=$(browser "eval document.querySelector('.counters dd').textContent")
asked=$(browser requests)
asked_twice()
{
	[ $(($(browser requests) - asked)) -ge 2 ]
}
check "a pause goes on asking" wait_until 20 asked_twice
evaluates "... but nothing moves" "document.getElementById('state').textContent + document.querySelector('.counters dd').textContent" \
	"paused$sent"
press Enter 1
shows "... until it ends" "document.getElementById('state').textContent === 'live' && document.querySelector('.counters dd').textContent !== '$sent'"

# --- how it looks ---
light=$(browser "eval getComputedStyle(document.body).backgroundColor")
browser "scheme dark" >/dev/null
dark=$(browser "eval getComputedStyle(document.body).backgroundColor")
ok "$([ "$light" != "$dark" ]; echo $?)" "dark is not light"
browser "eval document.getElementById('theme').click(), document.getElementById('theme').click()" >/dev/null
evaluates "the switch overrides it" "getComputedStyle(document.body).backgroundColor + document.getElementById('theme').textContent" \
	"${light}Theme: light"
browser "eval document.querySelectorAll('details').forEach(d => d.open = true)" >/dev/null
for width in 360 700 1010 1190; do
	browser "size $width 700" >/dev/null
	evaluates "$width pixels are wide enough" "document.documentElement.scrollWidth <= $width" true
done
browser "size 360 700" >/dev/null
evaluates "the narrow page has the sort that the head had" "getComputedStyle(document.getElementById('sort')).display !== 'none' && document.getElementById('direction').getBoundingClientRect().width > 10" true
browser "size 1200 800" >/dev/null

# --- a hidden tab ---
browser "eval Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})" >/dev/null
sleep 1.2
before=$(browser requests)
sleep 2.2
compare "a hidden page asks rarely" $(($(browser requests) - before)) -le 1
browser "eval delete document.hidden, document.dispatchEvent(new Event('visibilitychange'))" >/dev/null
shows "and at once when it is seen again" "performance.getEntriesByType('resource').at(-1).startTime > performance.now() - 5000"

# --- a stream that ends ---
signal_to KILL "$writer"
shows "a stream that ends says so" "document.querySelector('[data-stream=brief] .badge').textContent === 'ended'"
shows "... its client is gone" "!($row)"
evaluates "... and its plots stay" "document.querySelector('[data-stream=brief] path.a').getAttribute('d') !== ''" true
is "the errors of scripts, of the console, and of the policy" "$(browser problems)" "[]"

# --- the daemon is restarted ---
daemon_stop
is "exit status" "$status" 0
shows "a daemon that is away" "document.getElementById('state').textContent === 'no answer' && /next attempt in/.test(document.getElementById('notice').textContent)"
evaluates "... leaves the plots" "document.querySelector('article path.a').getAttribute('d') !== ''" true
feed_end adc TERM
sed -i '/^\[stream brief\]/,$d' "$work/page.conf"
daemon_run -c "$work/page.conf"
browser "eval document.getElementById('retry').focus()" >/dev/null
press Enter 1
shows "it is back, and was restarted" "document.getElementById('state').textContent === 'live' && /restarted at/.test(document.getElementById('notice').textContent)"
shows "... the plots go on, with a mark" "document.querySelector('article path.a').getAttribute('d').split('M').length > 2 && document.querySelector('article line.event')"
shows "a stream that is not configured any more stays until the page is left" "document.querySelector('[data-stream=brief] .badge').textContent === 'removed'"
shows "without clients it says so" "document.getElementById('empty').textContent === 'No client is connected.'"
is "still no error" "$(browser problems)" "[]"

# --- without scripts ---
browser "scripts off" >/dev/null
feed_start again --clients 2 --seconds 600 --allow-gaps "127.0.0.1:${ports[1]}"
two_clients()
{
	[ "$(curl -s "$url/" | grep -c '^<tr><td>127\.0\.0\.1:')" = 2 ]
}
check "the page itself has the clients" wait_until 20 two_clients
browser "size 360 700" >/dev/null
browser "open $url/" >/dev/null
evaluates "without scripts there are tables" "[...document.querySelectorAll('noscript table caption')].map(c => c.textContent).join() + getComputedStyle(document.getElementById('live')).display" \
	"Streams,Clientsnone"
evaluates "... with streams and clients" "document.querySelector('tbody td').textContent + document.querySelectorAll('table:nth-of-type(2) tbody tr').length" adc2
evaluates "... and nothing of it is too wide" "document.documentElement.scrollWidth <= 360" true
is "still no error" "$(browser problems)" "[]"
feed_end again TERM
daemon_stop
is "exit status" "$status" 0

# --- without clients ---
sed -i 's/^metrics-per-client = yes/metrics-per-client = no/' "$work/page.conf"
daemon_run -c "$work/page.conf"
feed_start hidden --clients 1 --seconds 600 --allow-gaps "127.0.0.1:${ports[1]}"
is "without metrics-per-client no client is in a view" \
	"$(curl -s "$url/status.json?limit=5" | jq -r '"\(.streams | length) \(has("clients"))"')" "1 false"
is "... nor in the page" "$(curl -s "$url/" | grep -c '<td>127\.0\.0\.1:')" 0
browser "scripts on" >/dev/null
browser "open $url/" >/dev/null
shows "... and the page says why" "/metrics-per-client = yes/.test(document.getElementById('empty').textContent) && document.getElementById('table').hidden"
is "no error to the end" "$(browser problems)" "[]"
feed_end hidden TERM
daemon_stop

done_testing
