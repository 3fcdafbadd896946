//! One call at a time: what it asks for, and the answer.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::identity::{Identities, Identity};
use crate::sys::caller::Caller;
use crate::sys::notify::{Call, Errno, Listener};
use crate::sys::own::Own;
use crate::sys::place::{Ground, Held};
use crate::sys::trap::Request;

/// How many groups a process may have (`NGROUPS_MAX`).
const MOST_GROUPS: u32 = 65536;

/// How many files without attributes are remembered.
pub(super) const MOST_ASIDE: usize = 1 << 16;

/// What becomes of a call.
pub(super) enum Answer {
    /// The kernel does it.
    Proceed,
    /// It gives this number.
    Value(i64),
    /// It gives a descriptor of this file.
    File { file: Held, close_on_exec: bool },
}

/// All that is known of a step while it runs.
pub(super) struct Supervisor {
    listener: Listener,
    ground: Ground,
    identities: Identities,
    /// Some process has changed its root.
    pub(super) chrooted: bool,
    /// Whether device nodes may be made.
    pub(super) makes_nodes: bool,
    /// Owners on file systems that take no attributes; those are part of no layer.
    pub(super) aside: BTreeMap<(u64, u64), Own>,
}

impl AsFd for Supervisor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Supervisor {
    pub(super) fn new(
        listener: Listener,
        ground: Ground,
        identities: Identities,
        makes_nodes: bool,
    ) -> Self {
        Supervisor {
            listener,
            ground,
            identities,
            chrooted: false,
            makes_nodes,
            aside: BTreeMap::new(),
        }
    }

    /// Takes a call and answers it. `false` when there is nobody left who could call.
    pub(super) fn serve_one(&mut self) -> io::Result<bool> {
        if self.listener.is_over() {
            return Ok(false);
        }
        let Some(call) = self.listener.receive()? else { return Ok(true) };
        let elsewhere =
            self.chrooted && self.ground.enter_root_of(Caller::new(call.pid)).unwrap_or(false);
        let answer = self.consider(&call);
        match answer {
            Ok(Answer::Proceed) => self.listener.proceed(&call),
            Ok(Answer::Value(value)) => self.listener.answer(&call, Ok(value)),
            Ok(Answer::File { file, close_on_exec }) => {
                self.listener.give(&call, file.fd(), close_on_exec);
            }
            Err(error) => self.listener.answer(&call, Err(error)),
        }
        if elsewhere {
            self.ground
                .leave_root()
                .map_err(|_| io::Error::other("cannot change the root back"))?;
        }
        Ok(true)
    }

    /// Tells whether the caller is still the one that was looked at.
    pub(super) fn waits(&self, call: &Call) -> bool {
        self.listener.waits(call)
    }

