//! `bind-mount-write`: what a step writes into a bind mount.

use crate::policy::{Found, Item, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "bind-mount-write",
    title: "Writes to a bind mount are thrown away.",
    text: "Finds a bind mount that may be written to (`rw`) whose folder a later step or a COPY \
          --from reads: what was written is gone.",
    text_check: Some(check),
    bad: &[
        "FROM busybox\nRUN --mount=type=bind,source=.,target=/src,rw touch /src/out\nRUN cat /src/out\n",
    ],
    good: &[
        "FROM busybox\nRUN --mount=type=bind,source=.,target=/src,rw cp /src/a /out\nRUN cat /out\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        for (at, item) in stage.items.iter().enumerate() {
            for mount in item.mounts().iter().filter(|mount| mount.kind() == "bind") {
                let on = |key: &str| {
                    mount.fields.iter().any(|field| {
                        let off = field.value.as_ref().is_some_and(|value| value.raw == "false");
                        field.key == key && !off
                    })
                };
                let Some(target) = mount.value("target").and_then(|word| item.expand(&word.raw))
                else {
                    continue;
                };
                if !on("readwrite") || target == "/" {
                    continue;
                }
                let target = target.trim_end_matches('/').to_owned();
                let inside = |path: &str| crate::policy::context::under(path, &target);
                let mounted = |other: &Item<'_>| {
                    other.mounts().iter().any(|mount| {
                        let at = mount.value("target").and_then(|word| other.expand(&word.raw));
                        at.is_some_and(|at| at.trim_end_matches('/') == target)
                    })
                };
                let later = stage.items[at + 1..].iter().filter(|other| !mounted(other));
                let read = later.flat_map(|other| &other.script().commands).find(|command| {
                    command.args().iter().any(|arg| arg.known().is_some_and(inside))
                });
                let copied = outline.items().any(|other| {
                    let from = other.transfer().filter(|transfer| {
                        let stage_of = |name: &str| outline.stage_named(name, usize::MAX);
                        transfer.from.as_deref().and_then(stage_of) == Some(stage.index)
                    });
                    from.is_some_and(|transfer| {
                        transfer.sources.iter().any(|(_, path)| inside(path))
                    })
                });
                if read.is_some() || copied {
                    let message = format!("what is written to `{target}` is thrown away");
                    let help = "write to another folder, and leave `rw` out";
                    found.tell(item.place, mount.span, message, "gone after the step", help);
                }
            }
        }
    }
}
