//! `delete-in-later-layer`: a file that is deleted, and ships.

use crate::base::Span;
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "delete-in-later-layer",
    title: "Deleting a file in a later layer never shrinks the image, and never hides it.",
    text: "Finds, in the stages that become the image, `rm` of a path that an earlier COPY or \
          ADD, or the output of an earlier RUN (-o, `>`), has written: the layer below still has \
          it. Not where the layers become one (--squash).",
    aliases: &[Alias::of("highestWastedBytes")],
    text_check: Some(check),
    bad: &["FROM busybox\nCOPY big.bin /tmp/big.bin\nRUN true && rm /tmp/big.bin\n"],
    good: &[
        "FROM busybox\nRUN --mount=type=bind,source=big.bin,target=/tmp/big.bin true\n",
        "FROM busybox\nRUN wget -qO /tmp/a https://example.org/a && rm /tmp/a\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    if outline.input.squash || found.policy().squashes() && !outline.is_multi_stage() {
        return;
    }
    for stage in outline.chain() {
        let steps = crate::policy::flow::steps(stage);
        let mut written: Vec<(usize, String, Span)> = Vec::new();
        for item in &stage.items {
            let Some(transfer) = item.transfer() else { continue };
            let cwd = outline.workdir(item);
            for (span, source) in &transfer.sources {
                let places = transfer.places(source, cwd.as_deref());
                written.extend(places.into_iter().map(|path| (item.place.index, path, *span)));
            }
        }
        for step in &steps {
            for download in crate::policy::flow::downloads(step) {
                let index = step.item.place.index;
                written.extend(download.file.map(|file| (index, file, download.span)));
            }
        }
        for step in steps.iter().filter(|step| step.head.is("rm")) {
            for arg in step.command.args().iter().filter(|arg| !arg.prefix().starts_with('-')) {
                let Some(path) = step.path(arg) else { continue };
                let hit = written.iter().rev().take(1_000).find(|(index, file, _)| {
                    *index < step.item.place.index
                        && path != "/"
                        && (*file == path
                            || crate::policy::context::under(file, &path)
                            || crate::policy::glob::matches(&path, file))
                });
                if let Some((_, file, span)) = hit {
                    let finding = found
                        .finding(format!("`{file}` is deleted here, and ships in the layer below"))
                        .at(step.command.span, "hides it, no more")
                        .of(step.item.place)
                        .also(*span, "written here")
                        .help("RUN --mount=type=bind, or a stage that ships without it");
                    found.add(finding);
                    break;
                }
            }
        }
    }
}
