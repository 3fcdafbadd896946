//! `package-key-unverified`: a key of an archive that nobody has checked.

use crate::facts::shell::Script;
use crate::policy::{Found, Outline, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "package-key-unverified",
    title: "A repository key fetched without a fingerprint is trust on first use.",
    text: "Finds `apt-key`, `add-apt-repository`, `rpm --import URL`, and keys that are fetched \
          into gpg or into a folder of keyrings, without a check of a fingerprint or a sum in \
          the same step.",
    standards: &["CIS 4.11"],
    text_check: Some(check),
    bad: &[
        "FROM debian:12\nRUN curl -fsSL https://repo.example/key.asc | gpg --dearmor -o /usr/share/keyrings/r.gpg\n",
        "FROM debian:12\nRUN wget -qO /etc/apt/trusted.gpg.d/r.asc https://repo.example/key.asc\n",
        "FROM rockylinux:9\nRUN rpm --import https://repo.example/key\n",
    ],
    good: &[
        "FROM debian:12\nADD --checksum=sha256:6666666666666666666666666666666666666666666666666666666666666666 https://repo.example/key.asc /usr/share/keyrings/r.asc\n",
        "FROM debian:12\nRUN curl -fsSL https://repo.example/k -o /usr/share/keyrings/r.asc && echo \"6666  /usr/share/keyrings/r.asc\" | sha256sum -c\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        // Of one step all commands have the same answer.
        let mut known: Option<(usize, bool)> = None;
        for step in crate::policy::flow::steps(stage) {
            let (item, command) = (step.item, step.command);
            let args = || command.args().iter().map(|arg| arg.prefix());
            let mut checked = || match known {
                Some((index, answer)) if index == item.place.index => answer,
                _ => known.insert((item.place.index, checks(item.script()))).1,
            };
            let message = match step.head.name {
                Some("apt-key") if args().any(|arg| matches!(arg, "add" | "adv")) => {
                    "`apt-key` trusts a key for all archives".to_owned()
                }
                Some("add-apt-repository") => {
                    "`add-apt-repository` trusts what it is told".to_owned()
                }
                Some("rpm")
                    if args().any(|arg| arg == "--import")
                        && args().any(crate::policy::flow::is_url) =>
                {
                    "a key is fetched and trusted".to_owned()
                }
                Some("gpg" | "gpg2")
                    if !checked()
                        && args().any(|arg| matches!(arg, "--dearmor" | "--import"))
                        && outline
                            .feeders(item, command)
                            .any(|name| matches!(name, "curl" | "wget")) =>
                {
                    "a key is fetched and trusted".to_owned()
                }
                Some("curl" | "wget") if !checked() => {
                    let into =
                        crate::policy::flow::downloads(&step).into_iter().find_map(|download| {
                            let file = download.file?;
                            (file.contains("keyrings/")
                                || file.contains("trusted.gpg.d/")
                                || file.starts_with("/etc/apk/keys/")
                                || file.contains("/rpm-gpg/"))
                            .then_some(file)
                        });
                    match into {
                        Some(file) => format!("`{file}` is fetched and trusted"),
                        None => continue,
                    }
                }
                Some("tee")
                    if !checked()
                        && args().any(|arg| {
                            arg.contains("keyrings/") || arg.contains("trusted.gpg.d/")
                        })
                        && outline
                            .feeders(item, command)
                            .any(|name| matches!(name, "curl" | "wget")) =>
                {
                    "a key is fetched and trusted".to_owned()
                }
                _ => continue,
            };
            let help = "COPY the key, or ADD --checksum=sha256:… URL, and name it by signed-by";
            found.tell(item.place, command.span, message, "no fingerprint is compared", help);
        }
    }
}

// Whether a script checks a key, or shows it.
fn checks(script: &Script) -> bool {
    script.commands.iter().any(|other| {
        let key = crate::policy::flow::verifies(other, script, "key");
        let shown = matches!(other.name(), Some("gpg" | "gpg2"))
            && other
                .args()
                .iter()
                .any(|arg| matches!(arg.prefix(), "--fingerprint" | "--show-keys" | "--list-keys"))
            && !other.feeds.is_empty();
        // A key that is asked for by its fingerprint is checked by it.
        let asked = matches!(other.name(), Some("gpg" | "gpg2"))
            && other.args().iter().any(|arg| {
                let text = arg.prefix().replace(' ', "");
                let hex = text.strip_prefix("0x").unwrap_or(&text);
                hex.len() >= 40 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
        key || shown || asked
    })
}
