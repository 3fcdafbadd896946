//! The policy that is in force, and reports of what it found.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rbuild::base::ImagePath;
use rbuild::diag::{Sources, chain};
use rbuild::event::{Cancel, Events};
use rbuild::input::{Artifact, BaseError};
use rbuild::policy::{
    FailOn, Foreign, Format, Imported, Overrides, PROFILES, Policy, PolicyCause, PolicyError,
    PolicyFiles, Report, Told, View, table_of,
};
use rbuild::store::Store;
use rbuild::sys::Follow;
use toml::Value;

use super::environment;
use super::exit::Exit;
use super::shared::{PolicyArgs, Stop, StoreArgs, printable, say, write_file};

const ORGANISATION: &str = "/etc/rbuild/policy.toml";
pub(crate) const REPOSITORY: &str = ".rbuild/policy.toml";
const SETTINGS: &str = "rbuild.toml";

/// Puts the policy together: the profile or the file of `--policy` (else the organisation's file,
/// else `hardened`), the repository's file, the command line. Where there is no policy file at all,
/// those of other tools are read, and that is said once.
pub(crate) fn effective(
    args: &PolicyArgs,
    store: &StoreArgs,
    context: &Path,
) -> Result<Policy, Stop> {
    effective_with_keys(args, store, context).map(|(policy, _)| policy)
}

/// The folders where the keys of `[signatures] trusted` lie: each in that of the policy file that
/// named it first. What the organisation names is never looked for in the repository.
#[derive(Clone, Default)]
pub(crate) struct KeyFolders(Vec<(Value, PathBuf)>);

impl KeyFolders {
    /// The keys of a policy, by name, each with its file.
    pub(crate) fn files(&self, policy: &Policy) -> Result<Vec<(String, PathBuf)>, Stop> {
        let mut files = Vec::new();
        for entry in trusted(policy) {
            let text = |key: &str| entry.get(key).and_then(Value::as_str);
            let (Some(name), Some(path)) = (text("name"), text("key")) else { continue };
            let folder = self.0.iter().find(|(known, _)| known == entry).map(|(_, folder)| folder);
            let path = match folder {
                Some(folder) => folder.join(path),
                None if Path::new(path).is_absolute() => path.into(),
                // Of the command line: the current folder may be anybody's.
                None => {
                    return Err(Stop::usage(format!("the key `{}`: {path}", printable(name)))
                        .help("outside of a policy file its path must be absolute"));
                }
            };
            files.push((name.to_owned(), path));
        }
        Ok(files)
    }

    // Takes what a file has named that none before it has.
    pub(crate) fn add(&mut self, policy: &Policy, file: &Path) {
        let folder = folder_of(file);
        for entry in trusted(policy) {
            if !self.0.iter().any(|(known, _)| known == entry) {
                self.0.push((entry.clone(), folder.clone()));
            }
        }
    }
}

fn trusted(policy: &Policy) -> impl Iterator<Item = &Value> {
    let entries = policy.section("signatures", "trusted").and_then(Value::as_array);
    entries.into_iter().flatten()
}

