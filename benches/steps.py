"""What a RUN step costs above its command, against a bare `unshare` and exec, in one interleaved run.

    python3 benches/steps.py [--rounds N] [--out FILE] PROGRAM

Run it as each kind of user: as root, as a user with subordinate ids, as one without. A step's cost is a
build of 20 steps `RUN true` less one of none, divided by 20: with its key, its tree, its layer and its
record. The bare way makes user, mount, pid, ipc, uts and cgroup namespaces and a /proc, and runs the same
program; it has neither an overlay nor a layer to write.
"""

import argparse
import os
import shutil
import statistics
import tempfile

import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "compare"))

import builders  # noqa: E402
import inputs  # noqa: E402
import measure  # noqa: E402

STEPS = 20
# What is wanted of the ratio.
MOST = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--place", default="/dev/shm")
    parser.add_argument("--out", help="write the table there as well")
    options = parser.parse_args()
    place = tempfile.mkdtemp(prefix="rbuild-steps-", dir=options.place)
    os.environ["TMPDIR"] = place
    try:
        table = list(compare(os.path.abspath(options.program), place, options.rounds))
        print("\n".join(table))
        if options.out:
            with open(options.out, "w") as file:
                file.write("\n".join(table) + "\n")
    finally:
        builders.remove(place)


def compare(program, place, rounds):
    base = os.path.join(place, "base")
    inputs.layout(base, [inputs.busybox])
    context = os.path.join(place, "context")
    os.mkdir(context)
    rbuild = builders.Rbuild(program, place)
    cases = {}
    for name, steps in (("none", 0), ("all", STEPS)):
        text = os.path.join(place, f"Dockerfile.{name}")
        with open(text, "w") as file:
            # The first step unpacks the base; no two are the same.
            file.write("FROM base\nRUN true\n" + "".join(f"RUN true {n}\n" for n in range(steps)))
        cases[name] = inputs.Case(text, context, base)
    true = [shutil.which("busybox"), "true"]
    maps = ["--user", "--map-root-user"]
    if os.getuid() != 0 and builders.subordinate():
        maps.append("--map-auto")
    apart = ["--mount", "--pid", "--ipc", "--uts", "--cgroup", "--fork", "--mount-proc"]
    bare = ["unshare", *([] if os.getuid() == 0 else maps), *apart, *true]
    figures = {"none": [], "all": [], "bare": []}
    for number in range(rounds + 1):
        one = {}
        for name, case in cases.items():
            builders.remove(rbuild.out)
            one[name] = measure.once(rbuild.build(case, cached=False), env=builders.clean_env())
        loop = [measure.once(bare) for _ in range(STEPS)]
        one["bare"] = measure.Figures(
            sum(run.wall for run in loop), sum(run.cpu for run in loop), 0)
        if number:
            for name, run in one.items():
                figures[name].append(run)
    who = "root" if os.getuid() == 0 else (
        "a user with a range of ids" if builders.subordinate() else "a user with one id")
    yield f"As {who}; medians of {rounds} runs of {STEPS} steps, interleaved."
    yield ""
    yield "| | a step ms | bare ms | ratio | target | holds |"
    yield "|---|---|---|---|---|---|"
    for figure in ("wall", "cpu"):
        of = {name: [getattr(run, figure) for run in runs] for name, runs in figures.items()}
        step = [(a - n) / STEPS * 1000 for a, n in zip(of["all"], of["none"])]
        alone = [b / STEPS * 1000 for b in of["bare"]]
        ratio = statistics.median(s / b for s, b in zip(step, alone))
        yield (f"| {figure} | {statistics.median(step):.2f} | {statistics.median(alone):.2f} | {ratio:.2f} "
               f"| ≤ {MOST} | {'yes' if ratio <= MOST else '**no**'} |")


if __name__ == "__main__":
    main()
