//! Files: whose they are, and whose they become.

use super::answer::{Answer, MOST_ASIDE, Supervisor};
use super::identity::{CHOWN, MKNOD};
use crate::base::ImagePath;
use crate::sys::caller::Caller;
use crate::sys::notify::{Call, Errno};
use crate::sys::own::{Node, Own};
use crate::sys::place::{Held, Place, Status};
use crate::sys::trap::{At, Form, Kind, OpenFlags};

const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;

/// What a call is about to make, and how.
enum New<'a> {
    Dir { mode: u32 },
    Link { target: &'a [u8] },
    Node { mode: u32 },
    Device { mode: u32, node: Node },
}

/// Whom a program makes of those who run it.
#[derive(Default)]
struct SetId {
    user: Option<u32>,
    group: Option<u32>,
}

impl Supervisor {
    /// Notes the owner of a file that the builder mounted.
    pub(super) fn note_mounted(&mut self, path: &ImagePath, own: Own) {
        let path = [b"/", path.relative()].concat();
        if let Ok(status) = Place::absolute(path).hold().and_then(|held| held.stat())
            && !own.is_usual()
        {
            self.aside.insert(status.inode(), own);
        }
    }

    // The record of a file. What the caller would not find either is left to the kernel to say, and so
    // are links of /proc that cannot be followed for somebody else.
    fn own_of(&self, held: &Held) -> Result<Option<Own>, Errno> {
        match held.own() {
            Err(Errno::UNSUPPORTED) if !self.aside.is_empty() => {
                Ok(self.aside.get(&held.stat()?.inode()).copied())
            }
            Err(Errno::UNSUPPORTED) => Ok(None),
            other => other,
        }
    }

    fn record(&mut self, held: &Held, own: Own, status: &Status) -> Result<(), Errno> {
        match held.set_own(own, status) {
            Err(Errno::UNSUPPORTED) => {
                if own.is_usual() {
                    self.aside.remove(&status.inode());
                } else if self.aside.len() < MOST_ASIDE {
                    self.aside.insert(status.inode(), own);
                }
                Ok(())
            }
            other => other,
        }
    }

    pub(super) fn stat(
        &mut self,
        call: &Call,
        at: &At,
        buffer: u64,
        form: Form,
    ) -> Result<Answer, Errno> {
        let seen = || {
            let held = Place::of(Caller::new(call.pid), at)?.hold()?;
            let Some(own) = self.own_of(&held)? else { return Ok(None) };
            let mut status = held.stat()?;
            status.show(own);
            Ok(Some(status))
        };
        // An error is one that the kernel finds as well, with the right number.
        let seen: Result<_, Errno> = seen();
        let Ok(Some(status)) = seen else { return Ok(Answer::Proceed) };
        self.write(call, buffer, &mut status.bytes(form))?;
        Ok(Answer::Value(0))
    }

    pub(super) fn statx(
        &mut self,
        call: &Call,
        at: &At,
        (flags, mask): (u32, u32),
        buffer: u64,
    ) -> Result<Answer, Errno> {
        let seen = || {
            let held = Place::of(Caller::new(call.pid), at)?.hold()?;
            let Some(own) = self.own_of(&held)? else { return Ok(None) };
            let mut status = held.statx(flags, mask)?;
            status.show(own);
            Ok(Some(status))
        };
        let seen: Result<_, Errno> = seen();
        let Ok(Some(status)) = seen else { return Ok(Answer::Proceed) };
        self.write(call, buffer, &mut status.bytes())?;
        Ok(Answer::Value(0))
    }

