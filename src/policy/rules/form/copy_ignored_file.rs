//! `copy-ignored-file`: a source that the ignore file leaves out.

use crate::policy::{Alias, Around, Found, Outline, Rule, Transfer};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "copy-ignored-file",
    title: "The file is excluded by the ignore file: the build fails or copies less than it says.",
    text: "Finds a source of COPY or ADD, written without a pattern, that the ignore file leaves \
          out of the context.",
    aliases: &[Alias::of("CopyIgnoredFile")],
    text_check: Some(check),
    bad: &["FROM scratch\nCOPY app.log /app.log\n"],
    good: &["FROM scratch\nCOPY app.txt *.log /x/\n"],
    around: Around {
        files: &[("app.txt", "x"), ("app.log", "x")],
        ignored: &["app.log"],
        ..Around::NONE
    },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let Some(files) = outline.input.context.and_then(|context| context.files()) else { return };
    let ignore = outline.input.context.and_then(|context| context.ignore_file());
    for item in outline.items() {
        let Some(transfer) = item.transfer().filter(Transfer::from_context) else { continue };
        for (span, source) in &transfer.sources {
            let clean = crate::policy::context::clean(source);
            if clean.is_empty() || source.contains(['*', '?', '[']) || source.contains("://") {
                continue;
            }
            let at = files.iter().find(|file| file.path == clean);
            let above = files.iter().any(|file| {
                file.ignored && file.folder && crate::policy::context::under(&clean, &file.path)
            });
            if at.is_some_and(|file| file.ignored) || (at.is_none() && above) {
                let message = format!(
                    "`{clean}` is left out of the context by `{}`",
                    ignore.unwrap_or(".dockerignore")
                );
                let help = "take it out of the ignore file, or this line out of here";
                found.tell(item.place, *span, message, "not there to copy", help);
            }
        }
    }
}
