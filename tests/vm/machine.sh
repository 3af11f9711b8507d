# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# machine SERIES: describe the machine with this kernel. Sets
#
#   triplet        of its programs and libraries; empty: they are this machine's own
#   build          the build directory of its programs and modules
#   qemu           an array: QEMU, the machine and its processors
#   modules        the drivers for networks that are put into its file system
#   console        the kernel's name of the serial port that is the console
#   kernel_options for the kernel's command line
#   device_tree    Debian's device tree of the machine, in the directory of image packages; empty: it has none.
#                  Nodes of ours, of dt/SERIES.dts, are added to it.
#   boot_seconds   for it to come up, on a busy host
#   slowdown       factor for time limits: how many times slower it is than one with a plain kernel
#   memory         of the machine
#   smaller        divisor of what tests send and receive there
#   powers_off     not empty if the guest can end QEMU

# The caller uses these.
# shellcheck disable=SC2034
machine()
{
	local top=${BUILD:-build}

	triplet='' build=$top kernel_options='' device_tree='' boot_seconds=90 powers_off=yes
	slowdown=1 smaller=1 memory=1G
	# Those of tests that build networks in the guest, and those of netem.
	modules="veth bridge sch_netem sch_tbf tun"
	case $1 in
	armmp)
		# With the DMA controller that Zynq-7000 and Cyclone V have, PL330.
		triplet=arm-linux-gnueabihf
		qemu=(qemu-system-arm -M smdkc210)
		modules+=" smsc911x"
		console=ttySAC1,115200
		device_tree=exynos4210-smdkv310.dtb
		;;
	arm64)
		triplet=aarch64-linux-gnu
		qemu=(qemu-system-aarch64 -M raspi3b)
		# Not cdc_ether: it polls, and dwc2's driver warns of itself when that comes late.
		modules+=" dwc2 phy-generic cdc_subset"
		console=ttyAMA0,115200
		device_tree=broadcom/bcm2837-rpi-3-b.dtb
		;;
	*)
		qemu=(qemu-system-x86_64 -M q35 -cpu max -smp 2)
		modules+=" e1000e vmxnet3 virtio_net virtio_pci"
		console=ttyS0
		kernel_options="mitigations=off random.trust_cpu=on tsc=reliable"
		;;
	esac
	[ "$1" != debug ] || {
		# Without this, KASAN reports only the first wrong access.
		kernel_options+=" kasan_multi_shot"
		boot_seconds=240
		slowdown=4
		smaller=8
		# The checks keep account of each page.
		memory=2G
	}
	[ -z "$triplet" ] || {
		build=$top/$1
		boot_seconds=180
		powers_off=
	}
}
