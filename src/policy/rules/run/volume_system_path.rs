//! `volume-system-path`: a volume over the system.

use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Judged, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "volume-system-path",
    title: "A volume over a system directory asks for the host's.",
    text: "Finds VOLUME, and volumes in the config of an image, at /, /proc, /sys, /dev, /boot, \
          /etc, /usr, /lib, /bin, /sbin, /root, /run or /var/run.",
    aliases: &[Alias::of("DKL-DI-0002")],
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &["FROM busybox\nVOLUME [\"/data\", \"/sys\"]\n"],
    good: &["FROM busybox\nVOLUME /data\n"],
    ..Rule::NEW
};

const PATHS: &[&str] = &[
    "", "proc", "sys", "dev", "boot", "etc", "usr", "lib", "lib64", "lib32", "bin", "sbin", "root",
    "run", "var/run", "var", "usr/bin", "usr/lib", "usr/sbin",
];

fn system(path: &str) -> bool {
    let clean = crate::policy::context::clean(path);
    path.starts_with('/')
        && (PATHS.contains(&clean.as_str())
            || ["proc", "sys", "dev", "boot"]
                .iter()
                .any(|top| crate::policy::context::under(&clean, top)))
}

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("VOLUME") {
        let Instruction::Volume(volume) = item.instruction else { continue };
        for word in &volume.paths {
            let Some(path) = item.expand(&word.raw) else { continue };
            if system(&path) {
                let message = format!("a volume over `{path}` asks for the host's");
                let help = "name a folder of the application's own";
                found.tell(item.place, word.span, message, "part of the system", help);
            }
        }
    }
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    for path in judged.facts.config.config.volumes.iter() {
        if system(path) {
            let finding = found
                .finding(format!("a volume over `{path}` asks for the host's"))
                .in_image("config", None)
                .evidence("name", path.as_str())
                .help("name a folder of the application's own");
            found.add(finding);
        }
    }
}
