//! Paths inside an image: absolute, clean, bytes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// An absolute path in an image: starts with `/`, has no empty, `.` or `..` component, no NUL and
/// no trailing slash (but the root itself, which is `/`).
///
/// Bytes, not text: Linux file names need not be UTF-8. It is on purpose not `AsRef<Path>`, so
/// that the standard library cannot open it on the host; the way in is `sys::Root`. A copy shares the
/// bytes: a file's path stands in its entry, in where its content is, and in what it becomes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImagePath(Arc<[u8]>);

/// Why bytes are no path of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Has a `..` where none is allowed.
    #[error("the path has a `..` component")]
    Up,
    /// Has a NUL byte.
    #[error("the path has a NUL byte")]
    Nul,
    /// Longer than Linux takes (`PATH_MAX`, 4096 bytes with the ending NUL), or a component longer
    /// than 255 bytes (`NAME_MAX`).
    #[error("the path or one of its components is too long for Linux")]
    TooLong,
}

impl ImagePath {
    /// The root, `/`.
    pub fn root() -> Self {
        ImagePath(Arc::from(&b"/"[..]))
    }

    /// Takes the name of an archive entry: leading slashes and `.` components are dropped, `..` is
    /// refused.
    pub fn from_entry(name: &[u8]) -> Result<Self, PathError> {
        Self::build(b"/", name, false)
    }

    /// Resolves `path` as the shell would at `self`: absolute paths start anew, `..` goes up and
    /// stops at the root. Purely textual: symlinks are not looked at.
    pub fn resolve(&self, path: &[u8]) -> Result<Self, PathError> {
        let start = if path.first() == Some(&b'/') { b"/" } else { self.as_bytes() };
        Self::build(start, path, true)
    }

    /// Appends one component or a relative path without `..`.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        Self::build(self.as_bytes(), name, false)
    }

    fn build(start: &[u8], path: &[u8], up: bool) -> Result<Self, PathError> {
        if path.contains(&0) {
            return Err(PathError::Nul);
        }
        let mut out = Vec::with_capacity(start.len() + 1 + path.len());
        if start != b"/" {
            out.extend_from_slice(start);
        }
        for part in path.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." if up => {
                    let parent = out.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                    out.truncate(parent);
                }
                b".." => return Err(PathError::Up),
                _ if part.len() > 255 => return Err(PathError::TooLong),
                _ => {
                    out.push(b'/');
                    out.extend_from_slice(part);
                }
            }
        }
        if out.len() > 4095 {
            return Err(PathError::TooLong);
        }
        if out.is_empty() {
            out.push(b'/');
        }
        Ok(ImagePath(out.into()))
    }

    /// Returns the bytes, with the leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes without the leading slash: empty for the root. This is the form of names
    /// in layers, and what is opened below a directory handle.
    pub fn relative(&self) -> &[u8] {
        &self.0[1..]
    }

    /// Tells whether this is `/`.
    pub fn is_root(&self) -> bool {
        *self.0 == *b"/"
    }

    /// Returns the parent; `None` for the root.
    pub fn parent(&self) -> Option<ImagePath> {
        if self.is_root() {
            return None;
        }
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(0) | None => Some(Self::root()),
            Some(at) => Some(ImagePath(self.0[..at].into())),
        }
    }

    /// Returns the last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        let at = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        &self.0[at + 1..]
    }

    /// Returns the components from the top.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0[1..].split(|byte| *byte == b'/').filter(|part| !part.is_empty())
    }

    /// Tells whether `self` is `above` or lies below it.
    pub fn starts_with(&self, above: &ImagePath) -> bool {
        above.is_root()
            || self.0 == above.0
            || (self.0.starts_with(&above.0) && self.0.get(above.0.len()) == Some(&b'/'))
    }

    /// Returns the text, with bytes that are not UTF-8 replaced: for messages, never for bytes.
    pub fn display(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display())
    }
}

impl fmt::Debug for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(path: Result<ImagePath, PathError>) -> String {
        match path {
            Ok(path) => path.to_string(),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn entry_names_are_cleaned_and_cannot_go_up() {
        for (name, want) in [
            ("a/b", "/a/b"),
            ("/a//./b/", "/a/b"),
            ("./", "/"),
            ("", "/"),
            ("../x", "Up"),
            ("a/../../x", "Up"),
            ("a\0b", "Nul"),
        ] {
            assert_eq!(text(ImagePath::from_entry(name.as_bytes())), want, "{name:?}");
        }
        assert_eq!(text(ImagePath::from_entry(&[b'x'; 256])), "TooLong");
    }

    #[test]
    fn resolving_goes_up_and_stops_at_the_root() {
        let at = ImagePath::from_entry(b"w/d").unwrap();
        for (path, want) in
            [("x", "/w/d/x"), ("../x", "/w/x"), ("../../../x", "/x"), ("/x/..", "/"), (".", "/w/d")]
        {
            assert_eq!(text(at.resolve(path.as_bytes())), want, "{path:?}");
        }
    }

    #[test]
    fn relations() {
        let path = |text: &str| ImagePath::from_entry(text.as_bytes()).unwrap();
        assert_eq!(path("a/b").parent(), Some(path("a")));
        assert_eq!(path("a").parent(), Some(ImagePath::root()));
        assert_eq!(ImagePath::root().parent(), None);
        assert_eq!(path("a/b").name(), b"b");
        assert!(path("a/b").starts_with(&path("a")) && !path("ab").starts_with(&path("a")));
    }

    proptest! {
        #[test]
        fn resolved_paths_are_clean(at in proptest::collection::vec(any::<u8>(), 0..40),
                                    path in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(at) = ImagePath::root().resolve(&at)
                && let Ok(path) = at.resolve(&path)
            {
                prop_assert!(path.as_bytes().starts_with(b"/"));
                prop_assert!(path.components().all(|part| part != b".." && part != b"."));
                prop_assert_eq!(ImagePath::from_entry(path.as_bytes()), Ok(path));
            }
        }
    }
}
