//! `user-alias-of-root`: a user of another name, with root's id.

use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "user-alias-of-root",
    title: "A friendly name with uid 0 is still root.",
    text: "Finds a config whose user is a name (or a number) that /etc/passwd of the image maps \
          to 0, and that is not spelled `root` or 0.",
    standards: &["CIS 4.1"],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let user = &judged.facts.config.config.user;
    let name = user.split(':').next().unwrap_or("");
    if matches!(name, "" | "root") || name.parse::<u64>().is_ok() {
        return;
    }
    let account = judged.accounts().into_iter().find(|account| account.name == name);
    let Some(account) = account.filter(|account| account.uid == 0) else { return };
    let layer = judged.visible().get("/etc/passwd").map(|at| at.layer);
    let finding = found
        .finding(format!("the user `{name}` has the id 0: it is root"))
        .in_image("/etc/passwd", layer)
        .evidence("line", account.line)
        .help("give it an id of its own");
    found.add(match layer {
        Some(layer) => origin(finding, judged, layer),
        None => finding,
    });
}
