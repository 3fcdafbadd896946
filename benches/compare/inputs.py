"""Contexts, Dockerfiles and bases that the workloads build from: the same bytes each time, on one machine."""

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass

WORDS = [w.encode() for w in
         "the of and to in is that for it as was with be by on not he his but at are this have "
         "from or had an they which one you were all her she there would their we him been has "
         "return if else for while let fn pub struct impl use crate self mut match Some None".split()]


@dataclass
class Case:
    """What a builder is given."""

    dockerfile: str
    context: str
    base: str


def text(rng, size):
    """Bytes that compress about as source code and binaries do (to a third)."""
    out = bytearray()
    while len(out) < size:
        out += b" ".join(rng.choices(WORDS, k=12)) + b" " + rng.randbytes(10).hex().encode() + b"\n"
    return bytes(out[:size])


def of_this_machine():
    """What is really in images: this machine's programs, libraries and documents, in pieces of 1 MiB, again
    and again. No two rounds are equal: a builder must not gain by finding repeats."""
    rng, piece = random.Random(1), bytearray()
    while True:
        for top in ("/usr/bin", "/usr/lib", "/usr/share"):
            for where, folders, names in os.walk(top):
                folders.sort()
                for name in sorted(names):
                    path = os.path.join(where, name)
                    if os.path.islink(path) or not os.path.isfile(path):
                        continue
                    try:
                        with open(path, "rb") as file:
                            data = file.read(64 << 20)
                    except PermissionError:
                        continue
                    piece += rng.randbytes(16) + data
                    while len(piece) >= 1 << 20:
                        yield bytes(piece[:1 << 20])
                        del piece[:1 << 20]


def big_files(folder, count, size):
    """`count` files of `size` bytes each."""
    os.makedirs(folder, exist_ok=True)
    pieces = of_this_machine()
    for number in range(count):
        with open(os.path.join(folder, f"big{number}"), "wb") as file:
            left = size
            while left > 0:
                piece = next(pieces)[:left]
                file.write(piece)
                left -= len(piece)


def noise(folder, size):
    """One file that nothing makes smaller."""
    os.makedirs(folder, exist_ok=True)
    rng = random.Random(3)
    with open(os.path.join(folder, "noise"), "wb") as file:
        for _ in range(size >> 20):
            file.write(rng.randbytes(1 << 20))


def small_files(folder, count):
    """`count` files of 0.2 to 4 KiB in folders of 200."""
    rng, pieces, piece = random.Random(2), of_this_machine(), b""
    for number in range(count):
        where = os.path.join(folder, f"d{number // 200:04}")
        if number % 200 == 0:
            os.makedirs(where, exist_ok=True)
        size = rng.randrange(200, 4096)
        if len(piece) < size:
            piece = next(pieces)
        with open(os.path.join(where, f"f{number % 200:03}"), "wb") as file:
            file.write(piece[:size])
        piece = piece[size:]


def layout(folder, layers):
    """An OCI layout of gzip layers, each a function that fills a tar."""
    def filled(fill):
        with open(f"{folder}.part", "wb+") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                fill(tar)
        return f"{folder}.part"
    write_layout(folder, (filled(fill) for fill in layers))
    os.unlink(f"{folder}.part")


def layout_of_tar(folder, path):
    """An OCI layout of one layer."""
    write_layout(folder, [path])


def write_layout(folder, tars):
    blobs = os.path.join(folder, "blobs/sha256")
    os.makedirs(blobs, exist_ok=True)

    def keep(path):
        digest, size = digest_of(path), os.path.getsize(path)
        os.rename(path, os.path.join(blobs, digest))
        return {"digest": f"sha256:{digest}", "size": size}

    def document(value):
        with open(f"{folder}.json", "w") as file:
            json.dump(value, file)
        return keep(f"{folder}.json")

    diffs, descriptors = [], []
    for tar in tars:
        diffs.append("sha256:" + digest_of(tar))
        with open(f"{tar}.gz", "wb") as packed:
            subprocess.run(["gzip", "-n", "-c", tar], stdout=packed, check=True)
        descriptors.append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                            **keep(f"{tar}.gz")})
    config = document({
        "architecture": "amd64", "os": "linux",
        "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": diffs},
        "history": [{"created_by": "base"} for _ in diffs]})
    manifest = document({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
        "layers": descriptors})
    with open(os.path.join(folder, "oci-layout"), "w") as file:
        json.dump({"imageLayoutVersion": "1.0.0"}, file)
    with open(os.path.join(folder, "index.json"), "w") as file:
        json.dump({"schemaVersion": 2, "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", **manifest,
            "annotations": {"org.opencontainers.image.ref.name": "latest"}}]}, file)


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def add(tar, name, data=None, mode=0o644, link=None):
    entry = tarfile.TarInfo(name)
    entry.mtime = 315532801
    if link is not None:
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, link, 0o777
        tar.addfile(entry)
    elif data is None:
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
    else:
        entry.size, entry.mode = len(data), mode
        tar.addfile(entry, io.BytesIO(data))


def busybox(tar):
    """One static program under the names that the steps use."""
    program = shutil.which("busybox")
    with open(program, "rb") as file:
        data = file.read()
    for name in ("bin", "etc", "tmp"):
        add(tar, name)
    add(tar, "bin/busybox", data, 0o755)
    for name in "sh true echo mkdir cat cp seq sleep dd touch".split():
        add(tar, f"bin/{name}", link="busybox")
    add(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")


def busybox_tree(folder):
    """The same, unpacked."""
    os.makedirs(folder)
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            busybox(tar)
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            tar.extractall(folder)


def large_base(folder):
    """Eight layers, 700 MiB, 8 000 files: the shape of an image with a language in it."""
    base_of_layers(folder, 8)


def base_of_layers(folder, layers, files=1000):
    """So many layers of `files` files each, an eighth of them of 700 kB."""
    def layer(number):
        def fill(tar):
            if number == 0:
                busybox(tar)
            rng = random.Random(100 + number)
            block = text(rng, 1 << 20)
            add(tar, f"opt{number}")
            for file in range(files):
                # Most files are small; the bytes are in a few large ones.
                size = 700_000 if file % 8 == 0 else 3_000
                start = rng.randrange(len(block) - 8192)
                data = rng.randbytes(32) + block[start:] + block[:start]
                add(tar, f"opt{number}/f{file}", data[:size])
        return fill
    layout(folder, [layer(number) for number in range(layers)])
