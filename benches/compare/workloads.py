"""The workloads: what each builder does, what the bare machine would need, and what is wanted."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Callable, Optional

import builders
import inputs


@dataclass
class Contender:
    """One way of doing the work: made ready (not measured), run (measured), judged."""

    name: str
    ready: Callable
    argv: Callable
    check: Callable = lambda: None
    env: Optional[dict] = None


@dataclass
class Target:
    """What is wanted of rbuild: `figure` ("wall", "cpu" or "memory") at most `most`, or at most
    `most` times that of the contender `of`."""

    figure: str
    most: float
    of: Optional[str] = None


@dataclass
class Workload:
    name: str
    about: str
    contenders: list
    targets: list = field(default_factory=list)


class Bench:
    """The place where all happens, and the builders."""

    def __init__(self, place, program, with_buildah=True):
        self.place = place
        self.rbuild = builders.Rbuild(program, place)
        self.buildah = builders.Buildah(place) if with_buildah else None
        self.made = {}

    def path(self, *parts):
        return os.path.join(self.place, *parts)

    def once(self, name, make):
        """Makes an input at its first use."""
        path = self.path("inputs", name)
        if path not in self.made:
            if not os.path.exists(path):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                make(path)
            self.made[path] = True
        return path

    def tiny_base(self):
        return self.once("busybox", lambda path: inputs.layout(path, [inputs.busybox]))

    def large_base(self):
        return self.once("large", inputs.large_base)

    def case(self, name, dockerfile, base=None, files=None):
        """A Dockerfile, and a context that `files` fills at its first use."""
        def make(path):
            os.makedirs(os.path.join(path, "context"))
            if files:
                files(os.path.join(path, "context"))
        folder = self.once(f"case-{name}", make)
        text = os.path.join(folder, "Dockerfile")
        with open(text, "w") as file:
            file.write(dockerfile)
        return inputs.Case(text, os.path.join(folder, "context"), base or self.tiny_base())

    def warm(self, case):
        """Puts the base, unpacked, into the store of rbuild."""
        text = case.dockerfile + ".warm"
        with open(text, "w") as file:
            file.write("FROM base\nRUN true\n")
        quiet(self.rbuild.build(inputs.Case(text, self.empty(), case.base)))

    def empty(self):
        path = self.path("empty")
        os.makedirs(path, exist_ok=True)
        return path

    def builds(self, case, layers, cold, compression="gzip", base_in_store=True):
        """The builders at one case. Cold: nothing of it is known but the base; else all is."""
        def check(builder):
            def judge():
                found, config = builders.layers(builder.layout())
                own = len(found) - own_layers(case.base)
                if own != layers:
                    raise AssertionError(f"{builder.name}: {own} layers, wanted {layers}")
                packed = {"gzip": "gzip", "zstd": "zstd", "uncompressed": "tar"}[compression]
                if not found[-1]["mediaType"].endswith(packed):
                    raise AssertionError(f"{builder.name} wrote {found[-1]['mediaType']}")
            return judge

        def ready(builder):
            def fresh():
                if cold:
                    builder.forget()
                    if base_in_store:
                        self.base_of(builder, case)
                else:
                    builders.remove(builder.layout())
            return fresh

        def first(builder):
            """Cached rows need what they find."""
            started = []

            def once():
                if not cold and not started:
                    started.append(True)
                    builder.forget()
                    self.base_of(builder, case)
                    quiet(builder.build(case, True, compression))
                ready(builder)()
            return once

        all_builders = [self.rbuild] + ([self.buildah] if self.buildah else [])
        return [
            Contender(
                builder.name,
                first(builder),
                lambda builder=builder: builder.build(case, True, compression),
                check(builder),
                builders.clean_env(),
            )
            for builder in all_builders
        ]

    def base_of(self, builder, case):
        if builder is self.rbuild:
            self.warm(case)
        else:
            builder.prepare(case)
        builders.remove(builder.layout())


def quiet(argv):
    done = subprocess.run(
        argv if isinstance(argv, list) else ["/bin/sh", "-ec", argv],
        env=builders.clean_env(), stdin=subprocess.DEVNULL, capture_output=True,
    )
    if done.returncode != 0:
        raise AssertionError(f"{argv}: {done.stderr.decode(errors='replace')[-2000:]}")


def own_layers(base):
    return len(builders.layers(base)[0])


def limit(name, script, ready=lambda: None):
    """What the machine needs for the bare work."""
    return Contender(name, ready, lambda: script)


def all_workloads(bench):
    """All rows, in the order of the table; each is made when it is asked for."""
    return [
        startup, tiny_cold, tiny_cached, steps_cold, steps_cached,
        lambda b: copy_large(b, "gzip"), lambda b: copy_large(b, "zstd"),
        lambda b: copy_large(b, "uncompressed"),
        copy_small_cold, copy_small_unchanged, copy_small_one_changed,
        run_writes_files, file_on_large_base, unpack_large_base, four_stages, lint_300, lint_3000,
    ]


def startup(bench):
    return Workload("start-up", "`--version`", [
        Contender("rbuild", lambda: None, lambda: [bench.rbuild.program, "--version"]),
        limit("true", ["/bin/true"]),
    ], [Target("wall", 2.0, "true")])


TINY = "FROM base\nRUN echo hello > /greeting\nCOPY file /file\n"


def tiny_files(folder):
    with open(os.path.join(folder, "file"), "w") as file:
        file.write("a file\n")


def tiny_cold(bench):
    case = bench.case("tiny", TINY, files=tiny_files)
    return Workload("tiny build, cold", "RUN + COPY", bench.builds(case, 2, cold=True),
                    [Target("wall", 0.040), Target("cpu", 0.030)])


def tiny_cached(bench):
    case = bench.case("tiny", TINY, files=tiny_files)
    return Workload("tiny build, cached", "RUN + COPY", bench.builds(case, 2, cold=False),
                    [Target("cpu", 0.010)])


def steps(bench):
    lines = "".join(f"RUN echo {n} > /step{n}\n" for n in range(20))
    return bench.case("steps", f"FROM base\n{lines}")


def steps_cold(bench):
    bare = "i=0; while [ $i -lt 20 ]; do unshare -Urmpf --mount-proc /bin/true; i=$((i+1)); done"
    return Workload("20 RUN steps, cold", "`echo > file` each",
                    bench.builds(steps(bench), 20, cold=True) + [limit("20 × unshare", bare)],
                    [Target("wall", 0.200)])


def steps_cached(bench):
    return Workload("20 RUN steps, cached", "the same again",
                    bench.builds(steps(bench), 20, cold=False), [Target("cpu", 0.012)])


def copy_large(bench, compression):
    case = bench.case("large", "FROM base\nCOPY . /data/\n",
                      files=lambda folder: inputs.big_files(folder, 5, (1 << 30) // 5))
    tar = f"tar -C {case.context} -cf - ."
    bare = {
        "gzip": ("tar | pigz -p2", f"{tar} | pigz -p2 > /dev/null", 0.6),
        "zstd": ("tar | zstd -T2", f"{tar} | zstd -q -T2 > /dev/null", 1.3),
        "uncompressed": ("tar | openssl", f"{tar} | openssl dgst -sha256 > /dev/null", 1.3),
    }[compression]
    targets = [Target("memory", 100)]
    contenders = bench.builds(case, 1, cold=True, compression=compression)
    if shutil.which(bare[1].split("| ")[1].split()[0]):
        contenders.append(limit(bare[0], bare[1]))
        targets.insert(0, Target("cpu", bare[2], bare[0]))
    return Workload(f"COPY of 1 GiB in 5 files, {compression}", "", contenders, targets)


def small_case(bench):
    return bench.case("small", "FROM base\nCOPY . /data/\n",
                      files=lambda folder: inputs.small_files(folder, 60_000))


def copy_small_cold(bench):
    case = small_case(bench)
    hashed = f"tar -C {case.context} -cf - . | openssl dgst -sha256 > /dev/null"
    return Workload("COPY of 60 000 files, cold", "0.2 to 4 KiB each",
                    bench.builds(case, 1, cold=True) + [limit("tar | openssl", hashed)],
                    [Target("cpu", 2.0), Target("memory", 100)])


def copy_small_unchanged(bench):
    case = small_case(bench)
    walk = limit("find", f"find {case.context} -printf '%s %T@\\n' > /dev/null")
    return Workload("the same, nothing changed", "", bench.builds(case, 1, cold=False) + [walk],
                    [Target("wall", 0.200)])


def copy_small_one_changed(bench):
    case = small_case(bench)
    contenders = bench.builds(case, 1, cold=False)
    for contender in contenders:
        ready, count = contender.ready, [0]

        def change(ready=ready, count=count, name=contender.name):
            ready()
            count[0] += 1
            with open(os.path.join(case.context, "d0007", "f007"), "w") as file:
                file.write(f"changed for {name} the {count[0]}. time\n")
        contender.ready = change
    return Workload("the same, one file changed", "", contenders, [])


def run_writes_files(bench):
    script = ("mkdir /out && cd /out && i=0 && while [ $i -lt 20000 ]; do "
              "echo content $i > f$i; i=$((i+1)); done")
    case = bench.case("writes", f"FROM base\nRUN {script}\n")
    bare = bench.path("bare")
    busybox = shutil.which("busybox")
    write = f"{busybox} sh -c '{script.replace('/out', bare)}'; tar -C {bare} -cf - . | openssl dgst -sha256 > /dev/null"
    return Workload("RUN that writes 20 000 files", "by a shell's loop",
                    bench.builds(case, 1, cold=True)
                    + [limit("write, tar | openssl", write, lambda: builders.remove(bare))],
                    [Target("wall", 0.400)])


def file_on_large_base(bench):
    case = bench.case("onto", "FROM base\nCOPY file /file\n", bench.large_base(), tiny_files)
    contenders = bench.builds(case, 1, cold=False)
    for contender in contenders:
        ready, count = contender.ready, [0]

        def change(ready=ready, count=count, name=contender.name):
            ready()
            count[0] += 1
            with open(os.path.join(case.context, "file"), "w") as file:
                file.write(f"changed for {name} the {count[0]}. time\n")
        contender.ready = change
    return Workload("one file onto a base of 8 layers, 700 MiB", "the base is in the store",
                    contenders, [Target("wall", 0.080)])


def unpack_large_base(bench):
    base = bench.large_base()
    case = bench.case("unpack", "FROM base\nRUN echo hello > /greeting\n", base)
    bare = bench.path("bare")
    blobs = " ".join(
        os.path.join(base, "blobs/sha256", layer["digest"].split(":")[1])
        for layer in builders.layers(base)[0])
    script = (f"mkdir {bare}; printf '%s\\n' {blobs} | "
              f"xargs -P2 -I@ sh -c 'd=$(mktemp -d {bare}/XXXXXX); tar -C $d -xzf @'")
    contenders = bench.builds(case, 1, cold=True, base_in_store=False)
    for contender in contenders:
        if contender.name == "buildah":
            ready = contender.ready
            contender.ready = ready
            build = contender.argv
            buildah = bench.buildah
            contender.argv = lambda build=build: (
                f"id=$({buildah.base()} pull -q --signature-policy {buildah.policy} "
                f"oci:{base}:latest) && {buildah.base()} tag $id localhost/base && {build()}")
    return Workload("bring and unpack that base, RUN", "from a layout on disk",
                    contenders + [limit("tar -xz, 2 at a time", script,
                                        lambda: builders.remove(bare))],
                    [Target("wall", 2.5), Target("memory", 100)])


def four_stages(bench):
    stages = "".join(f"FROM base AS s{n}\nRUN sleep 1 && echo {n} > /out\n" for n in range(4))
    copies = "".join(f"COPY --from=s{n} /out /out{n}\n" for n in range(4))
    case = bench.case("stages", f"{stages}FROM base\n{copies}")
    return Workload("4 stages of `sleep 1`", "in parallel",
                    bench.builds(case, 4, cold=True) + [limit("sleep 1", ["/bin/sleep", "1"])],
                    [Target("wall", 1.12)])


def lint(bench, count, most):
    lines = ["FROM debian:12 AS build", "WORKDIR /src"]
    kinds = [
        "RUN apt-get update && apt-get install -y --no-install-recommends curl=7.88.1 && rm -rf /var/lib/apt/lists/*",
        'ENV KEY{n}="value {n}"',
        "COPY src/{n} /src/{n}",
        "RUN set -eux; cd /src/{n} && make -j\"$(nproc)\" && cp out /usr/local/bin/tool{n}",
        'LABEL org.example.part{n}="{n}"',
    ]
    for number in range(count - 3):
        lines.append(kinds[number % len(kinds)].replace("{n}", str(number)))
    lines.append("USER 10001")
    case = bench.case(f"lint{count}", "\n".join(lines) + "\n")
    tolerate = " || test $? -eq 1"
    contenders = [Contender(
        "rbuild", lambda: None,
        lambda: f"{bench.rbuild.program} lint --offline {case.dockerfile} > /dev/null{tolerate}")]
    if shutil.which("hadolint"):
        contenders.append(Contender(
            "hadolint", lambda: None, lambda: f"hadolint {case.dockerfile} > /dev/null{tolerate}"))
    return Workload(f"lint of {count} instructions", "", contenders,
                    [Target("cpu", most), Target("cpu", 0.01, "hadolint")])


def lint_300(bench):
    return lint(bench, 300, 0.010)


def lint_3000(bench):
    return lint(bench, 3000, 0.060)
