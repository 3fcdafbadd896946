//! Reads the folders of a walk before the walk comes to them, on further threads.
//!
//! A walk knows which folders it will read as soon as it has read the one that they are in: it asks for
//! them with [`Ahead::want`], and takes each with [`Ahead::take`] when it gets there. What is found, and
//! which error comes first, is the same as without: only the walk decides the order.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use super::{Context, Error};
use crate::base::ImagePath;
use crate::layer::Entry;
use crate::store::StatCache;
use crate::sys::{Dir, Follow, Names, Stat};

/// Threads that read, besides the one that walks. More of them wait for each other in the kernel.
const THREADS: usize = 3;

/// Folders asked for before a thread is worth its start.
const WORTH_IT: usize = 4;

/// Entries read and not yet taken: what memory is spent on. One folder may pass it.
const MOST: usize = 20_000;

/// How files are looked at.
#[derive(Default)]
pub(super) struct Look<'a> {
    /// Files that this knows are not asked for attributes that they do not have.
    pub(super) seen: Option<&'a StatCache>,
    /// How much may still be looked at, by this thread alone; `None` is any number, by several.
    pub(super) room: Option<AtomicUsize>,
}

impl Look<'_> {
    /// Takes room for one more to look at.
    pub(super) fn spend(&self) -> Result<(), Error> {
        let Some(room) = &self.room else { return Ok(()) };
        let left = room.load(Ordering::Relaxed).checked_sub(1).ok_or(Error::TooMany)?;
        room.store(left, Ordering::Relaxed);
        Ok(())
    }

    /// Lists a folder, if there is room for all that is in it; that is taken then.
    pub(super) fn list(&self, dir: &Dir, path: &ImagePath) -> Result<Names, Error> {
        let Some(room) = &self.room else { return dir.list().map_err(Error::io("read", path)) };
        let left = room.load(Ordering::Relaxed);
        let names = dir.list_at_most(left).map_err(Error::io("read", path))?;
        let names = names.ok_or(Error::TooMany)?;
        room.store(left - names.len(), Ordering::Relaxed);
        Ok(names)
    }
}

/// What is in a folder, last name first.
pub(super) type Listing = Vec<(Entry, Stat)>;

/// A folder that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ticket(u64);

/// The folders of one walk.
pub(super) struct Ahead<'a> {
    context: &'a Context,
    look: &'a Look<'a>,
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    // In the order in which they will be taken.
    wanted: VecDeque<(Ticket, ImagePath)>,
    // Looked up alone.
    done: HashMap<Ticket, Result<Listing, Error>>,
    kept: usize,
    next: u64,
    threads: usize,
    over: bool,
    broken: bool,
}

/// Lets the threads go, however the walk ends.
pub(super) struct Walking<'w, 'a>(&'w Ahead<'a>);

impl Drop for Walking<'_, '_> {
    fn drop(&mut self) {
        self.0.state().over = true;
        self.0.changed.notify_all();
    }
}

/// Tells the walk that what it may wait for will not come.
struct Reading<'w, 'a>(&'w Ahead<'a>);

impl Drop for Reading<'_, '_> {
    fn drop(&mut self) {
        self.0.state().broken = true;
        self.0.changed.notify_all();
    }
}

