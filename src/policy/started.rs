//! What a container of an image starts: programs and files that its config names.

use std::collections::BTreeMap;

use crate::facts::{FileKind, ImageFacts, Visible};

/// Folders that are searched where the config sets no PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Interpreters of interpreters: more of them Linux does not follow either.
const DEPTH: usize = 4;

/// Returns the folders on PATH.
pub(super) fn search_path(facts: &ImageFacts) -> Vec<String> {
    let mut set = facts.config.config.env.iter().filter_map(|pair| pair.strip_prefix("PATH="));
    let path = set.next_back().unwrap_or(PATH);
    path.split(':').filter(|folder| folder.starts_with('/')).map(str::to_owned).collect()
}

/// Returns the files that ENTRYPOINT and CMD name, with the interpreters of those that are scripts:
/// real paths of visible files, in that order. A line for a shell is split at blanks.
pub(super) fn files<'a>(
    facts: &'a ImageFacts,
    visible: &BTreeMap<&'a str, Visible<'a>>,
) -> Vec<String> {
    let config = &facts.config.config;
    let words = config.entrypoint.iter().chain(&config.cmd).flatten();
    let folders = search_path(facts);
    let mut out = Vec::new();
    for word in words.flat_map(|word| word.split_whitespace()) {
        let path = match word.as_bytes() {
            [b'/', ..] => Some(word.to_owned()),
            _ if word.contains('/') => Some(format!("{}/{word}", config.working_dir)),
            _ => folders.iter().map(|folder| format!("{folder}/{word}")).find(|path| {
                ImageFacts::real(visible, path).is_some_and(|real| visible.contains_key(&*real))
            }),
        };
        let mut next = path;
        for _ in 0..DEPTH {
            let Some(path) = next.take() else { break };
            let Some(real) = ImageFacts::real(visible, &path) else { break };
            let Some(at) = visible.get(real.as_str()) else { break };
            if !matches!(at.file.kind, FileKind::File | FileKind::Hardlink(_)) {
                break;
            }
            next = at.file.shebang.split_whitespace().next().map(str::to_owned);
            out.push(real);
        }
    }
    out
}