    pub(super) fn chown(
        &mut self,
        call: &Call,
        at: &At,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<Answer, Errno> {
        let caller = Caller::new(call.pid);
        // What cannot be found, and links of /proc that we do not follow for somebody else, the kernel
        // has the right error for.
        let Ok(held) = Place::of(caller, at).and_then(|place| place.hold()) else {
            return Ok(Answer::Proceed);
        };
        let status = held.stat()?;
        let old = self.own_of(&held)?;
        let (old_uid, old_gid) = old.map_or_else(|| status.real_owner(), |own| (own.uid, own.gid));
        let identity = self.identity(caller)?;
        if !identity.can(CHOWN) {
            let stays = uid.is_none_or(|uid| uid == old_uid);
            let own_group = gid.is_none_or(|gid| gid == old_gid || identity.is_in(gid));
            if !(identity.ids(Kind::User).files == old_uid && stays && own_group) {
                return Err(Errno::PERM);
            }
        }
        if !self.waits(call) {
            return Ok(Answer::Proceed);
        }
        held.chown()?;
        let node = old.and_then(|own| own.node);
        let new = Own { uid: uid.unwrap_or(old_uid), gid: gid.unwrap_or(old_gid), node };
        // A symlink's record is where capabilities are, and these have just been taken away.
        if old != Some(new) || status.is_special() {
            self.record(&held, new, &status)?;
        }
        Ok(Answer::Value(0))
    }

    /// The owner of what the caller makes in a folder, if it needs a record.
    fn owner_in(&self, call: &Call, folder: &Held) -> Result<Option<Own>, Errno> {
        let identity = self.identity(Caller::new(call.pid))?;
        let mut own = Own::of(identity.user.files, identity.group.files);
        let of_folder = self.own_of(folder)?.unwrap_or_default();
        // For most calls both are the same, and the folder need not be looked at.
        if of_folder.gid != own.gid && folder.stat()?.mode() & SET_GROUP != 0 {
            own.gid = of_folder.gid;
        }
        Ok((!own.is_usual()).then_some(own))
    }

    // Makes what the call asks for, if its owner is not the usual one. Whatever cannot be done the
    // kernel is asked to do, so that the error is its.
    fn make(&mut self, call: &Call, at: &At, new: &New<'_>) -> Result<Answer, Errno> {
        let caller = Caller::new(call.pid);
        let device = match new {
            New::Device { node, .. } => Some(*node),
            _ => None,
        };
        let place = Place::of(caller, at)?;
        let parent = match place.parent() {
            Ok(Some(parent)) => parent,
            // A device is what the kernel cannot do.
            Err(error) if device.is_some() => return Err(error),
            Ok(None) | Err(_) => return Ok(Answer::Proceed),
        };
        if place.ends_with_slash() && !matches!(new, New::Dir { .. }) {
            return Ok(Answer::Proceed);
        }
        let (folder, name) = parent;
        let own = match (self.owner_in(call, &folder)?, device) {
            (own, Some(node)) => Own { node: Some(node), ..own.unwrap_or_default() },
            (Some(own), None) => own,
            (None, None) => return Ok(Answer::Proceed),
        };
        let mask = match new {
            New::Link { .. } => 0,
            _ => caller.umask(),
        };
        if !self.waits(call) {
            return Ok(Answer::Proceed);
        }
        let made = match new {
            New::Dir { mode } => folder.make_dir(&name, mode & !mask & 0o1777),
            New::Link { target } => folder.make_link(&name, target),
            New::Node { mode } => folder.make_node(&name, mode & !mask),
            New::Device { mode, .. } => {
                folder.make_node(&name, Status::FILE | (mode & !mask & 0o7777))
            }
        };
        match made {
            Ok(()) => {}
            Err(error) if device.is_some() => return Err(error),
            Err(_) => return Ok(Answer::Proceed),
        }
        self.record_made(&folder, &name, own)?;
        Ok(Answer::Value(0))
    }

    fn record_made(&mut self, folder: &Held, name: &[u8], own: Own) -> Result<(), Errno> {
        match folder.set_own_of(name, own) {
            Err(Errno::UNSUPPORTED) if own.node.is_some() => Err(Errno::PERM),
            Err(Errno::UNSUPPORTED) => {
                if self.aside.len() < MOST_ASIDE {
                    self.aside.insert(folder.stat_of(name)?.inode(), own);
                }
                Ok(())
            }
            other => other,
        }
    }

    pub(super) fn mkdir(&mut self, call: &Call, at: &At, mode: u32) -> Result<Answer, Errno> {
        self.make(call, at, &New::Dir { mode })
    }

    pub(super) fn symlink(&mut self, call: &Call, target: u64, at: &At) -> Result<Answer, Errno> {
        let target = Caller::new(call.pid).path(target)?;
        if target.is_empty() {
            return Ok(Answer::Proceed);
        }
        self.make(call, at, &New::Link { target: &target })
    }

    pub(super) fn mknod(
        &mut self,
        call: &Call,
        at: &At,
        mode: u32,
        device: u32,
    ) -> Result<Answer, Errno> {
        let Some(node) = Status::node(mode, device) else {
            return self.make(call, at, &New::Node { mode });
        };
        let allowed = self.makes_nodes && self.identity(Caller::new(call.pid))?.can(MKNOD);
        // Character device 0:0 is overlayfs's mark of a removed file, which the kernel refuses too.
        if !allowed || (!node.block && (node.major, node.minor) == (0, 0)) {
            return Err(Errno::PERM);
        }
        self.make(call, at, &New::Device { mode, node })
    }

    pub(super) fn open(
        &mut self,
        call: &Call,
        at: &At,
        flags: OpenFlags,
        mode: u32,
    ) -> Result<Answer, Errno> {
        let made = self.make_open(call, at, flags, mode);
        // As above: what does not work here the kernel refuses in its own words.
        Ok(made.unwrap_or(None).map_or(Answer::Proceed, |file| Answer::File {
            file,
            close_on_exec: flags.close_on_exec(),
        }))
    }

    fn make_open(
        &mut self,
        call: &Call,
        at: &At,
        flags: OpenFlags,
        mode: u32,
    ) -> Result<Option<Held>, Errno> {
        let caller = Caller::new(call.pid);
        let place = Place::of(caller, at)?;
        if flags.unnamed() {
            let folder = place.hold()?;
            let Some(own) = self.owner_in(call, &folder)? else { return Ok(None) };
            let mask = caller.umask();
            if !self.waits(call) {
                return Ok(None);
            }
            let file = folder.make_unnamed(flags, mode & !mask)?;
            self.record(&file, own, &file.stat()?)?;
            return Ok(Some(file));
        }
        if !flags.creates() || place.ends_with_slash() {
            return Ok(None);
        }
        let Some((folder, name)) = place.parent()? else { return Ok(None) };
        let Some(own) = self.owner_in(call, &folder)? else { return Ok(None) };
        // Most that is opened this way is there already.
        if folder.stat_of(&name).is_ok() {
            return Ok(None);
        }
        let mask = caller.umask();
        if !self.waits(call) {
            return Ok(None);
        }
        let file = folder.make_file(&name, flags, mode & !mask)?;
        self.record(&file, own, &file.stat()?)?;
        Ok(Some(file))
    }

    pub(super) fn open_how(
        &mut self,
        call: &Call,
        at: &At,
        how: u64,
        size: u64,
    ) -> Result<Answer, Errno> {
        // linux/openat2.h: flags, mode and how to resolve, 64 bits each.
        if size < 24 {
            return Ok(Answer::Proceed);
        }
        let Ok(how) = Caller::new(call.pid).read(how, 24) else { return Ok(Answer::Proceed) };
        let word = |at: usize| u64::from_le_bytes(how[at..at + 8].try_into().expect("eight bytes"));
        let Some(flags) = OpenFlags::of_how(word(0)) else { return Ok(Answer::Proceed) };
        // Who resolves in a way of its own gets the kernel's file, which is owned as root's are.
        if word(16) != 0 {
            return Ok(Answer::Proceed);
        }
        self.open(call, at, flags, word(8) as u32)
    }

    pub(super) fn exec(&mut self, call: &Call, at: &At) -> Result<Answer, Errno> {
        // Where nothing can be run, and when there is no more room for identities, the caller stays who
        // it was.
        let Ok(Some(ids)) = self.set_id_of(call, at) else { return Ok(Answer::Proceed) };
        let _ = self.change(call, |old| Ok(old.exec(ids.user, ids.group)));
        Ok(Answer::Proceed)
    }

    // Whom a program's set-id bits make of the caller; `None` if it is no program. Scripts have none.
    fn set_id_of(&self, call: &Call, at: &At) -> Result<Option<SetId>, Errno> {
        let held = Place::of(Caller::new(call.pid), at)?.hold()?;
        let status = held.stat()?;
        let mode = status.mode();
        if mode & 0o111 == 0 || !status.is_file() {
            return Ok(None);
        }
        if mode & (SET_USER | SET_GROUP) == 0 || held.is_script() {
            return Ok(Some(SetId::default()));
        }
        let own = self.own_of(&held)?.unwrap_or_default();
        let user = (mode & SET_USER != 0).then_some(own.uid);
        // Without the right to execute for the group, the bit means mandatory locks.
        let group = (mode & SET_GROUP != 0 && mode & 0o010 != 0).then_some(own.gid);
        Ok(Some(SetId { user, group }))
    }
}
