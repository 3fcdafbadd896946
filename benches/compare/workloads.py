"""What a workload is, and the place where all of them happen."""

import os
import re
import shutil
import subprocess

import builders
import inputs
from registry import Registry


class Contender:
    """One way of doing the work: made ready (not measured), run (measured), judged. `mark` is that of
    `measure.once`. A peer takes so long that it may be run less often."""

    def __init__(self, name, argv, ready=lambda: None, check=lambda: None, mark=None):
        self.name, self.argv, self.ready, self.check, self.mark = name, argv, ready, check, mark
        self.env, self.peer = builders.clean_env(), name in ("buildah", "hadolint")


class Target:
    """What is wanted of rbuild: `figure` ("wall", "cpu" or "memory") at most `most`, or at most
    `most` times that of the contender `of`, and `plus`."""

    def __init__(self, figure, most, of=None, plus=0.0, why=""):
        self.figure, self.most, self.of, self.plus, self.why = figure, most, of, plus, why

    def judge(self, medians):
        """The target in words, and whether it holds; None where who it speaks of is not here."""
        most, unit = self.most, " MiB" if self.figure == "memory" else " s"
        words = f"{most:.3g}{unit}"
        if self.of:
            if self.of not in medians:
                return None
            most = most * getattr(medians[self.of], self.figure) + self.plus
            words = (self.of if self.most == 1 else f"{self.most:.2g} × {self.of}") + (
                f" + {self.plus:g} s" if self.plus else "")
        why = f" ({self.why})" if self.why else ""
        return f"{self.figure} ≤ {words}{why}", getattr(medians["rbuild"], self.figure) <= most


def there(figure, most, limit, of):
    """A target in seconds, of another machine on which the bare work `of` took `limit` seconds: the same
    in seconds, and as a ratio, which is what holds on a machine of another speed."""
    return [Target(figure, most), Target(figure, most / limit, of, why="the same as a ratio")]


class Workload:
    def __init__(self, contenders, targets=()):
        self.contenders, self.targets = contenders, list(targets)


# (name, how the row's workload is made), in the order of the table. Inputs are made when a row's turn comes.
ROWS = []


def rows(*named):
    """Makes a function of a Bench rows, each by a name and the arguments that follow it."""
    def keep(make):
        for name, *arguments in named:
            ROWS.append((name, lambda bench, arguments=arguments: make(bench, *arguments)))
        return make
    return keep


