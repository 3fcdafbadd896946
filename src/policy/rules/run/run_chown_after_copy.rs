//! `run-chown-after-copy`: every file a second time.

use crate::base::Span;
use crate::policy::{Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "run-chown-after-copy",
    title: "Recursive chown/chmod copies every file into a second layer.",
    text: "Finds chown, chmod and chgrp with -R over a path that an earlier COPY or ADD of the \
          stage filled: the layer holds every file again.",
    text_check: Some(check),
    bad: &["FROM busybox\nCOPY app /app\nRUN chown -R 10001:10001 /app\n"],
    good: &["FROM busybox\nCOPY --chown=10001:10001 app /app\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        let copied: Vec<(usize, String, Span)> = stage
            .items
            .iter()
            .filter_map(|item| {
                let transfer = item.transfer()?;
                let cwd = outline.workdir(item);
                let to = crate::policy::look::absolute(&transfer.destination, cwd.as_deref())?;
                Some((item.place.index, to, item.place.span))
            })
            .collect();
        for step in crate::policy::flow::steps(stage) {
            let command = step.command;
            let Some(name @ ("chown" | "chmod" | "chgrp")) = step.head.name else { continue };
            let deep = command.args().iter().any(|arg| {
                arg.prefix() == "--recursive"
                    || (arg.prefix().starts_with('-')
                        && !arg.prefix().starts_with("--")
                        && arg.prefix().contains('R'))
            });
            let paths: Vec<String> = command
                .args()
                .iter()
                .filter(|arg| !arg.prefix().starts_with('-'))
                .skip(1)
                .filter_map(|arg| step.path(arg))
                .collect();
            let hit = copied.iter().rev().take(1_000).find(|(index, to, _)| {
                *index < step.item.place.index
                    && paths.iter().any(|path| {
                        *path != "/"
                            && (crate::policy::context::under(to, path)
                                || (crate::policy::context::under(path, to) && to != "/"))
                    })
            });
            if let (true, Some((_, to, span))) = (deep, hit) {
                let flag = if name == "chmod" { "--chmod" } else { "--chown" };
                let finding = found
                    .finding(format!("`{name} -R` stores all of `{to}` a second time"))
                    .at(command.span, "every file is in this layer too")
                    .of(step.item.place)
                    .also(*span, "copied here")
                    .help(format!("COPY {flag}=…"));
                found.add(finding);
            }
        }
    }
}
