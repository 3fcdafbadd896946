//! What steps did, on its way from the sandbox to the facts: masked, kept with the layer, told.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::PoisonError;
use std::time::Duration;

use super::key::Request;
use super::stack::Lower;
use super::stage::Execution;
use super::{Cause, Failure};
use crate::base::{Diff, Digest, ImagePath, Masker, StepId};
use crate::event::Event;
use crate::facts::hooks::{self, Hook, HookKind};
use crate::facts::{
    Behaviour, Conduct, Connected, Denied, Executed, Failed, Observed, Used, Whence,
};
use crate::layer::EntryKind;
use crate::plan::{MountKind, Run};
use crate::rootfs::{Change, Lookup, Work, resolve};
use crate::sandbox::{Account, Deeds, Usage, Watched};
use crate::sys::Follow;

/// Asked about each step that is done: `false` ends the build there.
pub(super) type Gate<'a> = &'a (dyn Fn(StepId, &Conduct) -> bool + Sync);

/// Bytes of all lists of packages that are looked at in one step.
const MOST_OF_LISTS: u64 = 64 << 20;

/// A step that has just run.
pub(super) struct Attempt {
    pub(super) work: Work,
    pub(super) lower: Lower,
    pub(super) changes: Vec<Change>,
    pub(super) account: Account,
    pub(super) took: Duration,
    /// What its shells said.
    pub(super) heard: Conduct,
    /// Its command failed.
    pub(super) failed: bool,
}

impl Execution<'_> {
    /// Tells that a step was watched.
    pub(super) fn tell_audit(&self, step: StepId, account: &Account) {
        let Some(watched) = &account.watched else { return };
        let (programs, connections, skipped) = match watched {
            Watched::Seen(deeds) => (deeds.programs.len(), deeds.connections.len(), None),
            Watched::Unseen(cause) => (0, 0, Some(cause.clone())),
        };
        self.services.events.send(Event::StepAudited { step, programs, connections, skipped });
    }

    /// Says how a step went that has just run.
    pub(super) fn conduct_of(&self, run: &Run, acted: &Attempt) -> Result<Conduct, Failure> {
        let masker = self.services.events.masker();
        let hooks = hooks_of(&acted.changes, &acted.lower)?;
        let mut conduct = acted.heard.clone();
        conduct.missing = conduct.missing.iter().map(|name| masker.mask_text(name)).collect();
        conduct.printed = acted.account.printed;
        conduct.used = acted.account.used.map(|used| in_facts(used, acted.took));
        conduct.hooks = Some(hooks);
        conduct.seen = match &acted.account.watched {
            None => None,
            Some(Watched::Unseen(cause)) => Some(Observed::Skipped(cause.clone())),
            Some(Watched::Seen(deeds)) => {
                let places = Places::new(run, &acted.lower, &acted.changes);
                Some(Observed::Watched(behaviour(deeds, masker, &places)?))
            }
        };
        Ok(conduct)
    }

    /// Notes what is known of a step whose result was in the store.
    pub(super) fn remember(
        &self,
        step: StepId,
        diff: Digest<Diff>,
        request: &Request,
    ) -> Result<(), Failure> {
        let audit = self.options.terms.audit;
        let mut conduct = self.kept(diff, request).unwrap_or_default();
        if !audit {
            conduct.seen = None;
        } else if !matches!(conduct.seen, Some(Observed::Watched(_))) {
            let cause = "its result was in the store, made by a build without --audit";
            conduct.seen = Some(Observed::Skipped(cause.to_owned()));
        }
        let event = match &conduct.seen {
            None => None,
            Some(Observed::Watched(seen)) => Some((seen.execs.len(), seen.connects.len(), None)),
            Some(Observed::Skipped(cause)) => Some((0, 0, Some(cause.clone()))),
        };
        if let Some((programs, connections, skipped)) = event {
            self.services.events.send(Event::StepAudited { step, programs, connections, skipped });
        }
        self.note(step, conduct)
    }

    fn kept(&self, diff: Digest<Diff>, request: &Request) -> Option<Conduct> {
        Conduct::from_bytes(&self.services.store.facts(diff, &kind(request))?)
    }

    /// Tells whether a result of the store may not stand for a run, as nobody watched it or compared
    /// it with that of a second one.
    pub(super) fn must_watch(&self, diff: Digest<Diff>, request: &Request) -> bool {
        let terms = &self.options.terms;
        if !terms.audit_again && !terms.verify {
            return false;
        }
        let kept = self.kept(diff, request).unwrap_or_default();
        (terms.audit_again && !matches!(kept.seen, Some(Observed::Watched(_))))
            || (terms.verify && kept.varying.is_none())
    }

    /// Notes how a step went; fails if that is not suffered.
    pub(super) fn note(&self, step: StepId, conduct: Conduct) -> Result<(), Failure> {
        let suffered = self.gate.is_none_or(|gate| gate(step, &conduct));
        let mut all = self.conduct.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(step, conduct);
        match suffered {
            true => Ok(()),
            false => Err(Failure::new(
                Cause::Refused,
                "behaviour",
                "the policy does not suffer what the step did",
            )),
        }
    }

    /// Keeps how a step went with its layer, for builds that find that in the store.
    pub(super) fn keep_conduct(
        &self,
        step: StepId,
        diff: Digest<Diff>,
        request: &Request,
    ) -> Result<(), Failure> {
        let all = self.conduct.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(conduct) = all.get(&step) {
            let mut conduct = conduct.clone();
            conduct.seen = conduct.seen.filter(|seen| matches!(seen, Observed::Watched(_)));
            self.services.store.put_facts(diff, &kind(request), &conduct.to_bytes())?;
        }
        Ok(())
    }
}

