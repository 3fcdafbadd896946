//! `privilege-tool-used`: sudo in a step.

use crate::policy::{Acts, Alias, Found, Outline, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "privilege-tool-used",
    title: "sudo in a build hides which steps need root.",
    text: "Finds a command that is run by sudo, doas, pkexec or `su -c`, in the text or, under an \
           audit, by whatever script. Installing sudo is another matter.\n\nSet USER for the steps that need it, and drop the word.",
    aliases: &[Alias::of("DL3004"), Alias::of("DKL-DI-0001"), Alias::of("DS-0010")],
    text_check: Some(check),
    behaviour_check: Some(check_behaviour),
    bad: &[
        "FROM busybox\nRUN sudo true\n",
        "FROM busybox\nRUN if true; then \\\n  sudo true; fi\n",
        "FROM busybox\nRUN su app -c 'true'\n",
        "FROM busybox\nRUN timeout 5 doas -u app true\n",
    ],
    good: &["FROM busybox\nRUN echo sudo && apt-get install sudo\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.runs() {
        for command in &item.script().commands {
            // `sh` of `sudo sh -c …` was found already: its words are not told again.
            let inner = command.wrapped_by.iter().rposition(|name| name == "sh" || name == "bash");
            let own = &command.wrapped_by[inner.map_or(0, |at| at + 1)..];
            let tools = ["sudo", "doas", "pkexec"];
            let tool = own
                .iter()
                .map(String::as_str)
                .chain(command.name())
                .find(|name| tools.contains(name));
            let su = (command.name() == Some("su")
                && command.args().iter().any(|arg| arg.known() == Some("-c")))
            .then_some("su -c");
            if let Some(tool) = tool.or(su) {
                let finding = found
                    .finding(format!("`{tool}` in a step"))
                    .at(command.span, "changes the user behind the back of USER")
                    .of(item.place)
                    .evidence("tool", tool)
                    .help("set USER before the step, and USER again after it");
                found.add(finding);
            }
        }
    }
}

fn check_behaviour(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for (act, seen) in acts.watched(found) {
        for (index, program) in seen.execs.iter().enumerate() {
            let name = program.called();
            let su = name == "su"
                && program.argv.iter().any(|arg| matches!(arg.as_str(), "-c" | "--command"));
            if su || matches!(name, "sudo" | "doas" | "pkexec") {
                let finding = act
                    .finding(found, seen, Some(index), format!("the step runs `{name}`"))
                    .evidence("tool", name)
                    .help("set USER before the step, and USER again after it");
                found.add(finding);
            }
        }
    }
}
