//! `add-remote-unverified`: ADD of what anybody may change.

use crate::instruction::{Instruction, Source};
use crate::policy::rules::form::add_instead_of_copy::is_remote;
use crate::policy::{Found, Outline, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "add-remote-unverified",
    title: "ADD can check what it fetches: make it.",
    text: "Finds ADD of a URL without --checksum, and ADD of a repository without a full commit \
           (after `#`, or as --checksum).",
    text_check: Some(check),
    bad: &[
        "FROM scratch\nADD https://example.org/a.tgz /a.tgz\n",
        "FROM scratch\nADD https://example.org/r.git#main /r\n",
    ],
    good: &[
        "FROM scratch\nADD --checksum=sha256:9999999999999999999999999999999999999999999999999999999999999999 https://example.org/a.tgz /a.tgz\n",
        "FROM scratch\nADD https://example.org/r.git#0123456789012345678901234567890123456789 /r\nADD a /a\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("ADD") {
        let Instruction::Add(add) = item.instruction else { continue };
        if add.checksum.is_some() {
            continue;
        }
        for source in &add.sources {
            let Source::Path(word) = source else { continue };
            let url = item.expand(&word.raw).unwrap_or_default();
            let commit = url.split_once('#').map(|(_, rest)| rest.split(':').next().unwrap_or(""));
            let full = commit.is_some_and(|commit| {
                matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit())
            });
            if is_remote(&url) && !full {
                let shown: String = word.raw.chars().take(100).collect();
                let finding = found
                    .finding(format!("nothing tells that `{shown}` will be the same tomorrow"))
                    .at(word.span, "fetched unchecked")
                    .of(item.place)
                    .help("`ADD --checksum=sha256:…`; of a repository, the full commit after `#`");
                found.add(finding);
            }
        }
    }
}
