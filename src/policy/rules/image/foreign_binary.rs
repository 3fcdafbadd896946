//! `foreign-binary`: a program for another machine.

use crate::facts::Origin;
use crate::policy::glob;
use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "foreign-binary",
    title: "A binary for another architecture was copied into this platform's image.",
    text: "Finds, in layers of the build, an ELF program or library with an executable bit whose \
          machine is not that of the image's platform. Not told: what stands below a folder or \
          has a name that tells its machine, firmware, cross toolchains, packages in \
          `node_modules` and `site-packages`, programs of 32-bit x86 in an amd64 image, \
          everything in an image with a `qemu` for other machines, and `allow`.\n\n\
          Build for the platform: `--platform=$BUILDPLATFORM` in FROM is for stages that \
          cross-compile, and $TARGETARCH tells them for what.",
    params: &[Param {
        name: "allow",
        kind: ParamKind::Texts,
        default: "[]",
        help: "patterns of paths that may be for other machines",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let platform = judged.facts.config.platform();
    let allow: Vec<String> = found.texts("allow").into_iter().map(str::to_owned).collect();
    let visible = judged.visible();
    let emulates = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        name.starts_with("qemu-") && path.contains("/bin/") && !name.starts_with("qemu-img")
    };
    if visible.keys().any(|path| emulates(path)) {
        return;
    }
    for (path, at) in visible {
        if judged.facts.layers[at.layer].origin == Origin::Base || at.file.mode & 0o111 == 0 {
            continue;
        }
        let Some(crate::facts::Program::Elf(elf)) = at.file.program.as_deref() else { continue };
        // Programs and libraries; objects and core dumps are data.
        if !matches!(elf.kind, 2 | 3) || elf.runs_on(&platform.architecture) != Some(false) {
            continue;
        }
        let machine = elf.machine_name();
        if meant(path, machine) || allow.iter().any(|pattern| glob::matches(pattern, path)) {
            continue;
        }
        let finding = found
            .finding(format!("`{path}` is for {machine}, the image for {platform}"))
            .in_image(*path, Some(at.layer))
            .evidence("machine", machine)
            .evidence("sha256", at.file.sha256.as_str())
            .help("build it for the image's platform: see $TARGETARCH and $BUILDPLATFORM");
        found.add(origin(finding, judged, at.layer));
    }
}

// Whether the path says that the file is for this machine, or that it is data.
fn meant(path: &str, machine: &str) -> bool {
    let words: &[&str] = match machine {
        "amd64" => &["amd64", "x64"],
        "386" => &["386", "i386", "i486", "i586", "i686", "ia32", "x86", "lib32"],
        "arm64" => &["arm64", "aarch64"],
        "arm" => &["arm", "armv", "armhf", "armel", "armeabi"],
        "ppc64" => &["ppc", "powerpc"],
        "s390x" => &["s390"],
        "riscv" => &["riscv"],
        "mips" => &["mips"],
        _ => &["loong"],
    };
    let path = path.to_ascii_lowercase().replace("x86_64", "amd64").replace("x86-64", "amd64");
    let data =
        ["firmware", "testdata", "node_modules", "site-packages", "dist-packages", "gcc-cross"];
    let says = |token: &str| {
        words.iter().any(|word| match *word {
            "arm" => token == "arm" || token.starts_with("arm6") && token != "arm64",
            word => token.starts_with(word),
        })
    };
    path.split('/').any(|part| {
        data.contains(&part) || part.split(|c: char| !c.is_ascii_alphanumeric()).any(says)
    })
}
