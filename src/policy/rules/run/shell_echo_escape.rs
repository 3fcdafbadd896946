//! `shell-echo-escape`: echo that each shell reads otherwise.

use crate::facts::shell::Dialect;
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "shell-echo-escape",
    title: "`echo '\\n'` differs between shells.",
    text: "Finds echo of a text with `\\\\\\\\n`, `\\\\\\\\t` or another escape, and `echo -e` \
          for a plain shell: some shells interpret them, some print them.",
    aliases: &[Alias::of("SC2028")],
    text_check: Some(check),
    bad: &["FROM debian:12\nRUN echo 'a\\nb' > /f\n"],
    good: &[
        "FROM debian:12\nRUN printf 'a\\nb\\n' > /f\n",
        "FROM debian:12\nSHELL [\"/bin/bash\", \"-c\"]\nRUN echo -e 'a\\nb' > /f\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for (item, command) in outline.calls(|head| head.is("echo")) {
        let args: Vec<&str> = command.args().iter().map(|arg| arg.text.as_str()).collect();
        let flag = args.first().is_some_and(|arg| {
            arg.len() > 1
                && arg.starts_with('-')
                && arg[1..].bytes().all(|b| b"neE".contains(&b))
                && arg.contains('e')
        });
        if flag && command.dialect == Dialect::Bash {
            continue;
        }
        let escape = args.iter().any(|arg| {
            ["\\n", "\\t", "\\\\", "\\r", "\\e", "\\0"].iter().any(|escape| arg.contains(escape))
        });
        if escape {
            let message = "shells differ in what this echo prints";
            let help = "write printf 'FORMAT\\n'";
            found.tell(item.place, command.span, message, "an escape", help);
        }
    }
}
