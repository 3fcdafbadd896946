//! Contexts that are no folder of this host: a tar from standard input, a file or an address, and
//! repositories. They bring their Dockerfile and their ignore file along.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use rbuild::base::{Digest, ImagePath};
use rbuild::diag::chain;
use rbuild::exec::Failure;
use rbuild::input::git::{self, Checkout, Remote, Tools};
use rbuild::input::{self, Context, IGNORE_LIMIT, Ignore, http};
use rbuild::registry::Registry;
use rbuild::store::Store;
use rbuild::sys::Follow;

use super::super::shared::Stop;
use super::given::{DOCKERFILE_LIMIT, read_dockerfile};
use super::outcome::exit_of;

/// Where a context comes from.
#[derive(Debug)]
pub(super) enum Origin {
    /// A folder.
    Folder(PathBuf),
    /// A tar, or a Dockerfile alone, on standard input.
    Stdin,
    /// A tar.
    Archive(PathBuf),
    /// A repository.
    Git(Box<Remote>),
    /// A tar, or a Dockerfile alone, that is fetched; and what it has to be.
    Url(String, Option<String>),
}

impl Origin {
    /// Reads the argument.
    pub(super) fn of(context: &Path) -> Result<Self, Stop> {
        let shown = context.display();
        if context == Path::new("-") {
            return Ok(Origin::Stdin);
        }
        if context.is_dir() {
            return Ok(Origin::Folder(context.to_owned()));
        }
        if context.is_file() {
            return Ok(Origin::Archive(context.to_owned()));
        }
        match Self::of_address(&context.to_string_lossy()) {
            Some(origin) => origin,
            None => Err(Stop::usage(format!("the context `{shown}` is not a folder"))),
        }
    }

    /// Reads an address; `None` if it is none.
    pub(super) fn of_address(text: &str) -> Option<Result<Self, Stop>> {
        let wrong = |why: String| Stop::usage(format!("the context cannot be used: {why}"));
        // As BuildKit has it: these hosts may stand alone.
        let full = ["github.com/", "gitlab.com/", "bitbucket.org/"]
            .iter()
            .any(|host| text.starts_with(host))
            .then(|| with_suffix(text));
        let text = full.as_deref().unwrap_or(text);
        let place = text.split(['#', '?']).next().unwrap_or(text);
        let web = place.starts_with("https://") || place.starts_with("http://");
        if web && !place.trim_end_matches('/').ends_with(".git") {
            let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
            let checksum = match fragment.split_once('=') {
                None if fragment.is_empty() => None,
                Some(("checksum", digest)) => Some(digest.to_owned()),
                _ => return Some(Err(wrong("write URL or URL#checksum=sha256:…".to_owned()))),
            };
            return Some(Ok(Origin::Url(url.to_owned(), checksum)));
        }
        let scp = place.split_once('@').is_some_and(|(user, rest)| {
            !user.is_empty() && !user.contains(['/', ':']) && rest.contains(':')
        });
        if web || scp || place.starts_with("git://") || place.starts_with("ssh://") {
            return Some(match Remote::parse(text) {
                Ok(remote) => Ok(Origin::Git(Box::new(remote))),
                Err(error) => Err(wrong(chain(&error))),
            });
        }
        None
    }
}

// `github.com/user/project#ref` as an address that git takes.
fn with_suffix(text: &str) -> String {
    let end = text.find(['#', '?']).unwrap_or(text.len());
    let (place, rest) = text.split_at(end);
    let place = place.trim_end_matches('/');
    let suffix = if place.ends_with(".git") { "" } else { ".git" };
    format!("https://{place}{suffix}{rest}")
}

/// What it takes to bring a context here.
pub(super) struct Means<'a> {
    pub(super) store: &'a Store,
    pub(super) registry: &'a Registry,
    pub(super) git: &'a Tools,
}

/// A context that is here now.
pub(super) struct Brought {
    /// The files; none where a Dockerfile came alone.
    pub(super) context: Option<Context>,
    /// The Dockerfile that came alone.
    alone: Option<Vec<u8>>,
    /// Holds the files of a repository.
    _checkout: Option<Checkout>,
    /// A pointer of Git LFS that stands for a file.
    pub(super) pointer: Option<String>,
}

/// A Dockerfile, and the ignore file that goes with it.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) text: Vec<u8>,
    pub(super) ignore: Option<Ignore>,
}

