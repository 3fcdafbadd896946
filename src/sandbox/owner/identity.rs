//! Who a process of the step believes to be, and how it becomes somebody else: credentials(7), for
//! processes that in truth are all one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sys::notify::Errno;
use crate::sys::trap::Kind;

/// How many different identities a step may have, and how many groups they may have together. What a
/// build uses is a handful; this bounds the memory that a hostile one can ask for.
const MOST: usize = 1 << 14;
const MOST_GROUPS: usize = 1 << 20;

/// One kind of ids of a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Ids {
    pub(super) real: u32,
    pub(super) effective: u32,
    pub(super) saved: u32,
    /// What new files are owned by.
    pub(super) files: u32,
}

impl Ids {
    fn all(id: u32) -> Self {
        Ids { real: id, effective: id, saved: id, files: id }
    }

    fn has(&self, id: u32) -> bool {
        [self.real, self.effective, self.saved].contains(&id)
    }
}

/// What root may do and others may not, as bits of capabilities(7).
pub(super) const CHOWN: u64 = 1;
const SET_GROUPS: u64 = 1 << 6;
const SET_USERS: u64 = 1 << 7;
pub(super) const MKNOD: u64 = 1 << 27;

/// The capabilities that a process believes to have; in truth it has all that the step has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
struct Powers {
    permitted: u64,
    effective: u64,
    /// They stay permitted when the last id becomes another one than root's.
    kept: bool,
}

/// The identity of a process.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Identity {
    pub(super) user: Ids,
    pub(super) group: Ids,
    pub(super) groups: Arc<[u32]>,
    powers: Powers,
}

impl Identity {
    /// A process that was started as this user.
    pub(super) fn new(uid: u32, gid: u32, groups: &[u32]) -> Self {
        let all = if uid == 0 { u64::MAX } else { 0 };
        let powers = Powers { permitted: all, effective: all, kept: false };
        Identity { user: Ids::all(uid), group: Ids::all(gid), groups: groups.into(), powers }
    }

    /// Tells whether it may do something.
    pub(super) fn can(&self, power: u64) -> bool {
        self.powers.effective & power != 0
    }

    /// Tells whether it may take on any id.
    fn may_set(&self, kind: Kind) -> bool {
        self.can(match kind {
            Kind::User => SET_USERS,
            Kind::Group => SET_GROUPS,
        })
    }

    /// Tells whether it is a member of the group.
    pub(super) fn is_in(&self, group: u32) -> bool {
        self.group.files == group || self.groups.contains(&group)
    }

    pub(super) fn ids(&self, kind: Kind) -> Ids {
        match kind {
            Kind::User => self.user,
            Kind::Group => self.group,
        }
    }

    fn with(&self, kind: Kind, ids: Ids) -> Self {
        let mut new = self.clone();
        match kind {
            Kind::User => {
                new.user = ids;
                new.powers = self.powers_as(ids);
            }
            Kind::Group => new.group = ids,
        }
        new
    }

    /// What is left of the powers with other user ids: capabilities(7), "Effect of user ID changes".
    fn powers_as(&self, new: Ids) -> Powers {
        let (old, mut powers) = (self.user, self.powers);
        if old.has(0) && !new.has(0) && !powers.kept {
            (powers.permitted, powers.effective) = (0, 0);
        }
        match (old.effective == 0, new.effective == 0) {
            (true, false) => powers.effective = 0,
            (false, true) => powers.effective = powers.permitted,
            _ => {}
        }
        powers
    }

    /// `prctl(2)`, PR_SET_KEEPCAPS.
    pub(super) fn keep(&self, kept: bool) -> Self {
        Identity { powers: Powers { kept, ..self.powers }, ..self.clone() }
    }

    /// `capset(2)`. What is not allowed the kernel refuses, or is passed over.
    pub(super) fn set_powers(&self, effective: u64, permitted: u64) -> Self {
        let permitted = self.powers.permitted & permitted;
        let powers = Powers { permitted, effective: effective & permitted, ..self.powers };
        Identity { powers, ..self.clone() }
    }

    /// `setuid(2)`, `setgid(2)`.
    pub(super) fn set(&self, kind: Kind, id: Option<u32>) -> Result<Self, Errno> {
        let id = id.ok_or(Errno::INVAL)?;
        let ids = self.ids(kind);
        if self.may_set(kind) {
            Ok(self.with(kind, Ids::all(id)))
        } else if id == ids.real || id == ids.saved {
            Ok(self.with(kind, Ids { effective: id, files: id, ..ids }))
        } else {
            Err(Errno::PERM)
        }
    }

