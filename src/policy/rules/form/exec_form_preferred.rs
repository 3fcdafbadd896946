//! `exec-form-preferred`: CMD, ENTRYPOINT or HEALTHCHECK as a text for a shell.

use crate::instruction::{Form, Instruction};
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "exec-form-preferred",
    title: "Shell form makes `/bin/sh` PID 1, swallows signals and needs a shell in the final \
           image.",
    text: "Finds the shell form of CMD and ENTRYPOINT in the stages that become the image; of \
          HEALTHCHECK where the image shall have no shell (`shell-present` is on).\n\nA SHELL \
          in the same stages is a decision for a shell: nothing is found.",
    aliases: &[Alias::of("DL3025"), Alias::of("JSONArgsRecommended")],
    text_check: Some(check),
    bad: &["FROM busybox\nCMD httpd -f\n"],
    good: &[
        "FROM busybox\nCMD [\"httpd\", \"-f\"]\n",
        "FROM busybox\nSHELL [\"/bin/bash\", \"-c\"]\nCMD httpd -f\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let shelled = outline.shipped().any(|item| matches!(item.instruction, Instruction::Shell(_)));
    if shelled {
        return;
    }
    let no_shell = found.policy().is_on("shell-present");
    for item in outline.shipped() {
        let form = match item.instruction {
            Instruction::Cmd(cmd) => &cmd.form,
            Instruction::Entrypoint(entrypoint) => &entrypoint.form,
            Instruction::Healthcheck(health) if no_shell => match &health.check {
                Some(check) => &check.form,
                None => continue,
            },
            _ => continue,
        };
        let Form::Shell(text) = form else { continue };
        let body = text.as_str().trim();
        // What looks like a broken exec form is another rule's.
        if body.is_empty() || body.starts_with('[') {
            continue;
        }
        let name = item.instruction.name();
        let plain = |c: char| c.is_ascii_alphanumeric() || " ._-/:=@+,%".contains(c);
        let simple = body.chars().all(plain);
        let words: Vec<String> =
            body.split_whitespace().map(|word| format!("\"{word}\"")).collect();
        let array = format!("[{}]", words.join(", "));
        let mut finding = found
            .finding(format!("{name} in shell form: `/bin/sh` is the first process"))
            .at(text.whole(), "a text for a shell")
            .of(item.place)
            .help(if simple {
                format!("write {array}")
            } else {
                "it needs a shell: put it into a script that ends in `exec`".to_owned()
            });
        if simple {
            finding = finding.fix(text.whole(), array);
        }
        found.add(finding);
    }
}