fn failed(failure: Failure) -> Stop {
    Stop {
        exit: exit_of(failure.cause),
        text: failure.diagnostic.message,
        help: failure.diagnostic.help,
    }
}

/// Brings the context here; `None` for a folder, which is.
pub(super) fn bring(origin: &Origin, means: &Means<'_>) -> Result<Option<Brought>, Stop> {
    let files =
        |context| Brought { context: Some(context), alone: None, _checkout: None, pointer: None };
    Ok(Some(match origin {
        Origin::Folder(_) => return Ok(None),
        Origin::Stdin => stream(std::io::stdin(), "standard input", means.store)?,
        Origin::Archive(path) => {
            let file = File::open(path).map_err(|error| {
                Stop::usage(format!("cannot read the context `{}`: {error}", path.display()))
            })?;
            files(unpacked(file, &path.display().to_string(), means.store)?)
        }
        Origin::Git(remote) => {
            let failed = |error| failed(Failure::from(error));
            let resolved = git::resolve(remote, means.git, means.store).map_err(failed)?;
            let checkout =
                git::checkout(remote, &resolved, means.git, means.store).map_err(failed)?;
            let context = Context::open(checkout.folder(), None)
                .map_err(|error| Stop::usage(chain(&error)))?;
            let pointer = checkout.pointer().map(str::to_owned);
            Brought { pointer, _checkout: Some(checkout), ..files(context) }
        }
        Origin::Url(url, checksum) => {
            let checksum = match checksum {
                Some(text) => Some(
                    Digest::parse(text)
                        .map_err(|error| Stop::usage(format!("the context's checksum: {error}")))?,
                ),
                None => None,
            };
            let fetched = http::fetch(url, checksum, http::LIMIT, means.registry, means.store)
                .map_err(|error| failed(Failure::from(error)))?;
            let file = fetched
                .file
                .try_clone()
                .map_err(|error| Stop::usage(format!("cannot read the context: {error}")))?;
            stream(file, "the address", means.store)?
        }
    }))
}

fn unpacked(tar: impl Read + Send + 'static, name: &str, store: &Store) -> Result<Context, Stop> {
    Context::from_tar(tar, store)
        .map_err(|error| Stop::usage(format!("the context on {name}: {}", chain(&error))))
}

// A tar of files, or the text of a Dockerfile: told by how it begins.
fn stream(
    mut from: impl Read + Send + 'static,
    name: &str,
    store: &Store,
) -> Result<Brought, Stop> {
    let unreadable = |error| Stop::usage(format!("cannot read the context on {name}: {error}"));
    let mut start = Vec::new();
    from.by_ref().take(input::START).read_to_end(&mut start).map_err(unreadable)?;
    // Nothing at all is no file, rather than an empty Dockerfile.
    let packed = input::looks_packed(&start) || start.is_empty();
    let mut whole = Cursor::new(start).chain(from);
    let (mut context, mut alone) = (None, None);
    if packed {
        context = Some(unpacked(whole, name, store)?);
    } else {
        let mut text = Vec::new();
        whole.by_ref().take(DOCKERFILE_LIMIT + 1).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() as u64 > DOCKERFILE_LIMIT {
            return Err(Stop::usage(format!(
                "what is on {name} is no tar, and too large for a Dockerfile"
            )));
        }
        alone = Some(text);
    }
    Ok(Brought { context, alone, _checkout: None, pointer: None })
}

