//! Whether a program of an image would start: found, permitted, for this machine, with its loader,
//! libraries and interpreter.

use std::collections::{BTreeMap, BTreeSet};

use super::{Judged, started};
use crate::facts::{Elf, FileFact, FileKind, ImageFacts, Program, Visible};

/// Looks at programs of one image.
pub(super) struct Start<'a> {
    facts: &'a ImageFacts,
    visible: &'a BTreeMap<&'a str, Visible<'a>>,
    user: Option<User>,
    path: Vec<String>,
}

/// Why a program does not start.
pub(super) struct Problem {
    pub(super) message: String,
    pub(super) path: String,
    pub(super) layer: Option<usize>,
    pub(super) help: &'static str,
}

// Who runs it; `None` in `Start` if that cannot be told.
struct User {
    uid: u32,
    groups: Vec<u32>,
}

/// Interpreters of interpreters that are followed, as Linux does (`BINPRM_MAX_RECURSION`).
const DEPTH: usize = 5;

impl<'a> Start<'a> {
    /// Takes an image.
    pub(super) fn new<'j: 'a>(judged: &'a Judged<'j>) -> Self {
        let facts = judged.facts;
        let (visible, path) = (judged.visible(), started::search_path(facts));
        Start { facts, visible, user: user(judged), path }
    }

    /// Returns why the program that `word` names does not start; `None` if nothing speaks against it.
    pub(super) fn problem(&self, word: &str) -> Option<Problem> {
        let path = self.find(word);
        let first = path.clone().unwrap_or_else(|| word.to_owned());
        if self.unknown(&first) {
            return None;
        }
        let Some(mut path) = path else {
            let message = format!("`{}` is in no folder of PATH", shown(word));
            return Some(absent(message, first));
        };
        // A script leads to its interpreter, which may be one.
        for _ in 0..DEPTH {
            let Some(at) = ImageFacts::resolve(self.visible, &path) else {
                let message = match path == first {
                    true => format!("`{}` is not in the image", shown(&path)),
                    false => format!("its interpreter `{}` is not in the image", shown(&path)),
                };
                return Some(match path == first {
                    true => absent(message, first),
                    false => self.at(&first, message, "install the interpreter, or mend the line"),
                });
            };
            if let Some((message, help)) = self.refused(&path, &at) {
                return Some(self.at(&path, message, help));
            }
            match at.file.program.as_deref() {
                Some(Program::Elf(elf)) => {
                    let (message, help) = self.lacks(&path, elf)?;
                    return Some(self.at(&path, message, help));
                }
                Some(Program::Script(line)) => match self.interpreter(line) {
                    Ok(next) => path = next?,
                    Err((message, help)) => {
                        return Some(self.at(&path, format!("`{}` {message}", shown(&path)), help));
                    }
                },
                None => return None,
            }
        }
        None
    }

    fn at(&self, path: &str, message: String, help: &'static str) -> Problem {
        let layer = self.visible.get(path).map(|at| at.layer);
        let end = || ImageFacts::resolve(self.visible, path).map(|at| at.layer);
        Problem { message, path: path.to_owned(), layer: layer.or_else(end), help }
    }

    // The path that a runtime would take: of those in PATH the first that may be run.
    fn find(&self, word: &str) -> Option<String> {
        if word.starts_with('/') {
            return Some(word.to_owned());
        }
        if word.contains('/') {
            let folder = self.facts.config.config.working_dir.trim_end_matches('/');
            return Some(format!("{folder}/{}", word.trim_start_matches("./")));
        }
        let candidates = || self.path.iter().map(|folder| format!("{folder}/{word}"));
        let file = |path: &String| {
            ImageFacts::resolve(self.visible, path).filter(|at| at.file.kind != FileKind::Dir)
        };
        let runs = |path: &String| file(path).is_some_and(|at| self.refused(path, &at).is_none());
        candidates().find(runs).or_else(|| candidates().find(|path| file(path).is_some()))
    }

    // What is mounted when a container starts.
    fn unknown(&self, path: &str) -> bool {
        let volumes = self.facts.config.config.volumes.iter().map(String::as_str);
        volumes
            .chain(["/proc", "/sys", "/dev"])
            .any(|top| super::context::under(path, top.trim_end_matches('/')))
    }

    fn refused(&self, path: &str, at: &Visible<'_>) -> Option<(String, &'static str)> {
        let name = shown(path);
        if at.file.kind == FileKind::Dir {
            return Some((format!("`{name}` is a folder"), "name the program in it"));
        }
        let user = self.user.as_ref()?;
        if !may_run(at.file, user) {
            let mode = at.file.mode;
            let message = format!("`{name}` (mode {mode:04o}) may not be run by the image's user");
            return Some((message, "COPY --chmod=0755, or chmod in the step that makes it"));
        }
        // Each folder on the way must let the user through.
        let mut end = 0;
        for part in path.split('/').skip(1) {
            let folder = &path[..end];
            end += 1 + part.len();
            let closed = self.visible.get(folder).is_some_and(|at| {
                at.file.kind == FileKind::Dir && user.uid != 0 && !may_run(at.file, user)
            });
            if closed {
                let message = format!("the image's user may not enter `{folder}`");
                return Some((message, "put the program where the user may go"));
            }
        }
        None
    }

