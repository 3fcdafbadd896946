//! What a step did, as its processes hang together.

use std::collections::BTreeMap;

use super::audit::{Act, Started};
use crate::sys::child::End;

/// A refused call: the program, the name, what of the arguments matters.
pub(super) type DeniedCall = (Option<usize>, String, Option<String>);

/// What a step did, as its processes hang together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Deeds {
    /// The programs, in the order in which they began.
    pub programs: Vec<Ran>,
    /// Connections that were asked for: by which program, and where to.
    pub connections: Vec<(Option<usize>, String)>,
    /// Calls that were refused: by which program, which, with what of its arguments, and how often.
    /// `None` if that was not told.
    pub denied: Option<BTreeMap<DeniedCall, u64>>,
    /// Programs that were asked for in vain. `None` if that was not told.
    pub failed: Option<Vec<Failed>>,
    /// Processes that were still there when the command had ended: which program each ran.
    pub left: Vec<Option<usize>>,
    /// How many processes there were at once.
    pub most: u64,
    /// Events that were counted only: if there are any, the step was not watched in full.
    pub untold: u64,
}

/// A program that ran in a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// The file, as the step sees it.
    pub path: Vec<u8>,
    /// Its arguments.
    pub argv: Vec<Vec<u8>>,
    /// SHA-256 of the file, in hex.
    pub sha256: Option<String>,
    /// The program that started it, by its place in the list.
    pub parent: Option<usize>,
    /// Its status, or 128 and the signal.
    pub status: Option<i32>,
    /// The name by which it was asked for: of a script, that of the script.
    pub asked: Option<Vec<u8>>,
    /// Its working directory when it began.
    pub folder: Option<Vec<u8>>,
    /// The file has a set-id bit.
    pub setid: bool,
    /// What its input (0), its output (1), and descriptors among its arguments were when it began.
    pub streams: BTreeMap<u32, Vec<u8>>,
}

/// A program that could not be run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// The file; without its folder if it was looked for in several.
    pub path: Vec<u8>,
    /// The name of the error: `ENOENT`.
    pub error: String,
    /// The program that asked for it.
    pub by: Option<usize>,
    /// How the process ended that asked.
    pub status: i32,
}

/// What processes asked for and did not get, one list for each that has not ended.
type Pending = BTreeMap<u32, Vec<(Vec<u8>, String)>>;

/// Puts together what was told.
pub(super) fn deeds<'a>(acts: impl Iterator<Item = &'a Act>) -> Deeds {
    let mut deeds = Deeds::default();
    // What each process runs, and whether it was the one that began to.
    let mut runs: BTreeMap<u32, (usize, bool)> = BTreeMap::new();
    let mut pending = Pending::new();
    for act in acts {
        match act {
            Act::Tells { denied, failed } => {
                deeds.denied = denied.then(BTreeMap::new);
                deeds.failed = failed.then(Vec::new);
            }
            Act::Made { parent, child } => {
                if let Some((program, _)) = runs.get(parent).copied() {
                    let (mut first, _) = *runs.entry(*child).or_insert((program, false));
                    // It may have begun to run something before this was told.
                    while first > program
                        && let Some(before) = deeds.programs[first].parent
                    {
                        first = before;
                    }
                    if first > program {
                        deeds.programs[first].parent = Some(program);
                    }
                }
            }
            Act::Executed { pid, program } => {
                // What was looked for was found in the end.
                pending.remove(pid);
                let parent = runs.get(pid).map(|(program, _)| *program);
                runs.insert(*pid, (deeds.programs.len(), true));
                deeds.programs.push(ran(program, parent));
            }
            Act::Failed { pid, path, error } => {
                pending.entry(*pid).or_default().push((path.0.clone(), error.clone()));
            }
            Act::Connected { pid, to } => {
                let by = runs.get(pid).map(|(program, _)| *program);
                deeds.connections.push((by, to.clone()));
            }
            Act::Ended { pid, end } => {
                let status = match end {
                    End::Exited(status) => *status,
                    End::Signaled(signal) => 128 + signal,
                };
                let runs = runs.remove(pid);
                if let (Some(asked), Some((by, _)), Some(failed)) =
                    (pending.remove(pid), runs, &mut deeds.failed)
                {
                    failed.extend(in_vain(asked, by, status));
                }
                if let Some((program, true)) = runs {
                    deeds.programs[program].status = Some(status);
                }
            }
            Act::Denied { pid, call, detail } => {
                let by = runs.get(pid).map(|(program, _)| *program);
                let denied = deeds.denied.get_or_insert_default();
                *denied.entry((by, call.clone(), detail.clone())).or_default() += 1;
            }
            Act::Left { pid } => {
                deeds.left.push(runs.get(pid).map(|(program, _)| *program));
            }
            Act::Most(most) => deeds.most = *most,
            Act::More(count) => deeds.untold += count,
        }
    }
    deeds
}

fn ran(started: &Started, parent: Option<usize>) -> Ran {
    Ran {
        path: started.path.0.clone(),
        argv: started.argv.iter().map(|word| word.0.clone()).collect(),
        sha256: started.sha256.clone(),
        parent,
        status: None,
        asked: started.asked.as_ref().map(|asked| asked.0.clone()),
        folder: started.folder.as_ref().map(|folder| folder.0.clone()),
        setid: started.setid,
        streams: started.streams.iter().map(|(fd, what)| (*fd, what.0.clone())).collect(),
    }
}

