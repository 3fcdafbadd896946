//! `wget-and-curl`: two tools for one thing.

use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "wget-and-curl",
    title: "One tool is one less to patch.",
    text: "Finds a stage whose steps run both wget and curl, told at the first use of the second.",
    aliases: &[Alias::of("DL4001"), Alias::of("DS-0014")],
    text_check: Some(check),
    bad: &["FROM debian:12\nRUN wget https://example.org/a\nRUN curl -f https://example.org/b\n"],
    good: &[
        "FROM debian:12 AS a\nRUN wget https://example.org/a\nFROM debian:12\nRUN curl -f https://example.org/b\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        let commands = || {
            stage
                .items
                .iter()
                .flat_map(|item| item.script().commands.iter().map(move |c| (item, c)))
        };
        let first = |name: &str| commands().enumerate().find(|(_, (_, c))| c.name() == Some(name));
        let (Some((wget, (wget_item, wget_command))), Some((curl, (curl_item, curl_command)))) =
            (first("wget"), first("curl"))
        else {
            continue;
        };
        let (item, command, other) = if wget > curl {
            (wget_item, wget_command, curl_command)
        } else {
            (curl_item, curl_command, wget_command)
        };
        let finding = found
            .finding("the stage uses both wget and curl")
            .at(command.span, "the second tool")
            .of(item.place)
            .also(other.span, "the first")
            .help("use one of them");
        found.add(finding);
    }
}
