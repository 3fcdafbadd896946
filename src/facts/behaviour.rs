//! What a step did while it ran: which programs, started by whom, with which end; whom they connected
//! to; what they asked for in vain. Rules of the moment *behaviour* read this.
//!
//! What was not watched is not told as "nothing happened": it is [`Observed::Skipped`], with the cause,
//! and a rule that needs it is skipped as well, never passed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::hooks::Hook;

/// All that is known of how one step went.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Conduct {
    /// Its programs, connections and calls; `None` if nobody asked.
    pub seen: Option<Observed>,
    /// Lines of its output in which a secret stood, in this build. They were masked.
    #[serde(skip)]
    pub printed: u64,
    /// Programs of which its shells said that they are not there.
    pub missing: BTreeSet<String>,
    /// Files it wrote through which a loader, an interpreter or a shell takes code of others; `None`
    /// if that is not known.
    pub hooks: Option<Vec<Hook>>,
    /// What it used; `None` if that is not known.
    pub used: Option<Used>,
    /// What a second run of it left otherwise; `None` if there was none.
    pub varying: Option<Vec<Varying>>,
}

/// A file that two runs of one step have left otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Varying {
    /// Its path; empty if it is the end of the step.
    pub path: String,
    /// What of it.
    pub how: Varies,
}

/// What of a file differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Varies {
    /// It is there after one run only: its name has a number or a time in it.
    Name,
    /// What is in it.
    Content,
    /// Owner, mode, kind or attributes.
    Attributes,
    /// Its time, where times are kept.
    Time,
    /// The step itself failed the second time.
    End,
}

/// What a step used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Used {
    /// Milliseconds of processor time.
    pub cpu: u64,
    /// Milliseconds that it took.
    pub wall: u64,
    /// Bytes of memory of its largest process.
    pub memory: u64,
    /// Bytes that it wrote to disks.
    pub written: u64,
}

/// What is known of the behaviour of one step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Observed {
    /// It was watched from its first program to the end of its last.
    Watched(Behaviour),
    /// It was not watched; why.
    Skipped(String),
}

/// What one step did. Arguments and paths have no secrets in them: they were masked.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Behaviour {
    /// The programs, in the order in which they began.
    pub execs: Vec<Executed>,
    /// The connections that were asked for, in order.
    pub connects: Vec<Connected>,
    /// Calls that were refused as such: mounts, namespaces, modules, keys and the like. `None` where
    /// the host could not tell.
    pub denied: Option<Vec<Denied>>,
    /// Programs that were asked for in vain. `None` where the host could not tell.
    pub failed: Option<Vec<Failed>>,
    /// Processes that were still there when the command had ended: which program each ran, by its
    /// place in the list.
    pub left: Vec<Option<usize>>,
    /// How many processes there were at once.
    pub processes: u64,
    /// Of the files that arguments and streams of programs name, those that the step wrote and that
    /// are there at its end.
    pub remains: BTreeSet<String>,
    /// Events beyond the limit, which are counted only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub untold: u64,
}

/// A program that ran.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Executed {
    /// The file, as the step sees it: for a script its interpreter.
    pub path: String,
    /// Its arguments, the first few thousand bytes of them.
    pub argv: Vec<String>,
    /// SHA-256 of the file that ran; `None` if it could not be read.
    pub sha256: Option<String>,
    /// The program that started it, by its place in the list.
    pub parent: Option<usize>,
    /// How it ended: the status, or 128 and the signal; `None` if another program took its place, or it
    /// was still running when the step ended.
    pub status: Option<i32>,
    /// The name by which it was asked for: of a script, that of the script.
    pub asked: Option<String>,
    /// Its working directory when it began.
    pub folder: Option<String>,
    /// The file has a set-id bit.
    pub setid: bool,
    /// Where the file (of a script the script) comes from.
    pub whence: Whence,
    /// What its input (0), its output (1), and descriptors among its arguments were when it began: a
    /// path, `pipe:[7]`, `socket:[8]`, `inet:[9]`.
    pub streams: BTreeMap<u32, String>,
}

