"""Compares rbuild with its peers and with the bare machine, in one interleaved run.

    python3 benches/compare [--rounds N] [--peer-rounds N] [--only REGEX] [--place DIR] [--out FILE] PROGRAM

The place should be a tmpfs: on ext4, many small files right after a removal measure the file
system's search for inodes. Run it as an ordinary user with subordinate ids; `benches/run` does.
"""

import argparse
import os
import platform
import sys
import tempfile
import time

import builders
import measure
import workloads
# These make the rows, in this order.
import small_rows  # noqa: F401
import copy_rows  # noqa: F401
import image_rows  # noqa: F401

# 100 MB, in MiB.
MEMORY = 95.3


def main():
    parser = argparse.ArgumentParser(prog="compare", description=__doc__.split("\n")[0])
    parser.add_argument("program", help="the rbuild to measure, a release build")
    parser.add_argument("--rounds", type=int, default=5, help="counted runs of each (5)")
    parser.add_argument("--peer-rounds", type=int, default=0,
                        help="runs of buildah and hadolint, in the first rounds (as many as the others)")
    parser.add_argument("--only", default="", help="rows whose name matches")
    parser.add_argument("--place", default="/dev/shm", help="where all happens (/dev/shm)")
    parser.add_argument("--no-buildah", action="store_true")
    parser.add_argument("--out", help="write the table there as well, row by row")
    options = parser.parse_args()
    place = tempfile.mkdtemp(prefix="rbuild-compare-", dir=options.place)
    # Subordinate ids pass through it.
    os.chmod(place, 0o755)
    os.environ["TMPDIR"] = place
    bench = workloads.Bench(
        place, os.path.abspath(options.program), builders.Buildah.there() and not options.no_buildah)
    table = Table(options.out)
    try:
        table.say(head(bench, options))
        most, failed = (0, ""), []
        for name, make in workloads.chosen(options.only):
            try:
                workload = make(bench)
                if workload is None:
                    print(f"compare: {name}: left out, a program or a subordinate id is missing",
                          file=sys.stderr)
                    continue
                medians = run(workload, options.rounds, options.peer_rounds or options.rounds)
            except (measure.Failed, AssertionError) as error:
                # A row that fails is told at the end; the others are worth having.
                failed.append(name)
                print(f"compare: {name}: {error}", file=sys.stderr)
                continue
            most = max(most, (medians["rbuild"].memory, name))
            table.say(row(name, workload, medians))
        table.say([f"| peak memory of rbuild, any row | rbuild | | | {most[0]:.0f} | in: {most[1]} "
                   f"| memory ≤ 95 MiB | {'yes' if most[0] <= MEMORY else '**no**'} |"])
        table.say(["", f"Load of the machine at the end: {load()}."])
        if failed:
            sys.exit(f"compare: failed: {'; '.join(failed)}")
    finally:
        bench.registry.stop()
        builders.remove(place)


class Table:
    """Lines, shown and kept as they come."""

    def __init__(self, path):
        self.file = open(path, "w") if path else None

    def say(self, lines):
        for line in lines:
            print(line, flush=True)
            if self.file:
                print(line, file=self.file, flush=True)


def load():
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def head(bench, options):
    names = [bench.rbuild.version()] + ([bench.buildah.version()] if bench.buildah else [])
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "")
    who = "root" if os.getuid() == 0 else (
        "an ordinary user with subordinate ids" if builders.subordinate() else "an ordinary user")
    peers = f", of peers {options.peer_rounds}" if options.peer_rounds else ""
    return [
        f"{time.strftime('%Y-%m-%d')}, {platform.system()} {platform.release()}, {os.cpu_count()} cores "
        f"({model}); {'; '.join(names)}; as {who}; medians of {options.rounds} runs{peers}. "
        f"Load of the machine at the start: {load()}.",
        "",
        "| workload | who | wall s | CPU s | MiB | rbuild is | target | holds |",
        "|---|---|---|---|---|---|---|---|",
    ]


def run(workload, rounds, peer_rounds):
    """Round by round, one after the other: what slows the machine slows all alike."""
    runs = {contender.name: [] for contender in workload.contenders}
    for number in range(rounds + 1):
        for contender in workload.contenders:
            if contender.peer and not 1 <= number <= peer_rounds:
                continue
            contender.ready()
            figures = measure.once(contender.argv(), env=contender.env, mark=contender.mark)
            contender.check()
            # The first round warms the page cache.
            if number > 0:
                runs[contender.name].append(figures)
    return {name: measure.median(all_runs) for name, all_runs in runs.items()}


def row(name, workload, medians):
    ours = medians["rbuild"]
    verdicts = [verdict for verdict in
                (target.judge(medians) for target in workload.targets) if verdict]
    for who, figures in medians.items():
        first = who == "rbuild"
        ratio = "" if first else (
            f"{figures.wall / ours.wall:.2g}× as fast, {figures.cpu / max(ours.cpu, 1e-4):.2g}× less CPU")
        yield (
            f"| {name if first else ''} | {who} | {figures.wall:.3f} | {figures.cpu:.3f} "
            f"| {figures.memory:.0f} | {ratio} "
            f"| {'; '.join(words for words, _ in verdicts) if first else ''} "
            f"| {', '.join('yes' if holds else '**no**' for _, holds in verdicts) if first else ''} |")


if __name__ == "__main__":
    try:
        main()
    except (measure.Failed, AssertionError) as error:
        sys.exit(f"compare: {error}")
