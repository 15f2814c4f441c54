# SPDX-License-Identifier: BSD-3-Clause
"""Guest images: an initramfs and a kernel for each kind of guest, built from what the host has installed.

They live in build/guest (or $PKTVIRT_GUEST_DIR) under stable names, are rebuilt when what went into them
changes, and replaced atomically, so that two programs may ask for them at once:

    uml.initramfs                   for /usr/bin/linux.uml
    qemu.initramfs, qemu.vmlinuz    for QEMU: Debian's cloud kernel, unpacked here, never installed on the host
    accel                           "kvm" if that kernel really boots under KVM on this host, else "tcg"
"""

import lzma
import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from .process import Child, LabError, locked

REPO = Path(__file__).resolve().parents[2]
INIT = Path(__file__).with_name("init")
KINDS = ("uml", "qemu")
UML = "linux.uml"
UML_XSTATE = "apps/uml-xstate/libpktvirt-uml-xstate.so"  # of the build; see its source
QEMU = "qemu-system-x86_64"
CLOUD_KERNEL = "linux-image-cloud-amd64"
MODULES = {"uml": ("virtio_net", "ipv6"), "qemu": ("virtio_pci", "virtio_net", "virtio_console")}
# program: package to install, or None if optional: then an image has it if the host had it when a guest was last started
PROGRAMS = {"iperf3": "iperf3", "ethtool": None, "nginx": None, "wrk": None, "httperf": None,
            "tcpdump": None}  # fmt: skip
USERS = {"etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n", "etc/group": b"root:x:0:\n"}  # nginx asks who root is
OWN_PROGRAMS = ("netlat",)  # of bench/guest-programs
FOLDERS = "bin dev etc lib lib64 proc root run sbin sys tmp usr usr/bin usr/sbin".split()
PROBE_TIMEOUT_S = 15
DOWNLOAD_TIMEOUT_S = 300


class ImageError(LabError):
    """An image cannot be built: what is missing and the command that helps."""


def guest_dir():
    """Where the images are."""
    return Path(os.environ.get("PKTVIRT_GUEST_DIR") or REPO / "build" / "guest")


def ensure(kind):
    """Build or refresh what a guest of this kind boots from; returns the directory."""
    folder = guest_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock"):
        {"uml": ensure_uml, "qemu": ensure_qemu}[kind](folder)
    return folder


def ensure_uml(folder):
    """Bring uml.initramfs up to date."""
    release = uml_release()
    modules = find_modules(Path("/usr/lib/uml/modules") / release, MODULES["uml"], "user-mode-linux")
    write_initramfs(folder / "uml.initramfs", modules)


def ensure_qemu(folder):
    """Bring qemu.vmlinuz, qemu.initramfs and accel up to date."""
    require(QEMU, "qemu-system-x86")
    kernel, module_root = cloud_kernel(folder)
    modules = find_modules(module_root, MODULES["qemu"], CLOUD_KERNEL)
    changed = replace_if_changed(folder / "qemu.vmlinuz", kernel.read_bytes())
    changed |= write_initramfs(folder / "qemu.initramfs", modules)
    ensure_accel(folder, changed)


def uml_command():
    """Program and first arguments of User-mode Linux, which has to be helped on some processors."""
    library = build_dir() / UML_XSTATE
    return ["env", f"LD_PRELOAD={library}", UML] if library.exists() else [UML]


# What is needed from the host


def require(program, package):
    """The path of a host program, or an error that says how to get it."""
    path = shutil.which(program)
    if not path:
        raise ImageError(f"{program} is not installed; install it with: apt-get install {package}")
    return Path(path)