// A name that was looked for in several folders was asked for once. A process that ended well had
// another way; but what is no program for the kernel may be one for a shell.
fn in_vain(asked: Vec<(Vec<u8>, String)>, by: usize, status: i32) -> Vec<Failed> {
    let name = |path: &[u8]| path.rsplit(|byte| *byte == b'/').next().unwrap_or(path).to_vec();
    let mut out: Vec<Failed> = Vec::new();
    for (path, error) in asked {
        if status == 0 && error != "ENOEXEC" {
            continue;
        }
        match out.iter_mut().find(|one| name(&one.path) == name(&path)) {
            Some(one) => {
                if one.path != path {
                    one.path = name(&path);
                }
                // That it is not in one folder says less than that it may not be run in another.
                if one.error == "ENOENT" {
                    one.error = error;
                }
            }
            None => out.push(Failed { path, error, by: Some(by), status }),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::setup::Raw;
    use super::*;

    fn program(pid: u32, path: &str) -> Act {
        let started = Started { path: Raw(path.into()), ..Started::default() };
        Act::Executed { pid, program: Box::new(started) }
    }

    #[test]
    fn what_was_asked_for_in_vain_is_told_once() {
        let failed = |pid, path: &str, error: &str| Act::Failed {
            pid,
            path: Raw(path.into()),
            error: error.into(),
        };
        let made = |child| Act::Made { parent: 1, child };
        let ended = |pid, status| Act::Ended { pid, end: End::Exited(status) };
        let acts = [
            Act::Tells { denied: false, failed: true },
            program(1, "/bin/sh"),
            made(2),
            failed(2, "/bin/curl", "ENOENT"),
            failed(2, "/usr/bin/curl", "EACCES"),
            failed(2, "/opt/curl", "ENOENT"),
            ended(2, 127),
            made(3),
            failed(3, "/bin/wget", "ENOENT"),
            program(3, "/usr/bin/wget"),
            ended(3, 1),
            made(4),
            failed(4, "/a/tool", "ENOENT"),
            ended(4, 0),
            made(5),
            failed(5, "/tmp/x", "ENOEXEC"),
            ended(5, 0),
            Act::Left { pid: 1 },
            Act::Left { pid: 9 },
            Act::Most(7),
        ];
        let deeds = deeds(acts.iter());
        let one = |path: &str, error: &str, status| Failed {
            path: path.into(),
            error: error.into(),
            by: Some(0),
            status,
        };
        assert_eq!(
            deeds.failed,
            Some(vec![one("curl", "EACCES", 127), one("/tmp/x", "ENOEXEC", 0)])
        );
        assert_eq!((deeds.denied, deeds.left, deeds.most), (None, vec![Some(0), None], 7));
    }

    #[test]
    fn a_child_that_was_faster_than_the_news_of_it_has_its_parent() {
        let program = |pid| program(pid, "x");
        let made = Act::Made { parent: 1, child: 2 };
        let parents = |acts: &[Act]| -> Vec<Option<usize>> {
            deeds(acts.iter()).programs.iter().map(|ran| ran.parent).collect()
        };
        assert_eq!(parents(&[program(1), program(2), made]), [None, Some(0)]);
        let made = Act::Made { parent: 1, child: 2 };
        let twice = [program(1), program(2), program(2), made];
        assert_eq!(parents(&twice), [None, Some(0), Some(1)]);
        let made = Act::Made { parent: 1, child: 2 };
        assert_eq!(parents(&[program(1), made, program(2)]), [None, Some(0)]);
    }

    #[test]
    fn who_runs_a_program_before_it_is_told_of_keeps_that() {
        let late = Act::Made { parent: 2, child: 3 };
        let end = Act::Ended { pid: 3, end: End::Exited(4) };
        let deeds = deeds([program(2, "/a"), program(3, "/b"), late, end].iter());
        assert_eq!(deeds.programs[1].status, Some(4));
    }

    #[test]
    fn acts_become_a_tree_of_programs() {
        let ended = |pid, status| Act::Ended { pid, end: End::Exited(status) };
        let acts = [
            program(2, "/bin/sh"),
            Act::Made { parent: 2, child: 3 },
            // A subshell, which starts one and ends without having been a program itself.
            Act::Made { parent: 3, child: 4 },
            program(4, "/bin/cat"),
            Act::Connected { pid: 4, to: "unix:/x".into() },
            Act::Tells { denied: true, failed: true },
            Act::Denied { pid: 4, call: "mount".into(), detail: None },
            Act::Denied { pid: 4, call: "mount".into(), detail: None },
            ended(4, 1),
            ended(3, 7),
            program(2, "/bin/true"),
            Act::Ended { pid: 2, end: End::Signaled(9) },
            Act::More(5),
        ];
        let deeds = deeds(acts.iter());
        let told: Vec<_> = deeds
            .programs
            .iter()
            .map(|one| (String::from_utf8_lossy(&one.path).into_owned(), one.parent, one.status))
            .collect();
        assert_eq!(
            told,
            [
                ("/bin/sh".into(), None, None),
                ("/bin/cat".into(), Some(0), Some(1)),
                ("/bin/true".into(), Some(0), Some(137)),
            ]
        );
        assert_eq!(deeds.connections, [(Some(1), "unix:/x".to_owned())]);
        assert_eq!(deeds.denied, Some([((Some(1), "mount".to_owned(), None), 2)].into()));
        assert_eq!(deeds.untold, 5);
    }
}
