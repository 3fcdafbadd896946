//! `account-empty-password`: an account that needs no password.

use crate::policy::rules::origin;
use crate::policy::{Alias, Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "account-empty-password",
    title: "An empty password field lets `su` in.",
    text: "Finds an account of /etc/shadow or /etc/passwd whose password field is empty: `su` and \
          logins let anybody in. `*`, `!`, `!!` and `x` are no passwords at all, or one that \
          stands elsewhere.\n\n\
          Lock it: `passwd -l NAME`.",
    aliases: &[Alias::of("DKL-LI-0001")],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    for path in ["/etc/shadow", "/etc/passwd"] {
        let Some(layer) = judged.visible().get(path).map(|at| at.layer) else { continue };
        for account in judged.facts.passwords(layer, path) {
            if account.hashed {
                continue;
            }
            let finding = found
                .finding(format!("the account `{}` needs no password", account.name))
                .in_image(path, Some(layer))
                .evidence("line", account.line)
                .evidence("name", account.name.as_str())
                .help(format!("lock it: `passwd -l {}`", account.name));
            found.add(origin(finding, judged, layer));
        }
    }
}
