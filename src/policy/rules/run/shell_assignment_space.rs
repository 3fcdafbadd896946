//! `shell-assignment-space`: an assignment that is none.

use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "shell-assignment-space",
    title: "`a = b` runs a command called a; `for $i` never iterates.",
    text: "Finds `name = value` and `$name=value` as commands, and `name= value`.",
    aliases: &[
        Alias::of("SC1007"),
        Alias::of("SC1066"),
        Alias::of("SC1068"),
        Alias::of("SC1086"),
        Alias::of("SC1097"),
        Alias::of("SC2281"),
    ],
    text_check: Some(check),
    bad: &[
        "FROM busybox\nRUN $V=1 && true\n",
        "FROM busybox\nRUN V = 1\n",
        "FROM busybox\nRUN V= 1.0 && true\n",
    ],
    good: &[
        "FROM busybox\nRUN V=1 && true\n",
        "FROM busybox\nRUN V= make && A=b true && [ a = b ]\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.runs() {
        let script = item.script();
        for command in &script.commands {
            let Some(first) = command.argv.first() else { continue };
            let written = outline.written(first.span);
            let named = |text: &str| {
                !text.is_empty()
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                    && !text.starts_with(|c: char| c.is_ascii_digit())
            };
            let dollar = written.strip_prefix('$').and_then(|rest| rest.split_once('='));
            let sets_dollar = dollar.is_some_and(|(name, _)| named(name));
            let second = command.argv.get(1).map(|arg| outline.written(arg.span));
            let apart =
                named(written) && matches!(second, Some("=" | "==")) && command.argv.len() > 2;
            // `V= 1`: the command would be a number.
            let empty = command.assignments.last().is_some_and(|(_, value)| value.text.is_empty())
                && written.starts_with(|c: char| c.is_ascii_digit() || c == '$' || c == '"')
                && command.argv.len() == 1
                && !written.contains('/');
            if sets_dollar || apart || empty {
                let message = "this is a command, not an assignment";
                let help = "write NAME=VALUE, without `$` and blanks";
                found.tell(item.place, command.span, message, "runs something else", help);
            }
        }
    }
}
