//! `shell-syntax`: a body that no shell takes.

use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "shell-syntax",
    title: "The shell would reject it, ten minutes into the build.",
    text: "Finds a body of RUN, CMD, ENTRYPOINT or HEALTHCHECK in shell form, and a heredoc that \
          is run, that does not parse in the dialect of the shell. Bodies for other interpreters \
          are not read.",
    aliases: &[
        Alias::of("SC1010"),
        Alias::of("SC1035"),
        Alias::of("SC1045"),
        Alias::of("SC1065"),
        Alias::of("SC1072"),
        Alias::of("SC1073"),
        Alias::of("SC1078"),
        Alias::of("SC1095"),
    ],
    text_check: Some(check),
    bad: &["FROM busybox\nRUN if true; then echo a\n", "FROM busybox\nCMD echo \"a\n"],
    good: &[
        "FROM busybox\nRUN if true; then echo a; fi\n",
        "FROM busybox\nRUN case a in a) echo b;; esac\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items() {
        let script = item.program();
        let Some(error) = &script.error else { continue };
        // The first line of the parser's message; its places are those of its own text.
        let reason: String = error.lines().next().unwrap_or("").chars().take(120).collect();
        let span = item.instruction.keyword();
        let mut finding = found
            .finding("the shell would not take this")
            .at(span, "does not parse")
            .of(item.place)
            .help("mend the quotes, brackets and keywords");
        if !reason.is_empty() {
            finding = finding.evidence("reason", reason);
        }
        found.add(finding);
    }
}
