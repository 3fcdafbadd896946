"""Contexts, Dockerfiles and bases that the workloads build from: the same bytes each time."""

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import tarfile
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


def big_files(folder, count, size):
    """`count` files of `size` bytes each: blocks of text and of noise."""
    os.makedirs(folder, exist_ok=True)
    rng = random.Random(1)
    block = text(rng, 3 << 20) + rng.randbytes(1 << 20)
    for number in range(count):
        with open(os.path.join(folder, f"big{number}"), "wb") as file:
            left = size
            while left > 0:
                # No two blocks are equal: a builder must not gain by finding repeats.
                piece = rng.randbytes(64) + block[rng.randrange(4096):]
                file.write(piece[:left])
                left -= len(piece)


def small_files(folder, count):
    """`count` files of 0.2 to 4 KiB in folders of 200."""
    rng = random.Random(2)
    for number in range(count):
        where = os.path.join(folder, f"d{number // 200:04}")
        if number % 200 == 0:
            os.makedirs(where, exist_ok=True)
        with open(os.path.join(where, f"f{number % 200:03}"), "wb") as file:
            file.write(text(rng, rng.randrange(200, 4096)))


def layout(folder, layers):
    """An OCI layout of gzip layers, each a function that fills a tar."""
    blobs = os.path.join(folder, "blobs/sha256")
    os.makedirs(blobs, exist_ok=True)

    def blob(data):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(blobs, digest), "wb") as file:
            file.write(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    diffs, descriptors = [], []
    for fill in layers:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            fill(tar)
        diffs.append("sha256:" + hashlib.sha256(raw.getbuffer()).hexdigest())
        packed = blob(gzip.compress(raw.getbuffer(), compresslevel=6, mtime=0))
        descriptors.append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **packed})
    config = {"architecture": "amd64", "os": "linux",
              "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]},
              "rootfs": {"type": "layers", "diff_ids": diffs},
              "history": [{"created_by": "base"} for _ in diffs]}
    config = blob(json.dumps(config).encode())
    manifest = blob(json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
        "layers": descriptors}).encode())
    with open(os.path.join(folder, "oci-layout"), "w") as file:
        json.dump({"imageLayoutVersion": "1.0.0"}, file)
    with open(os.path.join(folder, "index.json"), "w") as file:
        json.dump({"schemaVersion": 2, "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", **manifest,
            "annotations": {"org.opencontainers.image.ref.name": "latest"}}]}, file)


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


def large_base(folder):
    """Eight layers, 700 MiB, 8 000 files: the shape of an image with a language in it."""
    def layer(number):
        def fill(tar):
            if number == 0:
                busybox(tar)
            rng = random.Random(100 + number)
            block = text(rng, 1 << 20)
            add(tar, f"opt{number}")
            for file in range(1000):
                # Most files are small; the bytes are in a few large ones.
                size = 700_000 if file % 8 == 0 else 3_000
                start = rng.randrange(len(block) - 8192)
                data = rng.randbytes(32) + block[start:] + block[:start]
                add(tar, f"opt{number}/f{file}", data[:size])
        return fill
    layout(folder, [layer(number) for number in range(8)])
