//! `writable-path-undeclared`: a folder to write to that nobody told of.

use crate::facts::FileKind;
use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Rule};
use std::collections::BTreeSet;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "writable-path-undeclared",
    title: "An image that can run with a read-only root says where it writes.",
    text: "Finds a folder that the user of the config may write, and that is no VOLUME, nor below \
          one, nor below its home, /tmp, /var/tmp, /run, /dev, /proc, /sys. An image that tells \
          where it writes can run with a read-only root. Of folders within each other the \
          topmost is told.\n\n\
          Declare it: `VOLUME`; or let root own it.",
    standards: &["NIST 800-190 4.4"],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let Some(who) = judged.facts.identity(judged.visible()).filter(|who| who.uid != 0) else {
        return;
    };
    let config = &judged.facts.config.config;
    let mut declared: BTreeSet<&str> =
        ["/tmp", "/var/tmp", "/run", "/var/run", "/dev", "/proc", "/sys"].into();
    declared.extend(config.volumes.iter().map(|path| path.trim_end_matches('/')));
    if who.home.len() > 1 {
        declared.insert(who.home.trim_end_matches('/'));
    }
    // Each folder above is looked up: a config may name a million volumes.
    let is_declared = |path: &str| {
        declared.contains(path)
            || path.match_indices('/').any(|(at, _)| declared.contains(&path[..at]))
    };
    let below = |path: &str, top: &str| {
        path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut last: Option<&str> = None;
    for (path, at) in judged.visible() {
        if at.file.kind != FileKind::Dir
            || !who.may_write(at.file)
            || is_declared(path)
            || last.is_some_and(|last| below(path, last))
        {
            continue;
        }
        last = Some(path);
        let finding = found
            .finding(format!("the user of the image may write to `{path}`, which is no VOLUME"))
            .in_image(*path, Some(at.layer))
            .evidence("mode", format!("{:04o}", at.file.mode))
            .evidence("owner", format!("{}:{}", at.file.uid, at.file.gid))
            .help(format!("`VOLUME {path}`, or let root own it"));
        found.add(origin(finding, judged, at.layer));
    }
}
