# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the repository and its build products are."""
import os

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", ".."))
BUILD = os.environ.get("BUILD") or os.path.join(ROOT, "build")
STASIS = os.path.join(BUILD, "stasis.efi")
STASIS_STORE = os.path.join(BUILD, "stasis-store")
KERNEL = os.path.join(BUILD, "guest", "vmlinuz")
# Also packaged by Debian, and quicker to boot where every instruction is emulated twice.
KERNEL_CLOUD = os.path.join(BUILD, "guest", "vmlinuz-cloud")
INITRD = os.path.join(BUILD, "guest", "initrd.lz4")
INITRD_KEXEC = os.path.join(BUILD, "guest", "initrd-kexec.lz4")
INITRD_KEXEC_CLOUD = os.path.join(BUILD, "guest", "initrd-kexec-cloud.lz4")
INITRD_DISK = os.path.join(BUILD, "guest", "initrd-disk.lz4")
INITRD_NETWORK = os.path.join(BUILD, "guest", "initrd-network.lz4")
# Not part of the setup: make qemu.
QEMU_MENDED = os.path.join(BUILD, "qemu", "qemu-system-x86_64")
INSTALLER_KERNEL = os.path.join(BUILD, "guest", "di-vmlinuz")
INSTALLER_INITRD = os.path.join(BUILD, "guest", "di-initrd.gz")
