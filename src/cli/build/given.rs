//! Values of flags and files, understood: the Dockerfile, secrets, times, compression.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rbuild::base::{Platform, Secret, Timestamp};
use rbuild::exec::{Agent, KEY_LIMIT, Keyring, Times};
use rbuild::layer::Compression;
use rbuild::output::Target;

use super::super::context::{dockerfile_in, ignore_file};
use super::super::environment;
use super::super::shared::{KeyValue, Stop, attributes};
use super::Args;

/// The largest secret, in bytes: Docker's limit.
const SECRET_LIMIT: u64 = 500 * 1024;

/// The largest Dockerfile, in bytes.
pub(super) const DOCKERFILE_LIMIT: u64 = 16 << 20;

pub(super) fn pairs(list: &[KeyValue]) -> BTreeMap<String, String> {
    list.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect()
}

/// The annotations of the image, for this platform: those of `--annotation`, and those that outputs
/// want. All outputs get the same image, so they may not contradict each other.
pub(super) fn annotations(
    list: &[KeyValue],
    outputs: &[Target],
    platform: &Platform,
) -> Result<BTreeMap<String, String>, Stop> {
    let mut all = read_annotations(list, platform)?;
    for output in outputs {
        let wanted = output.annotations().iter();
        let wanted = wanted.map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() });
        for (key, value) in read_annotations(&wanted.collect::<Vec<_>>(), platform)? {
            match all.get(&key) {
                Some(other) if *other != value => {
                    let text = format!("annotation `{key}` is both `{other}` and `{value}`");
                    return Err(
                        Stop::usage(text).help("all outputs get one image: write one value")
                    );
                }
                _ => drop(all.insert(key, value)),
            }
        }
    }
    Ok(all)
}

/// Reads annotations, `[manifest[PLATFORM]:]KEY=VALUE`: those of the manifest, for this platform.
fn read_annotations(
    list: &[KeyValue],
    platform: &Platform,
) -> Result<BTreeMap<String, String>, Stop> {
    let mut found = BTreeMap::new();
    for pair in list {
        let (kind, key) = match pair.key.split_once(':') {
            Some((kind, key)) if KINDS.iter().any(|known| kind.starts_with(known)) => (kind, key),
            _ => ("manifest", pair.key.as_str()),
        };
        let wrong = |why: String| Stop::usage(format!("--annotation `{}`: {why}", pair.key));
        let (kind, wanted) = match kind.split_once('[') {
            Some((kind, rest)) => {
                let text =
                    rest.strip_suffix(']').ok_or_else(|| wrong("a `]` is missing".into()))?;
                let wanted = Platform::parse(text).map_err(|error| wrong(error.to_string()))?;
                (kind, Some(wanted))
            }
            None => (kind, None),
        };
        if key.is_empty() {
            return Err(wrong("it has no key".to_owned()));
        }
        match kind {
            "manifest" if wanted.is_none_or(|wanted| wanted == *platform) => {
                found.insert(key.to_owned(), pair.value.clone());
            }
            "manifest" => {}
            "index" | "index-descriptor" | "manifest-descriptor" => {
                return Err(wrong("one image for one platform is made, and no index".to_owned()));
            }
            other => return Err(wrong(format!("unknown type `{other}`; write manifest"))),
        }
    }
    Ok(found)
}

const KINDS: [&str; 2] = ["manifest", "index"];

/// Reads a Dockerfile, `-` from standard input: its name for messages, and its bytes.
pub(in crate::cli) fn read_dockerfile(path: &Path) -> Result<(String, Vec<u8>), Stop> {
    let mut bytes = Vec::new();
    let (name, read) = if path == Path::new("-") {
        let read = std::io::stdin().lock().take(DOCKERFILE_LIMIT + 1).read_to_end(&mut bytes);
        ("<stdin>".to_owned(), read)
    } else {
        let read = std::fs::File::open(path)
            .and_then(|file| file.take(DOCKERFILE_LIMIT + 1).read_to_end(&mut bytes));
        (path.display().to_string(), read)
    };
    read.map_err(|error| Stop::usage(format!("cannot read the Dockerfile `{name}`: {error}")))?;
    if bytes.len() as u64 > DOCKERFILE_LIMIT {
        return Err(Stop::usage(format!("`{name}` is larger than {DOCKERFILE_LIMIT} bytes")));
    }
    Ok((name, bytes))
}