class Bench:
    """The place where all happens, and the builders."""

    def __init__(self, place, program, with_buildah=True):
        self.place = place
        self.rbuild = builders.Rbuild(program, place)
        # One more, with a store of its own, for rows that compare rbuild with itself.
        self.other = builders.Rbuild(program, place, "other")
        self.buildah = builders.Buildah(place) if with_buildah else None
        self.registry = Registry(place)
        self.made = set()
        self.changes = 0

    def path(self, *parts):
        return os.path.join(self.place, *parts)

    def once(self, name, make):
        """Makes an input at its first use."""
        path = self.path("inputs", name)
        if path not in self.made:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            # In a process of its own: what it takes of memory goes with it.
            child = os.fork()
            if child == 0:
                try:
                    make(path)
                    os._exit(0)
                except BaseException:
                    import traceback
                    traceback.print_exc()
                    os._exit(1)
            if os.waitpid(child, 0)[1] != 0:
                raise AssertionError(f"the input {name} could not be made")
            self.made.add(path)
        return path

    def bare_step(self, count, place, *words):
        """The command for so many steps that do nothing but what every step must: benches/micro/bare_step.rs."""
        program = os.path.join(os.path.dirname(self.rbuild.program), "bare-step")
        return [program, str(count), self.once("lower", inputs.busybox_tree), place, *words]

    def bare_steps(self, count):
        place = self.path("bare-steps")
        return limit(f"{count} × bare step" if count > 1 else "bare step",
                     self.bare_step(count, place, "/bin/true"), lambda: builders.remove(place))

    def drop(self, name):
        """Removes an input that no later row needs."""
        path = self.path("inputs", name)
        builders.remove(path)
        self.made.discard(path)

    def tiny_base(self):
        return self.once("busybox", lambda path: inputs.layout(path, [inputs.busybox]))

    def large_base(self):
        return self.once("large-base", inputs.large_base)

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

    def base_of(self, builder, case):
        """Brings the base into the store, unpacked, under the name that the Dockerfile uses."""
        if isinstance(builder, builders.Buildah):
            builder.prepare(case)
        else:
            text = case.dockerfile + ".warm"
            with open(text, "w") as file:
                file.write("FROM base\nRUN true\n")
            quiet(builder.build(inputs.Case(text, self.once("empty", os.mkdir), case.base)))
        builders.remove(builder.out)

    def builder(self, builder, case, layers, cold, compression="gzip", base_in_store=True,
                entries=None, change=None, name=None, command=None, mark=None):
        """One builder at one case. Cold: nothing of it is known but the base; else all is, but for what
        `change(words)` changes. Its result has so many layers of its own, the last of them with at least so
        many entries."""
        state = {"started": False, "seen": set()}
        argv = command or (lambda: builder.build(case, True, compression))

        def ready():
            if cold or not state["started"]:
                builder.forget()
                if base_in_store:
                    self.base_of(builder, case)
            if not cold and not state["started"]:
                quiet(argv())
            state["started"] = True
            builders.remove(builder.out)
            if change:
                # Never the same words twice: some store has seen those of an earlier row.
                self.changes += 1
                change(f"for the {self.changes}. time, for {builder.name}")

        def check():
            found, _ = builders.layers(builder.out)
            own = found[len(builders.layers(case.base)[0]):]
            if len(own) != layers:
                raise AssertionError(f"{builder.name}: {len(own)} layers, wanted {layers}")
            packed = {"gzip": "gzip", "zstd": "zstd", "uncompressed": "tar"}[compression]
            if not own[-1]["mediaType"].endswith(packed):
                raise AssertionError(f"{builder.name} wrote {own[-1]['mediaType']}")
            last = own[-1]["digest"]
            if entries and last not in state["seen"]:
                listed = count_entries(builder.out, last, compression)
                if listed < entries:
                    raise AssertionError(f"{builder.name}: {listed} entries, wanted {entries}")
                state["seen"].add(last)

        return Contender(name or builder.name, argv, ready, check, mark=mark)

    def builds(self, case, layers, cold, **more):
        """rbuild and, where it is, buildah."""
        all_builders = [self.rbuild] + ([self.buildah] if self.buildah else [])
        return [self.builder(builder, case, layers, cold, **more) for builder in all_builders]


def count_entries(layout, digest, compression):
    """The entries of a layer, told by GNU tar."""
    unpack = {"gzip": "-z", "zstd": "--zstd", "uncompressed": ""}[compression]
    blob = os.path.join(layout, "blobs", *digest.split(":"))
    listed = subprocess.run(f"tar {unpack} -tf {blob} | wc -l", shell=True, check=True,
                            capture_output=True, text=True)
    return int(listed.stdout)


def quiet(argv):
    done = subprocess.run(
        argv if isinstance(argv, list) else ["/bin/bash", "-ec", argv],
        env=builders.clean_env(), stdin=subprocess.DEVNULL, capture_output=True,
    )
    if done.returncode != 0:
        raise AssertionError(f"{argv}: {done.stderr.decode(errors='replace')[-2000:]}")


def limit(name, script, ready=lambda: None):
    """What the machine needs for the bare work."""
    return Contender(name, lambda: script, ready)


def has(*programs):
    return all(shutil.which(program) for program in programs)


def chosen(pattern):
    return [(name, make) for name, make in ROWS if re.search(pattern, name)]