    fn lacks(&self, path: &str, elf: &Elf) -> Option<(String, &'static str)> {
        let platform = self.facts.config.platform();
        let name = shown(path);
        if elf.runs_on(&platform.architecture) == Some(false) {
            let machine = elf.machine_name();
            let message = format!("`{name}` is for {machine}, the image for {platform}");
            return Some((message, "build it for the image's platform"));
        }
        let loader = elf.interpreter.as_deref()?;
        if ImageFacts::resolve(self.visible, loader).is_none() {
            let message =
                format!("`{name}` needs the loader `{}`, which is not there", shown(loader));
            let help = "link it statically, or ship on a base with that C library";
            return Some((message, help));
        }
        let musl = self.visible.keys().any(|path| path.starts_with("/lib/ld-musl-"));
        let last = |path: &str| -> usize { path.rfind('/').map_or(0, |at| at + 1) };
        let needed = elf.needed.iter().filter(|library| !(musl && of_musl(library)));
        let mut absent: BTreeSet<&str> = needed.clone().map(|path| &path[last(path)..]).collect();
        // One pass, however many they are.
        for path in self.visible.keys() {
            absent.remove(&path[last(path)..]);
        }
        let missing = needed.clone().find(|path| absent.contains(&path[last(path)..]))?;
        let message =
            format!("`{name}` needs the library `{}`, which is not there", shown(missing));
        Some((message, "copy the library too, or link statically"))
    }

    // What the first line of a script leads to; nothing more where that cannot be told.
    fn interpreter(&self, line: &str) -> Result<Option<String>, (String, &'static str)> {
        if line.ends_with('\r') {
            let text = "begins with a line that ends with a carriage return".to_owned();
            return Err((text, "store it with Unix line ends: .gitattributes `*.sh text eol=lf`"));
        }
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let Some(interpreter) = words.next().filter(|word| word.starts_with('/')) else {
            return Ok(None);
        };
        let there = ImageFacts::resolve(self.visible, interpreter).is_some();
        if !there || !interpreter.ends_with("/env") {
            return Ok(Some(interpreter.to_owned()));
        }
        // `env NAME`, and `env -S NAME ARGUMENTS`; with other flags and assignments nobody knows.
        let mut words = words.skip_while(|word| *word == "-S" || *word == "--");
        match words.next().filter(|word| !word.starts_with('-') && !word.contains(['=', '/'])) {
            None => Ok(None),
            Some(name) => match self.find(name) {
                Some(path) => Ok(Some(path)),
                None => {
                    let text =
                        format!("asks env for `{}`, which is in no folder of PATH", shown(name));
                    Err((text, "install the interpreter, or set PATH"))
                }
            },
        }
    }
}

fn absent(message: String, path: String) -> Problem {
    let help = "COPY it, or mend the path; a relative one starts at WORKDIR";
    Problem { message, path, layer: None, help }
}

// Names of libraries that musl's loader is itself (musl, `ldso/dynlink.c`, `reserved`).
fn of_musl(library: &str) -> bool {
    let Some(rest) = library.strip_prefix("lib") else { return false };
    let name = rest.split('.').next().unwrap_or("");
    rest.contains('.') && ["c", "pthread", "rt", "m", "dl", "util", "xnet"].contains(&name)
}

fn may_run(file: &FileFact, user: &User) -> bool {
    // Lists of access say more than the mode.
    if file.xattrs.iter().any(|name| name == "system.posix_acl_access") {
        return true;
    }
    let bit = match () {
        () if user.uid == 0 => 0o111,
        () if user.uid == file.uid => 0o100,
        () if user.groups.contains(&file.gid) => 0o010,
        () => 0o001,
    };
    file.mode & bit != 0
}

// The user of the config, with the groups that the image gives it.
fn user(judged: &Judged<'_>) -> Option<User> {
    let text = judged.facts.config.config.user.as_str();
    let (name, group) = text.split_once(':').unwrap_or((text, ""));
    let accounts = judged.accounts();
    let uid = match name {
        "" | "root" => 0,
        name => match name.parse() {
            Ok(uid) => uid,
            Err(_) => accounts.iter().find(|account| account.name == name)?.uid,
        },
    };
    let account = accounts.iter().find(|account| account.uid == uid);
    let file = judged.text("/etc/group").unwrap_or("");
    let mut groups = Vec::new();
    for line in file.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [title, _, gid, members] = fields.as_slice() else { continue };
        let Ok(gid) = gid.parse::<u32>() else { continue };
        let member = account.is_some_and(|own| members.split(',').any(|name| name == own.name));
        // A group that is asked for stands instead of those of the account.
        if *title == group || (group.is_empty() && member) {
            groups.push(gid);
        }
    }
    match (group, group.parse()) {
        (_, Ok(gid)) => groups.push(gid),
        ("", _) => groups.push(account.map_or(0, |account| account.gid)),
        _ => {}
    }
    Some(User { uid, groups })
}

fn shown(text: &str) -> String {
    text.escape_default().take(300).collect()
}
