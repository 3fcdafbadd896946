//! `add-instead-of-copy`: ADD where COPY would do.

use crate::instruction::{Instruction, Source};
use crate::policy::{Alias, Found, Outline, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "add-instead-of-copy",
    title: "ADD may fetch and unpack; COPY does what it says.",
    text: "Finds an ADD whose every source is a plain path: no archive, no URL, no repository. \
           Write COPY.",
    aliases: &[Alias::of("DL3020"), Alias::of("CIS-DI-0009"), Alias::of("DS-0005")],
    standards: &["CIS 4.9"],
    text_check: Some(check),
    bad: &["FROM scratch\nADD app /app\n"],
    good: &["FROM scratch\nADD root.tar.gz /\nADD https://example.org/a /a\nADD $X /x\n"],
    ..Rule::NEW
};

const ARCHIVES: &[&str] = &[
    ".tar",
    ".tar.gz",
    ".tgz",
    ".tar.bz2",
    ".tbz2",
    ".tbz",
    ".tar.xz",
    ".txz",
    ".tar.zst",
    ".tzst",
    ".tar.lzma",
    ".tar.z",
    ".gz",
    ".bz2",
    ".xz",
    ".zst",
];

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("ADD") {
        let Instruction::Add(add) = item.instruction else { continue };
        let plain = add.sources.iter().all(|source| match source {
            Source::Inline(..) => true,
            Source::Path(word) => {
                let path = item.expand(&word.raw).unwrap_or_default();
                let lower = path.to_ascii_lowercase();
                !path.is_empty()
                    && !is_remote(&path)
                    && !ARCHIVES.iter().any(|ending| lower.ends_with(ending))
                    // What a pattern matches is not known.
                    && !lower.ends_with('*')
            }
        });
        if plain {
            let finding = found
                .finding("this ADD copies files: COPY does that and nothing else")
                .at(add.keyword, "no archive, no URL")
                .of(item.place)
                .help("write `COPY`");
            found.add(finding);
        }
    }
}

/// Tells whether a source of ADD is fetched.
pub(in crate::policy) fn is_remote(path: &str) -> bool {
    path.contains("://")
        || path.starts_with("git@")
        || path.split('#').next().is_some_and(|path| path.ends_with(".git"))
}