/// Finds and reads the Dockerfile of a folder: its bytes, its name for messages, and its ignore file.
pub(super) fn dockerfile(
    args: &Args,
    folder: &Path,
) -> Result<(Vec<u8>, String, Option<PathBuf>), Stop> {
    let path = match &args.file {
        Some(path) => path.clone(),
        None => dockerfile_in(folder).ok_or_else(|| {
            Stop::usage(format!("no Dockerfile in `{}`", folder.display()))
                .help("name one with -f PATH")
        })?,
    };
    let (name, bytes) = read_dockerfile(&path)?;
    let own = (path != Path::new("-")).then_some(path.as_path());
    Ok((bytes, name, ignore_file(Some(folder), own)))
}

/// Reads the secrets: `id=ID[,src=FILE|,env=VARIABLE][,type=file|env]`.
pub(super) fn secrets(specs: &[String]) -> Result<BTreeMap<String, Arc<Secret>>, Stop> {
    let mut secrets = BTreeMap::new();
    for spec in specs {
        let wrong = |why: &str| Stop::usage(format!("--secret `{spec}`: {why}"));
        let (mut id, mut file, mut env, mut kind) = (None, None, None, None);
        for (key, value) in attributes(spec).map_err(|why| wrong(&why))? {
            match key.as_str() {
                "id" => id = Some(value),
                "src" | "source" => file = Some(value),
                "env" => env = Some(value),
                "type" if value == "file" || value == "env" => kind = Some(value),
                "type" => return Err(wrong("type is file or env")),
                other => return Err(wrong(&format!("unknown key `{other}`"))),
            }
        }
        let id = match (id, &file) {
            (Some(id), _) if !id.is_empty() => id,
            _ => return Err(wrong("write id=NAME")),
        };
        // `type=env` turns `src` into the name of a variable, as Docker has it.
        if kind.as_deref() == Some("env") && env.is_none() {
            env = Some(file.take().unwrap_or_else(|| id.clone()));
        }
        let bytes = match (file, env) {
            (Some(_), Some(_)) => return Err(wrong("src and env exclude each other")),
            (Some(path), None) => secret_file(&path).map_err(|why| wrong(&why))?,
            (None, Some(name)) => environment::variable(&name)
                .ok_or_else(|| wrong(&format!("the variable `{name}` is not set")))?
                .into_bytes(),
            // Neither: the variable of that name, else the file of that name.
            (None, None) => match environment::variable(&id) {
                Some(value) if kind.as_deref() != Some("file") => value.into_bytes(),
                _ => secret_file(&id).map_err(|why| wrong(&why))?,
            },
        };
        secrets.insert(id, Arc::new(Secret::new(bytes)));
    }
    Ok(secrets)
}

/// Finds ssh agents and keys: `ID[=SOCKET|KEY,KEY…]`.
pub(super) fn agents(specs: &[String]) -> Result<BTreeMap<String, Agent>, Stop> {
    let mut agents = BTreeMap::new();
    for spec in specs {
        let wrong = |why: String| Stop::usage(format!("--ssh `{spec}`: {why}"));
        let (id, paths) = spec.split_once('=').unwrap_or((spec, ""));
        if id.is_empty() {
            return Err(wrong("write ID, ID=SOCKET or ID=KEYFILE; mostly `default`".to_owned()));
        }
        let paths = match paths {
            "" => environment::variable("SSH_AUTH_SOCK").ok_or_else(|| {
                wrong("SSH_AUTH_SOCK is not set, so there is no agent".to_owned()).help(format!(
                    "name the file of a key: --ssh {id}=KEYFILE; or start an agent, and \
                                   give it the key: eval $(ssh-agent) && ssh-add"
                ))
            })?,
            paths => paths.to_owned(),
        };
        let paths: Vec<&str> = paths.split(',').filter(|path| !path.is_empty()).collect();
        let mut keys = Keyring::default();
        let mut socket = None;
        for path in &paths {
            let path = home_path(path);
            let shown = path.display();
            let found = std::fs::metadata(&path)
                .map_err(|error| wrong(format!("cannot use `{shown}`: {error}")))?;
            if found.file_type().is_socket() {
                if paths.len() > 1 {
                    return Err(wrong(
                        "an agent stands alone: one socket, or files of keys".into(),
                    ));
                }
                let path = std::path::absolute(&path)
                    .map_err(|error| wrong(format!("cannot use `{shown}`: {error}")))?;
                socket = Some(path);
                continue;
            }
            if !found.is_file() || found.len() > KEY_LIMIT {
                return Err(wrong(format!("`{shown}` is neither an agent's socket nor a key")));
            }
            let file = std::fs::read(&path)
                .map_err(|error| wrong(format!("cannot read `{shown}`: {error}")))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            keys.add(&Secret::new(file), &name).map_err(|error| {
                wrong(format!("`{shown}`: {error}")).help(format!(
                    "let an agent have it: eval $(ssh-agent) && ssh-add {shown}, then --ssh {id}"
                ))
            })?;
        }
        let agent = match socket {
            Some(path) => Agent::Socket(path),
            None => Agent::Keys(Arc::new(keys)),
        };
        if agents.insert(id.to_owned(), agent).is_some() {
            return Err(wrong(format!("the id `{id}` is given twice")));
        }
    }
    Ok(agents)
}

