"""Rows in which next to no bytes are moved: what is measured is what rbuild itself takes."""

import os

import inputs
import measure
from workloads import Contender, Target, Workload, has, limit, rows, there


@rows(("start-up",))
def startup(bench):
    return Workload([
        Contender("rbuild", lambda: [bench.rbuild.program, "--version"]),
        limit("true", ["/bin/true"]),
    ], [Target("wall", 2.0, "true")])


TINY = "FROM base\nRUN echo hello > /greeting\nCOPY file /file\n"


def tiny_files(folder):
    with open(os.path.join(folder, "file"), "w") as file:
        file.write("a file\n")


@rows(
    ("tiny build (RUN + COPY), cold", True),
    ("tiny build (RUN + COPY), cached", False),
)
def tiny(bench, cold):
    case = bench.case("tiny", TINY, files=tiny_files)
    bare = bench.bare_steps(1)
    # A bare step took 1.2 ms and 1.0 ms of CPU there.
    targets = there("cpu", 0.010, 0.001, bare.name)
    if cold:
        targets = there("wall", 0.040, 0.0012, bare.name) + there("cpu", 0.030, 0.001, bare.name)
    return Workload(bench.builds(case, 2, cold, entries=1) + [bare], targets)


@rows(
    ("20 RUN steps, cold", True),
    ("20 RUN steps, cached", False),
)
def steps(bench, cold):
    lines = "".join(f"RUN echo {n} > /step{n}\n" for n in range(20))
    case = bench.case("steps", f"FROM base\n{lines}")
    builds = bench.builds(case, 20, cold, entries=1)
    bare = bench.bare_steps(20)
    if not cold:
        # A tenth of BuildKit's 0.13 s is 0.013 s of wall.
        return Workload(builds + [bare], there("cpu", 0.012, 0.020, bare.name)
                        + there("wall", 0.013, 0.024, bare.name))
    # A seventh of BuildKit's 1.53 s is 0.22 s.
    return Workload(builds + [bare], there("wall", 0.200, 0.024, bare.name))


@rows(("4 stages of `sleep 1`",))
def four_stages(bench):
    stages = "".join(f"FROM base AS s{n}\nRUN sleep 1 && echo {n} > /out\n" for n in range(4))
    copies = "".join(f"COPY --from=s{n} /out /out{n}\n" for n in range(4))
    case = bench.case("stages", f"{stages}FROM base\n{copies}")
    return Workload(bench.builds(case, 4, True, entries=1) + [limit("sleep 1", ["/bin/sleep", "1"])],
                    [Target("wall", 1.12)])


@rows(("end of the last step to the finished layout, 64 MiB of earlier layers",))
def last_step(bench):
    """The earlier layers are packed while a step runs which takes as long as they need."""
    lines = "".join(f"RUN i=0; while [ $i -lt 4 ]; do cat /data/big0; i=$((i+1)); done > /out{n}\n"
                    for n in range(4))
    text = f"FROM base\nCOPY . /data/\n{lines}RUN sleep 3\nRUN echo the-end-of-it >&2; echo > /last\n"
    case = bench.case("last", text, files=lambda folder: inputs.big_files(folder, 1, 4 << 20))
    build = bench.builder(
        bench.rbuild, case, 7, True, mark=("after", "| the-end-of-it"),
        command=lambda: bench.rbuild.build(case, progress="plain"))
    return Workload([build], [Target("wall", 0.020, why="nothing but the last layer is left to do")])


def dockerfile(count):
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
    return "\n".join(lines) + "\n"


@rows(
    ("lint of 300 instructions", 300, 0.010, 0.96),
    ("lint of 3 000 instructions", 3000, 0.060, 9.5),
)
def lint(bench, count, most, peer):
    case = bench.case(f"lint{count}", dockerfile(count))
    found = bench.path("findings")

    def check(rule, times):
        def judge():
            with open(found) as file:
                if file.read().count(rule) < times:
                    raise AssertionError(f"{found}: fewer than {times} findings of {rule}")
        return judge

    def judged(*program):
        # That something was found is 1, and no failure.
        return lambda: measure.Program([*program, case.dockerfile], found, ends=(0, 1))

    # Every fifth instruction does a `cd`.
    contenders = [Contender("rbuild", judged(bench.rbuild.program, "lint", "--offline"),
                            check=check("rbuild: ", 1))]
    # Its time grows with the square: of 3 000 it takes more than ten minutes.
    if has("hadolint") and count < 1000:
        contenders.append(Contender("hadolint", judged("hadolint"), check=check("DL3003", 1)))
    return Workload(contenders, there("cpu", most, peer, "hadolint"))
