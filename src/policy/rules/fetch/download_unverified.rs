//! `download-unverified`: what was fetched ships, unchecked.

use crate::facts::shell::Command;
use crate::policy::rules::fetch::download_executed_unverified::fetched;
use crate::policy::{Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "download-unverified",
    title: "Bytes from the network without a checksum are not part of a reproducible build.",
    text: "Finds a file that a step fetches, in a stage that is part of the image, with no check \
          of it anywhere in the stage.\n\nNot found: what is read by another command at once, \
          requests for headers or a status, what is fetched with a digest in its name by another \
          rule (`ADD` has its own).",
    text_check: Some(check),
    bad: &["FROM busybox\nRUN wget -q https://example.org/tool -O /usr/bin/tool\n"],
    good: &[
        "FROM busybox\nRUN wget -q https://example.org/tool -O /usr/bin/tool \\\n && echo '8888888888888888888888888888888888888888888888888888888888888888  /usr/bin/tool' | sha256sum -c\n",
        "FROM busybox\nRUN wget -q --spider https://example.org/health\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let live = outline.live();
    for stage in outline.stages.iter().filter(|stage| live.contains(&stage.index)) {
        let steps = crate::policy::flow::steps(outline, stage);
        for fetched in fetched(outline, stage, &steps) {
            if !fetched.item.is_run() {
                continue;
            }
            let name = fetched.download.file.clone().unwrap_or_else(|| "/…".to_owned());
            // What checks stands near.
            let mut near = steps[fetched.next.saturating_sub(500)..].iter().take(1_000);
            let checked = near.any(|step| {
                let script = step.item.script();
                crate::policy::flow::verifies(step.command, script, &name)
                    // What cannot be named may be what is checked.
                    || (fetched.download.file.is_none() && is_check(step.command))
            });
            // The sum or the signature itself is what checks.
            let proof = [
                ".sha256",
                ".sha512",
                ".sha256sum",
                ".asc",
                ".sig",
                ".minisig",
                "SHASUMS256.txt",
                "SHA256SUMS",
                ".md5",
                ".sha1",
            ];
            let is_proof = proof
                .iter()
                .any(|ending| fetched.download.url.ends_with(ending) || name.ends_with(ending));
            if checked || is_proof {
                continue;
            }
            let finding = found
                .finding("what is fetched here is not checked")
                .at(fetched.download.span, "no sum, no signature")
                .of(fetched.item.place)
                .evidence("url", fetched.download.url.replace(crate::facts::shell::HOLE, "…"))
                .help("ADD --checksum=sha256:… URL FILE, or `sha256sum -c`");
            found.add(finding);
        }
    }
}

fn is_check(command: &Command) -> bool {
    let args = || command.args().iter().map(|arg| arg.prefix());
    match command.name() {
        Some(name) if name.ends_with("sum") => {
            args().any(|arg| arg == "--check" || (arg.starts_with('-') && arg.contains('c')))
        }
        Some("gpg" | "gpgv" | "cosign" | "minisign") => true,
        _ => false,
    }
}
