//! `.dockerignore`: which paths of a context are left out. The rules are moby's (its packages
//! `patternmatcher` and `ignorefile`), which are neither those of git nor those of Go's
//! `filepath.Match`.
//!
//! A pattern that matches a folder excludes what is below it; a later `!` pattern brings back.
//! `**` crosses slashes, also none; at the end of a pattern it matches what is below, at the start
//! a name at any depth. Matching takes time in the order of pattern times path, the folders above the
//! path included.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::Error;
use super::glob::Glob;
use super::pattern::{Asker, Matcher, Progress};
use crate::base::ImagePath;
use crate::sys::{Follow, Root};

/// Bytes that an ignore file may have.
pub const LIMIT: u64 = 10 << 20;

/// The patterns of an ignore file, or of `--exclude`, in order.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
    file: Option<String>,
}

/// The pattern that decides about a path: the last one that matches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The ignore file, as people are told of it, if it has a name.
    pub file: Option<String>,
    /// Its line there, from 1; 0 if it is none of the file.
    pub line: usize,
    /// As written.
    pub pattern: String,
    /// Whether it leaves out; otherwise it brings back.
    pub excludes: bool,
    /// The path itself, or the folder above it that the pattern matched.
    pub matched: ImagePath,
}

impl std::fmt::Display for Rule {
    /// Writes the place; of what was left out without a pattern, why.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{file}:{}", self.line),
            None if self.line > 0 => write!(f, "line {} of the ignore file", self.line),
            None => f.write_str(&self.pattern),
        }
    }
}