impl<'a> Ahead<'a> {
    /// Reads folders of `context`.
    pub(super) fn new(context: &'a Context, look: &'a Look<'a>) -> Self {
        Ahead { context, look, most: MOST, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Must be held while the walk goes on.
    pub(super) fn walking(&self) -> Walking<'_, 'a> {
        Walking(self)
    }

    /// Asks for folders that will be taken next, in this order, before all that was asked for earlier.
    pub(super) fn want<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        paths: Vec<ImagePath>,
    ) -> Vec<Ticket> {
        let mut state = self.state();
        let first = state.next;
        state.next += paths.len() as u64;
        let tickets: Vec<Ticket> = (first..state.next).map(Ticket).collect();
        for (ticket, path) in tickets.iter().zip(paths).rev() {
            state.wanted.push_front((*ticket, path));
        }
        if state.wanted.len() >= WORTH_IT && self.look.room.is_none() {
            while state.threads < THREADS {
                state.threads += 1;
                let thread = std::thread::Builder::new().name("ahead".to_owned());
                // Without them the walk reads all itself.
                if thread.spawn_scoped(scope, || self.read_on()).is_err() {
                    break;
                }
            }
        }
        drop(state);
        self.changed.notify_all();
        tickets
    }

    /// Returns what is in a folder that was asked for; once for each, in the order of the walk.
    pub(super) fn take(&self, ticket: Ticket) -> Result<Listing, Error> {
        let mut state = self.state();
        loop {
            if let Some(listing) = state.done.remove(&ticket) {
                state.kept -= weight(&listing);
                self.changed.notify_all();
                return listing;
            }
            // All that stood before it was taken: by the walk, or by a thread.
            if state.wanted.front().is_some_and(|(wanted, _)| *wanted == ticket)
                && let Some((_, path)) = state.wanted.pop_front()
            {
                drop(state);
                return self.read(&path);
            }
            assert!(!state.broken, "a thread that read ahead has panicked");
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn read_on(&self) {
        let mut state = self.state();
        while !state.over {
            let next = if state.kept < self.most { state.wanted.pop_front() } else { None };
            let Some((ticket, path)) = next else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let unless_broken = Reading(self);
            let listing = self.read(&path);
            std::mem::forget(unless_broken);
            state = self.state();
            state.kept += weight(&listing);
            state.done.insert(ticket, listing);
            self.changed.notify_all();
        }
    }

    /// Reads a folder.
    pub(super) fn read(&self, path: &ImagePath) -> Result<Listing, Error> {
        let root = self.context.root();
        let dir = root.open_dir(path, Follow::No).map_err(Error::io("read", path))?;
        let mut found = Vec::new();
        let names = self.look.list(&dir, path)?;
        for (name, _) in names.into_iter().rev() {
            let inner = path.join(&name).map_err(|error| Error::Io {
                what: "use the source",
                path: path.display().into_owned(),
                source: std::io::Error::other(error),
            })?;
            let seen = self.look.seen;
            if let Some((entry, stat)) = self.context.entry_in(&dir, &name, &inner, seen)? {
                found.push((entry, stat));
            }
        }
        Ok(found)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(listing: &Result<Listing, Error>) -> usize {
    listing.as_ref().map_or(1, |listing| listing.len() + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn threads_read_ahead_as_far_as_they_may() {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<ImagePath> = (0..30)
            .map(|number| {
                let folder = dir.path().join(format!("d{number:02}"));
                std::fs::create_dir(&folder).unwrap();
                std::fs::write(folder.join("a"), "").unwrap();
                std::fs::write(folder.join("b"), "").unwrap();
                ImagePath::root().join(format!("d{number:02}").as_bytes()).unwrap()
            })
            .collect();
        let context = Context::open(dir.path(), None).unwrap();
        let look = Look::default();
        let ahead = Ahead { most: 5, ..Ahead::new(&context, &look) };
        std::thread::scope(|scope| {
            let _walking = ahead.walking();
            let tickets = ahead.want(scope, paths.clone());
            while ahead.state().kept < ahead.most {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(20));
            // Each thread may have begun one more.
            assert!(ahead.state().kept <= ahead.most + 3 * THREADS);
            for (ticket, path) in tickets.into_iter().zip(&paths) {
                let listing = ahead.take(ticket).unwrap();
                let names: Vec<_> = listing.iter().map(|(entry, _)| entry.path.clone()).collect();
                assert_eq!(names, [path.join(b"b").unwrap(), path.join(b"a").unwrap()]);
            }
        });
        let state = ahead.state();
        assert_eq!((state.kept, state.done.len()), (0, 0));
    }
}
