//! `account-password-set`: a password that all can try.

use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "account-password-set",
    title: "A password hash in an image is a credential everyone can crack at leisure.",
    text: "Finds an account of /etc/shadow or /etc/passwd with the hash of a password, in any \
          layer: whoever has the image can try words against it, for as long as they like. That \
          a later layer locks the account takes nothing back.\n\n\
          Set no password; where one is needed, set it when the container starts. The hash \
          itself is neither kept nor told.",
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    for layer in 0..judged.facts.layers.len() {
        for path in ["/etc/shadow", "/etc/passwd"] {
            for account in judged.facts.passwords(layer, path) {
                if !account.hashed {
                    continue;
                }
                let finding = found
                    .finding(format!("the account `{}` has a password", account.name))
                    .in_image(path, Some(layer))
                    .evidence("line", account.line)
                    .evidence("name", account.name.as_str())
                    .help("set no password in an image; a later layer does not take it out again");
                found.add(origin(finding, judged, layer));
            }
        }
    }
}
