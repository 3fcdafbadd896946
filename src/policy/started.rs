//! What a container of an image starts: programs and files that its config names.

use std::collections::BTreeMap;

use crate::facts::{FileKind, ImageFacts, Program, Visible};

/// Folders that are searched where the config sets no PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Interpreters of interpreters: more of them Linux does not follow either.
const DEPTH: usize = 4;

/// Folders on PATH that are looked into, and files that are looked for in all: a word in each folder.
const FOLDERS: usize = 1000;
const LOOKS: usize = 1_000_000;

/// Returns the folders on PATH; of thousands the first.
pub(super) fn search_path(facts: &ImageFacts) -> Vec<String> {
    let mut set = facts.config.config.env.iter().filter_map(|pair| pair.strip_prefix("PATH="));
    let path = set.next_back().unwrap_or(PATH);
    path.split(':')
        .filter(|folder| folder.starts_with('/'))
        .take(FOLDERS)
        .map(str::to_owned)
        .collect()
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
    let most = LOOKS / folders.len().max(1);
    for word in words.flat_map(|word| word.split_whitespace()).take(most) {
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
            next = match at.file.program.as_deref() {
                Some(Program::Script(line)) => line.split_whitespace().next().map(str::to_owned),
                Some(Program::Elf(elf)) => elf.interpreter.clone(),
                None => None,
            };
            out.push(real);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Platform;
    use crate::facts::{FileFact, LayerFacts, LayerTable, Needles, Origin};
    use crate::image::Config;

    #[test]
    fn words_and_folders_are_not_looked_for_without_end() {
        let check = |folders: usize, words: usize, want: usize| {
            let mut config = Config::empty(&Platform::new("linux", "amd64", None));
            config.config.env = vec![format!("PATH={}", vec!["/b"; folders].join(":"))];
            config.config.cmd = Some(vec!["/a ".repeat(words)]);
            let file = FileFact { path: "/a".into(), ..FileFact::default() };
            let layer = LayerFacts {
                table: LayerTable { files: vec![file], ..LayerTable::default() }.into(),
                origin: Origin::Foreign(String::new()),
                leaks: Default::default(),
                steps: BTreeMap::new(),
            };
            let facts = ImageFacts::new(config, vec![layer], &BTreeMap::new(), &Needles::default());
            assert_eq!(files(&facts, &facts.visible()).len(), want, "{folders} {words}");
        };
        check(6, 5000, 5000);
        check(100_000, 5000, LOOKS / FOLDERS);
        check(100_000, 900, 900);
    }
}
