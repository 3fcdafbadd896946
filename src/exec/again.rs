//! Running a step a second time (`--verify`), and what came out otherwise.

use std::collections::BTreeMap;
use std::io::Read;

use super::{Cause, Failure, Times};
use crate::base::ImagePath;
use crate::facts::{Behaviour, Conduct, Executed, Observed, Used, Varies, Varying};
use crate::layer::{Entry, EntryKind};
use crate::rootfs::Change;

/// Files that are named; more are not.
const MOST: usize = 100;

/// Bytes that are compared at once.
const PIECE: usize = 64 << 10;

/// Returns what two runs of a step have left otherwise, and how much it is in all.
pub(super) fn varying(
    first: &[Change],
    second: &[Change],
    times: Times,
) -> Result<(Vec<Varying>, usize), Failure> {
    let mut others: BTreeMap<&ImagePath, &Change> =
        second.iter().map(|change| (&change.entry.path, change)).collect();
    let mut found: BTreeMap<&ImagePath, Varies> = BTreeMap::new();
    for change in first {
        let path = &change.entry.path;
        let how = match others.remove(path) {
            None => Some(Varies::Name),
            Some(other) => differ(change, other, times)?,
        };
        if let Some(how) = how {
            found.insert(path, how);
        }
    }
    found.extend(others.into_keys().map(|path| (path, Varies::Name)));
    let all = found.len();
    let named = found.into_iter().take(MOST);
    let named = named.map(|(path, how)| Varying { path: path.display().into_owned(), how });
    Ok((named.collect(), all))
}

/// Adds what a step did in its second run to what it did in its first: it can tell them apart, and may
/// have waited with what it hides. What it did in both is told once.
pub(super) fn join(first: Conduct, second: Conduct) -> Conduct {
    let seen = match (first.seen, second.seen) {
        (Some(Observed::Watched(one)), Some(Observed::Watched(other))) => {
            Some(Observed::Watched(both(one, other)))
        }
        // Half of it is not known.
        (Some(Observed::Watched(mut one)), Some(Observed::Skipped(_)))
        | (Some(Observed::Skipped(_)), Some(Observed::Watched(mut one))) => {
            one.untold += 1;
            Some(Observed::Watched(one))
        }
        (one, other) => one.or(other),
    };
    let hooks = match (first.hooks, second.hooks) {
        (Some(mut hooks), Some(others)) => {
            let new: Vec<_> = others.into_iter().filter(|hook| !hooks.contains(hook)).collect();
            hooks.extend(new);
            Some(hooks)
        }
        (one, other) => one.or(other),
    };
    let used = match (first.used, second.used) {
        (Some(one), Some(other)) => Some(Used {
            cpu: one.cpu.max(other.cpu),
            wall: one.wall.max(other.wall),
            memory: one.memory.max(other.memory),
            written: one.written.max(other.written),
        }),
        (one, other) => one.or(other),
    };
    let mut missing = first.missing;
    missing.extend(second.missing);
    let printed = first.printed.max(second.printed);
    Conduct { seen, printed, missing, hooks, used, varying: first.varying }
}

fn both(mut one: Behaviour, other: Behaviour) -> Behaviour {
    one.processes = one.processes.max(other.processes);
    one.untold += other.untold;
    one.remains.extend(other.remains.iter().cloned());
    if deeds_of(&one) == deeds_of(&other) {
        return one;
    }
    let before = one.execs.len();
    let shifted = |at: Option<usize>| at.map(|at| at + before);
    one.execs.extend(other.execs.into_iter().map(|mut program| {
        program.parent = shifted(program.parent);
        program
    }));
    one.connects.extend(other.connects.into_iter().map(|mut connected| {
        connected.by = shifted(connected.by);
        connected
    }));
    // Where one run could not tell, the list is not whole.
    one.denied = one.denied.zip(other.denied).map(|(mut all, others)| {
        all.extend(others.into_iter().map(|mut denied| {
            denied.by = shifted(denied.by);
            denied
        }));
        all
    });
    one.failed = one.failed.zip(other.failed).map(|(mut all, others)| {
        all.extend(others.into_iter().map(|mut failed| {
            failed.by = shifted(failed.by);
            failed
        }));
        all
    });
    one.left.extend(other.left.into_iter().map(shifted));
    one
}

/// What is the same in two runs that did the same: without the numbers of pipes and sockets, and
/// without an order among processes that ran at once.
fn deeds_of(seen: &Behaviour) -> BTreeMap<String, usize> {
    let name = |by: Option<usize>| by.and_then(|at| seen.execs.get(at)).map(|one| &one.path);
    let program = |one: &Executed| {
        let streams = one.streams.iter().map(|(fd, what)| (fd, plain(what)));
        let streams: Vec<_> = streams.collect();
        let file = (&one.path, &one.argv, &one.sha256, &one.asked, &one.folder);
        format!("{file:?} {:?} {} {:?} {streams:?}", name(one.parent), one.setid, one.whence)
    };
    let mut all: Vec<String> = seen.execs.iter().map(program).collect();
    all.extend(seen.connects.iter().map(|one| format!("{} {:?}", one.addr, name(one.by))));
    all.extend(seen.left.iter().map(|at| format!("left {:?}", name(*at))));
    for one in seen.denied.iter().flatten() {
        all.push(format!("{} {:?} {:?}", one.syscall, one.detail, name(one.by)));
    }
    for one in seen.failed.iter().flatten() {
        all.push(format!("{} {} {:?}", one.path, one.error, name(one.by)));
    }
    let mut counted = BTreeMap::new();
    for one in all {
        *counted.entry(one).or_default() += 1;
    }
    counted
}

