//! `miner-indicator`: a program that mines coins.

use crate::facts::{FileFact, FileKind, MarkKind};
use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Param, ParamKind, Rule};
use std::collections::BTreeSet;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "miner-indicator",
    title: "At least it won't be mining Monero.",
    text: "Finds, in any layer, a program or script with two or more of the words that programs \
          which mine coins have: stratum+tcp://, stratum+ssl://, xmrig, randomx, cryptonight, \
          donate-level, minexmr, supportxmr, --coin=, nicehash (upper and lower case alike); and \
          files whose SHA-256 is in `deny_sha256`.\n\n\
          Exempt: what lies below /usr/share/doc, and files of signatures of scanners (*.yar, \
          *.yara, *.ndb, *.hdb).",
    params: &[Param {
        name: "deny_sha256",
        kind: ParamKind::Texts,
        default: "[]",
        help: "SHA-256 of files that may be in no layer",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let denied: BTreeSet<String> = found
        .texts("deny_sha256")
        .into_iter()
        .map(|sum| sum.trim_start_matches("sha256:").to_ascii_lowercase())
        .collect();
    for (index, layer) in judged.facts.layers.iter().enumerate() {
        for file in layer.table.files.iter().filter(|file| file.kind == FileKind::File) {
            let words: Vec<&str> = file
                .marks
                .iter()
                .filter(|mark| mark.kind == MarkKind::Miner)
                .map(|mark| mark.what.as_str())
                .collect();
            let message = if denied.contains(&file.sha256) {
                format!("`{}` is a file that the policy denies", file.path)
            } else if words.len() >= 2 && may_run(file) && !is_about(&file.path) {
                format!("`{}` looks like a program that mines coins", file.path)
            } else {
                continue;
            };
            let finding = found
                .finding(message)
                .in_image(file.path.as_str(), Some(index))
                .evidence("words", words)
                .evidence("sha256", file.sha256.as_str())
                .help("find out which step brings it; removing it in a later step does not help");
            found.add(origin(finding, judged, index));
        }
    }
}

fn may_run(file: &FileFact) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    let endings = [
        ".sh", ".bash", ".py", ".pl", ".rb", ".js", ".mjs", ".cjs", ".php", ".lua", ".ps1", ".jar",
        ".so",
    ];
    file.is_machine_code()
        || file.mode & 0o111 != 0
        || file.magic.starts_with("2321")
        || endings.iter().any(|ending| name.ends_with(ending))
}

fn is_about(path: &str) -> bool {
    let signatures = [".yar", ".yara", ".ndb", ".hdb"];
    path.starts_with("/usr/share/doc/") || signatures.iter().any(|ending| path.ends_with(ending))
}
