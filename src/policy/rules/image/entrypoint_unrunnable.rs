//! `entrypoint-unrunnable`: a program that will not start.

use crate::policy::rules::origin;
use crate::policy::start::Start;
use crate::policy::{Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "entrypoint-unrunnable",
    title: "Found at build time, not at 4 a.m.",
    text: "Finds an image whose ENTRYPOINT, CMD or HEALTHCHECK (in shell form: the shell) names a \
          program that is not there, that the user of the config may not run, that is for \
          another machine, whose loader or libraries are missing (a program for glibc on musl), \
          or a script whose interpreter is missing or whose first line ends with a carriage \
          return. PATH, WORKDIR, links and folders on the way are followed. What lies in a \
          VOLUME is not known.",
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let facts = judged.facts;
    let platform = facts.config.platform();
    if facts.layers.is_empty() || platform.os != "linux" {
        return;
    }
    let config = &facts.config.config;
    let words = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let (entrypoint, cmd) = (words(&config.entrypoint), words(&config.cmd));
    let check = config.healthcheck.as_ref().map(|check| check.test.clone()).unwrap_or_default();
    let check = match check.first().map(String::as_str) {
        Some("CMD") => check.get(1).cloned(),
        Some("CMD-SHELL") => {
            words(&config.shell).first().cloned().or_else(|| Some("/bin/sh".to_owned()))
        }
        _ => None,
    };
    let (name, first) = match entrypoint.first() {
        Some(first) => ("ENTRYPOINT", Some(first.clone())),
        None => ("CMD", cmd.first().cloned()),
    };
    let start = Start::new(judged);
    for (name, word) in [(name, first), ("HEALTHCHECK", check)] {
        let Some(word) = word.filter(|word| !word.is_empty()) else { continue };
        let Some(problem) = start.problem(&word) else { continue };
        let mut finding = found
            .finding(format!("{name} will not start: {}", problem.message))
            .in_image(problem.path.as_str(), problem.layer)
            .help(problem.help);
        finding = match problem.layer {
            Some(layer) => origin(finding, judged, layer),
            None => match said(judged, name) {
                Some(item) => {
                    finding.at(item.instruction.span(), "what the image starts").of(item.place)
                }
                None => finding,
            },
        };
        found.add(finding);
    }
}

// The instruction of this name that counts.
fn said<'a>(judged: &'a Judged<'_>, name: &str) -> Option<&'a crate::policy::Item<'a>> {
    let items = judged.outline?.shipped();
    items.filter(|item| item.instruction.name().eq_ignore_ascii_case(name)).last()
}
