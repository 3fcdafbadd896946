"""Runs a command as a whole process and tells what it took.

A process's peak of memory begins with that of the process which started it, so each command is
started by this file as a program of its own, which has little. That program reads the errors of the
command as well, for rows that ask when something was said.
"""

import os
import subprocess
import sys
import time


class Figures:
    """One run: seconds on the wall, seconds of CPU (user and system, of all its children that were
    waited for), and the memory of its largest process in MiB."""

    def __init__(self, wall, cpu, memory):
        self.wall, self.cpu, self.memory = wall, cpu, memory


class Program:
    """A program and its words, the file that takes its output and errors, and the statuses that are no
    failure of it."""

    def __init__(self, argv, output=os.devnull, ends=(0,)):
        self.argv, self.output, self.ends = argv, output, ends


class Failed(Exception):
    """A command that is measured must succeed: a failed run has no time."""


def once(argv, env=None, mark=None):
    """Runs `argv` (a list, a text for the shell, or a Program) once. A mark is ("until", text): the wall is
    that from the start to a line of its errors which holds the text; or ("after", text): that from there to
    the end."""
    # What is run is not measured with a shell around it unless it needs one.
    if isinstance(argv, str):
        argv = ["/bin/bash", "-ec", "set -o pipefail; " + argv]
    program = argv if isinstance(argv, Program) else Program(argv, output="")
    runner = [sys.executable, "-I", "-S", os.path.abspath(__file__), *(mark or ("", "")), program.output,
              *program.argv]
    done = subprocess.run(runner, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    *errors, figures = done.stderr.split("\n\0")
    status, wall, cpu, memory = figures.split() if errors else ("-1", "0", "0", "0")
    if done.returncode != 0 or status not in map(str, program.ends):
        raise Failed(f"{program.argv} exited with {status}\n{done.stderr[-3000:]}")
    return Figures(float(wall), float(cpu), float(memory) / 1024)


def median(runs):
    """The median of each figure."""
    import statistics
    return Figures(*(statistics.median(getattr(run, figure) for run in runs)
                     for figure in ("wall", "cpu", "memory")))


def runner():
    """`measure.py KIND TEXT OUTPUT COMMAND…`: the command's errors, a NUL, and its figures."""
    kind, text, output, command = sys.argv[1], sys.argv[2].encode(), sys.argv[3], sys.argv[4:]
    end, errors = os.pipe()
    nothing = os.open(os.devnull, os.O_RDWR)
    out, err = nothing, errors
    if output:
        out = err = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    files = [(os.POSIX_SPAWN_DUP2, file, to) for to, file in enumerate((nothing, out, err))]
    start = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=files)
    os.close(errors)
    said, told = b"", None
    while True:
        piece = os.read(end, 65536)
        if not piece:
            break
        said += piece
        if told is None and kind and text in said:
            told = time.perf_counter()
        if len(said) > 1 << 20 and not kind:
            said = said[-4096:]
    _, status, usage = os.wait4(child, 0)
    now = time.perf_counter()
    ended = "unsaid" if kind and told is None else os.waitstatus_to_exitcode(status)
    told = told or now
    wall = {"until": told - start, "after": now - told}.get(kind, now - start)
    sys.stderr.write(said[-3000:].decode(errors="replace"))
    sys.stderr.write(f"\n\0{ended} {wall} "
                     f"{usage.ru_utime + usage.ru_stime} {usage.ru_maxrss}\n")


if __name__ == "__main__":
    runner()
