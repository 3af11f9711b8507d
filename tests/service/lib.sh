# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# For the tests of dmacastd as a service: a virtual machine with Debian 12 and systemd. All of
# tests/vm/lib.sh works with it: guest, guest_put, vm_port. Added to that:
#
#   service_start [--installed] [OPTION]...
#                               as vm_start; waits until systemd has started everything. With
#                               --installed, dmacastd is one of that, on the simulated engine
#   service_stop                as vm_stop; one more test: no unit has failed
#
# Commands in the guest run as root, in a directory /dmacast: what `make install` needs is there.

. tests/vm/lib.sh

service_start()
{
	local image archive=$BUILD/service/initramfs.cpio

	[ "${1-}" != --installed ] || {
		archive=$BUILD/service/initramfs-installed.cpio
		shift
	}
	[ -n "${DMACAST_SERVICE_READY-}" ] || tests/service/prepare >"$work/prepare" 2>&1 || {
		ok 1 "what the guest needs is built"
		diag_file "$work/prepare"
		exit 1
	}
	image=$(tests/service/image)
	vm_start --kernel 6.1 --archive "$archive" --image "$image" --ports 8 --seconds 900 --boot 200 \
		--append "net.ifnames=0 systemd.show_status=1" "$@"
	wait_until 60 service_booted || {
		ok 1 "systemd has started everything"
		guest systemctl list-jobs
	}
}

service_booted()
{
	case $(guest systemctl is-system-running) in
	running | degraded) ;;
	*) return 1 ;;
	esac
}

service_stop()
{
	guest systemctl --failed --plain --no-legend >"$work/failed"
	is "no unit has failed" "$(cat "$work/failed")" "" ||
		guest journalctl -b -p warning --no-pager | tail -n 30 | sed 's/^/#   /'
	vm_stop
}
