//! `parse-error`: the file cannot be read.

use crate::diag::Severity;
use crate::policy::{Alias, Found, Outline, Place, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "parse-error",
    title: "A file that cannot be read cannot be vouched for.",
    text: "Finds what the parser refuses: an unknown instruction or flag, an open heredoc or quote, \
           too few words, a bad key of a mount. One finding for each mistake, at the word; reading \
           goes on at the next instruction, so all mistakes are told at once.\n\n\
           Mend the file: there is nothing to waive.",
    aliases: &[Alias::of("DL1000")],
    inline: false,
    text_check: Some(check),
    bad: &["FROM scratch\nCOPPY a /a\n", "FROM scratch\nCOPY a\n", "RUN true\n\nFROM\n"],
    good: &["FROM scratch\nRUN --mount=type=secret,id=T,env=TOKEN true\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let input = &outline.input;
    if outline.full {
        let message = "the values of variables take too much memory: not all rules could see them";
        let mut finding = found.finding(message.to_owned());
        if let Some(stage) = outline.stages.first() {
            finding = finding.at(stage.place.span, "from here on").of(stage.place);
        }
        found.add(finding.evidence("code", "too-much"));
    }
    for error in input.errors.iter().filter(|error| error.severity == Severity::Error) {
        let mut finding = found.finding(error.message.clone());
        finding.labels.clone_from(&error.labels);
        finding.help.clone_from(&error.help);
        if let Some(span) = error.span {
            finding = finding.at(span, error.label.clone());
            let lines = input.file.lines.iter().enumerate();
            let mut around = lines
                .filter(|(_, line)| line.span.start <= span.start && span.start <= line.span.end);
            if let Some((index, line)) = around.next_back() {
                finding = finding.of(Place { index, span: line.span, stage: None });
            }
        }
        found.add(finding.evidence("code", error.code.0));
    }
}
