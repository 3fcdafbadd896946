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
        let first = |name: &str| stage.heads().enumerate().find(|(_, (_, head))| head.is(name));
        let (Some((wget, (wget_call, _))), Some((curl, (curl_call, _)))) =
            (first("wget"), first("curl"))
        else {
            continue;
        };
        let (wget_item, wget_command) = stage.called(wget_call);
        let (curl_item, curl_command) = stage.called(curl_call);
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