    /// `setreuid(2)`, `setregid(2)`.
    pub(super) fn set_pair(
        &self,
        kind: Kind,
        real: Option<u32>,
        effective: Option<u32>,
    ) -> Result<Self, Errno> {
        let old = self.ids(kind);
        let its_own = real.is_none_or(|id| id == old.real || id == old.effective)
            && effective.is_none_or(|id| old.has(id));
        if !self.may_set(kind) && !its_own {
            return Err(Errno::PERM);
        }
        let mut new = old;
        new.real = real.unwrap_or(old.real);
        new.effective = effective.unwrap_or(old.effective);
        if real.is_some() || effective.is_some_and(|id| id != old.real) {
            new.saved = new.effective;
        }
        new.files = new.effective;
        Ok(self.with(kind, new))
    }

    /// `setresuid(2)`, `setresgid(2)`.
    pub(super) fn set_triple(&self, kind: Kind, ids: [Option<u32>; 3]) -> Result<Self, Errno> {
        let old = self.ids(kind);
        if !self.may_set(kind) && !ids.iter().flatten().all(|id| old.has(*id)) {
            return Err(Errno::PERM);
        }
        let effective = ids[1].unwrap_or(old.effective);
        let new = Ids {
            real: ids[0].unwrap_or(old.real),
            effective,
            saved: ids[2].unwrap_or(old.saved),
            files: effective,
        };
        Ok(self.with(kind, new))
    }

    /// `setfsuid(2)`, `setfsgid(2)`: what is not allowed is passed over.
    pub(super) fn set_files(&self, kind: Kind, id: Option<u32>) -> Self {
        let old = self.ids(kind);
        match id {
            Some(id) if self.may_set(kind) || old.has(id) || old.files == id => {
                self.with(kind, Ids { files: id, ..old })
            }
            _ => self.clone(),
        }
    }

    /// `setgroups(2)`.
    pub(super) fn set_groups(&self, groups: &[u32]) -> Result<Self, Errno> {
        if !self.may_set(Kind::Group) {
            return Err(Errno::PERM);
        }
        // The kernel sorts them as well.
        let mut groups = groups.to_vec();
        groups.sort_unstable();
        Ok(Identity { groups: groups.into(), ..self.clone() })
    }

    /// `execve(2)` of a file with these owners; `None` where the set-id bit is not there.
    pub(super) fn exec(&self, uid: Option<u32>, gid: Option<u32>) -> Self {
        let run = |ids: Ids, id: Option<u32>| {
            let effective = id.unwrap_or(ids.effective);
            Ids { real: ids.real, effective, saved: effective, files: effective }
        };
        let user = run(self.user, uid);
        let all = |yes: bool| if yes { u64::MAX } else { 0 };
        let powers = Powers {
            permitted: all(user.effective == 0 || user.real == 0),
            effective: all(user.effective == 0),
            kept: false,
        };
        let groups = Arc::clone(&self.groups);
        Identity { user, group: run(self.group, gid), groups, powers }
    }
}

/// All identities that were ever taken on, by number.
pub(super) struct Identities {
    list: Vec<Identity>,
    numbers: BTreeMap<Identity, usize>,
    groups: usize,
}

impl Identities {
    /// Begins with the one of the step, which has the number 0.
    pub(super) fn new(first: Identity) -> Self {
        let numbers = BTreeMap::from([(first.clone(), 0)]);
        Identities { groups: first.groups.len(), list: vec![first], numbers }
    }

    /// Returns the identity of a number. What is none of ours is the step's own.
    pub(super) fn get(&self, number: Option<u64>) -> &Identity {
        let number = number.and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
        self.list.get(number).unwrap_or(&self.list[0])
    }

