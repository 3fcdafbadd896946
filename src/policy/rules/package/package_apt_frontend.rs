//! `package-apt-frontend`: `apt` in a script.

use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "package-apt-frontend",
    title: "`apt` has no stable command line.",
    text: "Finds the command `apt`: its words and its output are for people, and change.",
    aliases: &[Alias::of("DL3027")],
    text_check: Some(check),
    bad: &["FROM debian:12\nRUN apt update && apt-get install -y curl\n"],
    good: &["FROM debian:12\nRUN apt-get update && apt-cache policy && apt-get install -y curl\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for (item, command) in outline.calls(|head| head.is("apt")) {
        let verb = command.operation().and_then(|operation| operation.verb).unwrap_or("");
        let other = match verb {
            "show" | "search" | "policy" | "depends" | "rdepends" => "apt-cache",
            _ => "apt-get",
        };
        let name = command.argv[0].span;
        let mut finding = found
            .finding("`apt` is for people: its command line is not stable")
            .at(command.span, "in a script")
            .of(item.place)
            .help(format!("write `{other}`"));
        if outline.written(name) == "apt" {
            finding = finding.fix(name, other);
        }
        found.add(finding);
    }
}
