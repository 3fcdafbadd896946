//! Files of git repositories: what `ADD https://….git` fetches, by the `git` program.
//!
//! Git is told everything and finds nothing by itself: no configuration, hook, helper or variable
//! of the host has a say, and no protocol but the one that is written. A checkout is made in two
//! moves: [`resolve`] asks which commit a ref is, which is enough for a cache key; [`checkout`]
//! fetches that commit, without its history, and lays its files out. How they are copied is the
//! business of [`super::select`].

mod auth;
mod command;
mod lfs;
mod remote;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::Secret;
use crate::event::Cancel;
use crate::registry::{Network, Proxies};
use crate::store::{self, Store, remove_tree};
use command::{Open, Runner};
pub use remote::{CommitId, Remote};

/// What git may use of the host.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Folders to look for `git` and `ssh` in, as in `PATH`; relative ones are left out.
    pub path: Option<OsString>,
    /// The home folder: `.ssh/known_hosts` is read there, nothing else.
    pub home: Option<PathBuf>,
    /// The socket of the agent that has the keys (`--ssh default`). Without one, addresses of ssh
    /// are errors.
    pub ssh_agent: Option<PathBuf>,
    /// Proxies for `http` and `https`.
    pub proxies: Proxies,
    /// Certificate authorities that are trusted besides the host's, PEM files.
    pub ca_files: Vec<PathBuf>,
    /// Secrets by id, of which `GIT_AUTH_TOKEN[.HOST]` and `GIT_AUTH_HEADER[.HOST]` are logins for
    /// https; one that names a host goes before one that does not.
    pub auth: BTreeMap<String, Arc<Secret>>,
    /// Ends what is running.
    pub cancel: Cancel,
    /// Whether the network may be used.
    pub network: Network,
    /// How long one repository may take.
    pub time_limit: Duration,
    /// How long a server may leave a question without an answer; a transfer may stand still for
    /// five times that, as git is quiet while it puts together what came.
    pub idle_limit: Duration,
}

impl Tools {
    /// Allows nothing but the programs in `path`, an hour of time, and a minute for an answer.
    pub fn new(path: Option<OsString>, network: Network) -> Self {
        Tools {
            path,
            home: None,
            ssh_agent: None,
            proxies: Proxies::default(),
            ca_files: Vec::new(),
            auth: BTreeMap::new(),
            cancel: Cancel::new(),
            network,
            time_limit: Duration::from_secs(3600),
            idle_limit: Duration::from_secs(60),
        }
    }

    fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let path = self.path.clone().unwrap_or_default();
        let folders: Vec<_> =
            std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
        folders.into_iter()
    }

    fn search_path(&self) -> OsString {
        std::env::join_paths(self.folders()).unwrap_or_default()
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        self.folders().map(|folder| folder.join(program)).find(|file| file.is_file())
    }
}

/// Why there are no files of a repository. No message holds a password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no address of a repository, or contradicts itself.
    #[error("the git address cannot be used: {why}")]
    Remote {
        /// What is wrong with it.
        why: String,
    },
    /// A program of the host is missing.
    #[error("`{program}` is needed for git sources, but is not installed")]
    NoProgram {
        /// Which.
        program: &'static str,
    },
    /// A repository is reached by ssh, but no keys were given.
    #[error("`{remote}` is reached by ssh, but there is no ssh agent")]
    NoAgent {
        /// The repository.
        remote: String,
    },
    /// The network may not be used.
    #[error("the network is needed for `{remote}`, but this run is offline")]
    Offline {
        /// The repository.
        remote: String,
    },
    /// No branch or tag of that name.
    #[error("`{remote}` has no ref `{reference}`")]
    NoRef {
        /// The repository.
        remote: String,
        /// The ref, as written.
        reference: String,
    },
    /// The ref is another commit than the checksum says.
    #[error("checksum mismatch of `{remote}`: wanted commit {want}, got {found}")]
    Checksum {
        /// The repository.
        remote: String,
        /// What was asked for.
        want: CommitId,
        /// What the ref is.
        found: CommitId,
    },
    /// No such folder in the commit.
    #[error("`{remote}` has no folder `{subdir}` at commit {commit}")]
    NoSubdir {
        /// The repository.
        remote: String,
        /// The folder, from the top.
        subdir: String,
        /// Where it was looked for.
        commit: CommitId,
    },
    /// Git failed.
    #[error("cannot {what} `{remote}`: {said}")]
    Failed {
        /// What was tried: a verb.
        what: &'static str,
        /// The repository.
        remote: String,
        /// The last lines that git wrote, cleaned and cut.
        said: String,
    },
    /// The repository is too much.
    #[error("gave up on `{remote}`: {why}")]
    Limit {
        /// The repository.
        remote: String,
        /// Too much of what.
        why: &'static str,
    },
    /// Somebody has cancelled.
    #[error("interrupted")]
    Interrupted,
    /// The file system refused.
    #[error("git source: cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { what, source }
    }

    /// Returns what to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Error::NoProgram { program } => Some(format!("install `{program}`")),
            Error::NoAgent { .. } => Some("start an agent and add `--ssh default`".to_owned()),
            Error::Offline { .. } => Some(
                "leave out `--offline`, or copy the repository into the build context".to_owned(),
            ),
            Error::Checksum { found, .. } => {
                Some(format!("if the new commit is meant, write `--checksum={found}`"))
            }
            Error::Limit { .. } => {
                Some("see with `git ls-remote` whether the server answers".to_owned())
            }
            Error::NoRef { .. } => {
                Some("write a branch, a tag, or the full id of a commit".to_owned())
            }
            _ => None,
        }
    }
}

