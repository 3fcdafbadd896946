//! What a COPY took, file by file: what a miss is told by.
//!
//! Kept beside the layer, not in the record, which is read at every build. The form is text: for each
//! file its path, a zero byte, what changes when the file does, and a zero byte.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Arc;

/// The files of a COPY, in the order in which they were taken. A copy costs nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Files(Arc<String>);

impl Files {
    /// The kind of facts under which they are kept, by the layer's diff id.
    pub(super) const KIND: &str = "copied-2";

    /// Adds a file.
    pub(super) fn add(&mut self, path: &str, what: fmt::Arguments<'_>) {
        let text = Arc::make_mut(&mut self.0);
        // No path on a disk has a zero byte; a name in an URL might.
        text.extend(path.chars().filter(|char| *char != '\0'));
        write!(text, "\0{what}\0").expect("text grows");
    }

    /// Returns the form in which they are kept.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Reads what [`Files::as_bytes`] gave; `None` if it is not that.
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        Some(Files(Arc::new(String::from_utf8(bytes).ok()?)))
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut parts = self.0.split('\0');
        std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }

    /// Says what has changed since `then`: `changed: PATH`, `gone: PATH` and `new: PATH`, by path.
    pub(super) fn changes_since(&self, then: &Files) -> Vec<String> {
        if self.0 == then.0 {
            return Vec::new();
        }
        let (mut then, mut list): (Vec<_>, Vec<_>) = (then.iter().collect(), self.iter().collect());
        // Most are where they were, as they were: those at both ends need no looking up.
        let mut same = 0;
        if then.len() == list.len() {
            while then.last().is_some_and(|last| list.last() == Some(last)) {
                then.pop();
                list.pop();
            }
            same = then.iter().zip(&list).take_while(|(old, now)| old == now).count();
        }
        // Looked up alone. Of a name that was taken twice the last counts, then and now.
        let old: HashMap<&str, &str> = then.drain(same..).collect();
        let now: HashMap<&str, &str> = list.drain(same..).collect();
        let mut changes: Vec<(&str, &str)> = now
            .iter()
            .filter_map(|(path, what)| match old.get(path) {
                Some(old) if old == what => None,
                Some(_) => Some((*path, "changed")),
                None => Some((*path, "new")),
            })
            .chain(old.keys().filter(|path| !now.contains_key(*path)).map(|path| (*path, "gone")))
            .collect();
        changes.sort_unstable();
        changes.into_iter().map(|(path, how)| format!("{how}: {path}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(then: &[(&str, &str)], now: &[(&str, &str)], want: &[&str]) {
        let files = |list: &[(&str, &str)]| {
            let mut files = Files::default();
            list.iter().for_each(|(path, what)| files.add(path, format_args!("{what}")));
            Files::from_bytes(files.as_bytes().to_vec()).unwrap()
        };
        assert_eq!(files(now).changes_since(&files(then)), want);
    }

    #[test]
    fn what_changed_is_named() {
        let then = [("b", "1"), ("a\nx", "1"), ("a", "1")];
        check(&then, &then, &[]);
        check(&then, &[("a", "1"), ("b", "1"), ("a\nx", "1")], &[]);
        check(&then, &[("b", "2"), ("a\nx", "2"), ("a", "1")], &["changed: a\nx", "changed: b"]);
        check(&then, &[("a\nx", "1"), ("a", "1")], &["gone: b"]);
        check(&then, &[("c", "1"), ("b", "1"), ("a\nx", "1"), ("a", "1"), ("c", "1")], &["new: c"]);
        check(&[], &[("a\0b", "1")], &["new: ab"]);
        check(&[("a", "1"), ("a", "2")], &[("a", "2")], &[]);
        let twice = [("a", "1"), ("a", "2"), ("b", "1")];
        check(&twice, &[("a", "1"), ("a", "2"), ("b", "2")], &["changed: b"]);
    }
}
