"""A Debian whose apt-get has what it will install at hand: no network is measured."""

import os
import re
import shutil
import subprocess

import builders
import inputs

PACKAGE = "python3-minimal"
GET = f"apt-get -q install -y --no-install-recommends {PACKAGE}"
INSTALL = f"DEBIAN_FRONTEND=noninteractive {GET} --no-download"


def there():
    return shutil.which("mmdebstrap") is not None and release() is not None and builders.subordinate()


def release():
    with open("/etc/os-release") as file:
        fields = dict(line.strip().split("=", 1) for line in file if "=" in line)
    return fields.get("VERSION_CODENAME") if fields.get("ID") == "debian" else None


def mirror():
    """Where this machine takes its own packages from."""
    folder = "/etc/apt/sources.list.d"
    files = ["/etc/apt/sources.list"] + sorted(
        os.path.join(folder, name) for name in (os.listdir(folder) if os.path.isdir(folder) else [])
        if name.endswith((".list", ".sources")))
    for path in files:
        if os.path.exists(path):
            with open(path) as file:
                found = re.search(r"^deb\s+(?:\[[^]]*\]\s*)?(\S+)|^URIs:\s*(\S+)", file.read(), re.M)
            if found:
                return found.group(1) or found.group(2)
    return None


def make(path):
    """An OCI layout of it, in one layer."""
    tar = path + ".tar"
    argv = ["mmdebstrap", "--mode=unshare", "--quiet", "--variant=apt", "--format=tar",
            "--skip=cleanup/apt,cleanup/reproducible,output/dev",
            f"--customize-hook=chroot \"$1\" {GET} --download-only",
            release(), tar] + ([mirror()] if mirror() else [])
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise AssertionError(f"mmdebstrap made no Debian: {done.stderr[-2000:]}")
    inputs.layout_of_tar(path, tar)
    os.unlink(tar)
