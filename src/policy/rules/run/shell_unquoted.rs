//! `shell-unquoted`: an expansion outside quotes.

use crate::facts::shell::NoteKind;
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "shell-unquoted",
    title: "Word splitting and globbing of an unquoted expansion.",
    text: "Finds `$x` and `$(…)` outside quotes among the arguments of a command, where the value \
          may hold blanks or patterns. Values that are known and plain pass; so do lists that \
          are meant to be split (deps, pkgs, flags, args, opts) and whatever `for` and `case` \
          look at.",
    aliases: &[Alias::of("SC2086"), Alias::of("SC2046"), Alias::of("SC2035")],
    text_check: Some(check),
    bad: &["FROM busybox\nARG NAME\nRUN touch /srv/$NAME\n"],
    good: &["FROM busybox\nARG PKGS\nRUN apk add $PKGS && [ $? = 0 ] && A=$B true\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let lists = [
        "deps", "pkgs", "packages", "flags", "args", "opts", "options", "modules", "files", "list",
    ];
    for item in outline.runs() {
        for note in &item.script().notes {
            let NoteKind::Unquoted(name) = &note.kind else { continue };
            let lower = name.to_ascii_lowercase();
            if lists.iter().any(|list| lower.ends_with(list)) {
                continue;
            }
            let written = outline.written(note.span);
            let message = format!("`{name}` stands outside quotes");
            let mut finding = found
                .finding(message)
                .at(note.span, "split at blanks, and patterns expanded")
                .of(item.place)
                .help("put it in double quotes");
            if written.starts_with('$') && !written.contains(['"', '\n']) {
                finding = finding.unsafe_fix(note.span, format!("\"{written}\""));
            }
            found.add(finding);
        }
    }
}
