//! The values of variables as they are at each instruction: one list of all changes, looked at as of
//! some moment, so that what an instruction knows costs nothing to keep.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

// Bytes of values that are kept for one file. What goes beyond is unknown, and told ([`Values::full`]).
const BUDGET: usize = 64 << 20;

// More stages on top of each other are made one, so that a look-up stays short.
const DEPTH: usize = 16;

type Changes = BTreeMap<String, Vec<(usize, Option<Rc<str>>)>>;

#[derive(Debug, Default)]
struct Log {
    changes: Changes,
    moment: usize,
    // What was known before, and is shared; and how many of these lie on top of each other.
    below: Option<Snapshot>,
    depth: usize,
}

/// Variables that change from one instruction to the next.
#[derive(Debug, Default)]
pub(super) struct Values {
    log: Rc<RefCell<Log>>,
    spent: Rc<RefCell<usize>>,
}

impl Values {
    /// Starts with these.
    pub(super) fn of(known: BTreeMap<String, String>) -> Values {
        let mut values = Values::default();
        for (name, value) in known {
            values.set(&name, Some(value));
        }
        values
    }

    /// Starts with what is known here now.
    pub(super) fn child(&self) -> Values {
        let depth = self.log.borrow().depth + 1;
        let mut log = Log { depth, ..Log::default() };
        let all = match depth < DEPTH {
            true => {
                log.below = Some(self.now());
                BTreeMap::new()
            }
            false => {
                log.depth = 0;
                self.now().all()
            }
        };
        let spent = Rc::clone(&self.spent);
        let mut child = Values { log: Rc::new(RefCell::new(log)), spent };
        for (name, value) in all {
            child.set(&name, value);
        }
        child
    }

    /// Starts with nothing; what is kept counts together with what is kept here.
    pub(super) fn beside(&self, known: BTreeMap<String, String>) -> Values {
        let mut values = Values { log: Rc::default(), spent: Rc::clone(&self.spent) };
        for (name, value) in known {
            values.set(&name, Some(value));
        }
        values
    }

    /// Tells whether there was more to keep than is kept.
    pub(super) fn full(&self) -> bool {
        *self.spent.borrow() > BUDGET
    }

    /// Sets a value; `None` makes it unknown.
    pub(super) fn set(&mut self, name: &str, value: Option<String>) {
        let size = name.len() + value.as_ref().map_or(0, String::len) + 64;
        let mut spent = self.spent.borrow_mut();
        let value = value.filter(|_| *spent + size <= BUDGET);
        *spent = spent.saturating_add(size);
        let mut log = self.log.borrow_mut();
        log.moment += 1;
        let moment = log.moment;
        log.changes.entry(name.to_owned()).or_default().push((moment, value.map(Rc::from)));
    }

    /// Returns what is known now, whatever is set later.
    pub(super) fn now(&self) -> Snapshot {
        Snapshot { log: Rc::clone(&self.log), moment: self.log.borrow().moment }
    }
}

/// What is known at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    log: Rc<RefCell<Log>>,
    moment: usize,
}

impl Snapshot {
    /// Returns a value.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let (mut log, mut moment) = (Rc::clone(&self.log), self.moment);
        // One step for each stage below: no recursion.
        loop {
            let below = {
                let log = log.borrow();
                if let Some(changes) = log.changes.get(name) {
                    let known = changes.partition_point(|(at, _)| *at <= moment);
                    if let Some((_, value)) = known.checked_sub(1).map(|last| &changes[last]) {
                        return value.as_deref().map(str::to_owned);
                    }
                }
                log.below.as_ref().map(|below| (Rc::clone(&below.log), below.moment))
            };
            (log, moment) = below?;
        }
    }

    /// Returns all names that were ever set.
    pub(super) fn all(&self) -> BTreeMap<String, Option<String>> {
        let mut out = BTreeMap::new();
        let mut at = Some(self.clone());
        while let Some(snapshot) = at {
            let log = snapshot.log.borrow();
            for (name, changes) in &log.changes {
                let known = changes.partition_point(|(moment, _)| *moment <= snapshot.moment);
                if let Some((_, value)) = known.checked_sub(1).map(|last| &changes[last]) {
                    out.entry(name.clone()).or_insert_with(|| value.as_deref().map(str::to_owned));
                }
            }
            at = log.below.clone();
        }
        out
    }

    /// Returns the values of the names that a text takes: those behind a `$`, in braces or not,
    /// quoted or not.
    pub(super) fn mentioned(&self, text: &str) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        for (at, _) in text.match_indices('$') {
            // `${#a}` and `${!a}` take `a` too.
            let rest = text[at + 1..].trim_start_matches(['{', '#', '!']);
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let name = &rest[..end];
            // `$1a` is `$1` and an `a`.
            let digits = name.len() - name.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            for name in [name, &name[..digits]] {
                if !name.is_empty()
                    && !out.contains_key(name)
                    && let Some(value) = self.get(name)
                {
                    out.insert(name.to_owned(), value);
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(snapshot: &Snapshot, text: &str, want: &[(&str, &str)]) {
        let have = snapshot.mentioned(text);
        let have: Vec<_> = have.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(have, want, "{text}");
    }

    #[test]
    fn each_moment_keeps_its_values() {
        let mut values = Values::of(BTreeMap::from([("A".to_owned(), "1".to_owned())]));
        let first = values.now();
        values.set("A", Some("2".to_owned()));
        values.set("B", Some("3".to_owned()));
        let second = values.now();
        let mut child = values.child();
        values.set("B", None);
        child.set("C", Some("4".to_owned()));
        check(&first, "$A ${B}", &[("A", "1")]);
        check(&second, "$A ${B}", &[("A", "2"), ("B", "3")]);
        check(&values.now(), "${A:-$B}", &[("A", "2")]);
        check(&second, "A B $(A) $ {A}", &[]);
        check(&second, "'$A' ${#B} $Ab", &[("A", "2"), ("B", "3")]);
        check(&child.now(), "$A$B$C", &[("A", "2"), ("B", "3"), ("C", "4")]);
    }

    #[test]
    fn attack_86_values_are_bounded_and_chains_short() {
        let mut values = Values::default();
        for number in 0..200 {
            values.set(&format!("v{number}"), Some("x".repeat(1 << 20)));
        }
        assert!(values.now().get("v0").is_some() && values.now().get("v199").is_none());
        assert!(values.full());
        let mut chain = Values::default();
        chain.set("a", Some("b".to_owned()));
        for _ in 0..2_000 {
            chain = chain.child();
        }
        assert_eq!(chain.now().get("a").as_deref(), Some("b"));
        assert!(!chain.full() && chain.log.borrow().depth < DEPTH);
    }
}