/// The same, with the places of its keys.
pub(crate) fn effective_with_keys(
    args: &PolicyArgs,
    store: &StoreArgs,
    context: &Path,
) -> Result<(Policy, KeyFolders), Stop> {
    let mut keys = KeyFolders::default();
    // Told before the work, not after it.
    for pair in &args.report {
        known_format(&pair.key)?;
    }
    let mut policy = match &args.policy {
        Some(name) => match Policy::builtin(name) {
            Some(policy) => policy,
            None => {
                let policy = from_file(Path::new(name), store).map_err(|stop| {
                    if stop.help.is_some() || stop.exit != Exit::Usage {
                        return stop;
                    }
                    let names: Vec<_> = PROFILES.iter().map(|(name, _)| *name).collect();
                    stop.help(format!("a profile ({}) or a policy file", names.join(", ")))
                })?;
                keys.add(&policy, Path::new(name));
                policy
            }
        },
        None if Path::new(ORGANISATION).is_file() => {
            let policy = from_file(Path::new(ORGANISATION), store)?;
            keys.add(&policy, Path::new(ORGANISATION));
            policy
        }
        None => Policy::builtin("hardened").expect("a built-in profile"),
    };
    // A profile by name is the whole of what was asked for; the repository's file refines the rest.
    if args.policy.is_none() {
        if let Some((path, text)) = repository_file(context)? {
            let mut files = Disk { folder: folder_of(&path), inside: true, store };
            policy.merge_with(&text, &path.display().to_string(), &mut files).map_err(stop)?;
            keys.add(&policy, &path);
        } else if !Path::new(ORGANISATION).is_file() {
            others(&mut policy, context)?;
        }
    }
    let fail_on = match &args.fail_on {
        Some(word) => Some(FailOn::parse(word).ok_or_else(|| {
            Stop::usage(format!("--fail-on `{word}`: write error, warn or never"))
        })?),
        None => None,
    };
    let overrides = Overrides {
        only: args.only.clone(),
        skip: args.skip.clone(),
        set: args.set.iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect(),
        fail_on,
    };
    policy.apply(&overrides).map_err(stop)?;
    if let Some(word) = args.rego_input.as_deref() {
        let view = if word == "conftest" { View::Conftest } else { View::Rbuild };
        policy.set_view(view, "--rego-input").map_err(stop)?;
    }
    policy.end(&environment::today());
    #[cfg(feature = "rego")]
    {
        policy.custom.runner = Some(rbuild::policy::Runner(|request| {
            rbuild::build::run_rego(&environment::program(), request)
        }));
    }
    // A file that cannot be read is wrong use, whatever it would have found.
    if policy.custom.rules.iter().any(|rule| policy.is_on(rule.id)) {
        policy.custom.check().map_err(|error| {
            Stop::usage(format!("custom rules: {error}")).help("docs/rego.md tells the language")
        })?;
    }
    Ok((policy, keys))
}

/// Applies the configuration files of other tools.
fn others(policy: &mut Policy, context: &Path) -> Result<(), Stop> {
    let found = foreign_files(context);
    let basis = policy.name.clone();
    let mut names = Vec::new();
    for (path, foreign) in &found {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let imported = import_found(path, *foreign)?;
        policy.merge(&imported.text, &name).map_err(stop)?;
        names.push(name);
    }
    if names.is_empty() {
        return Ok(());
    }
    policy.name = format!("{basis} with {}", names.join(", "));
    // `lint` of many files asks once for each.
    static TOLD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut told = TOLD.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if found.iter().filter(|(path, _)| told.insert(path.clone())).count() > 0 {
        say(&format!(
            "note: there is no policy file: read {} (`rbuild policy import` makes one of them)\n",
            names.join(", ")
        ));
    }
    Ok(())
}

/// Turns a configuration file of another tool into a policy.
pub(crate) fn import(path: &Path, foreign: Foreign) -> Result<Imported, Stop> {
    imported(path, foreign, &read(path)?)
}

/// As [`import`], of a file that nobody named: a link out of its folder is not followed.
pub(crate) fn import_found(path: &Path, foreign: Foreign) -> Result<Imported, Stop> {
    let name = path.file_name().unwrap_or_default();
    imported(path, foreign, &read_inside(&folder_of(path), Path::new(name))?)
}

fn imported(path: &Path, foreign: Foreign, text: &str) -> Result<Imported, Stop> {
    foreign.import(text).map_err(|error| {
        Stop::usage(format!("{}: {error}", printable(&path.display().to_string())))
    })
}

/// The configuration files of other tools that lie in the folder, or above it up to the root of the
/// version control: of each tool the nearest.
pub(crate) fn foreign_files(context: &Path) -> Vec<(PathBuf, Foreign)> {
    let Ok(start) = std::path::absolute(context) else { return Vec::new() };
    let root = start.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(&start);
    let mut found: Vec<(PathBuf, Foreign)> = Vec::new();
    for folder in start.ancestors().take_while(|folder| folder.starts_with(root)) {
        for (name, foreign) in Foreign::NAMES {
            let path = folder.join(name);
            if found.iter().all(|(_, known)| known.tool() != foreign.tool()) && path.is_file() {
                found.push((path, *foreign));
            }
        }
    }
    found
}

/// The files that a policy file names, relative to its folder.
struct Disk<'a> {
    folder: PathBuf,
    /// Nothing outside the folder: who may change a repository may not have other files read.
    inside: bool,
    /// Where artifacts are kept, and whom to ask for them.
    store: &'a StoreArgs,
}

/// What a pattern may look through.
const MOST_ENTRIES: usize = 20_000;

