//! `git-clone-unpinned`: a repository at whatever it is today.

use crate::policy::flow::Step;
use crate::policy::{Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "git-clone-unpinned",
    title: "A branch moves.",
    text: "Finds `git clone`, `pull` and `fetch` in a stage with no `checkout` or `reset` of a \
          full commit after it.",
    text_check: Some(check),
    bad: &["FROM busybox\nRUN git clone --depth 1 https://example.org/r.git /r\n"],
    good: &[
        "FROM busybox\nRUN git clone https://example.org/r.git /r && git -C /r checkout a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1\n",
        "FROM busybox\nRUN git init /r && cd /r && git fetch --depth 1 https://example.org/r a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1 && git checkout FETCH_HEAD\n",
        "FROM busybox\nARG COMMIT\nRUN git clone https://example.org/r /r && cd /r && git checkout \"$COMMIT\"\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        let steps = crate::policy::flow::steps(stage);
        for (at, step) in steps.iter().enumerate() {
            let Some((verb, words)) = git(step) else { continue };
            if !matches!(verb, "clone" | "pull" | "fetch") || words.iter().any(|word| full(word)) {
                continue;
            }
            let pinned = steps[at + 1..].iter().take(500).any(|later| {
                git(later).is_some_and(|(verb, words)| {
                    matches!(verb, "checkout" | "reset" | "switch" | "fetch")
                        && words
                            .iter()
                            .any(|word| full(word) || word.contains(crate::facts::shell::HOLE))
                })
            });
            if !pinned {
                let message = format!("`git {verb}` takes what the branch is today");
                let help = "ADD REPOSITORY#COMMIT, or `git checkout` of a full commit after it";
                found.tell(step.item.place, step.command.span, message, "no commit", help);
            }
        }
    }
}

fn full(word: &str) -> bool {
    word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

// The subcommand of git and its words.
fn git<'o>(step: &Step<'o, '_>) -> Option<(&'o str, Vec<&'o str>)> {
    if !step.head.is("git") {
        return None;
    }
    let args: Vec<&str> = step.command.args().iter().map(|arg| arg.text.as_str()).collect();
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        match *arg {
            "-C" | "-c" | "--git-dir" | "--work-tree" => at += 2,
            arg if arg.starts_with('-') => at += 1,
            verb => return Some((verb, args[at + 1..].to_vec())),
        }
    }
    None
}
