"""Runs a command as a whole process and tells what it took."""

import os
import statistics
import subprocess
import time
from dataclasses import dataclass


@dataclass
class Figures:
    """One run: seconds on the wall, seconds of CPU (user and system, of all its children that were
    waited for), and the memory of its largest process in MiB."""

    wall: float
    cpu: float
    memory: float


class Failed(Exception):
    """A command that is measured must succeed: a failed run has no time."""


def once(argv, env=None, cwd=None, stdout=None):
    """Runs `argv` (a list, or a text for the shell) once."""
    shell = isinstance(argv, str)
    # What is run is not measured with a shell around it unless it needs one.
    if shell:
        argv = ["/bin/sh", "-ec", argv]
    start = time.monotonic()
    with open(stdout or os.devnull, "wb") as out, open(os.devnull, "rb") as nothing:
        err = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"compare-{os.getpid()}.err")
        with open(err, "wb+") as errors:
            process = subprocess.Popen(
                argv, env=env, cwd=cwd, stdin=nothing, stdout=out, stderr=errors
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            errors.seek(0)
            tail = errors.read()[-3000:].decode(errors="replace")
        os.unlink(err)
    if process.returncode != 0:
        raise Failed(f"{argv} exited with {process.returncode}\n{tail}")
    return Figures(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def median(runs):
    """The median of each figure."""
    return Figures(
        statistics.median(run.wall for run in runs),
        statistics.median(run.cpu for run in runs),
        statistics.median(run.memory for run in runs),
    )