def uml_release():
    """The version of the installed UML kernel."""
    uml = require(UML, "user-mode-linux")
    return subprocess.run([uml, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout.strip()


def build_dir():
    """The build's folder."""
    return Path(os.environ.get("PKTVIRT_BUILD") or REPO / "build")


def own_program(name):
    """Where the build has put one of bench/guest-programs."""
    return build_dir() / "bench/guest-programs" / name


def with_libraries(program):
    """A program, the shared libraries it needs and the dynamic loader."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=10, check=False).stdout
    return [program, *map(Path, re.findall(r"(/\S+) \(0x", listing))]


def cloud_kernel(folder):
    """The kernel for QEMU and its modules: an installed one, the one unpacked earlier, or a downloaded one."""
    for boot, lib in ((Path("/boot"), Path("/lib/modules")), (folder / "kernel/boot", folder / "kernel/lib/modules")):
        for kernel in sorted(boot.glob("vmlinuz-*cloud*"), reverse=True):
            modules = lib / kernel.name.removeprefix("vmlinuz-")
            if os.access(kernel, os.R_OK) and (modules / "modules.dep").exists():
                return kernel, modules
    try:
        download_kernel(folder)
    except ImageError:  # the package lists may be missing or older than the archive
        run("apt-get", "update", "-q")
        download_kernel(folder)
    return cloud_kernel(folder)


def download_kernel(folder):
    """Download the cloud kernel's package and unpack it into the cache, without installing it."""
    depends = run("apt-cache", "depends", "--important", CLOUD_KERNEL)
    package = re.search(r"Depends: (linux-image-\S+)", depends)
    if not package:
        raise ImageError(f"apt knows no package {CLOUD_KERNEL}; see /etc/apt/sources.list")
    with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as work:
        os.chmod(work, 0o755)
        run("apt-get", "-o", "APT::Sandbox::User=root", "download", package[1], cwd=work)
        tree = Path(work) / "tree"
        run("dpkg-deb", "-x", *Path(work).glob("*.deb"), tree)
        for release in (tree / "lib/modules").iterdir():
            run("depmod", "-b", tree, release.name)
        shutil.rmtree(folder / "kernel", ignore_errors=True)
        tree.rename(folder / "kernel")


def run(*argv, cwd=None):
    """Run a host command and return its output; an ImageError carries what it said."""
    command = " ".join(map(str, argv))
    require(argv[0], {"depmod": "kmod", "dpkg-deb": "dpkg"}.get(argv[0], "apt"))
    try:
        done = subprocess.run(
            argv, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise ImageError(f"{command}: not done after {DOWNLOAD_TIMEOUT_S} s") from None
    if done.returncode:
        raise ImageError(f"{command}: {done.stderr.strip()}")
    return done.stdout


# Kernel modules


def find_modules(root, names, package):
    """Module files needed to load `names`, in load order; built-in ones are left out."""
    if not (root / "modules.dep").exists():
        raise ImageError(f"{root}/modules.dep is missing; install it with: apt-get install --reinstall {package}")
    depends = dict(line.split(":") for line in (root / "modules.dep").read_text().splitlines())
    by_name = {module_name(path): path for path in depends}
    builtin = {module_name(path) for path in (root / "modules.builtin").read_text().split()}
    order = []
    for name in names:
        if name not in by_name and name not in builtin:
            raise ImageError(f"{root}: the kernel has no module {name}; kernels of package {package} have it")
        if name in by_name:
            order += [*reversed(depends[by_name[name]].split()), by_name[name]]
    return [root / path for path in dict.fromkeys(order)]


def module_name(path):
    """kernel/net/ipv6/ipv6.ko.xz -> ipv6; the kernel takes - and _ for the same."""
    return path.rsplit("/", 1)[-1].split(".ko")[0].replace("-", "_")


def module_bytes(path):
    """A module's content, decompressed."""
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".zst":
        zstd = require("zstd", "zstd")
        return subprocess.run([zstd, "-dc", path], capture_output=True, timeout=30, check=True).stdout
    return path.read_bytes()


# The initramfs


def write_initramfs(target, modules):
    """Write an initramfs with these modules; returns True if it differs from the one that was there."""
    return replace_if_changed(target, cpio_archive(initramfs_entries(modules)))


def initramfs_entries(modules):
    """What the initramfs holds: path -> (mode, content, device number)."""
    entries = {folder: (stat.S_IFDIR | 0o755, b"", (0, 0)) for folder in FOLDERS}
    entries["dev/console"] = (stat.S_IFCHR | 0o600, b"", (5, 1))
    entries["dev/null"] = (stat.S_IFCHR | 0o666, b"", (1, 3))  # what a shell's background process reads from
    add_file(entries, "init", INIT.read_bytes(), 0o755)
    add_busybox(entries)
    for path, content in USERS.items():
        add_file(entries, path, content, 0o644)
    for program, package in PROGRAMS.items():
        if package or shutil.which(program):
            add_program(entries, require(program, package))
    for name in OWN_PROGRAMS:
        if own_program(name).exists():
            for library in with_libraries(own_program(name))[1:]:
                add_file(entries, str(library).lstrip("/"), library.read_bytes(), 0o755)
            add_file(entries, f"usr/bin/{name}", own_program(name).read_bytes(), 0o755)
    for module in modules:
        add_file(entries, f"lib/modules/{module.name.split('.ko')[0]}.ko", module_bytes(module), 0o644)
    names = "".join(f"/lib/modules/{module.name.split('.ko')[0]}.ko\n" for module in modules)
    add_file(entries, "lib/modules/load-order", names.encode(), 0o644)
    return entries


def add_file(entries, path, content, mode):
    """Add a regular file and the directories above it."""
    for folder in reversed(Path(path).parents[:-1] if "/" in path else []):
        entries.setdefault(str(folder), (stat.S_IFDIR | 0o755, b"", (0, 0)))
    entries[path] = (stat.S_IFREG | mode, content, (0, 0))


def add_busybox(entries):
    """Add a static busybox and a link for each of its applets."""
    busybox = require("busybox", "busybox-static")
    if b"/ld-linux" in busybox.read_bytes()[:4096]:
        raise ImageError(f"{busybox} is not static; install the static one with: apt-get install busybox-static")
    add_file(entries, "bin/busybox", busybox.read_bytes(), 0o755)
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, timeout=10, check=True).stdout
    for applet in set(applets.split()) - {"busybox"}:
        entries[f"bin/{applet}"] = (stat.S_IFLNK | 0o777, b"busybox", (0, 0))


def add_program(entries, program):
    """Add a program of the host with its libraries, at the paths they have on the host."""
    for file in with_libraries(program):
        add_file(entries, str(file).lstrip("/"), file.read_bytes(), 0o755)


def cpio_archive(entries):
    """The entries as a cpio archive (format "newc", Linux Documentation/driver-api/early-userspace/buffer-format)."""
    parts = [cpio_member(path, inode, *entries[path]) for inode, path in enumerate(sorted(entries), 1)]
    return b"".join([*parts, cpio_member("TRAILER!!!", 0, 0, b"", (0, 0))])


def cpio_member(path, inode, mode, content, device):
    """One member: header, name and content, each padded to four bytes. Owner root, date 0."""
    name = path.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return pad4(head) + pad4(content)


def pad4(data):
    """Pad with zeros to a multiple of four bytes."""
    return data + bytes(-len(data) % 4)


def replace_if_changed(target, content):
    """Write a file through a temporary one beside it unless it has this content; returns True if written."""
    if target.exists() and target.read_bytes() == content:
        return False
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.name, delete=False) as file:
        file.write(content)
        os.fchmod(file.fileno(), 0o644)
    os.replace(file.name, target)
    return True


# Is KVM any use here?


def ensure_accel(folder, changed):
    """Write accel, by trying, once per boot of the host and image."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    probed = folder / ".accel-probed"
    if changed or not (folder / "accel").exists() or not probed.exists() or probed.read_text() != boot_id:
        replace_if_changed(folder / "accel", (b"kvm" if kvm_boots(folder) else b"tcg") + b"\n")
        probed.write_text(boot_id)


def kvm_boots(folder):
    """True if the guest's kernel gets from power-on to power-off under KVM: /dev/kvm may exist and not do that."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    with tempfile.TemporaryDirectory() as work:
        boot = qemu_kernel(folder, "panic=-1 rdinit=/bin/poweroff -- -f")
        machine = [QEMU, *QEMU_BARE, "-accel", "kvm", "-cpu", "host", "-m", "256M"]
        child = Child([*machine, *boot, "-serial", f"file:{work}/console"])
        child.wait(PROBE_TIMEOUT_S)
        child.kill()
        return "reboot: Power down" in Path(f"{work}/console").read_text(errors="replace")


QEMU_BARE = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]


def qemu_kernel(folder, parameters):
    """QEMU arguments that boot the guest image."""
    append = f"console=ttyS0 quiet {parameters}"
    return ["-kernel", folder / "qemu.vmlinuz", "-initrd", folder / "qemu.initramfs", "-append", append]


def accel(folder):
    """The probed accelerator: kvm or tcg."""
    return (folder / "accel").read_text().strip()