impl PolicyFiles for Disk<'_> {
    fn text(&mut self, name: &str) -> Option<String> {
        let path = self.folder.join(name);
        if self.inside {
            let folder = self.folder.canonicalize().ok()?;
            if !path.canonicalize().ok()?.starts_with(folder) {
                return None;
            }
        }
        bounded(std::fs::File::open(path).ok()?).ok()
    }

    fn list(&mut self, pattern: &str) -> Vec<String> {
        // The folders before the first wildcard are taken as they are.
        let plain = |part: &&str| !part.contains(['*', '?']);
        let parts: Vec<&str> = pattern.split('/').collect();
        let top: Vec<&str> = parts[..parts.len() - 1].iter().copied().take_while(plain).collect();
        let mut open = vec![top.join("/")];
        let (mut found, mut looked) = (Vec::new(), 0);
        while let Some(folder) = open.pop() {
            let at = self.folder.join(&folder);
            for entry in std::fs::read_dir(at).into_iter().flatten().flatten() {
                looked += 1;
                let Ok(name) = entry.file_name().into_string() else { continue };
                if looked > MOST_ENTRIES || name.starts_with('.') {
                    continue;
                }
                let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                let kind = entry.file_type();
                if kind.is_ok_and(|kind| kind.is_dir()) {
                    open.push(name);
                } else if rbuild::policy::matches(pattern, &name) {
                    found.push(name);
                }
            }
        }
        found.sort();
        found
    }

    fn artifact(&mut self, name: &str) -> Result<String, PolicyError> {
        let wrong = |message: String, cause, help| {
            Err(PolicyError { place: String::new(), message, help, cause })
        };
        let artifact = match Artifact::parse(name, &self.folder) {
            Ok(artifact) => artifact,
            Err(why) => {
                let help = "write oci:NAME@sha256:…, or oci-layout://DIR@sha256:…".to_owned();
                return wrong(why, PolicyCause::Wrong, Some(help));
            }
        };
        match fetched(&artifact, self.store) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Ok(text),
                Err(_) => wrong("it is no UTF-8".to_owned(), PolicyCause::Wrong, None),
            },
            Err(Fetching::Base(error)) if error.is_mismatch() => {
                wrong(chain(&error), PolicyCause::Tampered, error.help())
            }
            Err(Fetching::Base(error)) => wrong(chain(&error), PolicyCause::Absent, error.help()),
            Err(Fetching::Client(stop)) => wrong(stop.text, PolicyCause::Wrong, stop.help),
        }
    }
}

enum Fetching {
    Base(BaseError),
    Client(Stop),
}