fn home_path(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), environment::variable("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    }
}

fn secret_file(path: &str) -> Result<Vec<u8>, String> {
    let path = home_path(path);
    // Large enough from the start: a vector that grows leaves copies behind.
    let mut bytes = Vec::with_capacity(SECRET_LIMIT as usize + 32);
    std::fs::File::open(&path)
        .and_then(|file| file.take(SECRET_LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    if bytes.len() as u64 > SECRET_LIMIT {
        return Err(format!("`{}` is larger than {SECRET_LIMIT} bytes", path.display()));
    }
    Ok(bytes)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command line hands the time in: `preserve` dates the image"
)]
pub(super) fn times(text: &str) -> Result<Times, Stop> {
    let epoch = match environment::variable("SOURCE_DATE_EPOCH") {
        Some(text) => Some(
            Timestamp::parse_seconds(&text)
                .map_err(|error| Stop::usage(format!("SOURCE_DATE_EPOCH: {error}")))?,
        ),
        None => None,
    };
    Ok(match text {
        "auto" => Times::Fixed(epoch.unwrap_or(Timestamp::BUILD_DEFAULT)),
        "preserve" => Times::Preserve(epoch.unwrap_or_else(|| {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            Timestamp::from_seconds(since.map_or(0, |since| since.as_secs() as i64))
        })),
        seconds => {
            Times::Fixed(Timestamp::parse_seconds(seconds).map_err(|error| {
                Stop::usage(format!("--timestamp: {error}, or auto, or preserve"))
            })?)
        }
    })
}

pub(super) fn compression(args: &Args) -> Result<Compression, Stop> {
    let level = args.compression_level;
    Ok(match args.compression.as_str() {
        "gzip" => match level.unwrap_or(Compression::GZIP_LEVEL) {
            level @ 0..=9 => Compression::Gzip { level },
            other => return Err(Stop::usage(format!("gzip has levels 0 to 9, not {other}"))),
        },
        "zstd" => match level.unwrap_or(3) {
            level @ 1..=22 => Compression::Zstd { level: level as i32 },
            other => return Err(Stop::usage(format!("zstd has levels 1 to 22, not {other}"))),
        },
        "uncompressed" | "none" => Compression::None,
        other => {
            return Err(Stop::usage(format!(
                "unknown compression `{other}`; there are gzip, zstd, uncompressed"
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_of_the_manifest() {
        let here = Platform::parse("linux/amd64").unwrap();
        let check = |text: &str, want: Result<Option<&str>, &str>| {
            let found = annotations(&[text.parse().unwrap()], &[], &here);
            match (found, want) {
                (Ok(found), Ok(want)) => {
                    assert_eq!(found.keys().next().map(String::as_str), want, "{text}");
                }
                (Err(stop), Err(want)) => assert!(stop.text.contains(want), "{}", stop.text),
                (found, _) => panic!("{text}: {found:?}"),
            }
        };
        check("org.example.a=1", Ok(Some("org.example.a")));
        check("org.example:a=1", Ok(Some("org.example:a")));
        check("manifest:a=1", Ok(Some("a")));
        check("manifest[linux/amd64]:a=1", Ok(Some("a")));
        check("manifest[linux/arm64]:a=1", Ok(None));
        check("index:a=1", Err("no index"));
        check("manifest-descriptor:a=1", Err("no index"));
        check("manifests:a=1", Err("unknown type `manifests`"));
        check("manifest[linux:a=1", Err("`]` is missing"));
    }
}
