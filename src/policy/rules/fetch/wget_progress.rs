//! `wget-progress`: a bar of dots in the log.

use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "wget-progress",
    title: "Progress bars bloat the build log.",
    text: "Finds wget without -q, -nv, --progress or -o. Off in all profiles.",
    aliases: &[Alias::of("DL3047")],
    text_check: Some(check),
    bad: &["FROM debian:12\nRUN wget https://example.org/a\n"],
    good: &[
        "FROM debian:12\nRUN wget -nv https://example.org/a && wget --progress=dot:giga https://example.org/b\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for (item, command) in outline.calls(|head| head.is("wget")) {
        let quiet = [
            "-q",
            "--quiet",
            "-nv",
            "--no-verbose",
            "--progress",
            "-o",
            "--output-file",
            "-a",
            "--append-output",
            "--spider",
        ];
        let flags = crate::policy::flow::flags(command);
        if flags.iter().any(|(flag, _)| quiet.contains(&flag.as_str())) {
            continue;
        }
        let name = command.argv[0].span;
        let finding = found
            .finding("wget fills the log with its progress")
            .at(command.span, "neither -q nor --progress")
            .of(item.place)
            .help("add --progress=dot:giga")
            .fix(name, format!("{} --progress=dot:giga", outline.written(name)));
        found.add(finding);
    }
}
