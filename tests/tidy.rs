//! The project checks itself: the module table of `ARCHITECTURE.md` is the law for `crate::` paths,
//! `unsafe` stands in `sys` alone, every file says what it is for, no file grows without end, and
//! each part of the dialect has a test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(under: &Path) -> Vec<PathBuf> {
    let mut folders = vec![under.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The table's rows in order: module, what it may name.
fn table() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(top().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let rows: Vec<_> = text
        .lines()
        .skip_while(|line| !line.starts_with("| module |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let names = cells.last().expect("a last column").split(',').map(str::trim);
            (cells[0].to_owned(), names.filter(|n| !n.is_empty()).map(str::to_owned).collect())
        })
        .collect();
    assert!(rows.len() > 10, "the module table of ARCHITECTURE.md was not found");
    rows
}

/// Modules named by `crate::x` in a text; comments and strings do not count.
fn named(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or("");
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            let list = match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or("").split(',').collect(),
                None => vec![rest],
            };
            for item in list {
                let name: String =
                    item.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                found.push((number + 1, name));
            }
        }
    }
    found
}

/// Files that are compiled for tests only: a test may look at more of the crate than its module.
fn test_only(files: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).expect("readable");
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if line.trim() != "#[cfg(test)]" {
                continue;
            }
            let Some(next) = lines.peek() else { continue };
            let name = next.trim().trim_start_matches("pub(crate) ").strip_prefix("mod ");
            let Some(name) = name.and_then(|name| name.strip_suffix(';')) else { continue };
            let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
                Some("mod" | "lib" | "main") | None => file.parent().expect("a folder").to_owned(),
                Some(stem) => file.with_file_name(stem),
            };
            found.push(folder.join(format!("{name}.rs")));
            found.push(file.with_file_name(format!("{name}.rs")));
        }
    }
    found
}

fn breaches(rows: &[(String, Vec<String>)], module: &str, text: &str) -> Vec<String> {
    let position: BTreeMap<_, _> =
        rows.iter().enumerate().map(|(i, (name, _))| (name, i)).collect();
    let Some(own) = position.get(&module.to_owned()) else {
        return vec![format!("module `{module}` has no row in the table of ARCHITECTURE.md")];
    };
    let allowed = &rows[*own].1;
    let all_above = allowed.iter().any(|name| name == "all above");
    named(text)
        .into_iter()
        .filter(|(_, name)| name != module)
        .filter_map(|(line, name)| match position.get(&name) {
            None => None, // a macro at the crate's root, or `crate::Item` of the library's front
            Some(other) if other >= own => {
                Some(format!("{line}: `{module}` names `{name}`, which is below it"))
            }
            Some(_) if all_above || allowed.contains(&name) => None,
            Some(_) => Some(format!("{line}: `{module}` may not name `{name}`")),
        })
        .collect()
}

