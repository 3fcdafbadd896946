//! The variables of steps: each step adds to what those before it had, and shares the rest.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The variables of a step. What is set adds to what was set before and is shared with the steps
/// that know it: a copy costs nothing, however many there are.
#[derive(Clone, Default)]
pub struct Environment(Option<Arc<Set>>);

// What was set, and all before it.
struct Set {
    pair: (String, String),
    before: Environment,
    /// How many sets there are with this one, and
    sets: usize,
    /// how many there may be before those are left out that others stand for.
    room: usize,
}

/// So many sets are walked without looking whether fewer would do.
const FEW: usize = 64;

impl Environment {
    /// Sets a variable from here on.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let (sets, room) = self.0.as_ref().map_or((0, FEW), |last| (last.sets, last.room));
        if sets >= room {
            self.shorten();
        }
        self.push(name, value);
    }

    // What is set again and again takes as long to list as what is set once: the sets are at most twice
    // the names, and for each of them one is written anew.
    fn shorten(&mut self) {
        let mut short = Environment::default();
        let pairs = self.pairs();
        for (name, value) in &pairs {
            short.push(name, value);
        }
        let room = FEW.max(2 * pairs.len());
        if let Some(last) = short.0.as_mut().and_then(Arc::get_mut) {
            last.room = room;
        }
        *self = short;
    }

    fn push(&mut self, name: &str, value: &str) {
        let pair = (name.to_owned(), value.to_owned());
        let before = std::mem::take(self);
        let (sets, room) = before.0.as_ref().map_or((0, FEW), |last| (last.sets, last.room));
        self.0 = Some(Arc::new(Set { pair, before, sets: sets + 1, room }));
    }

    /// Returns names and values, each name once, in the order in which they were first set.
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        let mut all = Vec::new();
        let mut at = self;
        while let Some(set) = &at.0 {
            all.push((set.pair.0.as_str(), set.pair.1.as_str()));
            at = &set.before;
        }
        let mut pairs = Vec::with_capacity(all.len());
        let mut places = BTreeMap::new();
        for (name, value) in all.into_iter().rev() {
            match places.get(name) {
                Some(place) => pairs[*place] = (name, value),
                None => {
                    places.insert(name, pairs.len());
                    pairs.push((name, value));
                }
            }
        }
        pairs
    }
}

impl Drop for Environment {
    // One after the other: as deep as there are variables, no stack is.
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(set) = next {
            next = Arc::into_inner(set).and_then(|mut set| set.before.0.take());
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.pairs()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_stands_where_it_was_first_set_with_its_last_value() {
        let mut environment = Environment::default();
        environment.set("b", "1");
        environment.set("a", "2");
        let early = environment.clone();
        environment.set("b", "3");
        assert_eq!(environment.pairs(), [("b", "3"), ("a", "2")]);
        assert_eq!(early.pairs(), [("b", "1"), ("a", "2")]);
    }

    #[test]
    fn what_is_set_again_takes_no_room() {
        let mut environment = Environment::default();
        let mut wanted = Vec::new();
        for number in 0..10_000 {
            environment.set(&format!("name{}", number % 100), &number.to_string());
            if number >= 9_900 {
                wanted.push((format!("name{}", number % 100), number.to_string()));
            }
            assert!(environment.0.as_ref().unwrap().sets <= 201, "{number}");
        }
        let wanted: Vec<_> =
            wanted.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(environment.pairs(), wanted);
        // New names are shared with what was before.
        let mut other = Environment::default();
        for number in 0..10_000 {
            other.set(&number.to_string(), "");
        }
        assert_eq!(other.pairs().len(), 10_000);
    }

    #[test]
    fn many_variables_need_no_deep_stack() {
        let mut environment = Environment::default();
        for number in 0..300_000 {
            environment.set("a", &number.to_string());
        }
        let shared = environment.clone();
        drop(environment);
        assert_eq!(shared.pairs(), [("a", "299999")]);
    }
}
