//! The files of the build context, as rules ask for them.

/// A file or folder of the context.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ContextFile {
    /// Its path in the context, without a slash at either end.
    pub path: String,
    /// Its bytes; 0 for folders.
    pub size: u64,
    /// Whether it is a folder.
    pub folder: bool,
    /// Whether the ignore file leaves it out.
    pub ignored: bool,
}

/// The context of a build. It is read when the first rule asks, and never written.
pub trait ContextFiles: std::fmt::Debug {
    /// Returns all files and folders by path, those that are left out included; a folder that is
    /// left out may stand for what is in it. `None` if there are too many to look at.
    fn files(&self) -> Option<&[ContextFile]>;

    /// Returns the text of a file that is not left out, if it is one and not longer than this many
    /// bytes.
    fn text(&self, path: &str, most: u64) -> Option<String>;

    /// Returns the name of the ignore file.
    fn ignore_file(&self) -> Option<&str>;
}

/// Returns what a source of COPY names in the context: files, and what is in folders. The source
/// may be a pattern.
pub(super) fn sources<'a>(
    files: &'a [ContextFile],
    source: &str,
) -> impl Iterator<Item = &'a ContextFile> {
    let source = clean(source);
    files.iter().filter(move |file| {
        if source.is_empty() || under(&file.path, &source) {
            return true;
        }
        if !source.contains(['*', '?', '[']) {
            return false;
        }
        // The pattern names the file, or a folder above it.
        let mut at = file.path.as_str();
        loop {
            if super::glob::matches(&source, at) {
                return true;
            }
            match at.rfind('/') {
                Some(slash) => at = &at[..slash],
                None => return false,
            }
        }
    })
}

/// Returns a path of the context without `./`, `..` and slashes at its ends.
pub(super) fn clean(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    append(&mut out, path);
    out
}

/// Goes on from a clean path with another.
pub(super) fn append(out: &mut String, path: &str) {
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => out.truncate(out.rfind('/').unwrap_or(0)),
            part => {
                if !out.is_empty() {
                    out.push('/');
                }
                out.push_str(part);
            }
        }
    }
}

/// Tells whether a path is `top`, or below it.
pub(super) fn under(path: &str, top: &str) -> bool {
    path == top || path.strip_prefix(top).is_some_and(|rest| rest.starts_with('/'))
}

/// Files that are given: for tests, and for `check`.
#[derive(Clone, Debug, Default)]
pub struct GivenFiles {
    files: Vec<ContextFile>,
    texts: std::collections::BTreeMap<String, String>,
    ignore: Option<String>,
}

impl GivenFiles {
    /// Starts empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file with its text.
    pub fn add(&mut self, path: &str, text: &str, ignored: bool) {
        let mut at = path;
        while let Some(slash) = at.rfind('/') {
            at = &at[..slash];
            if self.files.iter().all(|file| file.path != at) {
                let (path, folder) = (at.to_owned(), true);
                self.files.push(ContextFile { path, size: 0, folder, ignored: false });
            }
        }
        let size = text.len() as u64;
        self.files.push(ContextFile { path: path.to_owned(), size, folder: false, ignored });
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.texts.insert(path.to_owned(), text.to_owned());
    }

    /// Sets the name of the ignore file.
    pub fn set_ignore_file(&mut self, name: &str) {
        self.ignore = Some(name.to_owned());
    }
}

impl ContextFiles for GivenFiles {
    fn files(&self) -> Option<&[ContextFile]> {
        Some(&self.files)
    }

    fn text(&self, path: &str, most: u64) -> Option<String> {
        let text = self.texts.get(path).filter(|text| text.len() as u64 <= most)?;
        let ignored = self.files.iter().any(|file| file.path == path && file.ignored);
        (!ignored).then(|| text.clone())
    }

    fn ignore_file(&self) -> Option<&str> {
        self.ignore.as_deref()
    }
}
