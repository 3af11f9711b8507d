#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Observing and controlling the service: permissions of dmacastctl, its effect on the service; metrics,
# from outside. All of it in the sandbox.

. tests/service/lib.sh

service_start --installed
log=/dev/null # of the daemon; it is the guest's journal
target=127.0.0.1:$(vm_port 7000)
guest_script <<'END'
{
	printf '[daemon]\nmetrics = *:7001\n'
	cat tests/service/etc/dmacast/dmacastd.conf
} >/etc/dmacast/dmacastd.conf
systemctl restart dmacastd
END

property()
{
	guest systemctl show -P "$1" dmacastd
}

# as_member, as_other: of no user that has a name; as_member is in the group.
as_member()
{
	guest setpriv --reuid 4000 --regid 4000 --groups "$(guest getent group dmacast | cut -d : -f 3)" "$@"
}

as_other()
{
	guest setpriv --reuid 4001 --regid 4001 --clear-groups "$@"
}

# --- who may ---
feed_start three --clients 3 --seconds 120 "$target"
check "root may look" guest dmacastctl status
guest dmacastctl --json clients >"$work/clients"
is "and sees the clients" "$(jq '.clients | length' "$work/clients")" 3
as_member dmacastctl --json streams >"$work/streams"
is "a member of the group may look" "$(jq -r '.streams[].name' "$work/streams")" sim0
as_member dmacastctl kick --all >"$work/kick" 2>&1
compare "and not do anything" $? -ne 0
as_other dmacastctl status >"$work/other" 2>&1
compare "others may not even look" $? -ne 0
matches "and are told why" "$work/other" '[Pp]ermission'
is "the ring's numbers are there, in the sandbox" \
	"$(jq '.streams[0].kernel.running' "$work/streams")" true
feed_end_ok "clients did not notice" three TERM

# --- metrics ---
metrics()
{
	printf 'GET %s HTTP/1.0\r\n\r\n' "$1" | socat -t 5 - "TCP:127.0.0.1:$(vm_port 7001)"
}
metrics /metrics >"$work/metrics"
matches "metrics, from outside" "$work/metrics" '^HTTP/1.[01] 200'
matches "of the stream" "$work/metrics" '^dmacast_.*stream="sim0".* [0-9]'
metrics /status.json | sed '1,/^\r*$/d' >"$work/status.json"
check "status.json" jq -e . "$work/status.json"

# --- what it does ---
# The network between here and the guest makes an end of a reset.
feed_start kicked --clients 2 --seconds 60 --expect-end any "$target"
check "root kicks all clients" guest dmacastctl kick --all
feed_end_ok "which ends them, with right bytes" kicked
guest sh -c 'echo wrong = 1 >>/etc/dmacast/dmacastd.conf'
guest dmacastctl reload >"$work/reload" 2>&1
compare "a reload of a broken file fails" $? -ne 0
matches "with the reason" "$work/reload" 'wrong'
guest sed -i '/^wrong/d' /etc/dmacast/dmacastd.conf
check "of the right one it does not" guest dmacastctl reload
feed_start last --clients 2 --seconds 60 --expect-end end "$target"
check "drain" guest dmacastctl drain
feed_end_ok "gives clients an orderly end" last
stopped()
{
	[ "$(property ActiveState)" = inactive ]
}
wait_until 20 stopped
is "and ends the service for good" "$(property ActiveState) $(property Result)" "inactive success"
is "nothing is left in /run" "$(guest sh -c 'ls /run | grep dmacast')" ""
service_stop

done_testing