/// A ref, looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The commit, or the tag object that points at it. Names the files either way.
    pub id: CommitId,
    // The full name of the ref; none if it was written as a commit.
    name: Option<String>,
}

/// Files of a commit, laid out. Dropped, they are gone.
#[derive(Debug)]
pub struct Checkout {
    folder: PathBuf,
    commit: CommitId,
    pointer: Option<String>,
    _work: Work,
}

impl Checkout {
    /// Returns the folder: the top of the repository, or its subdirectory. Modes are 0644 and 0755,
    /// times those of the checkout. There is no `.git` in it at any level unless it was asked for.
    /// Links in it are those of the repository and may lead anywhere.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a file that is a pointer of Git LFS in place of what it points at, if there is one.
    pub fn pointer(&self) -> Option<&str> {
        self.pointer.as_deref()
    }

    /// Returns the commit.
    pub fn commit(&self) -> &CommitId {
        &self.commit
    }
}

/// Asks which commit a remote's ref is. The network is not needed if it is written as one.
///
/// A ref without `refs/` is first taken below `refs/`, then as a branch, then as a tag. A
/// checksum that does not fit a branch or commit is an error here; what a tag points at, [`checkout`]
/// alone knows.
pub fn resolve(remote: &Remote, tools: &Tools, store: &Store) -> Result<Resolved, Error> {
    if let Some(id) = remote.reference.as_deref().and_then(CommitId::parse) {
        check(remote, [&id])?;
        return Ok(Resolved { id, name: None });
    }
    online(remote, tools)?;
    let work = Work::new(store)?;
    let runner = Runner::new(remote, tools, &work.0)?;
    let wanted = match &remote.reference {
        None => vec!["HEAD".to_owned()],
        Some(reference) => {
            let short = reference.strip_prefix("refs/").unwrap_or(reference);
            let mut names = vec![format!("refs/{short}")];
            if short == reference {
                names.extend([format!("refs/heads/{short}"), format!("refs/tags/{short}")]);
            }
            names
        }
    };
    let mut arguments = vec!["ls-remote", "--quiet", "--", &remote.url];
    arguments.extend(wanted.iter().map(String::as_str));
    let list = runner.run("ask", &work.0.join("home"), Open::Question, &arguments)?;
    let list = String::from_utf8_lossy(&list);
    let refs: Vec<_> = list.lines().filter_map(|line| line.split_once('\t')).collect();
    let found = wanted.iter().find_map(|name| {
        let (id, _) = refs.iter().find(|(_, have)| have == name)?;
        Some(Resolved { id: CommitId::parse(id)?, name: Some(name.clone()) })
    });
    let resolved = found.ok_or_else(|| Error::NoRef {
        remote: remote.to_string(),
        reference: remote.reference.clone().unwrap_or_else(|| "HEAD".to_owned()),
    })?;
    if resolved.name.as_ref().is_some_and(|name| name.starts_with("refs/heads/")) {
        check(remote, [&resolved.id])?;
    }
    Ok(resolved)
}

