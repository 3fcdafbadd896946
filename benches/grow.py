"""How cost grows: with steps, files, layers, bytes, stages and lines, at 1, 4 and 16 times, beside the limit.

    python3 benches/grow.py [--rounds N] [--only REGEX] [--place DIR] [--out FILE] PROGRAM

All sizes of a row, and the bare work of each, run in turn. Growth is what the upper step adds over what the
lower one adds, (16× − 4×) / (4× − 1×): 4 is linear, and what is paid once falls out. It is judged by CPU.
"""

import argparse
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "compare"))

import builders  # noqa: E402
import inputs  # noqa: E402
import measure  # noqa: E402
import small_rows  # noqa: E402
import workloads  # noqa: E402
from image_rows import packed_layers  # noqa: E402
from workloads import limit  # noqa: E402

# Above linear by so much is still noise.
MOST = 4 * 1.25


def apart(count):
    return f"for i in $(seq {count}); do unshare -Urmpf --mount-proc /bin/true; done"


def steps(bench, count):
    case = bench.case(f"steps{count}", "FROM base\n" + "".join(f"RUN true {n}\n" for n in range(count)))
    return bench.builder(bench.rbuild, case, count, True), limit("unshare of each", apart(count))


def files(bench, count):
    case = bench.case(f"files{count}", "FROM base\nCOPY . /data/\n",
                      files=lambda folder: inputs.small_files(folder, count))
    tar = f"tar -C {case.context} -cf - . | openssl dgst -sha256 > /dev/null"
    return (bench.builder(bench.rbuild, case, 1, True, entries=count),
            limit("tar \\| openssl sha256", tar))


def written(bench, count):
    script = (f"mkdir /out && cd /out && i=0 && while [ $i -lt {count} ]; do "
              "echo content $i > f$i; i=$((i+1)); done")
    case = bench.case(f"written{count}", f"FROM base\nRUN {script}\n")
    bare = bench.path("bare")
    write = (f"busybox sh -c '{script.replace('/out', bare)}'; "
             f"tar -C {bare} -cf - . | openssl dgst -sha256 > /dev/null")
    return (bench.builder(bench.rbuild, case, 1, True, entries=count),
            limit("write, tar \\| openssl sha256", write, lambda: builders.remove(bare)))


def layers(bench, count):
    base = bench.once(f"layers{count}", lambda path: inputs.base_of_layers(path, count, 24))
    case = bench.case(f"onto{count}", "FROM base\nRUN echo > /file\n", base)
    bare = bench.path("bare")
    unpack = (f"mkdir {bare}; printf '%s\\n' {packed_layers(base)} | "
              f"xargs -P2 -I@ sh -c 'd=$(mktemp -d {bare}/XXXXXX); tar -C $d -xzf @'")
    return (bench.builder(bench.rbuild, case, 1, True, base_in_store=False, entries=1),
            limit("tar xz, 2 at a time", unpack, lambda: builders.remove(bare)))


def mebibytes(bench, count):
    case = bench.case(f"bytes{count}", "FROM base\nCOPY . /data/\n",
                      files=lambda folder: inputs.big_files(folder, 1, count << 20))
    return (bench.builder(bench.rbuild, case, 1, True, entries=1),
            limit("tar \\| pigz -p2", f"tar -C {case.context} -cf - . | pigz -p2 > /dev/null"))


def stages(bench, count):
    text = "".join(f"FROM base AS s{n}\nRUN echo {n} > /out\n" for n in range(count))
    copies = "".join(f"COPY --from=s{n} /out /out{n}\n" for n in range(count))
    case = bench.case(f"stages{count}", f"{text}FROM base\n{copies}")
    return (bench.builder(bench.rbuild, case, count, True, entries=1),
            limit("unshare of each", apart(count)))


def lines(bench, count):
    case = bench.case(f"lines{count}", small_rows.dockerfile(count))
    lint = [bench.rbuild.program, "lint", "--offline", case.dockerfile]
    return (workloads.Contender("rbuild", lambda: measure.Program(lint, ends=(0, 1))),
            limit("wc", ["wc", "-w", case.dockerfile]))


ROWS = [
    ("RUN steps", steps, 5), ("files of a COPY", files, 2000), ("files written by a RUN", written, 1250),
    ("layers of a base, unpacked", layers, 4), ("MiB of a COPY, gzip", mebibytes, 32),
    ("stages, each with a RUN and a COPY of it", stages, 3), ("instructions, lint", lines, 250),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose name matches")
    parser.add_argument("--place", default="/dev/shm")
    parser.add_argument("--out", help="write the table there as well")
    options = parser.parse_args()
    place = tempfile.mkdtemp(prefix="rbuild-grow-", dir=options.place)
    os.environ["TMPDIR"] = place
    bench = workloads.Bench(place, os.path.abspath(options.program), with_buildah=False)
    table = ["| what grows | who | 1×, 4×, 16× | wall ms | CPU ms | growth wall, CPU | linear or better |",
             "|---|---|---|---|---|---|---|"]
    table[:0] = [f"Medians of {options.rounds} runs.", ""]
    out = open(options.out, "w") if options.out else None

    def say(lines):
        for line in lines:
            print(line, flush=True)
            if out:
                print(line, file=out, flush=True)

    say(table)
    try:
        for name, make, first in ROWS:
            if re.search(options.only, name):
                say(row(bench, name, make, first, options.rounds))
                builders.remove(bench.path("inputs"))
                bench.made.clear()
    finally:
        builders.remove(place)


def row(bench, name, make, first, rounds):
    sizes = [first, 4 * first, 16 * first]
    pairs = [make(bench, size) for size in sizes]
    runs = [[[] for _ in sizes] for _ in range(2)]
    for number in range(rounds + 1):
        for at, pair in enumerate(pairs):
            for who, contender in enumerate(pair):
                contender.ready()
                figures = measure.once(contender.argv(), env=contender.env)
                contender.check()
                if number:
                    runs[who][at].append(figures)
    for who, all_runs in enumerate(runs):
        medians = [measure.median(of_size) for of_size in all_runs]
        wall, cpu = ([getattr(median, figure) for median in medians] for figure in ("wall", "cpu"))
        verdict = "" if who else ("yes" if growth(cpu) <= MOST else "**no**")
        yield (f"| {'' if who else name} | {pairs[0][who].name} "
               f"| {'' if who else ', '.join(str(size) for size in sizes)} | {ms(wall)} | {ms(cpu)} "
               f"| {growth(wall):.1f}, {growth(cpu):.1f} | {verdict} |")


def ms(seconds):
    return ", ".join(f"{value * 1000:.0f}" for value in seconds)


def growth(costs):
    """4 is linear. Where the lower step adds nothing that can be told, the whole counts: 16× over 4×."""
    one, four, sixteen = costs
    added = four - one
    return (sixteen - four) / added if added > 0.1 * one else sixteen / four


if __name__ == "__main__":
    try:
        main()
    except (measure.Failed, AssertionError) as error:
        sys.exit(f"grow: {error}")