/// Where a file that ran comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whence {
    /// It was there before the step.
    Layers,
    /// The step made or changed it.
    Step,
    /// It lies in memory alone, or has no name any more.
    Memory,
    /// It lies in something that was mounted for the step.
    Mount,
    /// That is not known.
    #[default]
    Unknown,
}

/// A connection that was asked for. The address was read before the kernel read it: a note, no proof.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Connected {
    /// Where to: `192.0.2.1:443`, `[::1]:53`, `unix:/run/x`.
    pub addr: String,
    /// The program that asked, by its place in the list of programs.
    pub by: Option<usize>,
}

/// A system call that was refused, whatever it was asked to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Denied {
    /// Its name: `mount`, `bpf`.
    pub syscall: String,
    /// What of its arguments matters: `NEWUSER|NEWNS`, `TRACEME`.
    pub detail: Option<String>,
    /// The program that asked, by its place in the list of programs.
    pub by: Option<usize>,
    /// How often.
    pub count: u64,
}

/// A program that was asked for in vain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failed {
    /// The file; without its folder if it was looked for in several.
    pub path: String,
    /// The name of the error: `ENOENT`, `EACCES`, `ENOEXEC`.
    pub error: String,
    /// The program that asked, by its place in the list of programs.
    pub by: Option<usize>,
    /// How the process ended that asked.
    pub status: i32,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Conduct {
    /// The kind under which the store keeps it with a layer, followed by the key of the step.
    pub const KIND: &str = "conduct-1";

    /// Returns it as bytes for the store.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers")
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Takes a line of what a step wrote as its errors: a shell may say in it that a program is not
    /// there.
    pub fn hear(&mut self, line: &[u8]) {
        if self.missing.len() < MOST_MISSING
            && line.len() < 1000
            && line.contains(&b':')
            && let Ok(line) = std::str::from_utf8(line)
            && let Some(name) = not_found(line)
        {
            self.missing.insert(name.to_owned());
        }
    }
}

const MOST_MISSING: usize = 100;

