//! Programs that run under another name: `cp /usr/bin/curl /c`, then `/c -o x …`.
//!
//! Followed are copies, links and moves of programs that fetch or that run texts, to a place that is
//! written out. What a name means is known from there on: within the text, and for whoever is handed
//! what it leaves ([`Script::leaves`]).

use std::collections::BTreeMap;

use super::tools::tools;
use super::{Arg, Command, Script};

/// Words that run a program by another name, and its own name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renames(BTreeMap<String, String>);

/// More names nobody needs.
const MOST: usize = 100;

impl Renames {
    /// Tells whether nothing has another name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn insert(&mut self, place: &str, program: &str) {
        if self.0.len() >= MOST {
            return;
        }
        let (folder, name) = place.rsplit_once('/').unwrap_or((".", place));
        // On PATH, most likely: the name alone runs it.
        if folder.ends_with("bin") {
            self.0.insert(name.to_owned(), program.to_owned());
        }
        let place = if place.contains('/') { place.to_owned() } else { format!("./{place}") };
        self.0.insert(place, program.to_owned());
    }

    fn program(&self, word: &str) -> Option<&str> {
        self.0.get(word).map(String::as_str)
    }
}

impl Script {
    /// Gives each command that runs a program by another name the program's own.
    pub fn rename(&mut self, known: &Renames) {
        let mut names = Vec::new();
        walk(self, known, |at, name| names.push((at, name.to_owned())));
        for (at, name) in names {
            self.commands[at].renamed = Some(name);
            self.commands[at].look_up();
        }
    }

    /// Returns the other names that programs have after the text, given those before it.
    pub fn leaves(&self, known: &Renames) -> Renames {
        walk(self, known, |_, _| ())
    }
}

fn walk(script: &Script, known: &Renames, mut runs: impl FnMut(usize, &str)) -> Renames {
    let mut known = known.clone();
    for (at, command) in script.commands.iter().enumerate() {
        if let Some(name) = command.argv.first().and_then(Arg::known).and_then(|w| known.program(w))
        {
            runs(at, name);
        }
        let Some((sources, to)) = moved(command) else { continue };
        for source in sources {
            let Some(program) = program(script, source, &known) else { continue };
            let place = match to.strip_suffix('/') {
                Some(folder) => format!("{folder}/{program}"),
                None => to.to_owned(),
            };
            let name = place.rsplit('/').next().unwrap_or(&place);
            // Under a name that says what it is, it is found as that.
            if !is_told(name) {
                known.insert(&place, &program);
            }
        }
    }
    known
}

// What a command copies, moves or links, and to where.
fn moved(command: &Command) -> Option<(Vec<&Arg>, &str)> {
    if !matches!(command.argv.first()?.name()?, "cp" | "mv" | "ln" | "install") {
        return None;
    }
    let mut operands: Vec<&Arg> =
        command.args().iter().filter(|arg| !arg.text.starts_with('-')).collect();
    let to = operands.pop()?.known()?;
    Some((operands, to))
}

// The program that a word names, if it is one of those that matter.
fn program(script: &Script, source: &Arg, known: &Renames) -> Option<String> {
    if let Some(word) = source.known() {
        if let Some(program) = known.program(word) {
            return Some(program.to_owned());
        }
        let name = word.rsplit('/').next().unwrap_or(word);
        return (word.contains("bin/") && is_told(name)).then(|| name.to_owned());
    }
    // `$(which curl)`, `$(command -v curl)`
    let tells = |command: &&Command| matches!(command.name(), Some("which" | "command" | "type"));
    let mut feeders = script.commands.iter().filter(tells);
    let feeder = feeders.find(|command| command.feeds.iter().any(|p| source.from.contains(p)))?;
    let name = feeder.args().last()?.known()?;
    is_told(name).then(|| name.to_owned())
}

fn is_told(name: &str) -> bool {
    tools().interpreter(name).is_some() || tools().is_fetcher(name)
}

/// Tells whether a text may give a program another name: a look that costs little.
pub fn may_rename(text: &str) -> bool {
    ["cp ", "mv ", "ln ", "install "].iter().any(|word| text.contains(word))
        && (text.contains("bin/") || text.contains("which ") || text.contains("command -v "))
}