    /// Returns the number of an identity, a new one if it has none.
    pub(super) fn number(&mut self, identity: &Identity) -> Result<u64, Errno> {
        if let Some(number) = self.numbers.get(identity) {
            return Ok(*number as u64);
        }
        let groups = self.groups + identity.groups.len();
        if self.list.len() >= MOST || groups > MOST_GROUPS {
            return Err(Errno::NOMEM);
        }
        self.groups = groups;
        let number = self.list.len();
        self.list.push(identity.clone());
        self.numbers.insert(identity.clone(), number);
        Ok(number as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::{Group, User};

    fn ids(identity: &Identity, kind: Kind) -> (u32, u32, u32, u32) {
        let ids = identity.ids(kind);
        (ids.real, ids.effective, ids.saved, ids.files)
    }

    #[test]
    fn root_becomes_anybody_and_nobody_becomes_root() {
        let root = Identity::new(0, 0, &[]);
        let user = root.set_groups(&[50, 7]).unwrap();
        let user = user.set(Group, Some(7)).unwrap().set(User, Some(1000)).unwrap();
        assert_eq!(ids(&user, User), (1000, 1000, 1000, 1000));
        assert_eq!((user.is_in(7), user.is_in(50), user.is_in(51)), (true, true, false));
        assert_eq!(user.set(User, Some(0)), Err(Errno::PERM));
        assert_eq!(user.set(Group, Some(0)), Err(Errno::PERM));
        assert_eq!(user.set_pair(User, None, Some(0)), Err(Errno::PERM));
        assert_eq!(user.set_triple(User, [None, Some(0), None]), Err(Errno::PERM));
        assert_eq!(user.set_groups(&[0]), Err(Errno::PERM));
        assert_eq!(user.set_files(User, Some(0)), user);
        assert_eq!(user.set(User, None), Err(Errno::INVAL));
    }

    #[test]
    fn who_kept_an_id_comes_back() {
        // As apt does: seteuid is setresuid(-1, id, -1).
        let root = Identity::new(0, 0, &[]);
        let apt = root.set_triple(User, [None, Some(42), None]).unwrap();
        assert_eq!(ids(&apt, User), (0, 42, 0, 42));
        assert!(!apt.can(CHOWN) && root.can(CHOWN));
        assert_eq!(apt.set(Group, Some(5)), Err(Errno::PERM));
        let back = apt.set_triple(User, [None, Some(0), None]).unwrap();
        assert_eq!(back, root);
        // As a set-uid program does that gives its power up for good.
        let sudo = Identity::new(1000, 1000, &[]).exec(Some(0), None);
        assert_eq!(ids(&sudo, User), (1000, 0, 0, 0));
        assert_eq!(
            ids(&sudo.set_pair(User, None, Some(1000)).unwrap(), User),
            (1000, 1000, 0, 1000)
        );
        let gone = sudo.set_pair(User, Some(1000), Some(1000)).unwrap();
        assert_eq!(ids(&gone, User), (1000, 1000, 1000, 1000));
        assert_eq!(gone.set(User, Some(0)), Err(Errno::PERM));
        // Exec keeps no way back.
        assert_eq!(ids(&apt.exec(None, None), User), (0, 42, 42, 42));
    }

    #[test]
    fn who_keeps_powers_sets_groups_last() {
        // As setpriv does.
        let root = Identity::new(0, 0, &[]);
        let six = [Some(6); 3];
        let user = root.keep(true).set_triple(User, six).unwrap();
        assert_eq!(user.set_triple(Group, six), Err(Errno::PERM), "permitted, not effective");
        let user = user.set_powers(u64::MAX, u64::MAX);
        let user = user.set_triple(Group, six).unwrap().set_groups(&[6]).unwrap();
        assert_eq!(ids(&user, Group), (6, 6, 6, 6));
        assert!(!user.exec(None, None).can(CHOWN));
        let dropped = user.set_powers(0, 0);
        assert_eq!(dropped.set_powers(u64::MAX, u64::MAX).set_groups(&[]), Err(Errno::PERM));
        // Without that nothing is left to raise.
        let user = root.set_triple(User, six).unwrap().set_powers(u64::MAX, u64::MAX);
        assert_eq!(user.set_triple(Group, six), Err(Errno::PERM));
        assert_eq!(root.set_powers(CHOWN, CHOWN).set(User, Some(1)), Err(Errno::PERM));
    }

    #[test]
    fn identities_are_numbered_and_bounded() {
        let first = Identity::new(0, 0, &[]);
        let mut all = Identities::new(first.clone());
        let other = Identity::new(1, 1, &[]);
        assert_eq!((all.number(&first), all.number(&other)), (Ok(0), Ok(1)));
        assert_eq!((all.number(&other), all.get(Some(1)) == &other), (Ok(1), true));
        assert!(all.get(None) == &first && all.get(Some(u64::MAX)) == &first);
        let many: Vec<u32> = (0..65536).collect();
        let refused = (0..20).find(|n| all.number(&Identity::new(*n, 5, &many)).is_err());
        assert_eq!(refused, Some(16), "sixteen lists of 65536 groups are the limit");
        let refused = (10..20_000).find(|n| all.number(&Identity::new(*n, 9, &[])).is_err());
        assert_eq!(refused, Some(10 + (1 << 14) - 18));
    }
}