// `/bin/sh: 1: curl: not found` (dash), `sh: curl: not found` (busybox),
// `/bin/bash: line 1: curl: command not found`, `zsh:1: command not found: curl`.
fn not_found(line: &str) -> Option<&str> {
    let is_shell = |text: &str| {
        let name = text.rsplit('/').next().unwrap_or(text);
        matches!(name, "sh" | "ash" | "bash" | "dash" | "zsh" | "ksh" | "mksh" | "busybox")
    };
    let is_line = |text: &str| {
        let number = text.strip_prefix("line ").unwrap_or(text);
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_name = |text: &str| {
        !text.is_empty() && text.len() < 256 && !text.contains(|c: char| c.is_whitespace())
    };
    let line = line.trim();
    if let Some((shell, name)) = line.split_once(": command not found: ") {
        let (shell, number) = shell.split_once(':').unwrap_or((shell, "1"));
        return (is_shell(shell) && is_line(number) && is_name(name)).then_some(name);
    }
    let rest = line.strip_suffix(": command not found").or(line.strip_suffix(": not found"))?;
    let (before, name) = rest.rsplit_once(": ")?;
    let from_shell = match before.rsplit_once(": ") {
        Some((_, number)) if is_line(number) => true,
        _ => is_shell(before),
    };
    (from_shell && is_name(name)).then_some(name)
}

impl Behaviour {
    /// Returns the programs above one, nearest first.
    pub fn chain(&self, index: usize) -> Vec<&Executed> {
        let mut chain = Vec::new();
        let mut at = self.execs.get(index).and_then(|program| program.parent);
        // Each stands before what it started; anything else is no chain.
        let mut last = index;
        while let Some(parent) = at.filter(|parent| *parent < last) {
            let Some(program) = self.execs.get(parent) else { break };
            chain.push(program);
            last = parent;
            at = program.parent;
        }
        chain
    }
}

impl Executed {
    /// Returns the script that the kernel gave to this interpreter, as it was named.
    pub fn script(&self) -> Option<&str> {
        let asked = self.asked.as_deref()?;
        let given = self.argv.iter().skip(1).take(2).any(|word| word == asked);
        (given && asked != self.path).then_some(asked)
    }

    /// Returns the name of the program: the last part of what it was called by, else of the file.
    pub fn name(&self) -> &str {
        let called = self.argv.first().map_or(self.path.as_str(), String::as_str);
        let name = called.rsplit('/').next().unwrap_or(called);
        let name = name.strip_prefix('-').unwrap_or(name);
        if name.is_empty() { &self.path } else { name }
    }

    /// Returns the name of the script that it runs, else its own.
    pub fn called(&self) -> &str {
        match self.script() {
            Some(script) => script.rsplit('/').next().unwrap_or(script),
            None => self.name(),
        }
    }

    /// Returns a path among its arguments from the root, without `.` and `..`.
    pub fn absolute(&self, path: &str) -> Option<String> {
        if path.is_empty() {
            return None;
        }
        let full = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("{}/{path}", self.folder.as_deref()?),
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in full.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        Some(format!("/{}", parts.join("/")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(path: &str, parent: Option<usize>) -> Executed {
        Executed { path: path.into(), parent, status: Some(0), ..Executed::default() }
    }

    #[test]
    fn the_chain_goes_to_the_top_and_ends() {
        let execs = vec![
            program("/bin/sh", None),
            program("/usr/bin/make", Some(0)),
            program("/usr/bin/cc", Some(1)),
            program("/loop", Some(3)),
        ];
        let behaviour = Behaviour { execs, ..Behaviour::default() };
        let names = |index| -> Vec<&str> {
            behaviour.chain(index).iter().map(|program| program.path.as_str()).collect()
        };
        assert_eq!(names(2), ["/usr/bin/make", "/bin/sh"]);
        assert!(names(0).is_empty() && names(3).is_empty() && names(9).is_empty());
        let conduct = Conduct { seen: Some(Observed::Watched(behaviour)), ..Conduct::default() };
        assert_eq!(Conduct::from_bytes(&conduct.to_bytes()), Some(conduct));
    }

    #[test]
    fn shells_say_what_is_not_there() {
        for (line, want) in [
            ("/bin/sh: 1: curl: not found", Some("curl")),
            ("/bin/sh: curl: not found", Some("curl")),
            ("sh: line 12: ./tool: not found", Some("./tool")),
            ("./setup.sh: line 3: foo: command not found", Some("foo")),
            ("/bin/bash: line 1: curl: command not found", Some("curl")),
            ("zsh:1: command not found: curl", Some("curl")),
            ("make: cc: not found", None),
            ("error: package x: not found", None),
            ("sh: two words: not found", None),
            (": not found", None),
        ] {
            assert_eq!(not_found(line), want, "{line}");
        }
    }

    #[test]
    fn paths_and_scripts_of_programs() {
        let script = Executed {
            path: "/bin/dash".into(),
            argv: vec!["/bin/sh".into(), "-e".into(), "./x.sh".into(), "a".into()],
            asked: Some("./x.sh".into()),
            folder: Some("/tmp/w".into()),
            ..Executed::default()
        };
        assert_eq!(script.script(), Some("./x.sh"));
        assert_eq!((script.name(), script.called()), ("sh", "x.sh"));
        assert_eq!(script.absolute("../a/./b").as_deref(), Some("/tmp/a/b"));
        assert_eq!(script.absolute("/../x").as_deref(), Some("/x"));
        let applet = Executed { asked: Some("/bin/sh".into()), ..script };
        assert_eq!(applet.script(), None);
    }
}