    fn consider(&mut self, call: &Call) -> Result<Answer, Errno> {
        let Some(request) = call.request else { return Ok(Answer::Proceed) };
        let caller = Caller::new(call.pid);
        match request {
            Request::Stat { at, buffer, form } => self.stat(call, &at, buffer, form),
            Request::Statx { at, flags, mask, buffer } => {
                self.statx(call, &at, (flags, mask), buffer)
            }
            Request::Chown { at, uid, gid } => self.chown(call, &at, uid, gid),
            Request::Open { at, flags, mode } => self.open(call, &at, flags, mode),
            Request::OpenHow { at, how, size } => self.open_how(call, &at, how, size),
            Request::Mkdir { at, mode } => self.mkdir(call, &at, mode),
            Request::Symlink { target, at } => self.symlink(call, target, &at),
            Request::Mknod { at, mode, device } => self.mknod(call, &at, mode, device),
            Request::Exec { at } => self.exec(call, &at),
            Request::Chroot => {
                self.chrooted = true;
                Ok(Answer::Proceed)
            }
            Request::GetId { kind, effective } => {
                let ids = self.identity(caller)?.ids(kind);
                Ok(Answer::Value(if effective { ids.effective } else { ids.real }.into()))
            }
            Request::GetIds { kind, to } => {
                let ids = self.identity(caller)?.ids(kind);
                for (address, id) in to.into_iter().zip([ids.real, ids.effective, ids.saved]) {
                    self.write(call, address, &mut id.to_le_bytes())?;
                }
                Ok(Answer::Value(0))
            }
            Request::GetGroups { count, list } => self.get_groups(call, count, list),
            Request::SetId { kind, id } => self.change(call, |old| old.set(kind, id)),
            Request::SetPair { kind, real, effective } => {
                self.change(call, |old| old.set_pair(kind, real, effective))
            }
            Request::SetTriple { kind, ids } => self.change(call, |old| old.set_triple(kind, ids)),
            Request::SetFs { kind, id } => {
                let old = self.identity(caller)?.ids(kind).files;
                self.change(call, |identity| Ok(identity.set_files(kind, id)))?;
                Ok(Answer::Value(old.into()))
            }
            Request::SetGroups { count, list } => self.set_groups(call, count, list),
            Request::KeepCapabilities(kept) => {
                let _ = self.change(call, |old| Ok(old.keep(kept)));
                Ok(Answer::Proceed)
            }
            Request::SetCapabilities { sets } => {
                // linux/capability.h: effective, permitted and inheritable, first of the lower 32.
                if let Ok(bytes) = caller.read(sets, 24) {
                    let word = |at: usize| {
                        let bytes = bytes[at..at + 4].try_into().expect("four bytes");
                        u64::from(u32::from_le_bytes(bytes))
                    };
                    let set = |at: usize| word(at) | word(at + 12) << 32;
                    let _ = self.change(call, |old| Ok(old.set_powers(set(0), set(4))));
                }
                Ok(Answer::Proceed)
            }
            Request::Limit { old, wide } => {
                // Nobody may change the limit that identities are noted in, nor see it.
                if old != 0 {
                    let size = if wide { 16 } else { 8 };
                    self.write(call, old, &mut vec![0xff; size])?;
                }
                Ok(Answer::Value(0))
            }
        }
    }

    /// Who the caller is.
    pub(super) fn identity(&self, caller: Caller) -> Result<&Identity, Errno> {
        Ok(self.identities.get(caller.mark()?))
    }

    /// Makes the caller somebody else.
    pub(super) fn change(
        &mut self,
        call: &Call,
        how: impl FnOnce(&Identity) -> Result<Identity, Errno>,
    ) -> Result<Answer, Errno> {
        let caller = Caller::new(call.pid);
        let old = self.identity(caller)?;
        let new = how(old)?;
        if new != *old {
            let number = self.identities.number(&new)?;
            if self.waits(call) {
                caller.set_mark(number)?;
            }
        }
        Ok(Answer::Value(0))
    }

    /// Writes into the caller's memory, if it is still the caller's.
    pub(super) fn write(&self, call: &Call, address: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        if self.waits(call) {
            Caller::new(call.pid).write(address, bytes)?;
        }
        Ok(())
    }

    fn get_groups(&self, call: &Call, count: i32, list: u64) -> Result<Answer, Errno> {
        let groups = &self.identity(Caller::new(call.pid))?.groups;
        if count != 0 {
            if usize::try_from(count).map_err(|_| Errno::INVAL)? < groups.len() {
                return Err(Errno::INVAL);
            }
            let mut bytes: Vec<u8> = groups.iter().flat_map(|group| group.to_le_bytes()).collect();
            self.write(call, list, &mut bytes)?;
        }
        Ok(Answer::Value(groups.len() as i64))
    }

    fn set_groups(&mut self, call: &Call, count: u32, list: u64) -> Result<Answer, Errno> {
        let caller = Caller::new(call.pid);
        if count > MOST_GROUPS {
            return Err(Errno::INVAL);
        }
        let bytes = caller.read(list, count as usize * 4)?;
        let groups: Vec<u32> = bytes
            .chunks_exact(4)
            .map(|group| u32::from_le_bytes(group.try_into().expect("chunks of four")))
            .collect();
        self.change(call, |old| old.set_groups(&groups))
    }
}
