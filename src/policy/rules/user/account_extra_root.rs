//! `account-extra-root`: a second account with the id 0.

use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "account-extra-root",
    title: "A second account with the id 0 is a backdoor.",
    text: "Finds a line of /etc/passwd other than root's with the user id 0.",
    image_check: Some(check),
    ..Rule::NEW
};

fn check(judged: &Judged<'_>, found: &mut Found<'_>) {
    let Some(layer) = judged.visible().get("/etc/passwd").map(|at| at.layer) else { return };
    for account in judged.accounts() {
        if account.uid == 0 && account.name != "root" {
            let finding = found
                .finding(format!("the account `{}` is root by another name", account.name))
                .in_image("/etc/passwd", Some(layer))
                .evidence("line", account.line)
                .evidence("name", account.name.as_str())
                .help("give the account an id of its own, or remove it");
            let finding = origin(finding, judged, layer);
            found.add(finding);
        }
    }
}
