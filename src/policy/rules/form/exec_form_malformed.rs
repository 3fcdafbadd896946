//! `exec-form-malformed`: brackets that are no JSON.

use crate::dockerfile::{ExecForm, exec_form};
use crate::policy::{Found, Outline, Place, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "exec-form-malformed",
    title: "`['x']`, typographic quotes or a missing comma turn the exec form into a shell \
           command that fails at run time; the first line of our incident's history is such an \
           ENTRYPOINT.",
    text: "Finds operands of CMD, ENTRYPOINT, RUN, SHELL, HEALTHCHECK CMD, COPY, ADD and VOLUME \
          that begin with `[` and end with `]`, and are no JSON list of strings. A RUN that \
          begins with the test command (`[ -f x ]`) is a shell's.",
    text_check: Some(check),
    bad: &[
        "FROM busybox\nENTRYPOINT [“/usr/local/bin/python3” “app.py”]\n",
        "FROM busybox\nENTRYPOINT ['/bin/app', 'serve']\n",
        "FROM busybox\nCMD [\"a\" \"b\"]\n",
    ],
    good: &[
        "FROM busybox\nRUN [ -d /etc ]\nENTRYPOINT [\"/bin/app\"]\n",
        "FROM busybox\nRUN [ -d /etc ] && [ -f /x ]\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let names = ["CMD", "ENTRYPOINT", "RUN", "SHELL", "HEALTHCHECK", "COPY", "ADD", "VOLUME"];
    for (index, line) in outline.input.file.lines.iter().enumerate() {
        let line = line.nested.as_deref().unwrap_or(line);
        let name = line.keyword.upper();
        if !names.contains(&name.as_str()) {
            continue;
        }
        let mut body = line.body.trim();
        if name == "HEALTHCHECK" {
            let Some(rest) = body.as_str().get(3..) else { continue };
            if !body.as_str()[..3].eq_ignore_ascii_case("cmd") {
                continue;
            }
            let length = rest.len();
            body = body.slice(3..3 + length).trim();
        }
        let text = body.as_str();
        if !text.starts_with('[') || !text.ends_with(']') || text.len() < 3 {
            continue;
        }
        // `[ -f x ]`: a word of its own, and no quote follows.
        let after = text[1..].trim_start();
        let quotes = ['"', '\'', '“', '”', '„', '‘', '’', '«', '`'];
        if text[1..].starts_with([' ', '\t', '[']) && !after.starts_with(quotes) {
            continue;
        }
        if matches!(exec_form(&body), ExecForm::Array(_)) {
            continue;
        }
        let finding = found
            .finding(format!("{name} has brackets, but no list of strings in them"))
            .at(body.whole(), "not JSON: it is taken for a shell's text")
            .of(Place { index, span: line.span, stage: None })
            .help("write [\"PROGRAM\", \"ARGUMENT\"] with plain double quotes and commas");
        found.add(finding);
    }
}
