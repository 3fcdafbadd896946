//! `suppression-unknown`: a comment that names no rule.

use crate::diag::nearest;
use crate::policy::{Covering, Found, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "suppression-unknown",
    title: "A typo in an id silently suppresses nothing.",
    text: "Finds a word in a comment that is neither a rule, nor another tool's name for one, nor \
          a code of ShellCheck. With `other_tools`, as in `paranoid`, also a comment for a tool whose \
          comments are not read here: semgrep, checkov, tfsec.",
    params: &[Param {
        name: "other_tools",
        kind: ParamKind::Flag,
        default: "false",
        help: "comments of tools whose comments are not read are found too",
    }],
    inline: false,
    cover_check: Some(check_cover),
    bad: &["FROM busybox\n# rbuild: allow privilege-tool-usd -- typo\nRUN true\n"],
    good: &["FROM busybox\n# hadolint ignore=SC2086\nRUN true\n"],
    ..Rule::NEW
};

fn check_cover(covering: &Covering<'_>, found: &mut Found<'_>) {
    let unread = if found.flag("other_tools") { &covering.comments.unread[..] } else { &[] };
    for (span, tool) in unread {
        let finding = found
            .finding(format!("comments for {tool} are not read"))
            .at(*span, "covers nothing here")
            .help("delete it, or say `# rbuild: allow ID -- REASON`");
        found.add(finding);
    }
    for comment in &covering.comments.list {
        let Some(span) = comment.span else { continue };
        for word in &comment.unknown {
            let shown: String = word.chars().take(60).collect();
            let near = nearest(word, crate::policy::RULES.iter().map(|rule| rule.id));
            let mut finding =
                found.finding(format!("`{shown}` is no rule")).at(span, "covers nothing");
            finding = match near {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help("see `rbuild policy show` for the rules there are"),
            };
            found.add(finding);
        }
    }
}
