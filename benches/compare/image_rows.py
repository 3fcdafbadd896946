"""Rows about images as a whole: large bases, packages, pushing, auditing."""

import os

import builders
import debian
import inputs
from registry import Registry, blob
from small_rows import tiny_files
from workloads import Contender, Target, Workload, has, limit, quiet, rows, there


@rows(("one file onto a base of 8 layers, 700 MiB",))
def file_on_large_base(bench):
    def change(case):
        def write(words):
            with open(os.path.join(case.context, "file"), "w") as file:
                file.write(f"changed: {words}\n")
        return write

    text = "FROM base\nCOPY file /file\n"
    case = bench.case("onto", text, bench.large_base(), tiny_files)
    small = bench.case("onto-tiny", text, None, tiny_files)
    tiny = bench.builder(bench.other, small, 1, False, change=change(small), name="rbuild, tiny base")
    return Workload(bench.builds(case, 1, False, change=change(case), entries=1) + [tiny],
                    [Target("wall", 0.080), Target("wall", 1.0, tiny.name, plus=0.020)])


def packed_layers(base):
    return " ".join(blob(base, layer["digest"]) for layer in builders.layers(base)[0])


def unzip():
    return "igzip -dc" if has("igzip") else "gzip -dc"


@rows(("pull of that base, unpacked, and a RUN",))
def pull_large_base(bench):
    base = bench.large_base()
    case = bench.case("unpack", "FROM base\nRUN echo hello > /greeting\n", base)
    bare = bench.path("bare")
    way = f"{unzip().split()[0]} \\| tar x, 2 at a time"
    targets = there("wall", 2.5, 0.95, way)
    builds = []
    if Registry.there():
        bench.registry.empty()
        quiet(bench.registry.skopeo(base, "base:latest"))
        name = f"{bench.registry.host}/base:latest"
        builds.append(bench.builder(
            bench.rbuild, case, 1, True, base_in_store=False, entries=1,
            command=lambda: bench.rbuild.build(case, base=f"docker-image://{name}")))
        if bench.buildah:
            pull = bench.buildah.pull(f"docker://{name}", "--tls-verify=false")
            builds.append(bench.builder(
                bench.buildah, case, 1, True, base_in_store=False, entries=1,
                command=lambda: f"{pull} && {bench.buildah.build(case)}"))
    else:
        builds = bench.builds(case, 1, True, base_in_store=False, entries=1)[:1]
    script = (f"mkdir {bare}; printf '%s\\n' {packed_layers(base)} | "
              f"xargs -P2 -I@ sh -c 'd=$(mktemp -d {bare}/XXXXXX); {unzip()} @ | tar -C $d -xf -'")
    return Workload(builds + [limit(way, script, lambda: builders.remove(bare))], targets)


@rows(("audit of that base",))
def audit(bench):
    base = bench.large_base()
    told = bench.path("audit")

    def check():
        with open(told) as file:
            text = file.read()
        if "layer 7 " not in text or "rbuild: " not in text:
            raise AssertionError(f"the audit did not tell about eight layers: {text[-500:]}")

    # That something was found is 1, and no failure.
    argv = f"{bench.rbuild.program} audit --policy=baseline oci:{base} > {told} 2>&1 || test $? -eq 1"
    bare = (f"printf '%s\\n' {packed_layers(base)} | "
            f"xargs -P2 -I@ sh -c '{unzip()} @ | openssl dgst -sha256 > /dev/null'")
    return Workload([
        Contender("rbuild", lambda: argv, check=check),
        limit(f"{unzip().split()[0]} \\| openssl sha256, 2 at a time", bare),
    ])


@rows(("`apt-get install python3-minimal` on Debian",))
def apt_install(bench):
    bench.drop("large-base")
    if not debian.there():
        return None
    install = debian.INSTALL
    base = bench.once("debian", debian.make)
    case = bench.case("apt", f"FROM base\nRUN {install}\n", base)
    tree, stamp = bench.path("bare"), bench.path("stamp")
    apart = "unshare --map-auto --map-root-user --mount --pid --fork"

    def ready():
        builders.remove(tree)
        os.mkdir(tree)
        layers = " ".join(blob(base, layer["digest"]) for layer in builders.layers(base)[0])
        quiet(f"{apart} tar -C {tree} -xzpf {layers}; sleep 0.05; touch {stamp}; sleep 0.05")

    enter = (f"mkdir -p {tree}/dev {tree}/proc; mount --rbind /dev {tree}/dev; mount -t proc proc {tree}/proc; "
             f"chroot {tree} sh -c \"{install}\" > /dev/null")
    pack = (f"cd {tree}; find . -xdev -cnewer {stamp} ! -type d -print0 | "
            f"tar --null -T - -cf - | pigz -p2 > /dev/null")
    contenders = bench.builds(case, 1, True, entries=50)
    contenders.append(limit("in a chroot", f"{apart} bash -ec '{enter}'", ready))
    contenders.append(limit("in a chroot, tar \\| pigz", f"{apart} bash -ec '{enter}; {pack}'", ready))
    return Workload(contenders, [Target("cpu", 1.3, contenders[-1].name)])


@rows(
    ("push of a layer of 64 MiB", False),
    ("the same push again", True),
)
def push(bench, again):
    bench.drop("debian")
    if not Registry.there():
        return None
    case = bench.case("push", "FROM base\nCOPY . /data/\n",
                      files=lambda folder: inputs.noise(folder, 64 << 20))

    def made(path):
        bench.base_of(bench.rbuild, case)
        quiet([f"type=oci,dest={path},tar=false" if "dest=" in word else word
               for word in bench.rbuild.build(case)])

    layout = bench.once("push-layout", made)
    name = "pushed:1"
    ways = {
        "rbuild": lambda: [bench.rbuild.program, "push", f"--root={bench.rbuild.store}",
                           "--progress=none", f"oci:{layout}", f"{bench.registry.host}/{name}"],
        "skopeo": lambda: bench.registry.skopeo(layout, name),
        "curl": lambda: bench.registry.curl(layout, name),
    }

    def ready():
        # In a registry that has seen nothing, no blob can be mounted.
        bench.registry.empty()
        if again:
            quiet(bench.registry.skopeo(layout, name))

    contenders = [Contender(who, way, ready, lambda: bench.registry.check(layout, name))
                  for who, way in ways.items() if who == "rbuild" or has(who)]
    crane = "crane's 0.02 s" if again else "crane's 0.36 s"
    return Workload(contenders, [Target("wall", 1.0, "skopeo"),
                                 Target("wall", 0.02 if again else 0.36, why=crane)])