/// Why a pattern is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad pattern `{pattern}`{line}: {reason}")]
pub struct PatternError {
    /// As written.
    pub pattern: String,
    /// Empty, or where: ` on line 3`.
    pub line: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Which patterns matched a folder: what is asked again for what is below it.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdict {
    pub(super) matched: Vec<bool>,
    /// Whether the path is excluded.
    pub(super) excluded: bool,
    /// How far the patterns have read.
    pub(super) progress: Progress,
}

#[derive(Debug, Clone)]
struct Pattern {
    brings_back: bool,
    matcher: Matcher,
    line: usize,
    text: String,
}

impl Ignore {
    /// Parses an ignore file.
    pub fn parse(text: &[u8]) -> Result<Ignore, PatternError> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut ignore = Ignore::default();
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if line.first() == Some(&b'#') {
                continue;
            }
            let line = line.trim_ascii();
            let (brings_back, pattern) = match line.strip_prefix(b"!") {
                Some(rest) => (true, rest.trim_ascii()),
                None => (false, line),
            };
            if line.is_empty() {
                continue;
            }
            let mut pattern = if pattern.is_empty() { Vec::new() } else { clean(pattern) };
            if pattern.len() > 1 && pattern[0] == b'/' {
                pattern.remove(0);
            }
            let text = String::from_utf8_lossy(line);
            ignore.add(brings_back, &pattern, number + 1, &text).map_err(|reason| {
                PatternError {
                    pattern: text.clone().into_owned(),
                    line: format!(" on line {}", number + 1),
                    reason,
                }
            })?;
        }
        Ok(ignore)
    }

    /// Takes patterns one by one, as `--exclude` has them.
    pub fn from_patterns(patterns: &[String]) -> Result<Ignore, PatternError> {
        let mut ignore = Ignore::default();
        for (number, text) in patterns.iter().enumerate() {
            let pattern = text.trim();
            if pattern.is_empty() {
                continue;
            }
            let cleaned = clean(pattern.as_bytes());
            let (brings_back, pattern) = match cleaned.strip_prefix(b"!") {
                Some(rest) => (true, rest),
                None => (false, cleaned.as_slice()),
            };
            ignore.add(brings_back, pattern, number + 1, text).map_err(|reason| PatternError {
                pattern: text.clone(),
                line: String::new(),
                reason,
            })?;
        }
        Ok(ignore)
    }

    /// Finds and reads the ignore file of a context: `<Dockerfile>.dockerignore` beside the
    /// Dockerfile if there is one, else `.dockerignore` at the top of the context. Returns its
    /// name too; an absent file is `None`.
    pub fn find(
        context: &Root,
        dockerfile: Option<&Path>,
    ) -> Result<Option<(PathBuf, Ignore)>, Error> {
        let mut found = None;
        if let Some(dockerfile) = dockerfile {
            let mut name = dockerfile.as_os_str().to_owned();
            name.push(".dockerignore");
            let path = PathBuf::from(name);
            // Named by the command line, so it may lie anywhere, as the Dockerfile may.
            match std::fs::File::open(&path) {
                Ok(file) => found = Some((path, file)),
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(read_error(&path, error)),
            }
        }
        if found.is_none() {
            let path = ImagePath::from_entry(b".dockerignore").expect("a clean path");
            match context.open(&path, Follow::InRoot) {
                Ok(file) => found = Some((PathBuf::from(".dockerignore"), file)),
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(read_error(Path::new(".dockerignore"), error)),
            }
        }
        let Some((path, file)) = found else { return Ok(None) };
        let mut text = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut text).map_err(|error| read_error(&path, error))?;
        if text.len() as u64 > LIMIT {
            return Err(Error::TooLarge { path: path.display().to_string(), limit: LIMIT });
        }
        let ignore = Ignore::parse(&text)?.named(path.display().to_string());
        Ok(Some((path, ignore)))
    }

    /// Says what the file is called, for [`Rule`].
    #[must_use]
    pub fn named(mut self, file: impl Into<String>) -> Ignore {
        self.file = Some(file.into());
        self
    }

    fn add(
        &mut self,
        brings_back: bool,
        pattern: &[u8],
        line: usize,
        text: &str,
    ) -> Result<(), &'static str> {
        if pattern.is_empty() {
            return Err("there is nothing behind the `!`");
        }
        if Glob::parse(pattern).is_none() {
            return Err("syntax error in pattern");
        }
        let matcher = Matcher::new(pattern);
        self.patterns.push(Pattern { brings_back, matcher, line, text: text.to_owned() });
        Ok(())
    }

    /// Leaves out one path more, with what is below it, whatever the patterns say. `why` stands in
    /// for the pattern in a [`Rule`].
    pub fn leave_out(&mut self, path: &ImagePath, why: &str) {
        if path.is_root() {
            return;
        }
        let matcher = Matcher::Exact(path.relative().to_vec());
        self.patterns.push(Pattern { brings_back: false, matcher, line: 0, text: why.to_owned() });
    }

    /// Tells whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Tells whether a pattern brings back what another excludes: then an excluded folder may hold
    /// something that is not.
    pub fn brings_back(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.brings_back)
    }

    /// Tells whether the path is excluded, by itself or by a folder above it.
    pub fn excludes(&self, path: &ImagePath) -> bool {
        self.judge_all(path, |_, _| ()).excluded
    }

    /// Returns the pattern that decides about the path; `None` if no pattern says anything of it.
    pub fn rule(&self, path: &ImagePath) -> Option<Rule> {
        // After how many bytes of the path each pattern began to match.
        let mut since: Vec<Option<usize>> = vec![None; self.patterns.len()];
        let verdict = self.judge_all(path, |end, verdict| {
            for (since, matched) in since.iter_mut().zip(&verdict.matched) {
                *since = matched.then(|| since.unwrap_or(end));
            }
        });
        let last = verdict.matched.iter().rposition(|matched| *matched)?;
        let pattern = &self.patterns[last];
        Some(Rule {
            file: self.file.clone().filter(|_| pattern.line > 0),
            line: pattern.line,
            pattern: pattern.text.clone(),
            excludes: !pattern.brings_back,
            matched: ImagePath::from_entry(&path.relative()[..since[last]?]).ok()?,
        })
    }

    /// Judges a path from the top. `seen` gets the verdict on each folder on the way, and on the path,
    /// with where it ends.
    pub(super) fn judge_all(
        &self,
        path: &ImagePath,
        mut seen: impl FnMut(usize, &Verdict),
    ) -> Verdict {
        let mut verdict = Verdict::default();
        let path = path.relative();
        if path.is_empty() {
            return verdict;
        }
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for end in slashes.map(|(at, _)| at).chain([path.len()]) {
            // One folder at a time is kept, so as much as there is.
            verdict = self.judge_with(&path[..end], &verdict, usize::MAX);
            seen(end, &verdict);
        }
        verdict
    }

    /// Judges `path` (without leading slash), given the verdict on the folder that holds it.
    pub(super) fn judge(&self, path: &[u8], parent: &Verdict) -> Verdict {
        self.judge_with(path, parent, Progress::KEPT)
    }

    fn judge_with(&self, path: &[u8], parent: &Verdict, kept: usize) -> Verdict {
        let mut asker = Asker::new(path, &parent.progress, kept);
        let mut all = Vec::with_capacity(self.patterns.len());
        let mut excluded = false;
        for (number, pattern) in self.patterns.iter().enumerate() {
            let mut matched = parent.matched.get(number).copied().unwrap_or(false);
            // A pattern that could change nothing is not looked at, and counts as not matched for
            // what is below, too: moby's order of asking is part of its meaning.
            if !matched && pattern.brings_back == excluded {
                matched = asker.matches(number, &pattern.matcher);
            } else if !matched {
                asker.pass(number);
            }
            all.push(matched);
            if matched {
                excluded = !pattern.brings_back;
            }
        }
        Verdict { matched: all, excluded, progress: asker.finish() }
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

fn read_error(path: &Path, source: std::io::Error) -> Error {
    Error::Io { what: "read", path: path.display().to_string(), source }
}

/// Go's `filepath.Clean`: empty, `.` and `x/..` components go; nothing is left as `.`.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => {
                parts.pop();
            }
            b".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    match (rooted, joined.is_empty()) {
        (true, _) => [b"/", joined.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::STEPS;
    use super::*;

    fn check(patterns: &str, path: &str) -> String {
        match Ignore::parse(patterns.as_bytes()) {
            Ok(ignore) => {
                let path = ImagePath::from_entry(path.as_bytes()).unwrap();
                ignore.excludes(&path).to_string()
            }
            Err(error) => error.reason.to_string(),
        }
    }
    /// Excludes a path as it is, also one that an image cannot have.
    fn excludes(ignore: &Ignore, path: &str) -> bool {
        // However much is kept of the folders above.
        let answers = [0, 3, usize::MAX].map(|kept| {
            let mut verdict = Verdict::default();
            for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
                verdict = ignore.judge_with(&path.as_bytes()[..end], &verdict, kept);
            }
            verdict.excluded
        });
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{path}: {answers:?}");
        answers[0]
    }

    /// The table recorded from the original, where `RBUILD_MATCHING` names its folder: blocks of `P`
    /// (a line of the pattern file) and `F` (a path), and for each path its number and answer.
    #[test]
    fn agrees_with_the_recorded_table() {
        let Some(folder) = std::env::var_os("RBUILD_MATCHING") else {
            return crate::base::skipped("the recorded table", "RBUILD_MATCHING names no folder");
        };
        let read = |name: &str| std::fs::read_to_string(Path::new(&folder).join(name)).unwrap();
        let (cases, expected) = (read("dockerignore-cases.txt"), read("dockerignore-expected.txt"));
        let mut answers = expected.lines();
        let (mut wrong, mut asked) = (Vec::new(), 0);
        for (at, block) in cases.split("---\n").enumerate() {
            let lines =
                |kind: &'static str| block.lines().filter_map(move |line| line.strip_prefix(kind));
            let patterns: Vec<String> = lines("P ").map(str::to_owned).collect();
            let text = patterns.join("\n") + "\n";
            for path in lines("F ") {
                asked += 1;
                let given = |found: Result<Ignore, PatternError>| match found {
                    Ok(ignore) => excludes(&ignore, path).to_string(),
                    Err(_) => "ERR".to_owned(),
                };
                let found = given(Ignore::parse(text.as_bytes()));
                let line = format!("{}\t{path}\t{found}", at + 1);
                let want = answers.next().unwrap_or("nothing");
                // A list has no comments, blanks or byte order mark to be taken away, and a leading
                // slash means itself in it: reading the file drops that, as in the original.
                let is_plain = |one: &String| {
                    one.trim() == one && !one.starts_with(['#', '\u{feff}', '/']) && !one.is_empty()
                };
                let as_list = given(Ignore::from_patterns(&patterns));
                if line != want || (patterns.iter().all(is_plain) && as_list != found) {
                    wrong.push(format!("{line}, as a list {as_list}, instead of {want}"));
                }
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
        assert!(asked >= 100 && answers.next().is_none(), "{asked}");
    }

    #[test]
    fn agrees_with_moby() {
        // Answers of moby's own matcher: pattern file, excluded, not excluded. Neither: an error.
        #[rustfmt::skip]
        let table: &[(&str, &[&str], &[&str])] = &[
            ("*.md", &["README.md"], &["docs/README.md"]),
            ("foo", &["foo", "foo/bar"], &["a/foo"]),
            ("/foo", &["foo"], &["a/foo"]),
            ("foo/", &["foo", "foo/x"], &[]),
            ("**/foo", &["foo", "a/foo", "a/b/foo/c"], &[]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &[]),
            ("a/**", &["a/x"], &["a"]),
            ("*\n!keep", &["other"], &["keep", "keep/x"]),
            ("dir\n!dir/keep.txt", &["dir/other.txt", "dir"], &["dir/keep.txt"]),
            ("dir/*\n!dir/sub/keep", &["dir/sub/x"], &["dir/sub/keep"]),
            ("*.go\n!main.go", &["x.go"], &["main.go", "sub/x.go"]),
            ("[a-c].txt", &["a.txt"], &["d.txt"]),
            ("[^a-c].txt", &["d.txt"], &["a.txt"]),
            ("[!a-c].txt", &["a.txt", "!.txt"], &["d.txt"]),
            ("a?b", &["axb", "aéb"], &["a/b"]),
            ("\\*.txt", &["*.txt"], &["a.txt"]),
            ("# comment\n#foo", &[], &["#foo", "foo"]),
            ("  spaced  ", &["spaced"], &["  spaced  "]),
            ("trailing\\ ", &[], &[]),
            ("{a,b}.txt", &["{a,b}.txt"], &["a.txt"]),
            ("./foo", &["foo"], &[]),
            ("../foo", &["../foo"], &["foo"]),
            ("foo/../bar", &["bar"], &["foo/bar"]),
            ("a//b", &["a/b"], &[]),
            (".", &[], &["foo"]),
            ("**", &["foo", "a/b"], &[]),
            ("**/*.pyc", &["a.pyc", "x/y/a.pyc"], &[]),
            ("foo**", &["foobar", "foo/bar", "foo"], &[]),
            ("**foo", &["xfoo", "a/xfoo"], &[]),
            ("a**b", &["ab", "a/b", "a/x/b"], &["axb"]),
            ("*.*", &["a.b"], &["ab", "d/a.b"]),
            ("!", &[], &[]),
            ("!a", &[], &["a"]),
            ("[", &[], &[]),
            ("[]a]", &[], &[]),
            ("[a-]", &[], &[]),
            ("A.txt", &[], &["a.txt"]),
            (".*", &[".git", ".git/config"], &["a"]),
            ("*/temp*", &["a/temp", "a/tempdir/x"], &["a/b/temp", "temp"]),
            ("*/*/temp*", &["a/b/temp"], &["a/temp"]),
            ("temp?", &["tempa"], &["temp", "tempab"]),
            ("\\#x", &["#x"], &[]),
            ("\\!x", &["!x"], &[]),
            ("foo/**/", &["foo/a"], &["foo"]),
            ("**/", &["a/b", "a"], &[]),
            ("**/.git\n!sub/.git", &[".git/config", "x/.git"], &["sub/.git/config"]),
            ("a\n!a\na/b", &["a/b"], &["a/c", "a"]),
            ("a/b/*\n!a/b/c\na/b/c/d", &["a/b/c/d", "a/b/x"], &["a/b/c", "a/b/c/e"]),
            ("\u{feff}bom", &["bom"], &[]),
        ];
        for (patterns, excluded, kept) in table {
            let ignore = match Ignore::parse(patterns.as_bytes()) {
                Ok(ignore) => ignore,
                Err(error) => {
                    assert!(excluded.is_empty() && kept.is_empty(), "{patterns:?}: {error}");
                    continue;
                }
            };
            assert!(!(excluded.is_empty() && kept.is_empty()), "{patterns:?} was taken");
            for path in *excluded {
                assert!(excludes(&ignore, path), "{patterns:?} keeps {path:?}");
            }
            for path in *kept {
                assert!(!excludes(&ignore, path), "{patterns:?} excludes {path:?}");
            }
        }
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let text = "# logs\n*.log\n!keep.log\n\n dir/ \n!dir/in\n";
        let mut ignore = Ignore::parse(text.as_bytes()).unwrap().named(".dockerignore");
        let out = ImagePath::from_entry(b"out/image").unwrap();
        ignore.leave_out(&out, "the output");
        for (path, want) in [
            ("a.log", ".dockerignore:2 *.log true /a.log"),
            ("keep.log", ".dockerignore:3 !keep.log false /keep.log"),
            ("dir/a/b", ".dockerignore:5 dir/ true /dir"),
            ("dir/in/b", ".dockerignore:6 !dir/in false /dir/in"),
            ("out/image/x", "the output the output true /out/image"),
            ("src", "none"),
        ] {
            let path = ImagePath::from_entry(path.as_bytes()).unwrap();
            let rule = ignore.rule(&path);
            let told = rule.as_ref().map_or("none".to_owned(), |rule| {
                format!("{rule} {} {} {}", rule.pattern, rule.excludes, rule.matched)
            });
            assert_eq!(told, want, "{path}");
            assert_eq!(rule.is_some_and(|rule| rule.excludes), ignore.excludes(&path), "{path}");
        }
    }

    #[test]
    fn lines() {
        for (patterns, path, want) in [
            ("\u{feff}*.md\r\n.git\r\n", ".git/config", "true"),
            ("   *.md   \n\t.git\n", "a.md", "true"),
            ("*\n!*.txt\n!d/g\n**/h*\n", "d/g/h.md", "true"),
            ("*\n!*.txt\n!d/g\n**/h*\n", "d/g", "false"),
            ("c\\.txt", "c.txt", "true"),
            ("x\n!", "x", "there is nothing behind the `!`"),
        ] {
            assert_eq!(check(patterns, path), want, "{patterns:?} {path}");
        }
    }

    /// How many steps the patterns take to judge a path as `judge` says.
    fn steps(judge: impl FnOnce()) -> usize {
        STEPS.set(0);
        judge();
        STEPS.get()
    }

    #[test]
    fn a_path_is_read_once_for_all_folders_above_it() {
        // Found by fuzzing: 860 bytes of pattern, asked about each of 134 folders from its start.
        let ignore = Ignore::parse(("**/a*".repeat(171) + "**/b").as_bytes()).unwrap();
        let path = |folders| ImagePath::from_entry("aa/".repeat(folders).as_bytes()).unwrap();
        let (whole, twice) = (path(134), path(268));
        let [one, two] = [&whole, &twice].map(|path| steps(|| assert!(!ignore.excludes(path))));
        // Each item of the pattern, inside and behind it, at each character.
        assert!(one > 134 && one <= 2 * 860 * whole.relative().len(), "{one}");
        assert!(two <= 2 * 2 * 860 * whole.relative().len() + 860, "{two}");
        assert_eq!(one, steps(|| assert!(ignore.rule(&whole).is_none())));
    }

    #[test]
    fn what_lies_in_a_folder_is_read_by_its_name() {
        let ignore = Ignore::parse(b"**/a/**/b*c\n**/x?z\n!q/**/r[0-9]").unwrap();
        let folder = ImagePath::from_entry("a/".repeat(1000).as_bytes()).unwrap();
        let above = ignore.judge_all(&folder, |_, _| ());
        let file = folder.join(b"bbb").unwrap();
        let judged = steps(|| assert!(!ignore.judge(file.relative(), &above).excluded));
        // Two patterns with a few ways each; the third could not change a thing.
        assert!((1..=4 * 2 * 8).contains(&judged), "{judged}");
    }

    #[test]
    fn many_patterns_and_folders_keep_little() {
        let ignore = Ignore::parse("**/a*b\n".repeat(20_000).as_bytes()).unwrap();
        let above = ignore.judge(b"a", &Verdict::default());
        assert!(above.progress.len() <= Progress::KEPT, "{}", above.progress.len());
        assert!(above.progress.len() > Progress::KEPT - 10, "{}", above.progress.len());
    }

    #[test]
    fn many_stars_take_little_time() {
        let ignore = Ignore::parse("**/a*".repeat(200).as_bytes()).unwrap();
        assert!(!excludes(&ignore, &"a".repeat(250)));
    }
}
