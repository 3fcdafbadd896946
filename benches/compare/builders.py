"""The builders that are compared, each behind the same few calls."""

import json
import os
import shutil
import subprocess


def clean_env():
    keep = ("PATH", "HOME", "USER", "XDG_RUNTIME_DIR", "TMPDIR", "LANG")
    return {name: os.environ[name] for name in keep if name in os.environ}


def remove(path):
    """Removes a folder that may hold files of subordinate ids."""
    if not os.path.lexists(path):
        return
    try:
        shutil.rmtree(path)
    except PermissionError:
        subprocess.run(["unshare", "--map-auto", "-r", "rm", "-rf", path], check=True)


class Rbuild:
    """rbuild, with a store of its own, its result an OCI layout."""

    name = "rbuild"

    def __init__(self, program, place, which="rbuild"):
        self.program = program
        self.store = os.path.join(place, which + "-store")
        self.out = os.path.join(place, which + "-out")

    def version(self):
        return subprocess.run(
            [self.program, "--version"], capture_output=True, text=True, check=True
        ).stdout.strip()

    def build(self, case, cached=True, compression="gzip", progress="none", base=None):
        argv = [self.program, "build", "--policy=none", f"--progress={progress}"]
        base = base or f"oci-layout://{case.base}"
        argv += [f"--root={self.store}", "-f", case.dockerfile, f"--build-context=base={base}"]
        argv += [f"--compression={compression}", "-o", f"type=oci,dest={self.out},tar=false"]
        if not cached:
            argv.append("--no-cache")
        return argv + [case.context]

    def forget(self):
        """Empties the store."""
        remove(self.store)
        remove(self.out)


class Buildah:
    """Debian's buildah: chroot isolation, the result pushed to an OCI layout."""

    name = "buildah"

    def __init__(self, place):
        self.place = place
        self.store = os.path.join(place, "buildah-store")
        self.run = os.path.join(place, "buildah-run")
        self.out = os.path.join(place, "buildah-out")
        self.policy = os.path.join(place, "containers-policy.json")
        with open(self.policy, "w") as file:
            json.dump({"default": [{"type": "insecureAcceptAnything"}]}, file)

    @staticmethod
    def there():
        return shutil.which("buildah") is not None

    def version(self):
        return subprocess.run(
            ["buildah", "--version"], capture_output=True, text=True, check=True
        ).stdout.strip()

    def base(self):
        return f"buildah --root {self.store} --runroot {self.run}"

    def build(self, case, cached=True, compression="gzip"):
        # A base by name: `FROM base` is the image that `prepare` pulled.
        flags = "--layers" if cached else "--no-cache --layers"
        form = {"gzip": "", "zstd": "--compression-format zstd ", "uncompressed": "-D "}[compression]
        return (
            f"{self.base()} build --signature-policy {self.policy} --isolation chroot --pull=never "
            f"{flags} -q -t result -f {case.dockerfile} {case.context} && "
            f"{self.base()} push -q --signature-policy {self.policy} {form}"
            f"result oci:{self.out}:latest"
        )

    def prepare(self, case):
        """Brings the base into the store, under the name that the Dockerfile uses."""
        script = self.pull(f"oci:{case.base}:latest")
        subprocess.run(["/bin/sh", "-ec", script], check=True, capture_output=True)

    def pull(self, source, flags=""):
        return (
            f"id=$({self.base()} pull -q {flags} --signature-policy {self.policy} {source}) && "
            f"{self.base()} tag $id localhost/base"
        )

    def forget(self):
        remove(self.store)
        remove(self.run)
        remove(self.out)


def layers(layout):
    """The layers of the one image of a layout, as descriptors; and its config."""
    def read(digest):
        with open(os.path.join(layout, "blobs/sha256", digest.split(":")[1]), "rb") as file:
            return json.load(file)

    with open(os.path.join(layout, "index.json"), "rb") as file:
        manifest = read(json.load(file)["manifests"][-1]["digest"])
    return manifest["layers"], read(manifest["config"]["digest"])


def subordinate():
    """Tells whether this user has subordinate ids."""
    import pwd
    name = pwd.getpwuid(os.getuid()).pw_name
    try:
        with open("/etc/subuid") as file:
            return any(line.split(":")[0] in (name, str(os.getuid())) for line in file)
    except OSError:
        return False
