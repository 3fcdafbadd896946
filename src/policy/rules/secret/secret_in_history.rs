//! `secret-in-history`: a secret in what `docker history` shows.

use crate::policy::rules::secret::secret_in_env::is_secret;
use crate::policy::{Alias, Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "secret-in-history",
    title: "`docker history` shows it to everyone.",
    text: "Finds, in the history of the image (commands, comments, authors) and in its labels, \
          credentials that can be told by their form, and NAME=value where the name is that of a \
          secret. The value is not shown.",
    aliases: &[Alias::of("CIS-DI-0010")],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let words = [
        "apikey",
        "credential",
        "credentials",
        "passwd",
        "password",
        "passphrase",
        "secret",
        "token",
    ];
    let mut layer = 0;
    for entry in &judged.facts.config.history {
        let at = (!entry.empty_layer).then_some(layer);
        layer += usize::from(!entry.empty_layer);
        let texts = [&entry.created_by, &entry.comment, &entry.author];
        for text in texts.into_iter().flatten() {
            let credential = found.credentials(text).into_iter().next();
            let named = || {
                text.split_whitespace().find_map(|word| {
                    let (name, value) = word.split_once('=')?;
                    let plain = !name.is_empty()
                        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                    let value = value.trim_matches(['"', '\'']);
                    // What is put in when it runs is not there.
                    (plain && !value.starts_with('$') && is_secret(name, value, &words, &[]))
                        .then(|| name.to_owned())
                })
            };
            let what = match &credential {
                Some(credential) => format!("{}: {}", credential.kind, credential.shown(text)),
                None => match named() {
                    Some(name) => format!("the value of `{name}`"),
                    None => continue,
                },
            };
            let finding = found
                .finding(format!("the history shows {what}"))
                .in_image("history", at)
                .help("revoke it, and give secrets to steps by --mount=type=secret");
            found.add(finding);
        }
    }
}