// `pipe:[7]` is as good as `pipe:[9]`.
fn plain(stream: &str) -> &str {
    match stream.split_once(":[") {
        Some((kind, number)) if number.ends_with(']') => kind,
        _ => stream,
    }
}

fn differ(one: &Change, other: &Change, times: Times) -> Result<Option<Varies>, Failure> {
    let meta = |entry: &Entry| {
        let kind = match &entry.kind {
            EntryKind::File { .. } => None,
            kind => Some(kind.clone()),
        };
        (kind, entry.mode, entry.uid, entry.gid, entry.xattrs.clone())
    };
    if meta(&one.entry) != meta(&other.entry) {
        return Ok(Some(Varies::Attributes));
    }
    if one.entry.kind != other.entry.kind || !same_content(one, other)? {
        return Ok(Some(Varies::Content));
    }
    // Where all files get one time, theirs is not kept.
    let kept = matches!(times, Times::Preserve(_)) && one.entry.mtime != other.entry.mtime;
    Ok(kept.then_some(Varies::Time))
}

fn same_content(one: &Change, other: &Change) -> Result<bool, Failure> {
    if !matches!(one.entry.kind, EntryKind::File { .. }) {
        return Ok(true);
    }
    let failed = |error: std::io::Error| {
        let text = format!("cannot read `{}` again: {error}", one.entry.path.display());
        Failure::new(Cause::Internal, "tree", text)
    };
    let (mut one, mut other) = (one.content.open()?, other.content.open()?);
    let (mut left, mut right) = (Vec::with_capacity(PIECE), Vec::with_capacity(PIECE));
    loop {
        left.clear();
        right.clear();
        one.by_ref().take(PIECE as u64).read_to_end(&mut left).map_err(failed)?;
        other.by_ref().take(PIECE as u64).read_to_end(&mut right).map_err(failed)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::rootfs::Content;

    fn file(path: &str, text: &str, mode: u32) -> Change {
        let path = ImagePath::from_entry(path.as_bytes()).unwrap();
        let entry = Entry::new(path, EntryKind::File { size: text.len() as u64 }, mode);
        Change { entry, content: Content::Bytes(text.as_bytes().to_vec().into()) }
    }

    #[test]
    fn what_came_out_otherwise_is_told_with_its_kind() {
        let first = [
            file("/same", "x", 0o644),
            file("/stamp", "1", 0o644),
            file("/longer", "1", 0o644),
            file("/mode", "x", 0o644),
            file("/log.7", "", 0o644),
        ];
        let second = [
            file("/same", "x", 0o644),
            file("/stamp", "2", 0o644),
            file("/longer", "12", 0o644),
            file("/mode", "x", 0o600),
            file("/log.9", "", 0o644),
        ];
        let times = Times::Fixed(Timestamp::from_seconds(0));
        let (found, all) = varying(&first, &second, times).unwrap();
        let told: Vec<_> = found.iter().map(|one| (one.path.as_str(), one.how)).collect();
        assert_eq!(
            told,
            [
                ("/log.7", Varies::Name),
                ("/log.9", Varies::Name),
                ("/longer", Varies::Content),
                ("/mode", Varies::Attributes),
                ("/stamp", Varies::Content),
            ]
        );
        assert_eq!(all, found.len());
        assert_eq!(varying(&first, &first, times).unwrap(), (Vec::new(), 0));
        let many: Vec<_> = (0..MOST + 7).map(|at| file(&format!("/{at}"), "", 0o644)).collect();
        let (named, all) = varying(&many, &[], times).unwrap();
        assert_eq!((named.len(), all), (MOST, MOST + 7), "few are named, all are counted");
    }

    #[test]
    fn what_the_second_run_did_is_judged_with_the_first() {
        use crate::facts::Connected;
        let shell = |pipe: &str| Executed {
            path: "/bin/sh".into(),
            streams: [(0, format!("pipe:[{pipe}]"))].into(),
            ..Executed::default()
        };
        let conduct = |execs, connects| {
            let seen = Behaviour { execs, connects, processes: 1, ..Behaviour::default() };
            Conduct { seen: Some(Observed::Watched(seen)), ..Conduct::default() }
        };
        let first = conduct(vec![shell("7")], Vec::new());
        let same = join(first.clone(), conduct(vec![shell("9")], Vec::new()));
        assert_eq!(same, first, "told once");

        let curl = Executed { path: "/curl".into(), parent: Some(0), ..Executed::default() };
        let connect = Connected { addr: "192.0.2.1:443".into(), by: Some(1) };
        let mut second = conduct(vec![shell("9"), curl], vec![connect]);
        second.printed = 3;
        second.used = Some(Used { cpu: 7, ..Used::default() });
        let joined = join(first.clone(), second);
        assert_eq!((joined.printed, joined.used.map(|used| used.cpu)), (3, Some(7)));
        let Some(Observed::Watched(seen)) = &joined.seen else { panic!("{joined:?}") };
        assert_eq!(seen.connects[0].by, Some(2));
        let above: Vec<_> = seen.chain(2).iter().map(|one| one.path.as_str()).collect();
        assert_eq!((seen.execs[2].path.as_str(), above), ("/curl", vec!["/bin/sh"]));

        let unseen = Conduct { seen: Some(Observed::Skipped("x".into())), ..Conduct::default() };
        let Some(Observed::Watched(seen)) = join(first, unseen).seen else { panic!() };
        assert_eq!(seen.untold, 1, "half of it is not known");
    }
}
