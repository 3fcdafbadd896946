"""Compares rbuild with its peers and with the bare machine, in one interleaved run.

    python3 benches/compare [--rounds N] [--only REGEX] [--place DIR] [--out FILE] PROGRAM

The place should be a tmpfs: on ext4, many small files right after a removal measure the file
system's search for inodes. Run it as an ordinary user with subordinate ids; `just bench` does.
"""

import argparse
import os
import platform
import re
import shutil
import sys
import tempfile

import builders
import measure
import workloads


def main():
    parser = argparse.ArgumentParser(prog="compare", description=__doc__.split("\n")[0])
    parser.add_argument("program", help="the rbuild to measure, a release build")
    parser.add_argument("--rounds", type=int, default=5, help="counted runs of each (5)")
    parser.add_argument("--only", default="", help="rows whose name matches")
    parser.add_argument("--place", default="/dev/shm", help="where all happens (/dev/shm)")
    parser.add_argument("--no-buildah", action="store_true")
    parser.add_argument("--out", help="write the table there as well")
    options = parser.parse_args()
    place = tempfile.mkdtemp(prefix="rbuild-compare-", dir=options.place)
    os.environ["TMPDIR"] = place
    try:
        bench = workloads.Bench(
            place, os.path.abspath(options.program),
            builders.Buildah.there() and not options.no_buildah)
        lines = head(bench)
        for make in workloads.all_workloads(bench):
            workload = make(bench)
            if not re.search(options.only, workload.name):
                continue
            for line in row(workload, run(workload, options.rounds)):
                print(line, flush=True)
                lines.append(line)
        if options.out:
            with open(options.out, "w") as file:
                file.write("\n".join(lines) + "\n")
    finally:
        builders.remove(place)


def head(bench):
    names = [bench.rbuild.version()] + ([bench.buildah.version()] if bench.buildah else [])
    lines = [
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores; {'; '.join(names)}",
        "",
        "| workload | who | wall s | CPU s | MiB | rbuild is | target | holds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    return lines


def run(workload, rounds):
    """Round by round, one after the other: what slows the machine slows all alike."""
    runs = {contender.name: [] for contender in workload.contenders}
    for number in range(rounds + 1):
        for contender in workload.contenders:
            contender.ready()
            figures = measure.once(contender.argv(), env=contender.env)
            contender.check()
            # The first round warms the page cache.
            if number > 0:
                runs[contender.name].append(figures)
    return {name: measure.median(all_runs) for name, all_runs in runs.items()}


def row(workload, medians):
    ours = medians["rbuild"]
    verdicts = []
    for target in workload.targets:
        most = target.most
        text = f"{target.figure} ≤ {most:g}"
        if target.of:
            if target.of not in medians:
                continue
            most *= getattr(medians[target.of], target.figure)
            text = f"{target.figure} ≤ {target.most:g} × {target.of}"
        verdicts.append((text, "yes" if getattr(ours, target.figure) <= most else "**no**"))
    for name, figures in medians.items():
        first = name == "rbuild"
        ratio = "" if first else (
            f"{figures.wall / ours.wall:.1f}× faster, {figures.cpu / max(ours.cpu, 1e-4):.1f}× less CPU")
        yield (
            f"| {workload.name if first else ''} | {name} | {figures.wall:.3f} | {figures.cpu:.3f} "
            f"| {figures.memory:.0f} | {ratio} "
            f"| {'; '.join(text for text, _ in verdicts) if first else ''} "
            f"| {', '.join(verdict for _, verdict in verdicts) if first else ''} |")


if __name__ == "__main__":
    try:
        main()
    except (measure.Failed, AssertionError) as error:
        sys.exit(f"compare: {error}")