/// Fetches what [`resolve`] found, and lays out its files in the store's folder for unfinished
/// things.
///
/// Submodules come along unless they are declined; their addresses may be any on the network, but
/// not files of this host. Files of Git LFS come along where the program `git-lfs` is there; else they
/// are left as the pointers that they are in the commit, which [`Checkout::pointer`] tells.
pub fn checkout(
    remote: &Remote,
    resolved: &Resolved,
    tools: &Tools,
    store: &Store,
) -> Result<Checkout, Error> {
    online(remote, tools)?;
    let work = Work::new(store)?;
    let runner = Runner::new(remote, tools, &work.0)?;
    let tree = work.0.join("tree");
    fs::create_dir(&tree).map_err(Error::io("create"))?;
    let run = |what, open, arguments: &[&str]| runner.run(what, &tree, open, arguments);
    let format = format!("--object-format={}", resolved.id.format());
    run("prepare for", Open::Nothing, &["init", "--quiet", "--template=", &format])?;
    // Submodules may be written relative to it.
    run("prepare for", Open::Nothing, &["remote", "add", "--", "origin", &remote.url])?;
    fetch(&runner, &tree, resolved)?;
    let peel = format!("{}^{{commit}}", resolved.id.as_str());
    let verify = ["rev-parse", "--verify", "--quiet", "--end-of-options", &peel];
    let commit = run("find the commit of", Open::Nothing, &verify)?;
    let commit = CommitId::parse(String::from_utf8_lossy(&commit).trim())
        .expect("git names a commit by its full id");
    check(remote, [&commit, &resolved.id])?;
    let force = ["checkout", "--quiet", "--detach", "--force", commit.as_str(), "--"];
    run("check out", Open::Nothing, &force)?;
    let modules = remote.submodules
        && fs::symlink_metadata(tree.join(".gitmodules")).is_ok_and(|meta| meta.is_file());
    if modules {
        let update = ["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"];
        run("fetch submodules of", Open::Submodules, &update)?;
    }
    if tools.find("git-lfs").is_some() && lfs::pointer(&tree).is_some() {
        lfs::fetch(&runner, &tree, remote)?;
    }
    if !remote.keeps_git_dir() {
        remove_tree(&tree.join(".git")).map_err(Error::io("remove `.git`"))?;
        if modules {
            drop_git_entries(&tree).map_err(Error::io("remove `.git` of submodules"))?;
        }
    }
    // Git has ended; nobody changes these files any more.
    let mut folder = tree;
    for name in &remote.subdir {
        folder.push(name);
        if !fs::symlink_metadata(&folder).is_ok_and(|meta| meta.is_dir()) {
            let (remote, subdir) = (remote.to_string(), remote.subdir.join("/"));
            return Err(Error::NoSubdir { remote, subdir, commit });
        }
    }
    let pointer = lfs::pointer(&folder);
    Ok(Checkout { folder, commit, pointer, _work: work })
}

fn online(remote: &Remote, tools: &Tools) -> Result<(), Error> {
    match tools.network {
        Network::Online => Ok(()),
        Network::Offline => Err(Error::Offline { remote: remote.to_string() }),
    }
}

// The first id counts for messages.
fn check<const N: usize>(remote: &Remote, found: [&CommitId; N]) -> Result<(), Error> {
    match &remote.checksum {
        Some(want) if !found.contains(&want) => Err(Error::Checksum {
            remote: remote.to_string(),
            want: want.clone(),
            found: found[0].clone(),
        }),
        _ => Ok(()),
    }
}

fn fetch(runner: &Runner<'_>, tree: &Path, resolved: &Resolved) -> Result<(), Error> {
    let fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--force"];
    let id = resolved.id.as_str();
    // A kept `.git` has the name as well, so that `git describe` works.
    let spec = match &resolved.name {
        Some(name) if name.starts_with("refs/tags/") => format!("{id}:{name}"),
        Some(name) => match name.strip_prefix("refs/heads/") {
            Some(branch) => format!("{id}:refs/remotes/origin/{branch}"),
            None => id.to_owned(),
        },
        None => id.to_owned(),
    };
    let arguments = [&fetch[..], &["--depth=1", "origin", &spec]].concat();
    let Err(error) = runner.run("fetch", tree, Open::Remote, &arguments) else { return Ok(()) };
    // A server of the old protocol gives only commits that have a name, a plain web server no part
    // of a history: then all of it, and the commit is in there or not.
    let Error::Failed { said, .. } = &error else { return Err(error) };
    let reasons = ["unadvertised object", "not our ref", "does not support shallow"];
    if !reasons.iter().any(|reason| said.contains(reason)) {
        return Err(error);
    }
    let all = ["origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
    runner.run("fetch", tree, Open::Remote, &[&fetch[..], &all].concat())?;
    Ok(())
}

// A commit has no entry of this name: those that there are belong to submodules.
fn drop_git_entries(top: &Path) -> io::Result<()> {
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_name().eq_ignore_ascii_case(".git") {
                remove_tree(&entry.path())?;
            } else if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

// A folder in the store's `tmp`, gone when dropped.
#[derive(Debug)]
struct Work(PathBuf);

impl Work {
    fn new(store: &Store) -> Result<Self, Error> {
        let path = store.tmp_path()?;
        fs::create_dir(&path).map_err(Error::io("create"))?;
        Ok(Work(path))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = remove_tree(&self.0);
    }
}

#[cfg(test)]
mod tests;
