//! `copy-source-missing`: a source that is not in the context.

use crate::diag::nearest;
use crate::policy::{Around, Found, Outline, Rule, Transfer};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "copy-source-missing",
    title: "Found before the first step runs, not after ten minutes.",
    text: "Finds a source of COPY, ADD or a bind mount that the context does not have, and a \
          pattern that nothing in it matches.",
    text_check: Some(check),
    bad: &[
        "FROM scratch\nCOPY requirments.txt /r.txt\n",
        "FROM scratch\nCOPY *.json /x/\n",
        "FROM busybox\nRUN --mount=type=bind,source=ap,target=/a true\n",
    ],
    good: &[
        "FROM scratch\nCOPY requirements.txt /r.txt\n",
        "FROM scratch\nCOPY ./app app/ req*.txt /x/\nADD https://example.org/x /x\n",
    ],
    around: Around { files: &[("requirements.txt", "x"), ("app/a", "x")], ..Around::NONE },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let Some(files) = outline.input.context.and_then(|context| context.files()) else {
        if outline.input.context.is_some() {
            found.skip("the context has too many files");
        }
        return;
    };
    for item in outline.items() {
        let mut sources = Vec::new();
        if let Some(transfer) = item.transfer().filter(Transfer::from_context) {
            sources.extend(transfer.sources);
        }
        for mount in item.mounts().iter().filter(|mount| mount.kind() == "bind") {
            if let (Some(word), None) = (mount.value("source"), mount.value("from")) {
                sources.extend(item.expand(&word.raw).map(|source| (word.span, source)));
            }
        }
        for (span, source) in sources {
            let clean = crate::policy::context::clean(&source);
            let remote = crate::policy::rules::form::add_instead_of_copy::is_remote(&source);
            // Nobody knows what a variable without a value would be.
            if remote || clean.is_empty() || outline.written(span).contains('$') {
                continue;
            }
            if crate::policy::context::sources(files, &clean).next().is_some() {
                continue;
            }
            let message = format!("the context has no `{clean}`");
            let near = nearest(&clean, files.iter().map(|file| file.path.as_str()));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "add it to the context, or correct the path".to_owned(),
            };
            found.tell(item.place, span, message, "not found", help);
        }
    }
}