// Two steps may make the same layer, that of no changes for example, in different ways.
fn kind(request: &Request) -> String {
    format!("{}-{}", Conduct::KIND, request.key().hex())
}

fn in_facts(used: Usage, took: Duration) -> Used {
    Used {
        cpu: used.cpu,
        wall: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        memory: used.memory,
        written: used.written,
    }
}

/// Finds what loaders, interpreters and shells take code from. Lists of packages are read only where
/// there is such a file. The step can have written them itself: each waives as little as it may.
fn hooks_of(changes: &[Change], lower: &dyn Lookup) -> Result<Vec<Hook>, Failure> {
    let is_file = |change: &&Change| {
        matches!(
            change.entry.kind,
            EntryKind::File { .. } | EntryKind::Symlink(_) | EntryKind::Hardlink(_)
        )
    };
    let path = |change: &Change| change.entry.path.display().into_owned();
    let mut found = Vec::new();
    for change in changes.iter().filter(is_file) {
        let path = path(change);
        let Some(kind) = HookKind::of(&path) else { continue };
        let text = kind.has_text().then(|| read(change, Hook::MOST)).transpose()?;
        found.push(Hook { path, kind, text, packaged: false });
    }
    if found.is_empty() {
        return Ok(found);
    }
    let mut room = MOST_OF_LISTS;
    for change in changes.iter().filter(is_file) {
        let list = path(change);
        if !hooks::is_package_list(&list) {
            continue;
        }
        if hooks::is_rpm_database(&list) {
            // Which names are in it cannot be read here: it has to be that of a system with rpm.
            if has_rpm(lower)? {
                let waived = found.iter_mut().filter(|hook| hook.kind.is_waived_by(&list));
                waived.for_each(|hook| hook.packaged = true);
            }
            continue;
        }
        let text = read(change, room)?;
        room = room.saturating_sub(text.len() as u64);
        let names = hooks::packaged(&list, &text);
        for hook in found.iter_mut().filter(|hook| hook.kind.is_waived_by(&list)) {
            hook.packaged |= names.contains(hooks::plain(&hook.path));
        }
    }
    Ok(found)
}

