# SPDX-License-Identifier: GPL-2.0-or-later
"""What a node boots from: a TFTP directory with an iPXE script, or an EFI system partition."""
import os
import subprocess

from relay import FIRMWARE


class SetupError(Exception):
    """The machine can't be built as asked; one line for the user."""


SECTOR = 512
CYLINDER = 16 * 63 * SECTOR  # heads * sectors, as told to Bochs
SLACK = 4 << 20
FAT16_MAX = 1024 << 20


def drive_names(options):
    """What Stasis calls the golden image's disk and the store's: in the order in which the machine has them."""
    names, number = [], {"ahci": 0, "nvme": 0, "ide": 0}
    if options.boot == "esp":  # its own disk comes first
        number["ide" if options.emu == "bochs" else "ahci"] = 1
    for bus in (options.disk_bus, options.store and options.store[1]):
        names.append(bus and f"{bus}{number[bus]}")
        if bus:
            number[bus] += 1
    return names


def disk_keys(options):
    golden, store = drive_names(options)
    keys = {}
    if golden:
        keys["golden"] = golden
    elif options.disk:
        keys["disk"] = "disk.img"
    if store:
        keys["store"] = store
    return keys


def disk_file(options):
    """The golden image as a file for the loader."""
    return {"disk.img": options.disk} if options.disk and not options.disk_bus else {}


def config_lines(options):
    """The keys of Stasis's configuration, in the order in which they are given."""
    quoted = options.append.replace('"', '\\"')
    keys = {"kernel": "vmlinuz", "initrd": "initrd", "append": f'"{quoted}"'}
    keys |= disk_keys(options)
    extra = []
    for c in options.config:
        key, value = c.split("=", 1)
        if key in keys:
            keys[key] = value
        else:
            extra.append(f"{key}={value}")
    return [f"{k}={v}" for k, v in keys.items()] + extra


def make_tftp(options, run_dir):
    directory = os.path.join(run_dir, "tftp")
    os.mkdir(directory)
    link = {"vmlinuz": options.kernel, "initrd": options.initrd} | disk_file(options)
    if options.bare:
        script = [f"kernel vmlinuz initrd=initrd {options.append}", "initrd initrd"]
    else:
        link["stasis.efi"] = options.image
        script = ["kernel stasis.efi " + " ".join(config_lines(options)), "initrd vmlinuz", "initrd initrd"]
        script += [f"initrd {name}" for name in disk_file(options)]
    for name, target in link.items():
        os.symlink(os.path.realpath(target), os.path.join(directory, name))
    # Whatever fails, and when Stasis refuses: the script goes on here.
    script = ["#!ipxe", " && ".join([*script, "boot"]) + " ||", f"echo {FIRMWARE.decode()}", "prompt"]
    with open(os.path.join(directory, "boot.ipxe"), "w") as f:
        f.write("\n".join(script) + "\n")


def _startup(options):
    """For the EFI shell, which runs it when there is no (or no longer a) boot application."""
    lines = ["@echo -off", "fs0:"]
    if options.before:
        lines.append("before.efi")
    if options.bare:
        lines.append(f"vmlinuz initrd=\\initrd {options.append}")
    elif options.before:
        lines.append("stasis.efi")
    lines.append(f"echo {FIRMWARE.decode()}")
    return "\r\n".join(lines) + "\r\n"


def make_esp(options, run_dir):
    files = {"vmlinuz": options.kernel, "initrd": options.initrd} | disk_file(options)
    if options.before:
        files["before.efi"] = options.before
        files["stasis.efi"] = options.image
    elif not options.bare:
        files["EFI/BOOT/BOOTX64.EFI"] = options.image
    texts = {"startup.nsh": _startup(options)}
    if not options.bare:
        # The configuration lies beside the image.
        beside = "" if options.before else "EFI/BOOT/"
        texts[beside + "stasis.cfg"] = "\n".join(config_lines(options)) + "\n"
    for name, text in texts.items():
        path = os.path.join(run_dir, os.path.basename(name))
        with open(path, "w") as f:
            f.write(text)
        files[name] = path

    size = sum(os.path.getsize(p) for p in files.values()) + SLACK
    size = max(size, 160 << 20)
    cylinders = size // CYLINDER + 1
    image = os.path.join(run_dir, "esp.img")
    with open(image, "wb") as f:
        f.truncate(cylinders * CYLINDER)
    fat = "16" if size < FAT16_MAX else "32"
    _run("mkfs.fat", "-F", fat, "-s", "64", "-g", "16/63", image)
    _run("mmd", "-i", image, "::EFI", "::EFI/BOOT")
    for name, path in files.items():
        _run("mcopy", "-i", image, os.path.realpath(path), f"::{name}")
    return image


def _run(*command):
    env = {**os.environ, "MTOOLS_SKIP_CHECK": "1", "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    try:
        r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=env)
    except FileNotFoundError:
        raise SetupError(f"no {command[0]} (packages dosfstools and mtools; run make setup)") from None
    if r.returncode != 0:
        raise SetupError(f"{' '.join(command)}: {r.stdout.strip()}")
