#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The sandbox of the units: a program in the daemon's place cannot do what a streaming daemon need not. The same
# program without the sandbox can do all of it, so that each attempt is known to be a real one.

. tests/service/lib.sh

service_start --installed
guest_script <<'END'
echo secret | tee /tmp/probe /home/probe /root/probe >/dev/null
chmod 644 /tmp/probe /home/probe /root/probe
chmod 755 /root
mknod -m 666 /dev/probe b $((0x$(stat -c %t /dev/vda))) $((0x$(stat -c %T /dev/vda)))
END
# What it changes is to be its own: mounts, the host's name.
guest_tap "without a sandbox" unshare --mount --uts build/tests/service/probe allowed

for unit in dmacastd.service dmacastd@probe.service; do
	guest mkdir -p "/etc/systemd/system/$unit.d"
	cat >"$work/probe.conf" <<-END
		[Service]
		Type=oneshot
		Restart=no
		WatchdogSec=0
		ExecStart=
		ExecStart=/dmacast/build/tests/service/probe denied
		StandardOutput=truncate:/run/$unit.tap
	END
	guest_put "$work/probe.conf" "/etc/systemd/system/$unit.d/probe.conf"
	guest systemctl daemon-reload
	check "$unit: the probe ran" guest sh -c "systemctl stop $unit; systemctl start $unit"
	guest_tap "$unit" cat "/run/$unit.tap"
done

# --- io_uring, which the units deny, and a drop-in allows ---
# started_with TEXT REGEX: the service starts, and its journal says so of the ring.
started_with()
{
	guest systemctl daemon-reload
	check "$1: the service starts" guest systemctl restart dmacastd
	wait_until 20 guest sh -c "journalctl -u dmacastd _PID=\$(systemctl show -P MainPID dmacastd) -o cat |
		grep -Eq '$2'"
	ok $? "$1: $2"
}

guest rm -r /etc/systemd/system/dmacastd.service.d
guest_script <<'END'
cat >/etc/dmacast/dmacastd.conf <<-CONF
	[stream memory]
	pattern = 4M/s
	huge-pages = never
	listen = 127.0.0.1:7000
CONF
END
started_with "as installed" 'no zero-copy by io_uring, only by MSG_ZEROCOPY: this process may not use it'
guest mkdir /etc/systemd/system/dmacastd.service.d
guest cp /usr/local/share/doc/dmacast/examples/io-uring.conf /etc/systemd/system/dmacastd.service.d/
started_with "with io-uring.conf" 'the ring is registered for zero-copy by io_uring'
service_stop

done_testing
