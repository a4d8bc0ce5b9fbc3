"""A Debian 12 machine of its own for a test: its disk is made once and kept, its CPU is emulated with
AMD's virtualization, so that it has a /dev/kvm that works, and systemd runs it."""

import base64
import fcntl
import hashlib
import inspect
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "mvrunner"
# Beside what the package under test depends on.
BASE = ("systemd", "systemd-sysv", "udev", "kmod", "procps", "initramfs-tools",
        "linux-image-cloud-amd64")
DISK = "6G"
KEPT = 7 * 24 * 3600  # seconds an older disk is kept
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
UNIT = """[Unit]
Description=Commands of the test
ConditionPathExists=/dev/virtio-ports/test.console
DefaultDependencies=no
After=sysinit.target systemd-tmpfiles-setup.service
[Service]
ExecStart=/usr/local/sbin/test-console
Restart=always
OOMScoreAdjust=-1000
"""
# QEMU 7.2's emulation of SVM loses the state of a CPU now and then where several CPUs run at once: the
# machine or its VMs stand still, reset or panic. So there is one, without what is not needed.
CPU = "max,+svm,-la57,-pku,-pks,-smap,-smep,-umip"
FSTAB = "/dev/vda / ext4 defaults 0 1\n"
NETWORK = "[Match]\nName=e*\n[Network]\nDHCP=yes\nIPv6AcceptRA=no\n[DHCPv4]\nUseDNS=yes\n"


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, **options)


def disk(packages, seed, parts):
    """The machine's disk with these packages, and in /srv/seed these parts of the directory `seed`,
    whose names change with their content: the directory with root.ext4, vmlinuz and initrd."""
    names = sorted({*BASE, *packages})
    key = hashlib.sha256()
    made_by = inspect.getsource(_make) + UNIT + NETWORK + FSTAB + DISK
    for part in (made_by.encode(), (HERE / "console.sh").read_bytes(), " ".join(names).encode(),
                 str(seed).encode(), _listing(seed, parts), time.strftime("%G-%V").encode()):
        key.update(part + b"\0")
    target = CACHE / f"host-{key.hexdigest()[:16]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "host.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return target
        with tempfile.TemporaryDirectory(prefix="host.new-", dir=CACHE) as work:
            _make(pathlib.Path(work), names, seed, parts)
            for old in CACHE.glob("host-*"):
                if old.stat().st_mtime < time.time() - KEPT:
                    shutil.rmtree(old)
            (pathlib.Path(work) / "out").rename(target)
    return target


def _listing(seed, parts):
    return " ".join(sorted(entry.name for part in parts for entry in (seed / part).iterdir())).encode()


def _make(work, names, seed, parts):
    root, out = work / "root", work / "out"
    out.mkdir()
    run("mmdebstrap", "--quiet", "--variant=minbase", "--format=directory",
        f"--include={','.join(names)}",
        "--aptopt=Acquire::Languages \"none\"", "--aptopt=APT::Install-Recommends \"false\"",
        "--dpkgopt=path-exclude=/usr/share/locale/*", "bookworm", root)
    (root / "usr/local/sbin/test-console").write_text((HERE / "console.sh").read_text())
    (root / "usr/local/sbin/test-console").chmod(0o755)
    (root / "etc/systemd/system/test-console.service").write_text(UNIT)
    (root / "etc/udev/rules.d/99-test.rules").write_text(
        'SUBSYSTEM=="virtio-ports", TAG+="systemd", ENV{SYSTEMD_WANTS}+="test-console.service"\n')
    (root / "etc/systemd/network/10-test.network").write_text(NETWORK)
    (root / "etc/modules-load.d/kvm.conf").write_text("kvm-amd\n")
    (root / "etc/fstab").write_text(FSTAB)
    (root / "etc/hostname").write_text("testhost\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost testhost\n")
    resolv = root / "etc/resolv.conf"
    resolv.unlink(missing_ok=True)
    resolv.write_text("nameserver 198.51.100.3\n")
    run("systemctl", f"--root={root}", "--quiet", "enable", "systemd-networkd.service")
    for unit in ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer",
                 "e2scrub_all.timer", "e2scrub_reap.service", "getty@tty1.service",
                 "man-db.timer"):
        subprocess.run(["systemctl", f"--root={root}", "--quiet", "mask", unit],
                       stderr=subprocess.DEVNULL)
    shutil.copy(next((root / "boot").glob("vmlinuz-*")), out / "vmlinuz")
    shutil.copy(next((root / "boot").glob("initrd.img-*")), out / "initrd")
    (root / "srv/seed").mkdir(parents=True)
    for part in parts:
        run("cp", "-a", "--sparse=always", seed / part, root / "srv/seed")
    image = out / "root.ext4"
    with open(image, "wb") as file:
        file.truncate(int(DISK[:-1]) << 30)
    run("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
        "-d", root, image)
    shutil.rmtree(root)


class Machine:
    """A disk() booted; what it changes is thrown away. It reaches this host's loopback as
    198.51.100.2."""

    def __init__(self, files, work, memory=3072):
        self.work = pathlib.Path(work)
        self.console = self.work / "serial.log"
        address = self.work / "console.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(address))
        listener.listen(1)
        command = [
            *DIES_WITH_US, "qemu-system-x86_64", "-M", "q35,usb=off,smbus=off", "-accel", "tcg,tb-size=768",
            "-cpu", CPU, "-m", str(memory), "-smp", "1", "-nodefaults",
            "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", files / "vmlinuz", "-initrd", files / "initrd", "-append",
            "root=/dev/vda rw console=ttyS0 panic=-1 systemd.show_status=0 quiet "
            "audit=0 mitigations=off nowatchdog net.ifnames=0 tsc=reliable",
            "-serial", f"file:{self.console}",
            "-drive", f"file={files / 'root.ext4'},format=raw,if=none,id=root,snapshot=on",
            "-device", "virtio-blk-pci,drive=root",
            "-netdev", "user,id=net,net=198.51.100.0/24", "-device", "virtio-net-pci,netdev=net",
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=test,path={address}",
            "-device", "virtserialport,chardev=test,name=test.console"]
        with open(self.work / "qemu.log", "wb") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True,
                                            env={**os.environ, "TMPDIR": str(self.work)})
        self.channel = None
        self.buffer = b""
        try:
            listener.settimeout(30)
            self.channel = listener.accept()[0]
        except OSError as error:
            self.stop()
            said = (self.work / "qemu.log").read_text(errors="replace")
            raise AssertionError(f"QEMU did not start: {said}") from error
        finally:
            listener.close()

    def run(self, command, limit=120):
        """(exit status, output) of a command for bash."""
        self.channel.settimeout(limit)
        self.channel.sendall(base64.b64encode(command.encode()) + b"\n")
        while b"\n" not in self.buffer:
            data = self.channel.recv(65536)
            if not data:
                raise AssertionError(f"the machine ended during: {command}")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        status, _, text = line.partition(b" ")
        return int(status), base64.b64decode(text).decode(errors="replace")

    def check(self, command, limit=120):
        """The output of a command that has to succeed."""
        status, text = self.run(command, limit)
        if status:
            raise AssertionError(f"exit {status} of: {command}\n{text}")
        return text.strip()

    def wait_for(self, command, what, limit=120):
        """Until the command succeeds; returns its output."""
        end = time.monotonic() + limit
        while True:
            status, text = self.run(command, limit)
            if status == 0:
                return text.strip()
            if time.monotonic() > end:
                raise AssertionError(f"not within {limit} s: {what}\n{text}")
            time.sleep(0.5)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self.channel:
            self.channel.close()
