//! `user-not-numeric`: a user by name.

use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "user-not-numeric",
    title: "Kubernetes `runAsNonRoot` cannot resolve a name.",
    text: "Finds a target whose last USER is a name: Kubernetes cannot tell whether it is root. A \
          group may be a name. `root` is another rule's.",
    aliases: &[Alias::of("DL3066")],
    text_check: Some(check),
    bad: &["FROM busybox\nRUN adduser -D -u 10001 app\nUSER app\n"],
    good: &[
        "FROM busybox\nUSER root\nRUN adduser -D -u 10001 app\nUSER 10001\n",
        "FROM busybox\nARG UID=10001\nUSER ${UID}:app\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let Some((item, span, who)) = outline.user() else { return };
    let name = who.split(':').next().unwrap_or("").trim();
    if name.is_empty() || name == "root" || name.bytes().all(|byte| byte.is_ascii_digit()) {
        return;
    }
    // The id that a step of the image gives the name.
    let id = outline.shipped().flat_map(|item| &item.script().commands).find_map(|command| {
        let args: Vec<&str> = command.args().iter().filter_map(|arg| arg.known()).collect();
        let makes = matches!(command.name(), Some("useradd" | "adduser"));
        let at = args.iter().position(|arg| matches!(*arg, "-u" | "--uid"));
        let id = at.and_then(|at| args.get(at + 1).copied());
        let id = id.or_else(|| args.iter().find_map(|arg| arg.strip_prefix("--uid=")));
        (makes && args.contains(&name)).then_some(id).flatten()
    });
    let mut finding = found
        .finding(format!("the user is the name `{name}`"))
        .at(span, "no number")
        .of(item.place);
    finding = match id {
        Some(id) => {
            finding.help(format!("write its id, {id}")).fix(span, who.replacen(name, id, 1))
        }
        None => finding.help("write its id: USER 10001:10001"),
    };
    found.add(finding);
}
