"""Rows of bytes and of many files: COPY, and a RUN that writes."""

import os
import shlex
import shutil

import builders
import inputs
from workloads import Target, Workload, has, limit, rows, there

GIB = 1 << 30


@rows(
    ("COPY of 1 GiB in 5 files, gzip", "gzip"),
    ("COPY of 1 GiB in 5 files, zstd", "zstd"),
    ("COPY of 1 GiB in 5 files, uncompressed", "uncompressed"),
)
def copy_large(bench, compression):
    case = bench.case("gib", "FROM base\nCOPY . /data/\n",
                      files=lambda folder: inputs.big_files(folder, 5, GIB // 5))
    tar = f"tar -C {case.context} -cf - ."
    name, program, script, most = {
        "gzip": ("tar \\| pigz -p2", "pigz", "pigz -p2", 0.6),
        "zstd": ("tar \\| zstd -T2", "zstd", "zstd -q -T2", 1.3),
        "uncompressed": ("tar \\| openssl sha256", "openssl", "openssl dgst -sha256", 1.3),
    }[compression]
    targets = []
    contenders = bench.builds(case, 1, True, compression=compression, entries=5)
    if compression == "uncompressed":
        # buildah writes gzip into a layout, whatever it is told.
        del contenders[1:]
    if has(program):
        contenders.append(limit(name, f"{tar} | {script} > /dev/null"))
        targets.append(Target("cpu", most, name))
    if compression == "gzip":
        # Half of BuildKit's 23.8 s, where pigz took 22.5 s.
        targets += there("cpu", 11.9, 22.5, name)
    return Workload(contenders, targets)


def small_case(bench):
    # The large files lie on a tmpfs, which is memory.
    bench.drop("case-gib")
    return bench.case("small", "FROM base\nCOPY . /data/\n",
                      files=lambda folder: inputs.small_files(folder, 60_000))


@rows(("COPY of 60 000 files, cold",))
def copy_small(bench):
    case = small_case(bench)
    tar = f"tar -C {case.context} -cf - ."
    limits = [limit("tar \\| openssl sha256", f"{tar} | openssl dgst -sha256 > /dev/null")]
    if has("pigz"):
        limits.append(limit("tar \\| pigz -p2", f"{tar} | pigz -p2 > /dev/null"))
    return Workload(bench.builds(case, 1, True, entries=60_000) + limits,
                    there("cpu", 2.0, 3.5, "tar \\| pigz -p2") + [Target("wall", 0.25, "buildah")]
                    # A quarter of kaniko's 6.6 s.
                    + there("wall", 1.65, 1.79, "tar \\| pigz -p2"))


def walk(case):
    return limit("find with sizes and times", f"find {case.context} -printf '%s %T@\\n' > /dev/null")


@rows(("the same 60 000 files, nothing changed",))
def copy_unchanged(bench):
    case = small_case(bench)
    way = walk(case)
    # A seventh of BuildKit's 1.47 s is 0.21 s.
    return Workload(bench.builds(case, 1, False) + [way], there("wall", 0.200, 0.10, way.name))


def one_file(case):
    def change(words):
        with open(os.path.join(case.context, "d0007", "f007"), "w") as file:
            file.write(f"changed: {words}\n")
    return change


@rows(("the same 60 000 files, one changed",))
def copy_one_changed(bench):
    case = small_case(bench)
    builds = bench.builds(case, 1, False, change=one_file(case), entries=60_000)
    cold = bench.builder(bench.other, case, 1, True, name="rbuild, cold")
    return Workload(builds + [cold], [Target("wall", 1.0, "rbuild, cold")])


@rows(("the same, until the miss is named",))
def miss_named(bench):
    case = small_case(bench)
    build = bench.builder(
        bench.rbuild, case, 1, False, change=one_file(case), mark=("until", "changed: d0007/f007"),
        command=lambda: bench.rbuild.build(case, progress="plain"))
    way = walk(case)
    return Workload([build, way], [Target("wall", 1.0, way.name, plus=0.050)])


@rows(("RUN that writes 20 000 files",))
def run_writes_files(bench):
    bench.drop("case-small")
    script = ("mkdir /out && cd /out && i=0 && while [ $i -lt 20000 ]; do "
              "echo content $i > f$i; i=$((i+1)); done")
    case = bench.case("writes", f"FROM base\nRUN {script}\n")
    bare = bench.path("bare")
    busybox = shutil.which("busybox")
    write = (f"{busybox} sh -c '{script.replace('/out', bare)}'; "
             f"tar -C {bare} -cf - . | openssl dgst -sha256 > /dev/null")
    way = limit("write, tar \\| openssl sha256", write, lambda: builders.remove(bare))
    # What a step writes passes an overlay, which makes two inodes of each file.
    step = shlex.join(bench.bare_step(1, bare, "/bin/sh", "-c", script))
    pack = f"tar -C {bare}/0/upper/out -cf - . | openssl dgst -sha256 > /dev/null"
    above = limit("the same in a bare step", f"{step}; {pack}", lambda: builders.remove(bare))
    # 0.24 s to write, 0.16 s to pack.
    return Workload(bench.builds(case, 1, True, entries=20_000) + [way, above],
                    there("wall", 0.400, 0.40, way.name))
