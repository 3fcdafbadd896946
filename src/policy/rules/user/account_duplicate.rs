//! `account-duplicate`: two accounts with one id or one name.

use crate::policy::{Alias, Found, Judged, Rule};
use std::collections::BTreeMap;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "account-duplicate",
    title: "Two names for one id hide who owns a file.",
    text: "Finds, in /etc/passwd and /etc/group of the image, a name or an id that an earlier \
          line has. Lines of NIS (`+`, `-`) are skipped.",
    aliases: &[Alias::of("DKL-LI-0002")],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    for file in ["/etc/passwd", "/etc/group"] {
        let Some(text) = judged.text(file) else { continue };
        let layer = judged.visible().get(file).map(|at| at.layer);
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with(['+', '-', '#']) {
                continue;
            }
            let parts: Vec<&str> = line.split(':').collect();
            let (Some(name), Some(id)) = (parts.first(), parts.get(2)) else { continue };
            let before = names.insert(name, at).map(|line| (format!("`{name}`"), line));
            let before = before.or(ids.insert(id, at).map(|line| (format!("the id {id}"), line)));
            if let Some((what, first)) = before {
                let finding = found
                    .finding(format!("{what} is taken by line {}", first + 1))
                    .in_image(file, layer)
                    .evidence("line", at + 1)
                    .help("give each account a name and an id of its own");
                found.add(finding);
            }
        }
    }
}
