//! Well-kept Dockerfiles under `hardened`: what is found in them is known, and somebody has said
//! why it is right.
//!
//! `tests/corpus/NAME.Dockerfile` has beside it `NAME.findings`, one line for each finding:
//! `LEVEL LINE RULE WORD`, where RULE is `id` or `id[facet]` and WORD is one of those that
//! `tests/corpus/README.md` explains. With `UPDATE_EXPECT=1` the files are written again: words
//! stay with their findings, what is new gets `?`, and `?` is no word.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use super::finding::Level;
use super::tests::{Text, with};

/// What is not known yet.
const UNREVIEWED: &str = "?";

/// The fewest files that say something.
const FEWEST: usize = 100;

struct Row {
    level: String,
    line: usize,
    rule: String,
    word: String,
}

impl std::fmt::Display for Row {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Row { level, line, rule, word } = self;
        writeln!(out, "{level:<5} {line:>3} {rule} {word}")
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// The words of the table in the README, and the levels that each may stand at.
fn words() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(folder().join("README.md")).expect("the README of the corpus");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| {
        let (word, rest) = row.split_once("` | ")?;
        let levels = rest.split('|').next()?.split(',').map(|level| level.trim().to_owned());
        Some((word.to_owned(), levels.collect()))
    })
    .collect()
}

fn found(file: &str) -> Vec<Row> {
    with(&Text::new("", file), |report, sources, _| {
        let counted = report.findings.iter().filter(|finding| finding.counts());
        counted
            .map(|finding| {
                let span = finding.span.expect("findings in a text have a place");
                let facet = finding.facet.map_or(String::new(), |facet| format!("[{facet}]"));
                Row {
                    level: finding.level.word().to_owned(),
                    line: sources.line_column(span.source, span.start).0,
                    rule: format!("{}{facet}", finding.rule),
                    word: UNREVIEWED.to_owned(),
                }
            })
            .collect()
    })
}

fn read(text: &str) -> Vec<Row> {
    let row = |line: &str| {
        let mut parts = line.split_whitespace().map(str::to_owned);
        let (level, number) = (parts.next()?, parts.next()?.parse().ok()?);
        Some(Row { level, line: number, rule: parts.next()?, word: parts.next()? })
    };
    text.lines().map(|line| row(line).unwrap_or_else(|| panic!("not a row: {line}"))).collect()
}

#[test]
fn every_finding_is_known_and_explained() {
    let words = words();
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let (mut wrong, mut files, mut without_error) = (String::new(), BTreeSet::new(), 0);
    for entry in fs::read_dir(folder()).expect("the corpus") {
        let path = entry.expect("the corpus").path();
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        match name.rsplit_once('.') {
            Some((_, "Dockerfile")) => files.insert(path),
            Some((base, "findings")) => {
                let has = folder().join(format!("{base}.Dockerfile")).exists();
                assert!(has, "{name} belongs to no Dockerfile");
                continue;
            }
            _ => continue,
        };
    }
    for path in &files {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let beside = path.with_extension("findings");
        let text = fs::read_to_string(&beside).unwrap_or_default();
        let known = read(&text);
        let mut now = found(&fs::read_to_string(path).expect("a text"));
        // Words go with level and rule, in the order of the text.
        let mut said: BTreeMap<(&str, &str), VecDeque<&str>> = BTreeMap::new();
        for row in &known {
            said.entry((&row.level, &row.rule)).or_default().push_back(&row.word);
        }
        for row in &mut now {
            let queue = said.get_mut(&(row.level.as_str(), row.rule.as_str()));
            if let Some(word) = queue.and_then(VecDeque::pop_front) {
                row.word = word.to_owned();
            }
            let fits = words.get(&row.word).is_some_and(|levels| levels.contains(&row.level));
            if !fits {
                wrong += &format!("{name}: no reason: {row}");
            }
        }
        without_error += usize::from(now.iter().all(|row| row.level != Level::Error.word()));
        let now: String = now.iter().map(Row::to_string).collect();
        if update {
            match now.is_empty() {
                true => drop(fs::remove_file(&beside)),
                false => fs::write(&beside, now).expect("a file of findings"),
            }
        } else if now != text {
            wrong += &format!("{name}: known\n{text}{name}: found\n{now}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(files.len() >= FEWEST, "{} files", files.len());
    assert!(without_error * 10 >= files.len() * 6, "{without_error} of {} pass", files.len());
}