fn has_rpm(lower: &dyn Lookup) -> Result<bool, Failure> {
    for path in hooks::RPM_DATABASES {
        if let Ok(path) = ImagePath::from_entry(path.as_bytes())
            && lower.entry(&path)?.is_some_and(|entry| matches!(entry.kind, EntryKind::File { .. }))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read(change: &Change, most: u64) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    change.content.open()?.take(most).read_to_end(&mut bytes).map_err(|error| {
        let text = format!("cannot read `{}`: {error}", change.entry.path.display());
        Failure::new(Cause::Internal, "tree", text)
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Where files of a step come from, and which of them are there at its end.
struct Places<'a> {
    lower: &'a dyn Lookup,
    changed: BTreeSet<String>,
    /// What is mounted in the step, with whether it is in memory alone.
    mounts: Vec<(String, bool)>,
}

impl<'a> Places<'a> {
    fn new(run: &Run, lower: &'a dyn Lookup, changes: &[Change]) -> Self {
        let mut mounts = vec![("/dev".to_owned(), true), ("/proc".to_owned(), false)];
        for mount in &run.mounts {
            let (target, memory) = match &mount.kind {
                MountKind::Bind { target, .. } | MountKind::Cache { target, .. } => (target, false),
                MountKind::Tmpfs { target, .. } => (target, true),
                MountKind::Secret { target: Some(target), .. } => (target, false),
                MountKind::Secret { target: None, .. } | MountKind::Ssh { .. } => continue,
            };
            mounts.push((target.to_string(), memory));
        }
        let changed = changes
            .iter()
            .filter(|change| !matches!(change.entry.kind, EntryKind::Whiteout | EntryKind::Opaque))
            .map(|change| change.entry.path.display().into_owned())
            .collect();
        Places { lower, changed, mounts }
    }

    /// The deepest mount that holds a path: whether it is in memory alone.
    fn mount(&self, path: &str) -> Option<bool> {
        let holds = |at: &str| {
            path.strip_prefix(at.trim_end_matches('/'))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mounts = self.mounts.iter().filter(|(at, _)| holds(at));
        mounts.max_by_key(|(at, _)| at.len()).map(|(_, memory)| *memory)
    }

    fn whence(&self, path: &str) -> Result<Whence, Failure> {
        if path.starts_with("/memfd:") || path.ends_with(" (deleted)") {
            return Ok(Whence::Memory);
        }
        match self.mount(path) {
            Some(true) => return Ok(Whence::Memory),
            Some(false) => return Ok(Whence::Mount),
            None => {}
        }
        let Ok(at) = ImagePath::from_entry(path.as_bytes()) else { return Ok(Whence::Unknown) };
        let at = match resolve(self.lower, &at, Follow::InRoot) {
            Ok(at) => at,
            Err(_) => return Ok(Whence::Unknown),
        };
        if self.changed.contains(&*at.display()) {
            return Ok(Whence::Step);
        }
        Ok(match self.lower.entry(&at)? {
            Some(_) => Whence::Layers,
            None => Whence::Step,
        })
    }

    fn remains(&self, path: &str) -> bool {
        self.changed.contains(path) || self.mount(path) == Some(false)
    }
}

fn behaviour(deeds: &Deeds, masker: &Masker, places: &Places<'_>) -> Result<Behaviour, Failure> {
    // Masked as it is: in readable text a secret that is no UTF-8 would not be known again.
    let text = |bytes: &[u8]| String::from_utf8_lossy(&masker.mask(bytes)).into_owned();
    let mut known: BTreeMap<String, Whence> = BTreeMap::new();
    let mut remains = BTreeSet::new();
    let mut execs = Vec::with_capacity(deeds.programs.len());
    for program in &deeds.programs {
        let mut one = Executed {
            path: text(&program.path),
            argv: program.argv.iter().map(|word| text(word)).collect(),
            sha256: program.sha256.clone(),
            parent: program.parent,
            status: program.status,
            asked: program.asked.as_deref().map(text),
            folder: program.folder.as_deref().map(text),
            setid: program.setid,
            whence: Whence::Unknown,
            streams: program.streams.iter().map(|(fd, what)| (*fd, text(what))).collect(),
        };
        let file = match one.script() {
            Some(script) if !is_descriptor(script) => one.absolute(script),
            _ => Some(one.path.clone()),
        };
        if let Some(file) = file {
            one.whence = match known.get(&file) {
                Some(whence) => *whence,
                None => {
                    let whence = places.whence(&file)?;
                    known.insert(file, whence);
                    whence
                }
            };
        }
        let words = one.argv.iter().filter_map(|word| one.absolute(word));
        let named = words.chain(one.streams.values().cloned());
        remains.extend(named.filter(|path| places.remains(path)));
        execs.push(one);
    }
    Ok(Behaviour {
        execs,
        connects: deeds
            .connections
            .iter()
            .map(|(by, to)| Connected { addr: masker.mask_text(to), by: *by })
            .collect(),
        denied: deeds.denied.as_ref().map(|denied| {
            denied
                .iter()
                .map(|((by, call, detail), count)| Denied {
                    syscall: call.clone(),
                    detail: detail.clone(),
                    by: *by,
                    count: *count,
                })
                .collect()
        }),
        failed: deeds.failed.as_ref().map(|failed| {
            failed
                .iter()
                .map(|one| Failed {
                    path: text(&one.path),
                    error: one.error.clone(),
                    by: one.by,
                    status: one.status,
                })
                .collect()
        }),
        left: deeds.left.clone(),
        processes: deeds.most,
        remains,
        untold: deeds.untold,
    })
}

// What names a descriptor is no file.
fn is_descriptor(path: &str) -> bool {
    path.starts_with("/dev/fd/") || (path.starts_with("/proc/") && path.contains("/fd/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Entry;
    use crate::rootfs::{Content, Nothing, Table};

    fn file(path: &str, text: &str) -> Change {
        let path = ImagePath::from_entry(path.as_bytes()).unwrap();
        let entry = Entry::new(path, EntryKind::File { size: text.len() as u64 }, 0o644);
        Change { entry, content: Content::Bytes(text.as_bytes().to_vec().into()) }
    }

    #[test]
    fn a_step_waives_no_hook_by_a_list_of_its_own() {
        let database = file("/var/lib/rpm/rpmdb.sqlite", "x");
        let with_rpm = Table::from([(database.entry.path.clone(), database.entry.clone())]);
        let record = "/usr/lib/python3/site-packages/a-1.dist-info/RECORD";
        let check = |hook: &str, list: &str, text: &str, rpm: bool, want: bool| {
            let lower: &dyn Lookup = if rpm { &with_rpm } else { &Nothing };
            let found = hooks_of(&[file(hook, "x"), file(list, text)], lower).unwrap();
            assert_eq!(found.len(), 1, "{hook}");
            assert_eq!(found[0].packaged, want, "{hook} by {list}, over rpm: {rpm}");
        };
        let (preload, shell) = ("/etc/ld.so.preload", "/etc/profile.d/x.sh");
        check(preload, "/x.dist-info/RECORD", "etc/ld.so.preload,,\n", false, false);
        check(preload, "/var/lib/dpkg/info/a.list", "/etc/ld.so.preload\n", false, false);
        check(preload, "/lib/apk/db/installed", "F:etc\nR:ld.so.preload\n", false, false);
        check(preload, "/var/lib/rpm/rpmdb.sqlite", "", true, false);
        check(shell, "/x.dist-info/RECORD", "etc/profile.d/x.sh,,\n", false, false);
        check(shell, record, "../../../../etc/profile.d/x.sh,,\n", false, false);
        check(shell, "/tmp/apk/db/installed", "F:etc/profile.d\nR:x.sh\n", false, false);
        check(shell, "/lib/apk/db/installed", "F:etc/profile.d\nR:x.sh\n", false, true);
        check(shell, "/var/lib/dpkg/info/a.list", "/etc/profile.d/x.sh\n", false, true);
        check(shell, "/var/lib/rpm/x", "", false, false);
        check(shell, "/var/lib/rpm/rpmdb.sqlite-wal", "", true, true);
        check("/usr/lib/python3/site-packages/a.pth", record, "a.pth,,\n", false, true);
    }
}