/// Takes an artifact from the store, or fetches it and keeps it there. That nothing can be kept is no
/// error: it is fetched again the next time.
fn fetched(artifact: &Artifact, args: &StoreArgs) -> Result<Vec<u8>, Fetching> {
    if !artifact.is_remote() {
        return artifact.fetch(".toml", LARGEST, None, None).map_err(Fetching::Base);
    }
    let store = Store::open(&environment::store_root(args)).ok();
    if let Some(bytes) = store.as_ref().and_then(|store| artifact.kept(".toml", LARGEST, store)) {
        return Ok(bytes);
    }
    let registry = environment::registry(args, &[], &Events::silent(), &Cancel::new())
        .map_err(Fetching::Client)?;
    let bytes = artifact.fetch(".toml", LARGEST, Some(&registry), store.as_ref());
    drop(registry);
    // A build goes on to namespaces, which takes a process of one thread; that of the last request has
    // answered and is about to end.
    for _ in 0..400 {
        if std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count) <= 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    bytes.map_err(Fetching::Base)
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

pub(crate) fn stop(error: PolicyError) -> Stop {
    let help = error.help.clone();
    let exit = match error.cause {
        PolicyCause::Wrong => Exit::Usage,
        PolicyCause::Absent => Exit::Network,
        PolicyCause::Tampered => Exit::Tampered,
    };
    Stop { exit, text: error.to_string(), help }
}

fn read(path: &Path) -> Result<String, Stop> {
    let told = |error: std::io::Error| error.to_string();
    let text = std::fs::File::open(path).map_err(told).and_then(bounded);
    text.map_err(|why| Stop::usage(format!("cannot read the policy `{}`: {why}", path.display())))
}

/// The largest policy file, in bytes.
const LARGEST: u64 = 1 << 20;

fn bounded(file: std::fs::File) -> Result<String, String> {
    let mut text = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > LARGEST {
        return Err(format!("it is larger than {LARGEST} bytes"));
    }
    String::from_utf8(text).map_err(|_| "it is no UTF-8".to_owned())
}

// Of a file that lies in a repository and that nobody named: it is a stranger's. A link out of the
// folder leads nowhere, or the messages about what it leads to would tell of it.
fn read_inside(folder: &Path, name: &Path) -> Result<String, Stop> {
    let told = |error: std::io::Error| error.to_string();
    let open = || {
        let at = ImagePath::from_entry(name.as_os_str().as_encoded_bytes())
            .map_err(|error| error.to_string())?;
        let root = rbuild::sys::Root::open_host(folder).map_err(told)?;
        let file = root.open(&at, Follow::InRoot).map_err(|error| match error.kind() {
            // It is there, as whoever asks has seen: it or a folder before it is a link.
            std::io::ErrorKind::NotFound => {
                format!("it is a link to no file of `{}`", folder.display())
            }
            _ => told(error),
        })?;
        bounded(file)
    };
    open().map_err(|why| {
        let path = folder.join(name);
        Stop::usage(format!("cannot read the policy `{}`: {why}", path.display()))
    })
}

fn from_file(path: &Path, store: &StoreArgs) -> Result<Policy, Stop> {
    let text = read(path)?;
    let mut files = Disk { folder: folder_of(path), inside: false, store };
    Policy::read_with(&text, &path.display().to_string(), &mut files).map_err(stop)
}

/// The repository's file and what it says: in the context or above it, up to the root of the version
/// control, `.rbuild/policy.toml`, else `[policy]` of `rbuild.toml`.
fn repository_file(context: &Path) -> Result<Option<(PathBuf, String)>, Stop> {
    let Ok(start) = std::path::absolute(context) else { return Ok(None) };
    for folder in start.ancestors() {
        let file = folder.join(REPOSITORY);
        if file.is_file() {
            let text = read_inside(folder, Path::new(REPOSITORY))?;
            return Ok(Some((file, text)));
        }
        let file = folder.join(SETTINGS);
        if file.is_file() {
            let text = read_inside(folder, Path::new(SETTINGS))?;
            let part = table_of(&text, "policy", &file.display().to_string()).map_err(stop)?;
            if let Some(text) = part {
                return Ok(Some((file, text)));
            }
        }
        if folder.join(".git").exists() {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Writes the reports that `--report FORMAT=FILE` asks for.
pub(crate) fn write_reports(
    args: &PolicyArgs,
    report: &Report,
    sources: &Sources,
    policy: &Policy,
) -> Result<(), Stop> {
    let file = report.findings.iter().find_map(|finding| finding.span);
    let name = file.map_or("image", |span| sources.get(span.source).name.as_str());
    write_all(args, &[Told { name, report, sources, policy }])
}

/// Writes the reports that `--report FORMAT=FILE` asks for, each about all files or images.
pub(crate) fn write_all(args: &PolicyArgs, all: &[Told<'_>]) -> Result<(), Stop> {
    for pair in &args.report {
        let text = rendered(&pair.key, all, false)?;
        write_file(Path::new(&pair.value), &text)
            .map_err(|error| Stop::usage(format!("cannot write `{}`: {error}", pair.value)))?;
    }
    Ok(())
}

/// What was found in one of the formats, as one document with a newline at its end.
pub(crate) fn rendered(format: &str, all: &[Told<'_>], colour: bool) -> Result<String, Stop> {
    match format {
        "human" => Ok(all
            .iter()
            .map(|told| format!("{}\n", told.report.human(told.sources, told.policy, colour)))
            .collect()),
        "json" => Ok(format!("{:#}\n", Told::json(all, environment::VERSION))),
        other => match Format::parse(other) {
            Some(format) => Ok(Told::formatted(all, format, environment::VERSION)),
            None => Err(unknown_format(other)),
        },
    }
}

/// Tells that there is no such format.
pub(crate) fn known_format(name: &str) -> Result<(), Stop> {
    match matches!(name, "human" | "json") || Format::parse(name).is_some() {
        true => Ok(()),
        false => Err(unknown_format(name)),
    }
}

fn unknown_format(name: &str) -> Stop {
    let others = Format::ALL.iter().map(|(name, _)| *name);
    let names: Vec<&str> = ["human", "json"].into_iter().chain(others).collect();
    Stop::usage(format!("unknown report format `{name}`; there are {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_beside_the_file_that_names_them_first() {
        let read = |text: &str| Policy::read(text, "p.toml", &mut |_| None).unwrap();
        let mut keys = KeyFolders::default();
        let mut policy =
            read("[signatures]\ntrusted = [{ name = \"corp\", key = \"corp.pub\" }]\n");
        keys.add(&policy, Path::new("/etc/rbuild/policy.toml"));
        let check = |keys: &KeyFolders, policy: &Policy, want: &[(&str, &str)]| {
            let found = keys.files(policy).unwrap();
            let want: Vec<_> = want.iter().map(|(n, p)| (n.to_string(), p.into())).collect();
            assert_eq!(found, want);
        };
        check(&keys, &policy, &[("corp", "/etc/rbuild/corp.pub")]);
        // The repository adds keys of its own, and cannot supply that of the organisation.
        let more = "[signatures]\ntrusted_add = [{ name = \"corp\", key = \"corp.pub\" }, \
                    { name = \"own\", key = \"corp.pub\" }, { name = \"abs\", key = \"/k.pub\" }]\n";
        policy.merge(more, "q.toml").unwrap();
        keys.add(&policy, Path::new("/src/.rbuild/policy.toml"));
        let found = keys.files(&policy).unwrap();
        assert!(found.contains(&("corp".into(), "/etc/rbuild/corp.pub".into())), "{found:?}");
        assert!(!found.contains(&("corp".into(), "/src/.rbuild/corp.pub".into())), "{found:?}");
        assert!(found.contains(&("own".into(), "/src/.rbuild/corp.pub".into())), "{found:?}");
        assert!(found.contains(&("abs".into(), "/k.pub".into())), "{found:?}");
        // What no file has named is not looked for in the current folder.
        let error = KeyFolders::default().files(&policy).unwrap_err();
        assert!(error.text.contains("corp.pub") && error.help.is_some(), "{}", error.text);
    }

    #[test]
    fn links_out_of_the_repository_are_not_read() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("repository");
        std::fs::create_dir_all(folder.join(".rbuild")).unwrap();
        std::fs::create_dir(folder.join(".git")).unwrap();
        let secret = top.path().join("npmrc");
        std::fs::write(&secret, "//registry.example/:_authToken=npm_s3cr3t\n").unwrap();
        let link = |to: &Path, name: &str| {
            let _ = std::fs::remove_file(folder.join(name));
            std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
        };
        let outside = |stop: Stop| {
            assert!(stop.text.contains("it is a link to no file of"), "{}", stop.text);
            assert!(!stop.text.contains("s3cr3t"), "{}", stop.text);
        };
        for name in [REPOSITORY, SETTINGS] {
            link(&secret, name);
            outside(repository_file(&folder).unwrap_err());
            link(Path::new(if name == SETTINGS { "../npmrc" } else { "../../npmrc" }), name);
            outside(repository_file(&folder).unwrap_err());
            std::fs::remove_file(folder.join(name)).unwrap();
        }
        for (name, foreign) in Foreign::NAMES {
            link(&secret, name);
            let found = foreign_files(&folder);
            assert_eq!(found.len(), 1, "{name}");
            outside(import_found(&found[0].0, *foreign).unwrap_err());
            std::fs::remove_file(folder.join(name)).unwrap();
        }
        // A folder on the way, too.
        std::fs::remove_dir(folder.join(".rbuild")).unwrap();
        std::fs::write(top.path().join("policy.toml"), "s3cr3t").unwrap();
        link(Path::new(".."), ".rbuild");
        outside(repository_file(&folder).unwrap_err());
        // One that stays inside is read.
        std::fs::write(folder.join("own.toml"), "[policy]\nfail_on = \"warn\"\n").unwrap();
        std::fs::remove_file(folder.join(".rbuild")).unwrap();
        link(Path::new("own.toml"), SETTINGS);
        let (_, text) = repository_file(&folder).unwrap().unwrap();
        assert_eq!(text, "\"fail_on\" = \"warn\"\n");
        // No more of a file is read than a policy has.
        std::fs::remove_file(folder.join(SETTINGS)).unwrap();
        let large = std::fs::File::create(folder.join(SETTINGS)).unwrap();
        large.set_len(1 << 40).unwrap();
        let stop = repository_file(&folder).unwrap_err();
        assert!(stop.text.contains("larger than 1048576 bytes"), "{}", stop.text);
    }
}
