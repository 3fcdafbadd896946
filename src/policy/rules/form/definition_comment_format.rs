//! `definition-comment-format`: a comment that describes, but not whom.

use crate::base::Span;
use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Outline, Place, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "definition-comment-format",
    title: "A comment directly above a named stage or ARG is shown by outline tools as its \
           description.",
    text: "Finds a comment directly above `FROM … AS name` or `ARG name` that does not begin with \
          that name.",
    aliases: &[Alias::of("InvalidDefinitionDescription")],
    text_check: Some(check),
    bad: &["# builds the thing\nFROM scratch AS build\n"],
    good: &["# build makes the thing\nFROM scratch AS build\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let input = &outline.input;
    let line_of = |span: Span| input.sources.line_column(span.source, span.start).0;
    for (index, instruction) in input.instructions.iter().enumerate() {
        let name = match instruction {
            Instruction::From(from) => match &from.name {
                Some(name) => name.raw.as_str(),
                None => continue,
            },
            Instruction::Arg(arg) => match arg.args.as_slice() {
                [one] => one.name.raw.as_str(),
                _ => continue,
            },
            _ => continue,
        };
        let line = line_of(instruction.span());
        let before = outline.comments_between(0, instruction.span().start);
        let Some(comment) = before.last().filter(|c| line_of(c.span) + 1 == line) else { continue };
        let text = comment.text.trim();
        // What speaks to tools describes nothing.
        let tool = ["rbuild:", "hadolint", "check=", "syntax=", "escape=", "shellcheck", "trivy:"];
        if text.is_empty() || tool.iter().any(|start| text.starts_with(start)) {
            continue;
        }
        if text.split_whitespace().next() != Some(name) {
            let message = format!("the comment does not say that it describes `{name}`");
            let place = Place { index, span: instruction.span(), stage: None };
            let help = format!("begin the comment with `{name}`");
            found.tell(place, instruction.keyword(), message, "described by the line above", help);
        }
    }
}
