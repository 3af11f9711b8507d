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
# Changes must stay in its own namespaces: mounts, the host's name.
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
		# It would truncate the file once more.
		ExecStop=
		StandardOutput=truncate:/run/$unit.tap
	END
	guest_put "$work/probe.conf" "/etc/systemd/system/$unit.d/probe.conf"
	guest systemctl daemon-reload
	check "$unit: the probe ran" guest sh -c "systemctl stop $unit; systemctl start $unit"
	guest_tap "$unit" cat "/run/$unit.tap"
done

service_stop

done_testing