impl Brought {
    /// Finds the Dockerfile: on standard input if `-`, else in the context, where no link leads
    /// out. With `host`, a file of this host is taken where the context has none of that name.
    pub(super) fn dockerfile(&mut self, file: Option<&Path>, host: bool) -> Result<Found, Stop> {
        if let Some(text) = self.alone.take() {
            if let Some(file) = file {
                return Err(Stop::usage(format!(
                    "there are two Dockerfiles: `{}`, and one in place of the context",
                    file.display()
                )));
            }
            return Ok(Found { name: "<stdin>".to_owned(), text, ignore: None });
        }
        let Some(context) = &self.context else {
            return Err(Stop::usage("there is no context"));
        };
        let names: Vec<PathBuf> = match file {
            Some(path) => vec![path.to_owned()],
            None => vec!["Dockerfile".into(), "Containerfile".into()],
        };
        if file == Some(Path::new("-")) {
            let (name, text) = read_dockerfile(Path::new("-"))?;
            return Ok(Found { name, text, ignore: ignore_of(context, None)? });
        }
        for name in &names {
            let wrong = |why: String| Stop::usage(format!("`{}`: {why}", name.display()));
            let at = ImagePath::root()
                .resolve(name.as_os_str().as_encoded_bytes())
                .map_err(|error| wrong(error.to_string()))?;
            let open = match context.root().open(&at, Follow::InRoot) {
                Ok(open) => open,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(wrong(error.to_string())),
            };
            let mut text = Vec::new();
            open.take(DOCKERFILE_LIMIT + 1)
                .read_to_end(&mut text)
                .map_err(|error| wrong(error.to_string()))?;
            if text.len() as u64 > DOCKERFILE_LIMIT {
                return Err(wrong(format!("larger than {DOCKERFILE_LIMIT} bytes")));
            }
            let ignore = ignore_of(context, Some(&at))?;
            return Ok(Found { name: name.display().to_string(), text, ignore });
        }
        if let Some(path) = file.filter(|path| host && path.is_file()) {
            let (name, text) = read_dockerfile(path)?;
            return Ok(Found { name, text, ignore: ignore_of(context, None)? });
        }
        let what = file.map_or("Dockerfile".to_owned(), |path| path.display().to_string());
        Err(Stop::usage(format!("no `{what}` in the context"))
            .help("name the Dockerfile by its path in the context: -f PATH"))
    }
}

// The ignore file: that of the Dockerfile, else that of the context.
fn ignore_of(context: &Context, dockerfile: Option<&ImagePath>) -> Result<Option<Ignore>, Stop> {
    let own = dockerfile.map(|at| [at.relative(), b".dockerignore"].concat());
    let common = [&b".dockerignore"[..], b".containerignore"].map(<[u8]>::to_vec);
    for name in own.into_iter().chain(common) {
        let shown = String::from_utf8_lossy(&name).into_owned();
        let wrong = |why: String| Stop::usage(format!("`{shown}` of the context: {why}"));
        let at = ImagePath::from_entry(&name).map_err(|error| wrong(error.to_string()))?;
        let file = match context.root().open(&at, Follow::InRoot) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(wrong(error.to_string())),
        };
        let mut text = Vec::new();
        file.take(IGNORE_LIMIT + 1)
            .read_to_end(&mut text)
            .map_err(|error| wrong(error.to_string()))?;
        if text.len() as u64 > IGNORE_LIMIT {
            return Err(wrong(format!("larger than {} bytes", IGNORE_LIMIT)));
        }
        let ignore = Ignore::parse(&text).map_err(|error| wrong(error.to_string()))?;
        return Ok(Some(ignore.named(shown)).filter(|ignore| !ignore.is_empty()));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let found = match Origin::of_address(text) {
            None => "none".to_owned(),
            Some(Err(stop)) => format!("error: {}", stop.text),
            Some(Ok(origin)) => format!("{origin:?}"),
        };
        assert!(found.contains(want), "{text}: {found}");
    }

    #[test]
    fn addresses_are_told_apart() {
        check("https://example.com/x.git", "Git(https://example.com/x.git)");
        check("https://example.com/x.git#main:sub", "Git(https://example.com/x.git)");
        check("https://example.com/x.git?branch=a&subdir=b", "Git(");
        check("git@example.com:x/y", "Git(git@example.com:x/y)");
        check("git://example.com/x", "Git(");
        check("ssh://git@example.com/x", "Git(");
        check("github.com/a/b#v1", "Git(https://github.com/a/b.git)");
        check("https://example.com/x.tar.gz", "Url(\"https://example.com/x.tar.gz\", None)");
        check("https://example.com/x?a=b#checksum=sha256:00", "Some(\"sha256:00\")");
        check("https://example.com/x.tar#main", "error: the context cannot be used: write URL");
        check("https://example.com/x.git#-x", "error:");
        check("file:///etc/x.git", "none");
        check("./folder", "none");
        check("name@folder", "none");
    }

    #[test]
    fn a_stream_is_a_tar_or_a_dockerfile() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut brought = stream(&b"FROM scratch\n"[..], "standard input", &store).unwrap();
        assert!(brought.context.is_none());
        assert!(brought.dockerfile(None, true).is_ok_and(|found| found.text == b"FROM scratch\n"));
        let file = Path::new("x");
        let mut again = stream(&b"FROM scratch\n"[..], "standard input", &store).unwrap();
        assert!(again.dockerfile(Some(file), true).is_err());
    }
}
