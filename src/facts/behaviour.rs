//! What a step did while it ran: which programs, started by whom, with which end; whom they connected
//! to. Rules of the moment *behaviour* read this.
//!
//! What was not watched is not told as "nothing happened": it is [`Observed::Skipped`], with the cause,
//! and a rule that needs it is skipped as well, never passed.

use serde::{Deserialize, Serialize};

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
    /// Calls that were refused as such: mounts, namespaces, modules, keys and the like. `None` where the
    /// host could not tell.
    #[serde(default)]
    pub denied: Option<Vec<Denied>>,
    /// Events beyond the limit, which are counted only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub untold: u64,
}

/// A program that ran.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
    /// The program that asked, by its place in the list of programs.
    pub by: Option<usize>,
    /// How often.
    pub count: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Behaviour {
    /// The kind under which the store keeps it with a layer.
    pub const KIND: &str = "behaviour-1";

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

    /// Returns it as bytes for the store.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers")
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(path: &str, parent: Option<usize>) -> Executed {
        Executed { path: path.into(), argv: Vec::new(), sha256: None, parent, status: Some(0) }
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
        assert_eq!(Behaviour::from_bytes(&behaviour.to_bytes()), Some(behaviour));
    }
}
