//! `exec-form-unexpanded-variable`: a variable where no shell is.

use crate::instruction::{Form, Instruction};
use crate::policy::{Found, Outline, Rule, variables};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "exec-form-unexpanded-variable",
    title: "The exec form has no shell: `$PORT` is passed literally.",
    text: "Finds `$NAME` and `${NAME}` in a word of an exec form of CMD, ENTRYPOINT or \
          HEALTHCHECK, unless a shell runs it (`sh -c`). `\\\\$` is meant so.",
    text_check: Some(check),
    bad: &["FROM busybox\nENV PORT=80\nCMD [\"httpd\", \"-p\", \"$PORT\"]\n"],
    good: &["FROM busybox\nENV PORT=80\nCMD [\"sh\", \"-c\", \"exec httpd -p $PORT\"]\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items() {
        let form = match item.instruction {
            Instruction::Cmd(cmd) => &cmd.form,
            Instruction::Entrypoint(entrypoint) => &entrypoint.form,
            Instruction::Healthcheck(health) => match &health.check {
                Some(check) => &check.form,
                None => continue,
            },
            _ => continue,
        };
        let Form::Exec(words) = form else { continue };
        // What a shell or an interpreter is given as a text is its own.
        let program = words.first().map_or("", |word| word.raw.as_str());
        let program = program.rsplit('/').next().unwrap_or("");
        let runs = ["sh", "bash", "ash", "zsh", "python", "perl", "ruby", "node", "php", "pwsh"];
        let text = runs.iter().any(|name| program.contains(name))
            && words.iter().skip(1).any(|word| {
                let letters = word.raw.strip_prefix('-').unwrap_or("");
                letters.len() <= 5 && letters.ends_with(['c', 'e', 'r', 'p'])
            });
        if text || matches!(program, "cmd" | "cmd.exe") {
            continue;
        }
        for word in words {
            if let Some((name, _)) = variables(&word.raw, '\\').first() {
                let message = format!("`${name}` is passed as it is: the exec form has no shell");
                let help =
                    "write [\"sh\", \"-c\", \"exec …\"], or read the variable in the program";
                found.tell(item.place, word.span, message, "not expanded", help);
            }
        }
    }
}