#[test]
fn modules_name_only_what_the_table_allows() {
    let rows = table();
    let src = top().join("src");
    let mut wrong = Vec::new();
    let files = rust_files(&src);
    let tests = test_only(&files);
    for file in files.iter().filter(|file| !tests.contains(file)) {
        let inside = file.strip_prefix(&src).expect("below src");
        let first =
            inside.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
        if ["lib.rs", "main.rs", "cli"].contains(&first.as_str()) {
            continue; // the binary sees only `rbuild::…`; the compiler keeps that
        }
        let text = fs::read_to_string(file).expect("readable");
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
        wrong.extend(
            breaches(&rows, &first, text).into_iter().map(|w| format!("{}:{w}", inside.display())),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_order_test_bites() {
    let rows = table();
    assert!(!breaches(&rows, "dockerfile", "use crate::policy::Rule;").is_empty());
    assert!(!breaches(&rows, "layer", "use crate::{base::Digest, store};").is_empty());
    assert!(!breaches(&rows, "nowhere", "").is_empty());
    assert!(breaches(&rows, "dockerfile", "use crate::base::Span; // crate::policy").is_empty());
}

#[test]
fn the_library_lists_the_modules_in_the_order_of_the_table() {
    let text = fs::read_to_string(top().join("src/lib.rs")).expect("src/lib.rs");
    let listed: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    let rows: Vec<_> = table().into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, rows);
}

#[test]
fn unsafe_stands_in_sys_alone() {
    let src = top().join("src");
    let mut wrong = Vec::new();
    for file in rust_files(&src) {
        let inside = file.strip_prefix(&src).expect("below src").display().to_string();
        let text = fs::read_to_string(&file).expect("readable");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let opens = code.contains("unsafe {")
                || code.contains("unsafe fn")
                || code.contains("unsafe impl");
            if opens && !inside.starts_with("sys/") {
                wrong.push(format!("{inside}:{}: unsafe code", number + 1));
            }
            if (code.contains("rustix::") || code.contains("libc::")) && !inside.starts_with("sys/")
            {
                wrong.push(format!("{inside}:{}: a system call outside `sys`", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for_and_stays_readable() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "examples"] {
        for file in rust_files(&top().join(folder)) {
            let text = fs::read_to_string(&file).expect("readable");
            let name = file.strip_prefix(top()).expect("inside").display().to_string();
            if !text.starts_with("//!") {
                wrong.push(format!("{name}: no `//!` at the top"));
            }
            let lines = text.lines().count();
            if lines > 1000 {
                wrong.push(format!("{name}: {lines} lines; split it by concern"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The words in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The flags that an instruction asks its line for: `flags.word("x")`, `duration(&mut flags, "x")`.
fn flags_of(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let code = source.split("#[cfg(test)]").next().unwrap_or("");
    for (at, _) in code.match_indices("flags") {
        let rest = &code[at + "flags".len()..];
        let call =
            [".word(", ".words(", ".switch(", ","].iter().find_map(|it| rest.strip_prefix(it));
        let name = call.and_then(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
        found.extend(name.filter(|name| !name.contains(' ')));
    }
    found
}

#[test]
fn each_part_of_the_dialect_has_a_test() {
    use rbuild::instruction::{KEYWORDS, MOUNT_KEYS, MOUNT_TYPES};
    let text = fs::read_to_string(top().join("docs/dialect.md")).expect("docs/dialect.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| what"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let listed: Vec<&str> = rows.iter().flat_map(|row| quoted(row[0])).collect();
    let mut wanted: Vec<String> = KEYWORDS.iter().map(|word| (*word).to_owned()).collect();
    wanted.extend(MOUNT_KEYS.iter().filter(|key| **key != "type").map(|key| (*key).to_owned()));
    wanted.extend(MOUNT_TYPES.iter().map(|kind| format!("type={kind}")));
    let mut flags = 0;
    for keyword in KEYWORDS {
        let file = top().join(format!("src/instruction/{}.rs", keyword.to_lowercase()));
        let source = fs::read_to_string(file).expect("each instruction has a file");
        flags += flags_of(&source).len();
        wanted.extend(flags_of(&source).iter().map(|flag| format!("{keyword} --{flag}")));
    }
    assert!(flags > 20, "{flags} flags were found in the source");
    let mut wrong: Vec<String> = wanted
        .iter()
        .filter(|word| !listed.contains(&word.as_str()))
        .map(|word| format!("`{word}` is not in the table"))
        .collect();

    let sources: String = ["src", "tests"]
        .iter()
        .flat_map(|folder| rust_files(&top().join(folder)))
        .map(|file| fs::read_to_string(file).expect("readable"))
        .collect();
    let suite = fs::read_dir(top().join("../shared/conformance/cases")).map(|cases| {
        let names = cases.flatten().map(|case| case.file_name().to_string_lossy().into_owned());
        names.collect::<Vec<_>>()
    });
    for row in &rows {
        let [what, cases, tests] = row[..] else { panic!("three columns: {row:?}") };
        if quoted(cases).chain(quoted(tests)).next().is_none() {
            wrong.push(format!("{what}: tested nowhere"));
        }
        for test in quoted(tests).filter(|test| !sources.contains(&format!("fn {test}("))) {
            wrong.push(format!("{what}: there is no test `{test}`"));
        }
        // Where it lies beside the project.
        let Ok(suite) = &suite else { continue };
        for case in quoted(cases) {
            let fits = |name: &String| match case.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == case,
            };
            if !suite.iter().any(fits) {
                wrong.push(format!("{what}: the suite has no case `{case}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
